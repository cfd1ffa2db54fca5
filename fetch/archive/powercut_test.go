package archive_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/crashfs"
	"github.com/aspupdate/aspupdate/version"
)

// A cutJob is what a writer does to an archive when the power is cut.
type cutJob string

const (
	cutFetch     cutJob = "fetch a file"
	cutTree      cutJob = "fetch a directory"
	cutImport    cutJob = "import a file"
	cutRerelease cutJob = "import a re-release"
	cutPrune     cutJob = "prune"
)

var (
	cutData  = lab.Payload(6000)
	cutFiles = map[string][]byte{"setup.exe": lab.Payload(3000), "data/base.cab": lab.Payload(4000), "data/x.ini": {}}
)

// do does the job to the archive below dir, and returns what the caller is
// said to be there then.
func (job cutJob) do(ctx context.Context, dir, addr string) ([]archive.Item, error) {
	a := (&archive.Archive{Settle: -1, Dir: filepath.Join(dir, "archive"), Retry: lab.Soon}).WithClock(func() time.Time { return lab.Now }).WithCheckpoint(2000)
	switch job {
	case cutFetch, cutTree:
		dist := map[cutJob]string{cutFetch: "asp", cutTree: "tree"}[job]
		src := &ftp.Source{Addr: addr, Retry: lab.Soon}
		rel, err := fetch.Finder{}.Latest(ctx, src, dist, version.Setup)
		if err != nil {
			return nil, err
		}
		it, err := a.Fetch(ctx, src, rel, version.Setup, archive.Unauthenticated("a test"))
		return []archive.Item{it}, err
	case cutImport, cutRerelease:
		dist := map[cutJob]string{cutImport: "import", cutRerelease: "asp"}[job]
		it, err := a.Import(ctx, filepath.Join(dir, "Setup.exe"), key(dist, "7.12.100", version.Setup), archive.PinnedSHA256(lab.Sum(cutData)))
		return []archive.Item{it}, err
	case cutPrune:
		_, err := a.Prune(ctx, archive.Retention{Newest: 1}, []archive.Key{key("asp", "7.12.100", version.Setup)})
		return nil, err
	}
	return nil, errors.New("no such job")
}

// cutAsChild does a job in each directory below root.
func cutAsChild(addr, root string) error {
	dirs, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		dir := filepath.Join(root, d.Name())
		job, err := os.ReadFile(filepath.Join(dir, "job"))
		if err != nil {
			return err
		}
		if _, err := cutJob(job).do(context.Background(), dir, addr); err != nil {
			return fmt.Errorf("%s: %w", job, err)
		}
	}
	return nil
}

func cutTrace(t *testing.T, addr string, images []crashfs.Image) []crashfs.Log {
	t.Helper()
	root := filepath.Join(crashfs.Dir(t), "w")
	for i, im := range images {
		require.NoError(t, im.Write(filepath.Join(root, fmt.Sprintf("%06d", i))))
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), cutEnv+"="+addr+" "+root)
	all := crashfs.Trace(t, cmd, root).Split()
	var logs []crashfs.Log
	for i := range images {
		logs = append(logs, all[fmt.Sprintf("%06d", i)])
	}
	return logs
}

// A cutArchive is what a crash left of one.
type cutArchive struct {
	crashfs.Crash
	job  cutJob
	what string
	log  crashfs.Log
	safe map[archive.Key]bool // what was seen with all of the unsynced lost: it stays
}

// see returns what readers see: whole items alone.
func (c cutArchive) see(t *testing.T, a *archive.Archive) map[archive.Key]bool {
	t.Helper()
	items, err := a.List()
	require.NoError(t, err, c.what)
	seen := map[archive.Key]bool{}
	for _, it := range items {
		require.NoError(t, a.Verify(t.Context(), it), c.what)
		seen[it.Key] = true
	}
	return seen
}

// checkJournals asserts that no journal of a download claims bytes that the disk
// does not have.
func (c cutArchive) checkJournals(t *testing.T) {
	t.Helper()
	for name, data := range c.Image {
		dir, ok := strings.CutSuffix(name, "/journal.json")
		if !ok || c.job != cutFetch && c.job != cutTree {
			continue
		}
		var j struct {
			Files map[string]struct {
				Synced int
				SHA256 string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(data), &j), c.what)
		for rel, f := range j.Files {
			payload, there := c.Image[path.Join(dir, "data/payload", rel)]
			if !there {
				continue // renamed already
			}
			require.GreaterOrEqual(t, len(payload), f.Synced, "%s: %s", c.what, rel)
			require.Equal(t, f.SHA256, lab.Sum([]byte(payload[:f.Synced])), "%s: %s", c.what, rel)
		}
	}
}

