package archive_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// crashNow is what the child says when it begins to write: what comes before
// takes it most of its time.
const crashNow = "now"

func fetchAsChild(addr, dir string) error {
	ctx := context.Background()
	src := &ftp.Source{Addr: addr, Retry: lab.Soon}
	rel, err := fetch.Finder{}.Latest(ctx, src, "asp", version.Setup)
	if err != nil {
		return err
	}
	fmt.Println(crashNow)
	store := (&archive.Archive{Settle: -1, Dir: dir, Retry: lab.Soon, Observe: func(e archive.Event) {
		if e.Kind == archive.EventResumed || e.Kind == archive.EventReused {
			fmt.Println(e.Kind, e.Done)
		}
	}}).WithCheckpoint(1 << 20)
	_, err = store.Fetch(ctx, src, rel, version.Setup, archive.Unauthenticated("a test"))
	return err
}

// A hundred times, in four archives at once, the process is killed at a random
// point of a download. Each archive has an older version.
func TestKilledAtAnyPoint(t *testing.T) {
	t.Parallel()
	const kills, workers, length = 100, 4, 12 << 20
	self, err := os.Executable()
	require.NoError(t, err)
	s := fetchtest.New(t)
	data := lab.Payload(length)
	s.Put("/asp/7.12.200/Setup.exe", data, lab.Released)
	for w := range workers {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			k := &killer{self: self, s: s, data: data, dir: filepath.Join(t.TempDir(), "archive")}
			k.older(t)
			longest := k.run(t, 0) // how long it takes without a kill
			k.whole(t)
			for killed := 0; killed < kills/workers; {
				if k.run(t, time.Duration(rand.Int64N(int64(longest)))) == 0 {
					killed++
				}
				k.check(t)
			}
			k.run(t, 0)
			k.whole(t)
			require.Positive(t, k.resumed, "a later process goes on where an earlier one was killed")
		})
	}
}

type killer struct {
	self    string
	s       *fetchtest.Server
	data    []byte
	dir     string
	resumed int
}

func (k *killer) archive() *archive.Archive { return &archive.Archive{Settle: -1, Dir: k.dir} }

func (k *killer) older(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Setup.exe")
	require.NoError(t, os.WriteFile(file, k.data[:1000], 0o600))
	_, err := k.archive().Import(t.Context(), file, setupKey(), archive.PinnedSHA256(lab.Sum(k.data[:1000])))
	require.NoError(t, err)
}

// run runs one process, kills it a while after it began to write unless that
// is 0, and returns how long it wrote, or 0 if it was killed.
func (k *killer) run(t *testing.T, after time.Duration) time.Duration {
	t.Helper()
	var failed bytes.Buffer
	cmd := exec.Command(k.self)
	// Under the race detector a process would sleep for a second before it ends,
	// and most kills would come then.
	cmd.Env = append(os.Environ(), crashEnv+"="+k.s.Addr+" "+k.dir, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = &failed
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var began time.Time
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch line := lines.Text(); {
		case line == crashNow:
			began = time.Now()
			if after > 0 {
				timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
				defer timer.Stop()
			}
		case strings.HasPrefix(line, string(archive.EventResumed)):
			k.resumed++
		}
	}
	err = cmd.Wait()
	if err == nil {
		return time.Since(began)
	}
	require.Positive(t, after, "%v: %s", err, &failed)
	require.Empty(t, failed.String(), "it was killed, and did not fail")
	return 0
}

// check asserts that what can be seen is the older version, and perhaps the
// newer one, whole.
func (k *killer) check(t *testing.T) {
	t.Helper()
	items, err := k.archive().List()
	require.NoError(t, err)
	older := false
	for _, it := range items {
		require.NoError(t, k.archive().Verify(t.Context(), it))
		older = older || it.Version == setupKey().Version
		if it.Version != setupKey().Version {
			require.Equal(t, lab.Sum(k.data), it.SHA256)
			require.NoError(t, os.RemoveAll(filepath.Dir(it.Path)), "and once more")
		}
	}
	require.True(t, older)
}

// whole asserts that both versions are there and nothing else.
func (k *killer) whole(t *testing.T) {
	t.Helper()
	items, err := k.archive().List()
	require.NoError(t, err)
	require.Len(t, items, 2)
	require.Equal(t, lab.Sum(k.data), items[0].SHA256)
	require.NoError(t, filepath.WalkDir(k.dir, func(path string, d fs.DirEntry, err error) error {
		require.NotContains(t, path, "partial")
		return err
	}))
	k.check(t)
}

// What ten cuts cost is ten times the overlap.
func TestTenCutsCostLittle(t *testing.T) {
	length := 64 << 20
	if os.Getenv("ASPUPDATE_REQUIRE_REAL") == "1" {
		length = 1 << 30
	}
	x := newSetup(t, length)
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		if tr.N > 10 {
			return fetchtest.Fault{}
		}
		return fetchtest.Fault{Cut: int64(length)/11 + 64<<10, Reply: "426 broken"}
	})
	it, err := x.fetch(t.Context())
	require.NoError(t, err)
	require.Equal(t, lab.Sum(x.data), it.SHA256)
	require.Equal(t, 11, x.s.Transfers())
	require.LessOrEqual(t, float64(x.s.Sent()), 1.02*float64(length))
	before := x.s.Sent()
	it, err = x.fetch(t.Context())
	require.NoError(t, err)
	require.True(t, it.Reused)
	require.Equal(t, before, x.s.Sent(), "a rerun moves no payload bytes")
}
