package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/version"
)

// long ago, so that it has settled
var released = time.Date(2019, 12, 4, 17, 0, 0, 0, time.UTC)

// soon makes retries quick.
var soon = fetch.Retry{Tries: 3, First: time.Millisecond, Max: 5 * time.Millisecond}

// inMemory returns a folder in which syncing costs nothing, where there is
// one: for laws that do it thousands of times.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fetch-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// silence is how long tests of silent servers wait. Long enough for a busy
// machine to get everything else done in.
const silence = 200 * time.Millisecond

// client returns a client of a scripted server.
func client(s *fetchtest.Server) fetch.FTP {
	return fetch.FTP{Addr: s.Addr, User: s.User, Password: s.Password, Idle: 20 * time.Second, Retry: soon}
}

// payload returns bytes that repeat nowhere.
func payload(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b)
	return b
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// events collects what is observed.
type events struct {
	mu  sync.Mutex
	all []fetch.Event
}

func (e *events) observe(ev fetch.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) of(kind fetch.EventKind) (out []fetch.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Kind == kind {
			out = append(out, ev)
		}
	}
	return out
}

// setup is the release that most tests fetch: a scripted server with one
// Setup, the release as it was found, and an empty archive.
type setup struct {
	s       *fetchtest.Server
	src     fetch.FTP
	data    []byte
	rel     fetch.Release
	archive fetch.Archive
	events  *events
}

const setupPath = "/asp/7.12.100/Setup.exe"

func newSetup(t *testing.T, size int) *setup {
	t.Helper()
	s := fetchtest.New(t)
	x := &setup{s: s, src: client(s), data: payload(size), events: &events{}}
	s.Put(setupPath, x.data, released)
	x.archive = fetch.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Retry: soon, Observe: x.events.observe}
	x.rel = latest(t, x.src)
	return x
}

func latest(t *testing.T, src fetch.Source) fetch.Release {
	t.Helper()
	rel, err := fetch.Finder{}.Latest(t.Context(), src, "asp", version.Setup)
	require.NoError(t, err)
	return rel
}

func (x *setup) fetch(ctx context.Context) (fetch.Item, error) {
	return x.archive.Fetch(ctx, x.src, x.rel, version.Setup, fetch.PinnedSHA256(sum(x.data)))
}

// blind fetches without a hash: only the transfer's own checks protect.
func (x *setup) blind(ctx context.Context) (fetch.Item, error) {
	return x.archive.Fetch(ctx, x.src, x.rel, version.Setup, fetch.Unauthenticated("a test"))
}

// good asserts that an item is the right one, on disk too.
func (x *setup) good(t *testing.T, it fetch.Item, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, sum(x.data), it.SHA256)
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

// noneLeft waits until a server has no connection and no goroutine of
// the package is left. It sees those of all tests that run, so that it is not
// for parallel ones.
func noneLeft(t *testing.T, s *fetchtest.Server) {
	t.Helper()
	noneLeftOn(t, s)
	require.Eventually(t, func() bool {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		return !strings.Contains(stacks, "aspupdate/fetch.(") && !strings.Contains(stacks, "jlaffaye/ftp")
	}, 5*time.Second, 5*time.Millisecond, "goroutines left behind")
}

// noneLeftOn waits until a server has no connection; tests at its side may
// have theirs.
func noneLeftOn(t *testing.T, s *fetchtest.Server) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Open() == 0 }, 5*time.Second, 5*time.Millisecond, "connections left open")
}
