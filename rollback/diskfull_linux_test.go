package rollback_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/crashfs"
	"github.com/aspupdate/aspupdate/rollback"
)

// TestDiskFullAtEveryByte lets no file grow beyond a limit, as a full disk
// does: the write that passes it is cut in the middle, and those after it
// fail. The limit goes through the journal, and it stays for a first try to
// recover. It is a process's, so that the test runs in one of its own.
// ASPUPDATE_SOAK=1 tries every byte.
func TestDiskFullAtEveryByte(t *testing.T) {
	if os.Getenv("ROLLBACK_TEST_FULL") == "" {
		t.Parallel()
		cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFullAtEveryByte$", "-test.v")
		cmd.Env = append(os.Environ(), "ROLLBACK_TEST_FULL=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		t.Logf("%s", out)
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was))
	room := func(bytes uint64) {
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: was.Max}))
	}
	step := uint64(31)
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		step = 1
	}
	root := crashfs.Dir(t)
	for _, kind := range []string{"good", "bad"} {
		outcomes := map[rollback.Outcome]int{}
		for limit := uint64(0); ; limit += step {
			dir, err := os.MkdirTemp(root, "")
			require.NoError(t, err)
			w := newWorld(t, "ASP")
			require.NoError(t, os.CopyFS(dir, os.DirFS(w.root)))
			w.root = dir
			w.write(t, "archive.ASP."+newVersion, kind)
			plan, err := w.update().Plan(t.Context())
			require.NoError(t, err)

			u := w.update()
			u.Fence = asked{fence{w}}
			room(limit)
			res, err := u.Run(t.Context(), plan)
			outcomes[res.Outcome]++
			lockedOut(t, w, err)
			if st := w.status(t); st.Pending != nil && st.Pending.Outcome != "" {
				w.write(t, "fence", "closed") // as after a restart
			}
			_, again := u.Recover(t.Context())
			lockedOut(t, w, again)
			room(was.Cur)
			if err == nil || res.Outcome == rollback.RolledBack && again == nil {
				break // the limit lies beyond the journal's end
			}
			if res.Outcome == rollback.Interrupted {
				require.ErrorContains(t, err, "free disk space")
			}
			w.intact(t)
			recovered(t, w)
			require.NoError(t, os.RemoveAll(dir))
		}
		t.Logf("%s release: %v", kind, outcomes)
		require.Greater(t, outcomes[rollback.Interrupted], 20)
	}
}

// lockedOut fails if users are kept out although nothing is damaged or the end
// is durable, or if the error says of them what is not so.
func lockedOut(t *testing.T, w *world, err error) {
	t.Helper()
	p := w.status(t).Pending
	harmless := p == nil || !p.Damaged || p.Outcome != ""
	require.False(t, harmless && w.fenced(), "what cannot be recorded locks no one out: %v", err)
	if e, ok := errors.AsType[*rollback.Error](err); ok && e.Outcome == rollback.Interrupted {
		require.Equal(t, w.fenced(), strings.Contains(e.State(), "users are kept out"), "%v", err)
		require.Equal(t, !w.fenced(), strings.Contains(e.State(), "users are let in"), "%v", err)
	}
}

// TestReadOnlyStateDirectory has a state folder that cannot be written, when
// nothing is pending and when much is: nothing is touched, the state can be
// read, and once it can be written all goes well.
func TestReadOnlyStateDirectory(t *testing.T) {
	for name, c := range map[string]struct {
		before func(w *world)
		states []string // what is made read-only
	}{
		"no journal":             {func(w *world) { require.NoError(t, os.Mkdir(w.path("state"), 0o700)) }, []string{"state"}},
		"nothing pending":        {func(w *world) { _, _ = w.run(t); _ = w.put("app.ASP", oldVersion) }, []string{"state"}},
		"an update pending":      {interrupt(t), []string{"state"}},
		"the journal, pending":   {interrupt(t), []string{"state/journal.log"}},
		"folder and its journal": {interrupt(t), []string{"state/journal.log", "state"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			c.before(w)
			before := everything(t, w)
			for _, s := range c.states {
				fi, err := os.Stat(w.path(s))
				require.NoError(t, err)
				require.NoError(t, os.Chmod(w.path(s), fi.Mode().Perm()&^0o222))
			}
			w.calls = nil
			withoutOverride(t, func() {
				_, err := w.update().Recover(t.Context())
				require.ErrorIs(t, err, os.ErrPermission)
				plan, err := w.update().Plan(t.Context())
				if err == nil {
					_, err = w.update().Run(t.Context(), plan)
					require.ErrorIs(t, err, os.ErrPermission)
				} else {
					require.ErrorIs(t, err, rollback.ErrRefused)
				}
				_, err = rollback.ReadStatus(w.path("state"))
				require.NoError(t, err)
			})
			require.NotContains(t, w.calls, "fence.close")
			require.NotContains(t, w.calls, "fence.open")
			require.Equal(t, before, everything(t, w), "nothing was touched")
			for _, s := range c.states {
				require.NoError(t, os.Chmod(w.path(s), 0o700))
			}
			if name != "nothing pending" {
				recovered(t, w)
			}
		})
	}
}

// everything is everything in a world but the lock and who held it last.
func everything(t *testing.T, w *world) crashfs.Image {
	t.Helper()
	im, err := crashfs.Load(w.root)
	require.NoError(t, err)
	delete(im, "state/holder.json")
	delete(im, "state/lock")
	return im
}

// withoutOverride calls f without root's right to write everywhere.
func withoutOverride(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never back: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		err := unix.Capget(&header, &data[0])
		if err == nil {
			data[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
			err = unix.Capset(&header, &data[0])
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	require.NoError(t, <-done)
}
