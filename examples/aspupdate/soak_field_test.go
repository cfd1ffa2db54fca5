//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// A strike is what a person or a machine does to a running command.
type strike struct {
	name     string
	terminal bool // the command has a terminal; else its standard output is a pipe whose reader goes away
	do       func(t *testing.T, s *soak, c target)
}

// A target is a running command, and what the person has of its terminal.
type target struct {
	pid      int
	terminal *os.File
}

// signals is a strike that sends signals to the command itself, one after another.
func signals(name string, list ...syscall.Signal) strike {
	return strike{name: name, do: func(_ *testing.T, _ *soak, c target) {
		for i, sig := range list {
			if i > 0 {
				time.Sleep(20 * time.Millisecond) // else they are one
			}
			to(c.pid, sig)
		}
	}}
}

const diskFills = "the disk of the state fills"

var strikes = []strike{
	signals("kill -9", syscall.SIGKILL),
	signals("SIGTERM", syscall.SIGTERM),
	signals("SIGHUP", syscall.SIGHUP),
	signals("SIGPIPE", syscall.SIGPIPE),
	signals("Ctrl-C twice", syscall.SIGINT, syscall.SIGINT),
	{name: "kill -9 of the process group", do: func(_ *testing.T, _ *soak, c target) { to(-c.pid, syscall.SIGKILL) }},
	{name: "the control group's kill", do: func(t *testing.T, _ *soak, c target) {
		for _, p := range descendants(t, c.pid) {
			to(p, syscall.SIGTERM)
		}
		for _, p := range descendants(t, c.pid) {
			to(p, syscall.SIGKILL)
		}
	}},
	{name: "closed terminal", terminal: true, do: func(t *testing.T, _ *soak, c target) { require.NoError(t, c.terminal.Close()) }},
	{name: diskFills, do: func(t *testing.T, s *soak, _ target) { s.fill(t) }},
}

// newFieldSoak returns a site whose state has a small volume of its own, and whose
// third distribution is a .deb with an SQLite database.
func newFieldSoak(t *testing.T) (*soak, *notes) {
	t.Helper()
	s := newSoak(t)
	s.volume = filepath.Join(t.TempDir(), "volume")
	require.NoError(t, os.Mkdir(s.volume, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,size=100m", "tmpfs", s.volume).CombinedOutput(); err != nil {
		realtest.Skip(t, "cannot mount a small volume: %v: %s", err, out)
	}
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", "-l", s.volume).Run()) })
	return s, newNotes(t, s)
}

func (s *soak) filler() string { return filepath.Join(s.volume, "filler") }

// fill leaves no byte free on the volume of the state.
func (s *soak) fill(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(s.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if errors.Is(err, syscall.ENOSPC) {
		return
	}
	require.NoError(t, err)
	for _, block := range []int{1 << 20, 4096} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, block))
		}
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	_ = f.Close()
}

// emptied is a person who frees the volume of the state.
func (s *soak) emptied(t *testing.T) {
	t.Helper()
	if err := os.Remove(s.filler()); !os.IsNotExist(err) {
		require.NoError(t, err)
	}
}

// struck starts a command, strikes it after a time, and waits for its end.
func (s *soak) struck(t *testing.T, after time.Duration, what strike, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), s.env()...)
	var errs bytes.Buffer
	c := target{}
	if what.terminal {
		terminal, user := openTerminal(t)
		c.terminal = terminal
		cmd.Stdin, cmd.Stdout, cmd.Stderr = user, user, user
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		require.NoError(t, cmd.Start())
		require.NoError(t, user.Close())
		read := make(chan struct{})
		go func() { _, _ = errs.ReadFrom(terminal); close(read) }()
		defer func() { _ = terminal.Close(); <-read }()
	} else {
		reader, w, err := os.Pipe()
		require.NoError(t, err)
		cmd.Stdout, cmd.Stderr = w, &errs
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		require.NoError(t, errors.Join(w.Close(), reader.Close()))
	}
	c.pid = cmd.Process.Pid
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(after):
		what.do(t, s, c)
		s.killed++
		s.ends[what.name]++
	}
	<-ended
	if cmd.ProcessState.ExitCode() == -1 && s.working(t) {
		s.ends["a command acts after its updater's death"]++
	}
	if !what.terminal {
		require.NotContains(t, errs.String(), "internal error")
	}
}

