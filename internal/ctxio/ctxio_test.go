package ctxio

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestReaderReadsUntilTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r := Reader(ctx, strings.NewReader("abc"))
	b := make([]byte, 2)
	n, err := r.Read(b)
	require.NoError(t, err)
	require.Equal(t, "ab", string(b[:n]))

	stop := errors.New("the deadline passed")
	cancel(stop)
	n, err = r.Read(b)
	require.ErrorIs(t, err, stop)
	require.Zero(t, n)
}

func TestReaderKeepsTheErrorOfItsSource(t *testing.T) {
	require.NoError(t, iotest.TestReader(Reader(t.Context(), strings.NewReader("content")), []byte("content")))
	_, err := io.ReadAll(Reader(t.Context(), iotest.ErrReader(io.ErrUnexpectedEOF)))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}