// check asserts of what a crash left that it reads well, that nothing which
// was safe is lost, and that the next writer heals it.
func (c cutArchive) check(t *testing.T, addr string, want map[archive.Key]bool) map[archive.Key]bool {
	t.Helper()
	dir, err := os.MkdirTemp(crashfs.Dir(t), "")
	require.NoError(t, err)
	require.NoError(t, c.Image.Write(dir))
	c.checkJournals(t)
	a := &archive.Archive{Settle: -1, Dir: filepath.Join(dir, "archive")}
	seen := c.see(t, a)
	for k := range c.safe {
		require.True(t, seen[k] || c.job == cutPrune && !want[k], "%s: %s is lost", c.what, k)
	}
	if c.After == len(c.log.Ops) && c.job != cutPrune {
		require.Equal(t, want, seen, "%s: the writer said that it is there", c.what)
	}
	reported, err := c.job.do(t.Context(), dir, addr)
	require.NoError(t, err, c.what)
	require.Equal(t, want, c.see(t, a), c.what)
	left := strings.Join(slices.Collect(maps.Keys(contents(t, a.Dir))), "\n")
	require.NotContains(t, left, ".pruned-", c.what)
	require.NotContains(t, left, ".damaged-", c.what)
	for _, it := range reported {
		require.NoError(t, a.Verify(t.Context(), it), c.what)
		if !it.Reused {
			require.NotContains(t, left, ".partial-", c.what)
		}
	}
	return seen
}

// TestPowerCutAtEveryCall cuts the power before and after every call to the
// kernel of all that writes to an archive, and kills the process there, lets
// another one do it again, and cuts the power then. ASPUPDATE_SOAK=1 tries
// every case of the latter.
func TestPowerCutAtEveryCall(t *testing.T) {
	t.Parallel()
	s := fetchtest.New(t)
	s.Put("/asp/7.12.900/Setup.exe", cutData, lab.Released)
	for name, data := range cutFiles {
		s.Put("/tree/7.12.900/Setup/"+name, data, lab.Released)
	}
	rnd := rand.New(rand.NewPCG(5, 6))

	base, _ := aged(t, "7.12.100", "7.12.200", "7.12.300")
	im, err := crashfs.Load(filepath.Dir(base.Dir))
	require.NoError(t, err)
	im["Setup.exe"] = string(cutData)
	jobs := []cutJob{cutFetch, cutTree, cutImport, cutRerelease, cutPrune}
	var images []crashfs.Image
	for _, job := range jobs {
		images = append(images, maps.Clone(im))
		images[len(images)-1]["job"] = string(job)
	}
	want := map[cutJob]map[archive.Key]bool{}
	for i, job := range jobs {
		dir := filepath.Join(crashfs.Dir(t), "w")
		require.NoError(t, images[i].Write(dir))
		_, err := job.do(t.Context(), dir, s.Addr)
		require.NoError(t, err, job)
		want[job] = cutArchive{}.see(t, &archive.Archive{Settle: -1, Dir: filepath.Join(dir, "archive")})
	}

	enumerate := func(l crashfs.Log, of cutArchive, draws int) (all []cutArchive) {
		type imageKey struct {
			image  [32]byte
			killed bool // its kernel knows more than the disk
		}
		seen := map[imageKey]bool{}
		points := map[int]bool{} // after how many calls
		for c := range l.Crashes(rnd, draws) {
			points[c.After] = true
			// At the end equal images are not equal: there the writer is done.
			if k := (imageKey{c.Image.Key(), c.Loss == crashfs.None}); !seen[k] || c.After == len(l.Ops) {
				seen[k] = true
				all = append(all, cutArchive{c, of.job, fmt.Sprintf("%s: crash after %d of %d calls, %s of the unsynced lost", of.what, c.After, len(l.Ops), c.Loss), l, nil})
			}
		}
		require.Len(t, points, len(l.Ops)+1, "%s: the power is cut before and after every call", of.what)
		return all
	}
	// check checks the archives and asserts that it did: least is how many of
	// each job there must be.
	check := func(t *testing.T, name string, all []cutArchive, least int) {
		const workers = 4
		checked := map[cutJob]*atomic.Int32{}
		for _, job := range jobs {
			checked[job] = &atomic.Int32{}
		}
		t.Run(name, func(t *testing.T) {
			for n := range workers {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					t.Parallel()
					for i := n; i < len(all) && !t.Failed(); i += workers {
						all[i].check(t, s.Addr, want[all[i].job])
						checked[all[i].job].Add(1)
					}
				})
			}
		})
		for _, job := range jobs {
			t.Logf("%s, %s: %d archives", name, job, checked[job].Load())
			require.GreaterOrEqual(t, int(checked[job].Load()), least, "%s, %s", name, job)
		}
	}
	var first, killed []cutArchive
	images2 := []crashfs.Image{}
	for i, l := range cutTrace(t, s.Addr, images) {
		require.GreaterOrEqual(t, len(l.Ops), 5, "%s: the calls of the job were traced", jobs[i])
		for _, c := range enumerate(l, cutArchive{job: jobs[i], what: string(jobs[i])}, 2) {
			c.safe = map[archive.Key]bool{}
			for k := range want[cutPrune] {
				c.safe[k] = true
			}
			first = append(first, c)
			if c.Loss == crashfs.None {
				killed, images2 = append(killed, c), append(images2, c.Image)
			}
		}
	}
	check(t, "one crash", first, 10)
	var second []cutArchive
	repeated := cutTrace(t, s.Addr, images2)
	require.Len(t, repeated, len(killed))
	for i, l := range repeated {
		l = killed[i].log.Then(killed[i].After, l)
		for _, c := range enumerate(l, killed[i], 1) {
			c.safe = want[cutPrune]
			if os.Getenv("ASPUPDATE_SOAK") == "1" || c.After == len(l.Ops) || rnd.IntN(40) == 0 {
				second = append(second, c)
			}
		}
	}
	require.GreaterOrEqual(t, len(second), len(killed), "each process that was killed has a successor")
	check(t, "killed", second, 15)
}
