package share

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

type closer struct{ closed chan struct{} }

func (c *closer) Close() error { close(c.closed); return nil }

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
