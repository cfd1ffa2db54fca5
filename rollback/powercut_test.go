package rollback_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/crashfs"
	"github.com/aspupdate/aspupdate/rollback"
)

const journalFile = "state/journal.log"

// Updates that go four ways, by the name that stands in the world's file
// "scenario".
const (
	goesForward = "forward"
	goesBack    = "back"
	getsStuck   = "stuck"  // on the rollback, until a person comes
	restarts    = "reboot" // is committed after a restart of the machine
)

// cutWorld returns the world in a folder, with roles that keep their promise:
// what they did is synced before they return. The journal's clock stands
// still, so that equal histories give equal bytes.
func cutWorld(root string) *world {
	w := &world{root: root, parts: []string{"ASP"}, boot: "boot-1", durable: true, now: func() time.Time { return testTime }}
	if w.read("scenario") == restarts {
		w.reboots = map[string]bool{"ASP " + newVersion: true}
	}
	return w
}

// traced does in each folder of the one it is given what a program does at
// its start: it recovers, and where nothing is pending and nothing was done,
// it updates.
func traced() {
	root, ctx := os.Getenv("ROLLBACK_TEST_WORLD"), context.Background()
	dirs, err := os.ReadDir(root)
	if err != nil {
		panic(err)
	}
	for _, d := range dirs {
		w := cutWorld(filepath.Join(root, d.Name()))
		u := w.update()
		if w.read(journalFile) != "" {
			w.boot = "boot-2"
		}
		res, err := u.Recover(ctx)
		if err != nil || res.Outcome != rollback.Nothing {
			continue
		}
		if w.read("scenario") == getsStuck {
			w.failing("restore ASP")
		}
		if plan, err := u.Plan(ctx); err == nil {
			_, _ = u.Run(ctx, plan)
		}
	}
}

// A crashed machine is one that a power cut, or two, left behind.
type crashed struct {
	crashfs.Crash
	scenario string
	what     string
	journal  string // as far as it was synced: this much must be there for ever
	log      crashfs.Log
}

// A machine that was only killed has a kernel that knows more than the disk.
type seenImages map[imageKey]bool

type imageKey struct {
	image  [32]byte
	killed bool
}

func (s seenImages) first(c crashfs.Crash) bool {
	key := imageKey{c.Image.Key(), c.Loss == crashfs.None}
	was := s[key]
	s[key] = true
	return !was
}

// crashes returns the different machines that crashes in a log leave.
func crashes(l crashfs.Log, of crashed, seen seenImages, rnd *rand.Rand, draws int) (all []crashed) {
	safe := ""
	for c := range l.Crashes(rnd, draws) {
		if c.Loss == crashfs.All {
			safe = whole(c.Image[journalFile])
		}
		if rnd.IntN(2) == 0 && c.Loss == crashfs.Random {
			delete(c.Image, "fence") // a fence need not outlive a restart
		}
		if seen.first(c) {
			all = append(all, crashed{c, of.scenario, fmt.Sprintf("%s: crash after %d of %d calls, %s of the unsynced lost", of.what, c.After, len(l.Ops), c.Loss), safe, l})
		}
	}
	return all
}

// recovery returns the log of a process that did what l holds to what the
// crash left.
func (c crashed) recovery(l crashfs.Log) crashfs.Log {
	if c.Loss == crashfs.None {
		return c.log.Then(c.After, l) // it was only killed
	}
	return l
}

// whole leaves out the last line of a journal if it is torn.
func whole(journal string) string {
	end := strings.LastIndexByte(journal, '\n') + 1
	if hole := strings.IndexByte(journal, 0); hole >= 0 {
		end = strings.LastIndexByte(journal[:hole], '\n') + 1
	}
	return journal[:end]
}

// trace lets a process of its own work on the images, and returns what it did
// to each.
func trace(t *testing.T, images []crashfs.Image) []crashfs.Log {
	t.Helper()
	root := filepath.Join(crashfs.Dir(t), "w")
	name := func(i int) string { return fmt.Sprintf("%06d", i) }
	for i, im := range images {
		require.NoError(t, im.Write(filepath.Join(root, name(i))))
	}
	all := crashfs.Trace(t, as("traced", "ROLLBACK_TEST_WORLD="+root), root).Split()
	logs := make([]crashfs.Log, len(images))
	for i := range images {
		logs[i] = all[name(i)]
	}
	return logs
}

