package archive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
)

const (
	// A server that sends no faster than this still has something to send
	// when it is killed at 99 %: what the kernel holds would arrive anyway.
	realSize = 8 << 20
	realRate = 8 << 20 // bytes a second
)

// A wire is a source that does something to the server whenever so many bytes
// have come, and remembers what went through it.
type wire struct {
	fetch.Source
	fetch.Stater
	fetch.Locator
	marks  []int64       // bytes, ascending
	act    func()        // called at each mark, between two reads
	closed chan struct{} // sent to by the first Close after each

	read    int64
	waiting bool          // for that Close
	offsets []int64       // that were asked for
	slowest time.Duration // a single Read or Close
}

func (w *wire) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	w.offsets = append(w.offsets, offset)
	r, err := w.Source.Open(ctx, name, offset)
	if err != nil {
		return nil, err
	}
	return &tap{w, r}, nil
}

type tap struct {
	w *wire
	r io.ReadCloser
}

func (t *tap) Read(p []byte) (int, error) {
	w := t.w
	if len(w.marks) > 0 {
		p = p[:min(int64(len(p)), w.marks[0]-w.read)]
	}
	began := time.Now()
	n, err := t.r.Read(p)
	w.slowest = max(w.slowest, time.Since(began))
	w.read += int64(n)
	if len(w.marks) > 0 && w.read == w.marks[0] {
		w.marks, w.waiting = w.marks[1:], true
		w.act()
	}
	return n, err
}

func (t *tap) Close() error {
	began := time.Now()
	err := t.r.Close()
	t.w.slowest = max(t.w.slowest, time.Since(began))
	if t.w.waiting {
		t.w.waiting = false
		t.w.closed <- struct{}{}
	}
	return err
}

// A realSetup is the release that a real server has, and an empty archive.
type realSetup struct {
	*setup
	server realtest.Server
	wire   *wire
	wrong  chan error // what was seen in the archive that must not be there
}

func newRealSetup(t *testing.T, m realtest.Make, o realtest.Options, percents ...int64) *realSetup {
	t.Helper()
	root := t.TempDir()
	x := &realSetup{setup: &setup{data: lab.Payload(realSize), events: &events{}}, wrong: make(chan error, 1)}
	lab.Put(t, root, lab.SetupPath, x.data)
	o.Rate = realRate
	x.server = realtest.FTP(t, m, root, o)
	patient := fetch.Retry{Attempts: 1000, Interval: 5 * time.Millisecond, MaxInterval: 50 * time.Millisecond}
	x.src = lab.Real(x.server, o.TLS)
	x.src.Timeout, x.src.Retry = lab.RealIdle, patient
	x.rel = lab.Latest(t, x.src)
	x.wire = &wire{Source: x.src, Stater: x.src, Locator: x.src, closed: make(chan struct{}, len(percents))}
	for _, p := range percents {
		x.wire.marks = append(x.wire.marks, realSize*p/100)
	}
	x.archive = &archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive"), Retry: patient, Observe: x.observe}
	return x
}

// observe reads the archive whenever something happens.
func (x *realSetup) observe(e archive.Event) {
	x.events.Observe(e)
	items, err := x.archive.List()
	for _, it := range items {
		if it.SHA256 != lab.Sum(x.data) {
			err = fmt.Errorf("%s in the archive", it.Key)
		}
		err = errors.Join(err, x.archive.Verify(context.Background(), it))
	}
	if err != nil {
		select {
		case x.wrong <- err:
		default:
		}
	}
}

type fetched struct {
	it  archive.Item
	err error
}

// start fetches without a hash: only the transfer's own checks protect.
func (x *realSetup) start(ctx context.Context) chan fetched {
	done := make(chan fetched, 1)
	go func() {
		it, err := x.archive.Fetch(ctx, x.wire, x.rel, version.Setup, archive.Unauthenticated("a test"))
		done <- fetched{it, err}
	}()
	return done
}

// await returns once something happened in a fetch, and fails where the fetch
// ended first.
func await(t *testing.T, happened <-chan struct{}, done <-chan fetched) {
	t.Helper()
	select {
	case <-happened:
	case f := <-done:
		require.FailNow(t, "the fetch ended too early", "%v", f.err)
	}
}

