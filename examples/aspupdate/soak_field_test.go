//go:build linux

package main

import (
	"bytes"
	"encoding/json"
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
	"github.com/aspupdate/aspupdate/rollback"
)

// A strike is what a person or a machine does to a running command.
type strike struct {
	name string
	do   func(t *testing.T, pid int)
}

var strikes = []strike{
	{"kill -9", func(_ *testing.T, pid int) { to(pid, syscall.SIGKILL) }},
	{"kill -9 of the process group", func(_ *testing.T, pid int) { to(-pid, syscall.SIGKILL) }},
	{"the control group's kill", func(t *testing.T, pid int) {
		for _, p := range descendants(t, pid) {
			to(p, syscall.SIGTERM)
		}
		for _, p := range descendants(t, pid) {
			to(p, syscall.SIGKILL)
		}
	}},
	{"closed terminal", func(_ *testing.T, pid int) { to(pid, syscall.SIGHUP) }},
	{"SIGTERM", func(_ *testing.T, pid int) { to(pid, syscall.SIGTERM) }},
	{"Ctrl-C twice", func(_ *testing.T, pid int) {
		to(pid, syscall.SIGINT)
		time.Sleep(20 * time.Millisecond)
		to(pid, syscall.SIGINT)
	}},
}

// struck starts a command, strikes it after a time, and waits for its end. Its
// standard output is a pipe whose reader goes away.
func (s *soak) struck(t *testing.T, after time.Duration, what strike, args ...string) (output string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), s.env()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &errs
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())
	require.NoError(t, r.Close())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(after):
		what.do(t, cmd.Process.Pid)
		s.killed++
		s.ends[what.name]++
	}
	<-ended
	require.NotContains(t, errs.String(), "internal error")
	return errs.String()
}

// TestSoakFieldActions does at random moments of updates, recoveries and an
// operator's rollbacks what people and machines do to them, and then follows the
// lines that the program prints, until users are in and nothing that they entered
// is lost.
func TestSoakFieldActions(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	actions, done, ends := soaking(500, 3), 0, map[string]int{}
	if n, err := strconv.Atoi(os.Getenv("ASPUPDATE_SOAK_ACTIONS")); err == nil {
		actions = n
	}
	for done < actions && !t.Failed() {
		t.Run("site", func(t *testing.T) {
			s := newSoak(t)
			defer func() { done += s.killed; addAll(ends, s.ends) }()
			n := newNotes(t, s)
			columns := []string{"id", "text"}
			release := func(good bool) (version, column string) {
				version = s.release(t, good)
				column = fmt.Sprintf("c%d", s.serial)
				n.publish(t, s.ftp, version, column, good)
				return version, column
			}
			settled := func(version, column string, good bool) {
				s.recovered(t, version, good)
				if s.installed == version {
					columns = append(columns, column)
				}
				n.inOrder(t, s.installed, strings.Join(columns, ","))
				s.structure(t, columns)
			}
			begun := time.Now()
			version, column := release(true)
			code, out, errs := s.run(t, "update")
			length := time.Since(begun)
			require.Zero(t, code, out+errs)
			settled(version, column, true)
			for s.killed < 25 && done+s.killed < actions {
				good := rnd.IntN(2) == 0
				version, column := release(good)
				old := s.copyState(t)
				at := func(n int64) time.Duration { return time.Duration(rnd.Int64N(int64(length) / n)) }
				s.struck(t, at(1), strikes[rnd.IntN(len(strikes))], "update")
				for rnd.IntN(2) == 0 {
					s.struck(t, at(2), strikes[rnd.IntN(len(strikes))], "recover")
				}
				if rnd.IntN(3) == 0 {
					s.stale(t, old)
				}
				settled(version, column, good)
			}
		})
	}
	t.Logf("%d actions: %v; no row lost, no lockout, no dead end", done, ends)
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

// stale puts an old copy of the state directory in place, as somebody does who
// restores a machine. It is refused, and nothing is changed. Then the newest one
// comes back.
func (s *soak) stale(t *testing.T, old string) {
	t.Helper()
	begun := slices.ContainsFunc(s.history(t)[len(s.historyOf(t, old)):], func(r record) bool { return r.Step == "guard" || r.Step == "end" })
	newest := s.state() + ".newest"
	require.NoError(t, os.Rename(s.state(), newest))
	require.NoError(t, os.Rename(old, s.state()))
	if begun { // before that it has done nothing
		for _, command := range []string{"recover", "update", "status"} {
			code, out, errs := s.run(t, command)
			require.Equal(t, exitStale, code, out+errs)
		}
		s.ends["an old copy of the state"]++
	}
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