// working reports whether a command of the site runs.
func (s *soak) working(t *testing.T) bool {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	return slices.ContainsFunc(all, func(path string) bool {
		text, err := os.ReadFile(path)
		return err == nil && (strings.Contains(string(text), s.dir+"/") || strings.Contains(string(text), s.site+"\x00"))
	})
}

// TestSoakFieldActions does at random moments of updates and recoveries what people
// and machines do to them, and then follows the lines that the program prints, until
// users are in and nothing that they entered is lost.
func TestSoakFieldActions(t *testing.T) {
	t.Parallel()
	hangUp()
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("ASPUPDATE_SOAK_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	actions, done, ends := soaking(500, 3), 0, map[string]int{}
	if n, err := strconv.Atoi(os.Getenv("ASPUPDATE_SOAK_ACTIONS")); err == nil {
		actions = n
	}
	for done < actions && !t.Failed() {
		t.Run("site", func(t *testing.T) {
			f := newField(t, rnd)
			defer func() { done += f.killed; addAll(ends, f.ends); t.Logf("%d actions: %v", done, ends) }()
			for f.killed < 25 && done+f.killed < actions {
				f.turn(t)
			}
		})
	}
	if !t.Failed() {
		t.Logf("%d actions: %v; no row lost, no lockout, no dead end", done, ends)
	}
}

// A field is a site to which all happens.
type field struct {
	*soak
	notes   *notes
	rnd     *rand.Rand
	columns []string      // of the tables
	length  time.Duration // of an update
}

func newField(t *testing.T, rnd *rand.Rand) *field {
	t.Helper()
	s, n := newFieldSoak(t)
	f := &field{soak: s, notes: n, rnd: rnd, columns: []string{"id", "text"}}
	version, column := f.publishes(t, true)
	begun := time.Now()
	code, out, errs := f.run(t, "update")
	f.length = time.Since(begun)
	require.Zero(t, code, out+errs)
	f.settled(t, version, column, true)
	return f
}

func (f *field) publishes(t *testing.T, good bool) (version, column string) {
	t.Helper()
	version = f.release(t, good)
	column = fmt.Sprintf("c%d", f.serial)
	f.notes.publish(t, f.ftp, version, column, good)
	return version, column
}

// settled follows the lines to the end, and looks at everything.
func (f *field) settled(t *testing.T, version, column string, good bool) {
	t.Helper()
	f.recovered(t, version, good)
	if f.installed == version {
		f.columns = append(f.columns, column)
	}
	f.notes.inOrder(t, f.installed, strings.Join(f.columns, ","))
	f.structure(t, f.columns)
}

// turn is one update to which something happens, and what people do about it.
func (f *field) turn(t *testing.T) {
	t.Helper()
	f.emptied(t)
	good, ruinous := f.rnd.IntN(2) == 0, f.rnd.IntN(4) == 0
	version, column := f.publishes(t, good || ruinous)
	if ruinous {
		f.ruin(t, version)
	}
	old := f.copyState(t)
	at := func(n int64) time.Duration { return time.Duration(f.rnd.Int64N(int64(f.length) / n)) }
	one := func() strike { return strikes[f.rnd.IntN(len(strikes))] }
	f.struck(t, at(1), one(), "update")
	for f.rnd.IntN(2) == 0 {
		f.struck(t, at(2), one(), "recover")
	}
	if f.rnd.IntN(3) == 0 {
		f.emptied(t) // it is copied back and forth
		f.stale(t, old)
	}
	if ruinous && f.undecided(t) {
		version = f.support(t, column)
	}
	f.settled(t, version, column, good || ruinous)
	if f.rnd.IntN(6) == 0 {
		f.lost(t, old)
	}
}

// ruin makes the release one whose installers damage the backups and leave a program
// that does not work: nothing leads back.
func (f *field) ruin(t *testing.T, version string) {
	t.Helper()
	for distribution, more := range map[string]string{
		bundle[0].distribution: "find '" + f.dir + "/backups' -name '*.zst' -exec sh -c 'chmod 600 $1; echo > $1' - {} ';'\n",
		bundle[1].distribution: "echo broken > \"$site/$db\"\n",
	} {
		file := filepath.Join(f.ftp, distribution, version, "Setup.sh")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		fi, err := os.Stat(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, append(text, more...), 0o644))
		require.NoError(t, os.Chtimes(file, fi.ModTime(), fi.ModTime()))
	}
}

