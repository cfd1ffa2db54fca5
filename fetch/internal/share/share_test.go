package share

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

type closer struct{ closed chan struct{} }

func (c *closer) Close() error { close(c.closed); return nil }

// What a stick, a share or a disk fails with is another error than one about a name.
func TestWithinNamesABrokenDisk(t *testing.T) {
	fails := func(err error) error {
		_, err = Within(t.Context(), time.Minute, func() (int, error) { return 0, &fs.PathError{Op: "open", Path: "x", Err: err} })
		return err
	}
	for _, code := range brokenCodes {
		require.ErrorIs(t, fails(code), ErrBroken)
		require.ErrorIs(t, fails(code), code)
	}
	for _, err := range []error{fs.ErrNotExist, fs.ErrPermission} {
		require.NotErrorIs(t, fails(err), ErrBroken)
		require.NotErrorIs(t, broken(t.Context(), err), ErrBroken)
	}
}

// What hangs is left behind, and what it returns in the end is closed. A failure
// that comes then has nothing to close.
func TestWithinLeavesBehindWhatHangs(t *testing.T) {
	for _, late := range []error{nil, errors.New("gone")} {
		hang, c := make(chan struct{}), &closer{make(chan struct{})}
		ended := make(chan struct{})
		_, err := Within(t.Context(), 20*time.Millisecond, func() (*closer, error) {
			defer close(ended)
			<-hang
			if late != nil {
				return nil, late
			}
			return c, nil
		})
		require.ErrorIs(t, err, ErrSilent)
		close(hang)
		<-ended
		if late == nil {
			<-c.closed
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	hang := make(chan struct{})
	defer close(hang)
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := Within(ctx, time.Hour, func() (int, error) { <-hang; return 0, nil })
	require.ErrorIs(t, err, context.Canceled)
	_, err = Within(ctx, time.Hour, func() (int, error) { t.Error("it has ended already"); return 0, nil })
	require.ErrorIs(t, err, context.Canceled)
}

func TestReader(t *testing.T) {
	require.NoError(t, iotest.TestReader(Reader(t.Context(), time.Minute, strings.NewReader("content")), []byte("content")))
	slow, w := io.Pipe()
	r := Reader(t.Context(), 50*time.Millisecond, slow)
	go func() { _, _ = w.Write([]byte("ab")) }()
	b := make([]byte, 4)
	n, err := r.Read(b)
	require.NoError(t, err)
	require.Equal(t, "ab", string(b[:n]))
	_, err = r.Read(b)
	require.ErrorIs(t, err, ErrSilent)
	_, _ = w.Write([]byte("late"))
	_, err = r.Read(b)
	require.ErrorIs(t, err, ErrSilent, "what comes late could be of another place")
}

func TestReadDir(t *testing.T) {
	dir := t.TempDir()
	for i := range 2500 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600))
	}
	open := func() (*os.File, error) { return os.Open(dir) }
	infos, err := ReadDir(t.Context(), time.Minute, 2500, open)
	require.NoError(t, err)
	names := map[string]bool{}
	for _, fi := range infos {
		names[fi.Name()] = true
	}
	require.Len(t, names, 2500)
	_, err = ReadDir(t.Context(), time.Minute, 2499, open)
	require.ErrorContains(t, err, "more than 2499 names")
	stuck := make(chan bool)
	defer close(stuck)
	_, err = ReadDir(t.Context(), time.Millisecond, 2500, func() (*os.File, error) { <-stuck; return open() })
	require.ErrorIs(t, err, ErrSilent)
}

// A listing that was left behind goes on, and its file is not closed beside it: the system's
// buffer would be given to another listing.
func TestAListingThatIsLeftBehindEndsAlone(t *testing.T) {
	dir := t.TempDir()
	for i := range 2000 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600))
	}
	left := 0
	for range 200 {
		f, err := os.Open(dir)
		require.NoError(t, err)
		var opened atomic.Bool
		_, err = ReadDir(t.Context(), time.Microsecond, MaxNames, func() (*os.File, error) { opened.Store(true); return f, nil })
		if err != nil {
			require.ErrorIs(t, err, ErrSilent)
		}
		if opened.Load() && err != nil {
			left++
		}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 2000)
	}
	require.Positive(t, left)
}

// What was read is closed when the caller goes on, and can be removed; what hangs keeps no one waiting.
func TestCloseWaitsForTheClosingAndNotForWhatHangs(t *testing.T) {
	closed := false
	Close(time.Minute, func() error { time.Sleep(20 * time.Millisecond); closed = true; return nil })
	require.True(t, closed)
	hang := make(chan struct{})
	defer close(hang)
	Close(20*time.Millisecond, func() error { <-hang; return nil })
}
