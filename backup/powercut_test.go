package backup_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/crashfs"
)

const cutEnv = "BACKUP_TEST_CUT" // a directory of stores

// TestMain lets the test binary be the process whose calls are recorded.
func TestMain(m *testing.M) {
	root := os.Getenv(cutEnv)
	if root == "" {
		os.Exit(m.Run())
	}
	dirs, err := os.ReadDir(root)
	if err != nil {
		panic(err)
	}
	for _, d := range dirs {
		dir := filepath.Join(root, d.Name())
		job, err := os.ReadFile(filepath.Join(dir, "job"))
		if err != nil {
			panic(err)
		}
		if err := cutJob(string(job), dir); err != nil {
			panic(fmt.Sprintf("%s: %v", job, err))
		}
	}
}

func cutStore(dir string) *backup.Store {
	return &backup.Store{Dir: filepath.Join(dir, "store"), Now: func() time.Time { return time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC) }}
}

func cutJob(job, dir string) error {
	s, ctx := cutStore(dir), context.Background()
	var err error
	switch job {
	case "take":
		_, err = s.Take(ctx, "x", newMemory())
	case "prune":
		_, err = s.Prune(ctx, backup.Retention{Newest: 1}, []string{})
	case "prove":
		var snaps []backup.Snapshot
		if snaps, err = s.List(); err == nil {
			_, err = s.Prove(ctx, snaps[0].ID, &proving{memory: newMemory()})
		}
	}
	return err
}

// cutTrace does the job to each image in a process of its own, whose calls are recorded.
func cutTrace(t *testing.T, job string, images ...crashfs.Image) (logs []crashfs.Log) {
	t.Helper()
	root := filepath.Join(crashfs.Dir(t), "w")
	for i, im := range images {
		im = maps.Clone(im)
		im["job"] = job
		require.NoError(t, im.Write(filepath.Join(root, fmt.Sprintf("%06d", i))))
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), cutEnv+"="+root)
	all := crashfs.Trace(t, cmd, root).Split()
	for i := range images {
		logs = append(logs, all[fmt.Sprintf("%06d", i)])
	}
	return logs
}

// cutCheck returns the snapshots that a crash left, all of which must be whole, after
// tidying.
func cutCheck(t *testing.T, c crashfs.Crash, what string) map[string]backup.Snapshot {
	t.Helper()
	dir, err := os.MkdirTemp(crashfs.Dir(t), "")
	require.NoError(t, err)
	defer func() { _ = os.RemoveAll(dir) }()
	require.NoError(t, c.Image.Write(dir))
	s := cutStore(dir)
	require.NoError(t, s.Tidy(t.Context()), what)
	snaps, err := s.List()
	require.NoError(t, err, what)
	seen := map[string]backup.Snapshot{}
	for _, snap := range snaps {
		require.NoError(t, s.Verify(t.Context(), snap.ID), what)
		seen[snap.ID] = snap
	}
	require.Len(t, left(t, s), len(snaps), "%s: nothing else is left", what)
	taken, err := s.Take(t.Context(), "x", newMemory())
	require.NoError(t, err, "%s: the next one succeeds", what)
	require.NotContains(t, seen, taken.ID)
	return seen
}

// TestPowerCutAtEveryCall cuts the power before and after every system call of
// Take, Prune and Prove. It also kills Take at its last calls, runs Prune, and cuts the
// power in that.
func TestPowerCutAtEveryCall(t *testing.T) {
	t.Parallel()
	first := t.TempDir()
	require.NoError(t, cutJob("take", first))
	single, err := crashfs.Load(first)
	require.NoError(t, err)
	require.NoError(t, cutJob("take", first))
	snaps, err := cutStore(first).List()
	require.NoError(t, err)
	older, newer := snaps[0].ID, snaps[1].ID
	base, err := crashfs.Load(first)
	require.NoError(t, err)
	rnd := rand.New(rand.NewPCG(7, 8))
	stores := 0
	each := func(l crashfs.Log, what string, draws int, look func(seen map[string]backup.Snapshot, done bool, what string)) {
		type key struct {
			image [32]byte
			done  bool
		}
		was := map[key]bool{}
		for c := range l.Crashes(rnd, draws) {
			k := key{c.Image.Key(), c.After == len(l.Ops)}
			if was[k] {
				continue
			}
			was[k] = true
			stores++
			what := fmt.Sprintf("%s: crash after %d of %d calls, %s of the unsynced lost", what, c.After, len(l.Ops), c.Loss)
			look(cutCheck(t, c, what), k.done, what)
		}
	}

	take := cutTrace(t, "take", base)[0]
	each(take, "take", 4, func(seen map[string]backup.Snapshot, done bool, what string) {
		require.Contains(t, seen, older, what)
		require.Contains(t, seen, newer, what)
		require.True(t, len(seen) == 3 || !done, what)
	})
	prune := cutTrace(t, "prune", base)[0]
	each(prune, "prune", 4, func(seen map[string]backup.Snapshot, done bool, what string) {
		require.Contains(t, seen, newer, what)
		require.True(t, len(seen) == 1 || !done, what)
	})
	prove := cutTrace(t, "prove", base)[0]
	each(prove, "prove", 4, func(seen map[string]backup.Snapshot, done bool, what string) {
		require.Contains(t, seen, newer, what)
		require.Contains(t, seen, older, what)
		require.True(t, !seen[older].Proven.IsZero() || !done, what)
	})

	take = cutTrace(t, "take", single)[0]
	var killed []crashfs.Crash
	var images []crashfs.Image
	for c := range take.Crashes(rnd, 0) {
		// Prune finds either what was there before, or the new one.
		if c.Loss == crashfs.None && c.After > len(take.Ops)-3 {
			killed, images = append(killed, c), append(images, c.Image)
		}
	}
	for i, l := range cutTrace(t, "prune", images...) {
		each(take.Then(killed[i].After, l), fmt.Sprintf("take killed after %d of %d calls, then prune", killed[i].After, len(take.Ops)), 30,
			func(seen map[string]backup.Snapshot, _ bool, what string) {
				require.NotEmpty(t, seen, "%s: a whole one always exists", what)
			})
	}
	t.Logf("%d stores", stores)
}