// undecided recovers until all is well or a person must decide.
func (f *field) undecided(t *testing.T) bool {
	t.Helper()
	for range 5 {
		f.emptied(t)
		switch code, _, _ := f.run(t, "recover"); code {
		case exitOperator:
			return true
		case exitDone, exitNothing:
			return false
		}
	}
	return false // settled follows the lines
}

// support is the vendor's, which installs another version by hand and says so. It has
// all that the release had.
func (f *field) support(t *testing.T, column string) (version string) {
	t.Helper()
	f.serial++
	version = fmt.Sprintf("7.13.%03d", f.serial)
	files := map[string]string{}
	for _, b := range bundle {
		setup := filepath.Join(t.TempDir(), "Setup.sh")
		text := f.setup(version, "ALTER TABLE entry ADD COLUMN IF NOT EXISTS "+column+" text NOT NULL DEFAULT 'Tula';")
		require.NoError(t, os.WriteFile(setup, []byte(text), 0o644))
		cmd := exec.Command("/bin/sh", setup, f.site, b.database)
		cmd.Env = append(os.Environ(), f.env()...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		files[b.distribution] = setup
	}
	files[notesName] = f.notes.byHand(t, version, column)
	for distribution, file := range files {
		code, out, errs := f.run(t, "archive", "import", "--distribution", distribution, "--version", version, file)
		require.Zero(t, code, out+errs)
	}
	code, out, errs := f.run(t, "recover", "--accept", "the support has installed "+version)
	require.Zero(t, code, out+errs)
	f.killed++
	f.ends["the support installs another version"]++
	return version
}

// lost puts an old copy of the state directory in place while the newest one is lost.
// The lines that are printed lead out, and nothing is restored.
func (f *field) lost(t *testing.T, old string) {
	t.Helper()
	if !f.begun(t, old) {
		return
	}
	f.emptied(t)
	require.NoError(t, os.RemoveAll(f.state()))
	require.NoError(t, exec.Command("cp", "-a", old, f.state()).Run())
	code, out, errs := f.run(t, "recover")
	require.Equal(t, exitStale, code, out+errs)
	way := f.followed(t)
	way.repair = func(next string) {
		if strings.Contains(next, "move this one aside") {
			_ = os.Rename(f.state(), f.state()+".old")
		}
	}
	way.follow(t, out+errs)
	require.NoError(t, os.RemoveAll(f.state()+".old"))
	f.killed++
	f.ends["an old copy of the state, and the newest is lost"]++
	f.inOrder(t, f.installed)
	f.notes.inOrder(t, f.installed, strings.Join(f.columns, ","))
	f.structure(t, f.columns)
}

// structure fails unless the tables of both databases have these columns.
func (s *soak) structure(t *testing.T, columns []string) {
	t.Helper()
	for _, b := range bundle {
		conn, err := pgx.Connect(t.Context(), s.cluster.Admin(b.database))
		require.NoError(t, err)
		var have string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'entry'::regclass AND attnum > 0 AND NOT attisdropped").Scan(&have))
		require.Equal(t, strings.Join(columns, ","), have)
		require.NoError(t, conn.Close(t.Context()))
	}
}

// copyState returns a copy of the state directory.
func (s *soak) copyState(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	out, err := exec.Command("cp", "-a", s.state(), dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// begun reports whether an update has done anything since the copy of the state was made.
func (s *soak) begun(t *testing.T, old string) bool {
	t.Helper()
	return slices.ContainsFunc(s.history(t)[len(s.historyOf(t, old)):], func(r record) bool { return r.Step == "guard" || r.Step == "end" })
}

// stale puts an old copy of the state directory in place, as somebody does who
// restores a machine. It is refused, and nothing is changed. Then the newest one
// comes back.
func (s *soak) stale(t *testing.T, old string) {
	t.Helper()
	if !s.begun(t, old) {
		return // the copy is as good
	}
	newest := s.state() + ".newest"
	require.NoError(t, os.Rename(s.state(), newest))
	require.NoError(t, exec.Command("cp", "-a", old, s.state()).Run())
	for _, command := range []string{"recover", "update", "status"} {
		code, out, errs := s.run(t, command)
		require.Equal(t, exitStale, code, out+errs)
	}
	s.killed++
	s.ends["an old copy of the state"]++
	require.NoError(t, os.RemoveAll(s.state()))
	require.NoError(t, os.Rename(newest, s.state()))
}

// TestSoakOperatorsRollbackIsKilledAtEveryRecord kills an operator's rollback of a
// PostgreSQL site, and each recovery of it at one of its own records. Afterwards
// either version has its own data, and what was entered since is kept.
func TestSoakOperatorsRollbackIsKilledAtEveryRecord(t *testing.T) {
	t.Parallel()
	s := newSoak(t)
	update := func() string {
		version := s.release(t, true)
		code, out, errs := s.run(t, "update")
		require.Zero(t, code, out+errs)
		s.recovered(t, version, true)
		return version
	}
	hash := func() string {
		code, out, errs := s.run(t, "rollback", "--json")
		require.Zero(t, code, out+errs)
		var plan rollback.Plan
		require.NoError(t, json.Unmarshal([]byte(out), &plan))
		return plan.Hash
	}
	previous := s.installed
	version := update()
	before := len(s.history(t))
	code, out, errs := s.run(t, "rollback", "--confirm", hash(), "--reason", "the reports are empty")
	require.Zero(t, code, out+errs)
	s.reverted(t, version, previous)
	of := len(s.history(t)) - before
	every := max(1, of/soaking(of, 2))
	for n := 1; n <= of; n += every {
		s.installed = strings.TrimSpace(s.software(t))
		previous := s.installed
		version := update()
		cmd := exec.Command(os.Args[0], "killed-at", strconv.Itoa(n), "rollback")
		cmd.Env = append(append(os.Environ(), s.env()...), "SOAK_HASH="+hash())
		text, err := cmd.CombinedOutput()
		require.Equal(t, -1, cmd.ProcessState.ExitCode(), "%v: %s", err, text)
		s.killed++
		if m, killed := s.killAt(t, 1+n*5%17, "recover"); killed {
			t.Logf("rollback at record %d, recovery at %v", n, m)
		}
		code, out, errs := s.run(t, "recover")
		if code == exitOperator {
			s.ends["needs a person"]++
		}
		s.followed(t).follow(t, out+errs)
		s.reverted(t, version, previous)
	}
	t.Logf("killed at %d of %d records of a rollback; ends: %v", (of+every-1)/every, of, s.ends)
}

func (s *soak) software(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.site, bundle[0].database))
	require.NoError(t, err)
	return string(text)
}

// reverted fails unless the site has one of two versions with its data. After a
// rollback what was entered since is in a verified snapshot.
func (s *soak) reverted(t *testing.T, version, previous string) {
	t.Helper()
	now := strings.TrimSpace(s.software(t))
	require.Contains(t, []string{version, previous}, now)
	if now == version {
		s.ends["not begun or taken back"]++
		s.inOrder(t, now)
		s.installed = now
		return
	}
	s.ends["rolled back"]++
	st, err := rollback.ReadStatus(s.state())
	require.NoError(t, err)
	require.Nil(t, st.Pending)
	require.NotEmpty(t, st.Aside)
	for _, ref := range st.Aside[len(st.Aside)-1].Refs {
		require.NoError(t, (&backup.Store{Dir: filepath.Join(s.dir, "backups")}).Verify(t.Context(), ref))
	}
	// The users' acknowledged rows of since then are set aside, not lost: they
	// begin again with what the restored data has.
	for i, b := range bundle {
		s.users[i].since(t, s.cluster.Admin(b.database))
	}
	s.inOrder(t, now)
	s.installed = now
}

// since makes the user go on from what the database has: the rows without a gap
// from the first.
func (w *writer) since(t testing.TB, admin string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), admin)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.again++
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT coalesce(min(i), 1) - 1 FROM generate_series(1, (SELECT coalesce(max(id), 0) + 1 FROM entry)) i WHERE NOT EXISTS (SELECT FROM entry WHERE id = i)").Scan(&w.acked))
}
