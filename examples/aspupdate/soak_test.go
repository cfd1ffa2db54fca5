package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/rollback"
)

// The soak kills this command with SIGKILL, with real servers: releases on a
// vsftpd, a PostgreSQL database for each distribution of a bundle, installers as
// their own processes, and users who never stop writing. Every test run has a
// few kills; all of them take about half an hour:
//
//	ASPUPDATE_SOAK=1 go test ./examples/aspupdate -run Soak -v -timeout 2h

// soaking returns all with ASPUPDATE_SOAK=1, and else few.
func soaking(all, few int) int {
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		return all
	}
	return few
}

// A soak is a site whose updater is killed repeatedly.
type soak struct {
	*realSite
	serial    int
	installed string
	ends      map[string]int
	killed    int
}

func newSoak(t *testing.T) *soak {
	s := &soak{realSite: newRealSite(t), installed: installed, ends: map[string]int{}}
	if s.config == nil {
		s.config = map[string]string{}
	}
	s.config["unproven = "] = "parallel = 2\nunproven = " // both databases at a time
	s.writeConfig(t)
	return s
}

// release publishes the next version, good or bad, and removes the last one: the
// server keeps no history.
func (s *soak) release(t *testing.T, good bool) (version string) {
	t.Helper()
	s.serial++
	version = fmt.Sprintf("7.13.%03d", s.serial)
	for _, b := range bundle {
		require.NoError(t, os.RemoveAll(filepath.Join(s.ftp, b.distribution)))
	}
	statements := both(fmt.Sprintf("ALTER TABLE entry ADD COLUMN c%d text NOT NULL DEFAULT 'Tula'; SELECT pg_sleep(0.2);", s.serial))
	if !good {
		statements[bundle[1].distribution] = "DELETE FROM entry WHERE id % 2 = 0; SELECT pg_sleep(0.2); ALTER TABLE entry DROP COLUMN text;"
	}
	s.publish(t, version, statements)
	return version
}

// followed has a person who frees the volume of the state when a line says so.
func (s *soak) followed(t *testing.T) *followed {
	f := s.realSite.followed(t)
	f.repair = func(next string) {
		if s.volume != "" && strings.HasPrefix(next, "free space") || strings.HasPrefix(next, "fix what the message names") {
			_ = os.Remove(filepath.Join(s.volume, "filler"))
		}
	}
	return f
}

// start starts a command and returns a function that kills it and reports
// whether it was still running.
func (s *soak) start(t *testing.T, args ...string) (ended chan struct{}, kill func() bool) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), s.env()...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	ended = make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	return ended, func() bool {
		_ = cmd.Process.Kill() // SIGKILL; TerminateProcess on Windows
		<-ended
		killed := cmd.ProcessState.ExitCode() == -1
		require.True(t, killed || !strings.Contains(out.String(), "internal error"), "%s", &out)
		if killed {
			s.killed++
		}
		return killed
	}
}

// killAfter kills a command after a time.
func (s *soak) killAfter(t *testing.T, d time.Duration, args ...string) bool {
	t.Helper()
	ended, kill := s.start(t, args...)
	select {
	case <-ended:
	case <-time.After(d):
	}
	return kill()
}

// A moment is the place in an update that a record of the journal marks.
type moment struct {
	Way, Step, Phase, Part string
}

func at(r record) moment { return moment{r.Way, r.Step, r.Phase, r.Part} }

func (s *soak) history(t *testing.T) []record {
	t.Helper()
	return s.historyOf(t, s.state())
}

func (s *soak) historyOf(t *testing.T, state string) []record {
	t.Helper()
	records, err := readJournal(state)
	require.NoError(t, err)
	return records
}

// killedAt is this program in the test binary: "killed-at 7 update" kills itself
// as soon as its seventh record is durable, before it does anything else.
func killedAt(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	root := app(nil)
	command := slices.IndexFunc(root.Commands, func(c *cli.Command) bool { return c.Name == args[1] })
	root.Commands[command].Action = func(ctx context.Context, cmd *cli.Command) error {
		c, err := site.Load(cmd.String("config"))
		if err != nil {
			return err
		}
		s := &site.Site{Config: c}
		next := func() (*site.Update, error) { return s.FetchNext(ctx) }
		switch cmd.Name {
		case "recover":
			next = s.Pending
		case "rollback":
			next = func() (*site.Update, error) { return s.Revert(ctx) }
		}
		u, err := next()
		if err != nil || u == nil {
			return err
		}
		u.Observe = func(rollback.Event) {
			if n--; n == 0 {
				me, _ := os.FindProcess(os.Getpid())
				_ = me.Kill() // SIGKILL, or TerminateProcess
				select {}
			}
		}
		switch cmd.Name {
		case "recover":
			_, err = u.Recover(ctx)
			return err
		case "rollback":
			_, err = u.Revert(ctx, os.Getenv("SOAK_HASH"), "the reports are empty")
			return err
		}
		plan, err := u.Plan(ctx)
		if err == nil {
			_, err = u.Run(ctx, plan)
		}
		return err
	}
	return root.Run(context.Background(), append([]string{"aspupdate"}, args[1:]...))
}