// awaitCut returns once the transfer that met a mark was closed, and reports
// whether the fetch goes on. On a busy machine all of the file may have been on
// its way already when the last mark was met: then it has ended well.
func (x *realSetup) awaitCut(t *testing.T, done chan fetched) (goesOn bool) {
	t.Helper()
	select {
	case f := <-done:
		require.Empty(t, x.wire.marks, "the fetch ended too early: %v", f.err)
		done <- f
		return false
	case <-x.wire.closed:
		if len(x.wire.marks) > 0 {
			x.empty(t)
		}
		return true
	}
}

// healed asserts that the fetch ended well, and that nothing was asked for
// again but for the overlap of each transfer, nor at the end or past it.
func (x *realSetup) healed(t *testing.T, f fetched) {
	t.Helper()
	x.good(t, f.it, f.err)
	select {
	case err := <-x.wrong:
		require.NoError(t, err)
	default:
	}
	require.Empty(t, x.wire.marks)
	require.LessOrEqual(t, x.wire.read, int64(realSize+len(x.wire.offsets)*64<<10))
	for i, offset := range x.wire.offsets {
		require.Less(t, offset, int64(realSize))
		require.Equal(t, i > 0, offset > 0, "it was gone on with, not started again: %v", x.wire.offsets)
	}
	t.Logf("asked for %v of %d, read %d", x.wire.offsets, realSize, x.wire.read)
	require.NotEmpty(t, x.events.of("retry"))
	require.Empty(t, x.events.of(archive.EventRestarted))
}

// A census counts the goroutines and the open files of this process.
type census struct{ goroutines, files int }

func takeCensus() census {
	now := census{goroutines: runtime.NumGoroutine()}
	if runtime.GOOS == "linux" { // Wine has them too, some of its own among them
		ports := claimedPorts()
		files, _ := os.ReadDir("/proc/self/fd")
		for _, f := range files {
			if what, _ := os.Readlink("/proc/self/fd/" + f.Name()); !ports[what] {
				now.files++
			}
		}
	}
	return now
}

// claimedPorts returns the sockets by which realtest.FreePort keeps ports until
// the process ends, as /proc names them.
func claimedPorts() map[string]bool {
	ports := map[string]bool{}
	sockets, _ := os.ReadFile("/proc/self/net/unix")
	for line := range strings.Lines(string(sockets)) {
		const inode = 6
		if f := strings.Fields(line); strings.Contains(line, "@aspupdate-test-port-") && len(f) > inode {
			ports["socket:["+f[inode]+"]"] = true
		}
	}
	return ports
}

// noneLeak runs tests and asserts that they leave no goroutine and no open file.
func noneLeak(t *testing.T, run func(t *testing.T)) {
	t.Helper()
	realtest.FreePort(t) // the network's own files are opened once
	before := takeCensus()
	t.Run("all", run)
	var now census
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if now = takeCensus(); now.goroutines <= before.goroutines && now.files <= before.files {
			return
		}
	}
	stacks := make([]byte, 1<<20)
	t.Fatalf("%+v before, %+v now:\n%s", before, now, stacks[:runtime.Stack(stacks, true)])
}

func TestServerKilledInMidDownload(t *testing.T) {
	noneLeak(t, func(t *testing.T) {
		lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
			lab.SideBySide(t, []realtest.TLS{realtest.Plain, realtest.Explicit}, func(mode realtest.TLS) string {
				return [...]string{"plain", "TLS"}[mode]
			}, func(t *testing.T, mode realtest.TLS) {
				x := newRealSetup(t, m, realtest.Options{TLS: mode}, 1, 50, 99)
				x.wire.act = x.server.Kill
				done := x.start(t.Context())
				for range 3 {
					if x.awaitCut(t, done) {
						x.server.Restart()
					}
				}
				x.healed(t, <-done)
			})
		})
	})
}

func TestServerStoppedInMidDownload(t *testing.T) {
	noneLeak(t, func(t *testing.T) {
		lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
			x := newRealSetup(t, m, realtest.Options{}, 1, 50, 99)
			x.wire.act = x.server.Stop
			done := x.start(t.Context())
			for _, heal := range []func(){x.server.Continue, x.server.Restart, x.server.Continue} {
				if x.awaitCut(t, done) {
					heal()
				}
			}
			x.healed(t, <-done)
			require.GreaterOrEqual(t, x.wire.slowest, lab.RealIdle)
			require.Less(t, x.wire.slowest, lab.RealIdle+lab.RealGrace)
		})
	})
}

