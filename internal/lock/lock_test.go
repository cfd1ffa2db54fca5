package lock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const pathVar = "ASPUPDATE_LOCK_TEST"

// TestMain is also the other process that holds a lock.
func TestMain(m *testing.M) {
	path := os.Getenv(pathVar)
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := Try(path); err != nil {
		os.Exit(2)
	}
	_, _ = os.Stdout.WriteString("held")
	time.Sleep(time.Hour)
}

func TestTryWaitsForHalfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "lock")
		first, err := Try(path)
		require.NoError(t, err)
		start := time.Now()
		_, err = Try(path)
		require.ErrorIs(t, err, ErrBusy)
		require.Equal(t, grace, time.Since(start))

		go func() {
			time.Sleep(grace / 2)
			_ = first.Unlock()
		}()
		second, err := Try(path)
		require.NoError(t, err, "freed while it was waited for")
		require.NoError(t, second.Unlock())
	})
}

func TestExclusiveWaitsUntilTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "lock")
		first, err := Exclusive(t.Context(), path)
		require.NoError(t, err)
		stop := errors.New("stopped")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, stop)
		defer cancel()
		start := time.Now()
		_, err = Exclusive(ctx, path)
		require.ErrorIs(t, err, stop)
		require.Equal(t, time.Minute, time.Since(start))
		require.NoError(t, first.Unlock())
		_, err = Exclusive(ctx, path)
		require.ErrorIs(t, err, stop, "an ended context takes no lock, not even a free one")
	})
}

func TestSharedLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	one, err := Shared(t.Context(), path)
	require.NoError(t, err)
	two, err := Shared(t.Context(), path)
	require.NoError(t, err)
	_, err = Try(path)
	require.ErrorIs(t, err, ErrBusy)
	require.NoError(t, one.Unlock())
	_, err = Try(path)
	require.ErrorIs(t, err, ErrBusy)
	require.NoError(t, two.Unlock())
	alone, err := Try(path)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*pollSoon)
	defer cancel()
	_, err = Shared(ctx, path)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, alone.Unlock())
}

func TestHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := Held(path)
	require.NoError(t, err)
	require.False(t, held)
	require.NoFileExists(t, path, "asking creates nothing")
	l, err := Try(path)
	require.NoError(t, err)
	held, err = Held(path)
	require.NoError(t, err)
	require.True(t, held)
	require.NoError(t, l.Unlock())
	held, err = Held(path)
	require.NoError(t, err)
	require.False(t, held)
	if runtime.GOOS != "windows" {
		fi, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), fi.Mode().Perm())
	}
}

func TestCheckFindsAReplacedFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not remove a locked file")
	}
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Try(path)
	require.NoError(t, err)
	require.NoError(t, l.Check())
	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, l.Check(), fs.ErrNotExist)
	other, err := Try(path)
	require.NoError(t, err, "which is what Check is for")
	require.ErrorContains(t, l.Check(), "replaced")
	require.NoError(t, other.Unlock())
	require.NoError(t, l.Unlock())
}

func TestLockInAMissingDirectory(t *testing.T) {
	_, err := Try(filepath.Join(t.TempDir(), "missing", "lock"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestTheDeathOfTheHolderFreesTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), pathVar+"="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	b := make([]byte, 4)
	_, err = out.Read(b)
	require.NoError(t, err)
	require.Equal(t, "held", string(b))

	_, err = Try(path)
	require.ErrorIs(t, err, ErrBusy)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	l, err := Try(path)
	require.NoError(t, err)
	require.NoError(t, l.Unlock())
}