// killAt runs update or recover in a process that kills itself at its n-th
// record. It returns the record, or false if the process ended before it.
func (s *soak) killAt(t *testing.T, n int, name string) (moment, bool) {
	t.Helper()
	before := len(s.history(t))
	cmd := exec.Command(os.Args[0], "killed-at", strconv.Itoa(n), name)
	cmd.Env = append(os.Environ(), s.env()...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != -1 {
		require.NoError(t, err, "%s", out)
		return moment{}, false
	}
	s.killed++
	records := s.history(t)
	require.Len(t, records, before+n, "killed exactly at its record")
	return at(records[len(records)-1]), true
}

// recovered runs recover, and fails unless the old version has the old data, or
// the new version has the new data, or a person must decide and everything that
// either needs is kept.
func (s *soak) recovered(t *testing.T, version string, good bool) {
	t.Helper()
	code, out, errs := s.run(t, "recover")
	if code == exitOperator {
		s.ends["needs a person"]++
		s.evidence(t)
	}
	s.followed(t).follow(t, out+errs)
	software, err := os.ReadFile(filepath.Join(s.site, bundle[0].database))
	require.NoError(t, err)
	now, end := strings.TrimSpace(string(software)), "old"
	if now == version {
		require.True(t, good, "a broken release must not be committed")
		end = "new"
	} else {
		require.Equal(t, s.installed, now)
	}
	s.ends[end]++
	s.installed = now
	s.inOrder(t, now)
	st, err := rollback.ReadStatus(s.state())
	require.NoError(t, err)
	for _, b := range bundle {
		if r, ok := st.Committed[b.distribution]; ok {
			require.Equal(t, now, string(r.Version), "the journal has the installed version")
		}
	}
	// A kill while the login that loads dumps is tried, before anything is begun, leaves
	// an empty database, which the next update drops.
	left := slices.DeleteFunc(s.databases(t), func(name string) bool { return strings.Contains(name, "_aspupdate_new_") })
	require.Equal(t, []string{"asp", "opeka", "postgres"}, left, "nothing is left behind")
}

// evidence fails unless the archive is intact, and the snapshots of the pending update are.
func (s *soak) evidence(t *testing.T) {
	t.Helper()
	st, err := rollback.ReadStatus(s.state())
	require.NoError(t, err)
	require.NotNil(t, st.Pending)
	verified := 0
	for _, r := range s.history(t) {
		if r.Update == st.Pending.Update && r.Step == "snapshot" && r.Phase == "done" && r.Way == "forward" {
			require.NoError(t, (&backup.Store{Dir: filepath.Join(s.dir, "backups")}).Verify(t.Context(), r.Ref))
			verified++
		}
	}
	require.GreaterOrEqual(t, verified, len(bundle))
	code, out, errs := s.run(t, "archive", "verify")
	require.Zero(t, code, out+errs)
}

// TestSoakKilledAtRandom kills updates at random times, and half of the
// recoveries too, sometimes more often than attempts are allowed.
func TestSoakKilledAtRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	kills, killed, ends := soaking(200, 1), 0, map[string]int{}
	for killed < kills {
		t.Run("site", func(t *testing.T) { // a new site for every 20 kills: its users never stop writing
			s := newSoak(t)
			defer func() { killed += s.killed; addAll(ends, s.ends) }()
			length := map[bool]time.Duration{}
			for _, good := range []bool{true, false} {
				version, begun := s.release(t, good), time.Now()
				code, out, errs := s.run(t, "update")
				length[good] = time.Since(begun)
				require.Equal(t, map[bool]int{true: exitDone, false: exitRolledBack}[good], code, out+errs)
				s.recovered(t, version, good)
			}
			for s.killed < 20 && killed+s.killed < kills {
				good := rnd.IntN(2) == 0
				version := s.release(t, good)
				d := time.Duration(rnd.Int64N(int64(length[good])))
				for killed := s.killAfter(t, d, "update"); killed && rnd.IntN(2) == 0; {
					killed = s.killAfter(t, time.Duration(rnd.Int64N(int64(length[good]/2))), "recover")
				}
				s.recovered(t, version, good)
			}
		})
		if t.Failed() {
			break
		}
	}
	t.Logf("%d kills: %v", killed, ends)
}

func addAll(to, from map[string]int) {
	for k, n := range from {
		to[k] += n
	}
}

// TestSoakKilledAtEveryStep kills an update at every record of its journal, for
// a release that is committed and for one that is rolled back, and then the
// recovery at one of its own records.
func TestSoakKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	s := newSoak(t)
	s.config = map[string]string{
		"[window]\n":  fmt.Sprintf("[application]\nstop = ['/bin/rm', '-f', '%[1]s/runs']\nstart = ['/usr/bin/touch', '%[1]s/runs']\n\n[window]\n", s.site),
		"arguments =": fmt.Sprintf("remove = ['/bin/rm', '-f', '%s/%s']\narguments =", s.site, bundle[0].database),
	}
	s.writeConfig(t)
	hit, hitRecovering := 0, map[moment]int{}
	for _, good := range []bool{true, false} {
		version, before := s.release(t, good), len(s.history(t))
		code, out, errs := s.run(t, "update")
		require.Equal(t, map[bool]int{true: exitDone, false: exitRolledBack}[good], code, out+errs)
		s.recovered(t, version, good)
		records := s.history(t)[before:]
		first := 0
		if !good { // the records before it are those of a good release
			first = slices.IndexFunc(records, func(r record) bool { return r.Way == "back" })
			require.Positive(t, first)
		}
		of := len(records) - first
		every := max(1, of/soaking(of, 1))
		for i := first + every/2; i < len(records); i += every {
			version := s.release(t, good)
			m, killed := s.killAt(t, i+1, "update")
			require.True(t, killed)
			require.Equal(t, at(records[i]), m)
			hit++
			// The numbers are coprime, so that a soak reaches all records of a recovery.
			if m, killed := s.killAt(t, 1+i*5%27, "recover"); killed {
				hitRecovering[m]++
			}
			s.recovered(t, version, good)
			require.FileExists(t, filepath.Join(s.site, "runs"), "the application was started again")
		}
		t.Logf("good %v: an update has %d records", good, len(records))
	}
	t.Logf("killed at %d records of updates, and at %d different ones of recoveries; %d kills; ends: %v", hit, len(hitRecovering), s.killed, s.ends)
}
