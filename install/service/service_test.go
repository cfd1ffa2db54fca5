//go:build linux || windows

package service

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What was found comes back, whatever it was; and what is repeated is harmless.
func TestOpenRestoresWhatCloseFound(t *testing.T) {
	requireManager(t)
	for i, autostart := range autostarts(t) {
		for _, running := range []bool{true, false} {
			if running && autostart == "masked" {
				continue // refused, see below
			}
			t.Run(autostart+" "+strconv.FormatBool(running), func(t *testing.T) {
				s := newSubject(t, "asp-before-"+strconv.Itoa(i), autostart, running)
				for range 2 {
					require.NoError(t, s.Close(t.Context()))
					s.mustBe(t, false, off(autostart))
					fi, err := os.Stat(s.path())
					require.NoError(t, err)
					if os.PathSeparator == '/' {
						require.Equal(t, os.FileMode(0o600), fi.Mode().Perm())
					}
				}
				for range 2 {
					require.NoError(t, s.Open(t.Context()))
					s.mustBe(t, running, autostart)
				}
				require.NoError(t, s.Stop(t.Context()))
				require.NoError(t, s.Stop(t.Context()))
				s.mustBe(t, false, off(autostart))
				require.NoError(t, s.Start(t.Context()))
				require.NoError(t, s.Start(t.Context()))
				s.mustBe(t, running, autostart)
			})
		}
	}
}

// An updater that is killed between any two steps leaves enough behind for the
// next one to bring back what was.
func TestAKilledUpdaterLosesNothing(t *testing.T) {
	requireManager(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	autostart := autostarts(t)[0]
	for n, killed := 1, true; killed; n++ {
		require.Less(t, n, 20)
		s := newSubject(t, "asp-killed-"+strconv.Itoa(n), autostart, true)
		cmd := exec.Command(exe, "as-updater", s.Name, s.Dir, strconv.Itoa(n))
		out, err := cmd.CombinedOutput()
		if killed = err != nil; killed {
			require.NotContains(t, string(out), "service", "it was killed, and did not fail")
		} else {
			require.Greater(t, n, 8, "it was killed at every step")
		}
		if n%2 == 0 { // a way back closes the fence again before it opens it
			require.NoError(t, s.Close(t.Context()))
			s.mustBe(t, false, off(autostart))
		}
		require.NoError(t, s.Open(t.Context()))
		s.mustBe(t, true, autostart)
	}
}

func TestAServiceThatDiesAtOnceIsReported(t *testing.T) {
	s := newSubject(t, "asp-dies", autostarts(t)[0], true)
	require.NoError(t, s.Close(t.Context()))
	steady := s.steady
	s.steady = 10 * time.Second // however late a busy machine lets it die
	for _, how := range []string{"die", "die later"} {
		s.mode(t, how)
		err := s.Open(t.Context())
		require.ErrorIs(t, err, ErrNotRunning, how)
		require.ErrorContains(t, err, "3", "its code is reported")
		require.ErrorContains(t, err, "see its log")
		_, isTyped := errors.AsType[*Error](err)
		require.True(t, isTyped)
	}
	s.mode(t, "run")
	s.steady = steady
	require.NoError(t, s.Open(t.Context()), "and it can be tried again")
	s.mustBe(t, true, autostarts(t)[0])
}

func TestCloseWaitsForEveryProcess(t *testing.T) {
	s := newSubject(t, "asp-child", autostarts(t)[0], false)
	s.mode(t, "child=1m")
	require.NoError(t, start(t.Context(), s.Name))
	pid := s.pid(t, "child")
	require.True(t, lives(pid))
	s.Timeout = 3 * time.Second
	err := s.Close(t.Context())
	require.ErrorIs(t, err, ErrNotStopped)
	require.ErrorContains(t, err, "process")
	require.ErrorContains(t, err, "close again")
	require.True(t, lives(pid), "nothing is killed")
	time.AfterFunc(500*time.Millisecond, func() { _ = os.WriteFile(filepath.Join(s.home, "mode"), []byte("end"), 0o600) })
	require.NoError(t, (&Service{Name: s.Name, Dir: s.Dir}).Close(t.Context()), "another process of ours knows what to wait for")
	require.False(t, lives(pid))
}

func TestAServiceThatDoesNotStop(t *testing.T) {
	s := newSubject(t, "asp-stays", autostarts(t)[0], false)
	s.mode(t, "stay")
	require.NoError(t, start(t.Context(), s.Name))
	s.pid(t, "pid")
	s.Timeout = time.Second
	err := s.Close(t.Context())
	require.ErrorIs(t, err, ErrNotStopped)
	require.ErrorContains(t, err, "by hand")
	s.mode(t, "run")
	s.Timeout = 0
	require.NoError(t, s.Close(t.Context()))
	s.mustBe(t, false, off(autostarts(t)[0]))
	require.NoError(t, s.Open(t.Context()))
	s.mustBe(t, true, autostarts(t)[0])
}

func TestDependentsGoFirst(t *testing.T) {
	auto := autostarts(t)[0]
	server := newSubject(t, "asp-server", auto, true)
	worker := newSubject(t, "asp-worker", auto, true, "asp-server")
	requireDependents(t, server.Name)
	err := server.Close(t.Context())
	require.ErrorIs(t, err, ErrDependents)
	require.ErrorContains(t, err, "asp-worker")
	require.ErrorContains(t, err, "Group")
	server.mustBe(t, true, auto)
	require.NoFileExists(t, server.path(), "nothing was changed")

	// Stopped, it would still start the server with the machine.
	require.NoError(t, stop(t.Context(), worker.Name))
	require.Eventually(t, func() bool {
		st, err := Query(t.Context(), worker.Name)
		return err == nil && st.State != "" && !st.Running
	}, time.Minute, 50*time.Millisecond)
	err = server.Close(t.Context())
	require.ErrorIs(t, err, ErrDependents)
	require.ErrorContains(t, err, "asp-worker")
	require.NoError(t, server.Open(t.Context()))
	server.mustBe(t, true, auto)
	require.NoError(t, start(t.Context(), worker.Name))

	all := Group{worker.Service, server.Service}
	for range 2 {
		require.NoError(t, all.Close(t.Context()))
		worker.mustBe(t, false, off(auto))
		server.mustBe(t, false, off(auto))
	}
	require.NoError(t, all.Open(t.Context()))
	worker.mustBe(t, true, auto)
	server.mustBe(t, true, auto)
}

func TestFenceAndApplicationAtOnce(t *testing.T) {
	auto := autostarts(t)[0]
	s := newSubject(t, "asp-both", auto, true)
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Start(t.Context()))
	s.mustBe(t, true, off(auto))
	require.NoError(t, s.Start(t.Context()))
	require.NoError(t, s.Close(t.Context()), "the way back closes again")
	s.mustBe(t, false, off(auto))
	require.NoError(t, s.Open(t.Context()))
	s.mustBe(t, true, auto)

	// The next update finds what is then.
	require.NoError(t, stop(t.Context(), s.Name))
	require.Eventually(t, func() bool { st, err := Query(t.Context(), s.Name); return err == nil && !st.Running }, time.Minute, 50*time.Millisecond)
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, start(t.Context(), s.Name)) // as an installer might
	require.NoError(t, s.Open(t.Context()))
	s.mustBe(t, false, auto)
}