// check lets the real recovery loose on what a crash left.
func (c crashed) check(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp(crashfs.Dir(t), "")
	require.NoError(t, err)
	require.NoError(t, c.Image.Write(root))
	w := cutWorld(root)
	if c.Loss != crashfs.None || c.scenario == restarts {
		w.boot = "boot-3"
	}
	records, err := rollback.ReadJournal(w.path("state"))
	require.NoError(t, err, "no crash damages the journal")
	end := recovered(t, w)
	if c.scenario == goesBack || c.scenario == getsStuck {
		require.Equal(t, oldVersion, end, "a broken release is never committed")
	}
	require.True(t, strings.HasPrefix(w.read(journalFile), c.journal), "no synced record is ever lost")
	after, err := rollback.ReadJournal(w.path("state"))
	require.NoError(t, err)
	require.Equal(t, records, after[:len(records)], "what one reader saw the next one sees")
	res, err := w.update().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Nothing, res.Outcome, "it is over")
	return end
}

// checkAll checks many at once.
func checkAll(t *testing.T, all []crashed) (ends map[string]int) {
	t.Helper()
	const workers = 16 // they mostly wait
	got := make([]map[string]int, workers)
	t.Run("recover", func(t *testing.T) {
		for n := range workers {
			got[n] = map[string]int{}
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				for i := n; i < len(all); i += workers {
					c := all[i]
					if !t.Run("", func(t *testing.T) { got[n][c.check(t)]++ }) {
						t.Fatal(c.what)
					}
				}
			})
		}
	})
	ends = map[string]int{}
	for _, g := range got {
		for end, n := range g {
			ends[end] += n
		}
	}
	return ends
}

// some returns n of the machines, or all in a soak.
func some(rnd *rand.Rand, all []crashed, n int) []crashed {
	if os.Getenv("ASPUPDATE_SOAK") == "1" || len(all) <= n {
		return all
	}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n]
}

// TestJournalIsSyncedBeforeItIsAppendedTo has a journal whose last record a
// killed process may not have synced: a power cut must not tear it behind a
// later one.
func TestJournalIsSyncedBeforeItIsAppendedTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ASP")
	w.write(t, "scenario", goesForward)
	interrupt(t)(w)
	im, err := crashfs.Load(w.root)
	require.NoError(t, err)
	ops := trace(t, []crashfs.Image{im})[0].Ops
	first := slices.IndexFunc(ops, func(op crashfs.Op) bool { return op.Path == journalFile && op.Kind == crashfs.Write })
	require.Positive(t, first)
	require.True(t, slices.ContainsFunc(ops[:first], func(op crashfs.Op) bool { return op.Path == journalFile && op.Kind == crashfs.Sync }))
}

// TestPowerCutAtEveryCall cuts the power before and after every call to the
// kernel of updates that go four ways, and once more at calls of the
// recoveries from that: at a few thousand of them, or at every one where
// ASPUPDATE_SOAK=1 asks for it.
func TestPowerCutAtEveryCall(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	scenarios := []string{goesForward, goesBack, getsStuck, restarts}
	var images []crashfs.Image
	for _, s := range scenarios {
		w := newWorld(t, "ASP")
		w.write(t, "scenario", s)
		if s == goesBack || s == getsStuck {
			w.write(t, "archive.ASP."+newVersion, "bad")
		}
		im, err := crashfs.Load(w.root)
		require.NoError(t, err)
		images = append(images, im)
	}
	seen := seenImages{}
	var first []crashed
	for i, l := range trace(t, images) {
		first = append(first, crashes(l, crashed{scenario: scenarios[i], what: scenarios[i]}, seen, rnd, 2)...)
	}
	ends := checkAll(t, first)
	t.Logf("one crash: %d machines, %v", len(first), ends)
	require.Greater(t, len(first), 400)
	require.Positive(t, ends[newVersion])
	require.Positive(t, ends[oldVersion])

	young := func(c crashed) bool { return c.Loss == crashfs.None && c.After < 20 } // while the journal is made
	first = append(some(rnd, slices.DeleteFunc(slices.Clone(first), young), 200), slices.DeleteFunc(first, func(c crashed) bool { return !young(c) })...)
	images = nil
	for _, c := range first {
		images = append(images, c.Image)
	}
	var second []crashed
	for i, l := range trace(t, images) {
		second = append(second, crashes(first[i].recovery(l), first[i], seen, rnd, 1)...)
	}
	second = some(rnd, second, 2000)
	ends = checkAll(t, second)
	t.Logf("two crashes: %d machines, %v", len(second), ends)
	require.Equal(t, []string{oldVersion, newVersion}, slices.Sorted(maps.Keys(ends)))
}
