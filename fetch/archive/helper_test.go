package archive_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// events collects what is observed.
type events struct{ lab.Events[archive.Event] }

func (e *events) of(kind archive.EventKind) []archive.Event {
	return e.All(func(ev archive.Event) bool { return ev.Kind == kind })
}

// setup is the release that most tests fetch: a scripted server with one
// Setup, the release as it was found, and an empty archive.
type setup struct {
	s       *fetchtest.Server
	src     *ftp.Source
	data    []byte
	rel     fetch.Release
	archive *archive.Archive
	events  *events
}

func newSetup(t *testing.T, size int) *setup {
	t.Helper()
	s := fetchtest.New(t)
	x := &setup{s: s, src: lab.Client(s), data: lab.Payload(size), events: &events{}}
	s.Put(lab.SetupPath, x.data, lab.Released)
	x.archive = &archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon, Observe: x.events.Observe}
	x.rel = lab.Latest(t, x.src)
	return x
}

func (x *setup) fetch(ctx context.Context) (archive.Item, error) {
	return x.archive.Fetch(ctx, x.src, x.rel, version.Setup, archive.PinnedSHA256(lab.Sum(x.data)))
}

// blind fetches without a hash: only the transfer's own checks protect.
func (x *setup) blind(ctx context.Context) (archive.Item, error) {
	return x.archive.Fetch(ctx, x.src, x.rel, version.Setup, archive.Unauthenticated("a test"))
}

// good asserts that an item is the right one, on disk too.
func (x *setup) good(t *testing.T, it archive.Item, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, lab.Sum(x.data), it.SHA256)
	got, err := os.ReadFile(it.Path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(x.data, got), "the archived bytes are the server's")
	require.NoError(t, x.archive.Verify(t.Context(), it))
}

// empty asserts that nothing was published.
func (x *setup) empty(t *testing.T) {
	t.Helper()
	items, err := x.archive.List()
	require.NoError(t, err)
	require.Empty(t, items)
}

// hooked is a context that calls a function each time it is asked whether
// it has ended: once for each read, and before a lock is tried.
type hooked struct {
	context.Context
	asked func()
}

func (h hooked) Err() error { h.asked(); return h.Context.Err() }