// A first installation finds no service, and its way back leaves none.
func TestFirstInstallation(t *testing.T) {
	requireManager(t)
	auto := autostarts(t)[0]
	s := Service{Name: "asp-first", Dir: t.TempDir(), steady: 300 * time.Millisecond}
	require.NoError(t, s.Open(t.Context()))
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, s.Open(t.Context()), "the way back of one that made no service")
	require.NoError(t, s.Close(t.Context()))

	made := newSubject(t, s.Name, auto, false)
	require.NoError(t, s.Start(t.Context()))
	made.mustBe(t, true, auto)
	require.NoError(t, s.Close(t.Context()), "the way back closes what was made")
	made.mustBe(t, false, off(auto))
	require.NoError(t, s.Open(t.Context()))
	made.mustBe(t, true, auto)

	require.NoError(t, s.Close(t.Context()))
	remove(t, s.Name)
	require.ErrorIs(t, s.Open(t.Context()), errNotFound, "one that was there is missed")
}

func TestDrain(t *testing.T) {
	auto := autostarts(t)[0]
	s := newSubject(t, "asp-drain", auto, true)
	s.Drain = func(context.Context) error { return errors.New("three people are at work") }
	err := s.Close(t.Context())
	require.ErrorContains(t, err, "three people are at work")
	s.mustBe(t, true, off(auto))
	calls := 0
	s.drainTimeout = 100 * time.Millisecond
	s.Drain = func(ctx context.Context) error { calls++; <-ctx.Done(); return ctx.Err() }
	require.NoError(t, s.Close(t.Context()), "they had their time")
	s.mustBe(t, false, off(auto))
	require.NoError(t, s.Close(t.Context()))
	require.Equal(t, 1, calls, "only one that runs is drained")
	require.NoError(t, s.Open(t.Context()))
}

func TestADamagedRecordChangesNothing(t *testing.T) {
	auto := autostarts(t)[0]
	s := newSubject(t, "asp-damaged", auto, true)
	require.NoError(t, os.MkdirAll(s.Dir, 0o700))
	for _, text := range []string{`{"format`, `{"format": 2}`, `{"format": 1, "name": "other"}`} {
		require.NoError(t, os.WriteFile(s.path(), []byte(text), 0o600))
		require.ErrorContains(t, s.Close(t.Context()), "move the file away")
		require.ErrorContains(t, s.Open(t.Context()), "move the file away")
		s.mustBe(t, true, auto)
		b, err := os.ReadFile(s.path())
		require.NoError(t, err)
		require.Equal(t, text, string(b))
	}
}

// The records went with a state directory that was moved aside: nothing else says that the
// service was closed, so a person does.
func TestReviveNeedsNoRecord(t *testing.T) {
	requireManager(t)
	auto := autostarts(t)[0]
	s := newSubject(t, "asp-revived", auto, true)
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, os.Remove(s.path()))
	require.NoError(t, s.Open(t.Context()))
	s.mustBe(t, false, off(auto))
	for range 2 {
		require.NoError(t, s.Revive(t.Context()))
		s.mustBe(t, true, auto)
	}
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, s.Revive(t.Context()), "with a record it is Open")
	s.mustBe(t, true, auto)
}