// Nothing waits longer than Timeout for a server that takes connections and is
// silent then.
func TestServerStoppedBeforeAnything(t *testing.T) {
	noneLeak(t, func(t *testing.T) {
		lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
			root := t.TempDir()
			lab.Put(t, root, lab.SetupPath, []byte("x"))
			s := realtest.FTP(t, m, root, realtest.Options{})
			src := lab.Real(s, realtest.Plain)
			src.Timeout, src.Retry.Attempts = lab.RealIdle, 1
			s.Stop()
			calls := map[string]func() error{
				"list": func() error { _, err := src.List(t.Context(), "/"); return err },
				"stat": func() error { _, err := src.Stat(t.Context(), lab.SetupPath); return err },
				"open": func() error { _, err := src.Open(t.Context(), lab.SetupPath, 0); return err },
			}
			lab.SideBySide(t, slices.Collect(maps.Keys(calls)), func(op string) string { return op }, func(t *testing.T, op string) {
				began := time.Now()
				require.ErrorIs(t, calls[op](), fetch.ErrUnreachable)
				require.Less(t, time.Since(began), lab.RealIdle+lab.RealGrace)
			})
			s.Continue()
			require.Equal(t, "x", lab.Read(t, src, lab.SetupPath, 0))
		})
	})
}

// Canceling does not wait for a server that does not answer, and a later call
// goes on where it stopped.
func TestCancelWhileTheServerIsStopped(t *testing.T) {
	const atOnce = 250 * time.Millisecond
	noneLeak(t, func(t *testing.T) {
		lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
			x := newRealSetup(t, m, realtest.Options{}, 50)
			x.src.Timeout = time.Minute
			stopped := make(chan struct{})
			x.wire.act = func() { x.server.Stop(); close(stopped) }
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := x.start(ctx)
			listing := make(chan error, 1)
			await(t, stopped, done)
			go func() { _, err := x.src.List(ctx, "/"); listing <- err }()
			time.Sleep(lab.RealIdle / 4) // until both wait
			began := time.Now()
			cancel()
			require.ErrorIs(t, <-listing, context.Canceled)
			require.Less(t, time.Since(began), atOnce)
			require.ErrorIs(t, (<-done).err, context.Canceled)
			require.Less(t, time.Since(began), atOnce)
			t.Logf("canceled in %s", time.Since(began))
			x.empty(t)

			x.server.Continue()
			f := <-x.start(t.Context())
			x.good(t, f.it, f.err)
			require.NotEmpty(t, x.events.of(archive.EventResumed))
			require.LessOrEqual(t, x.wire.read, int64(realSize+64<<10))
		})
	})
}

func TestFetchFromRealServers(t *testing.T) {
	t.Parallel()
	lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
		root := t.TempDir()
		data := lab.Payload(3 << 20)
		lab.Put(t, root, "Опека/7.12.100/Setup.exe", data)
		lab.Put(t, root, "Опека/7.12.100/FullSetup.exe", data[:1<<20])
		s := realtest.FTP(t, m, root, realtest.Options{TLS: realtest.Explicit})
		src := lab.Real(s, realtest.Explicit)
		rel, err := fetch.Finder{}.Latest(t.Context(), src, "Опека", version.FullSetup)
		require.NoError(t, err)
		store := &archive.Archive{Settle: -1, Dir: t.TempDir(), Retry: lab.Soon}
		full, err := store.Fetch(t.Context(), src, rel, version.FullSetup, perVariant(map[version.Variant]archive.Verifier{
			version.Setup: archive.PinnedSHA256(lab.Sum(data)), version.FullSetup: archive.PinnedSHA256(lab.Sum(data[:1<<20])),
		}))
		require.NoError(t, err)
		require.NoError(t, store.Verify(t.Context(), full))
		setup, err := store.Get(archive.Key{Distribution: "Опека", Version: rel.Version, Variant: version.Setup})
		require.NoError(t, err)
		require.NoError(t, store.Verify(t.Context(), setup))
		require.Equal(t, lab.Sum(data), setup.SHA256)
		require.NotContains(t, setup.Source, s.Password)
		require.True(t, setup.Modified.Equal(lab.Released))
	})
}
