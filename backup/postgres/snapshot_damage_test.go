package postgres

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// pg_restore restores a dump with a flipped bit without an error. The store detects a
// thousand flips and a cut at every hundredth.
func TestR9DamagedSnapshotOfADatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	var files []string
	sizes := map[string]int64{}
	var total int64
	root := filepath.Join(w.store.Dir, snap.ID)
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		files, sizes[path] = append(files, path), fi.Size()
		total += fi.Size()
		return err
	}))
	require.GreaterOrEqual(t, len(files), 3, "the dump, the manifest, its seal")
	caught := func(path, what string, at int64) {
		t.Helper()
		err := w.store.Verify(t.Context(), snap.ID)
		require.ErrorIs(t, err, backup.ErrDamaged, "%s of %s at %d", what, filepath.Base(path), at)
	}

	rng := rand.New(rand.NewPCG(20, 26))
	for range 1000 {
		bit := rng.Int64N(8 * total) // of all files, one after the other
		var path string
		for _, path = range files {
			if bit < 8*sizes[path] {
				break
			}
			bit -= 8 * sizes[path]
		}
		flip(t, path, bit)
		caught(path, "a bit", bit)
		flip(t, path, bit)
	}
	require.NoError(t, w.store.Verify(t.Context(), snap.ID), "whole again")

	for _, path := range files {
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		for percent := range int64(100) {
			n := sizes[path] * percent / 100
			require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
			caught(path, "a cut", n)
		}
		_, err = w.store.Restore(t.Context(), snap.ID, w.db)
		w.failed(t, err, before)
		require.ErrorIs(t, err, backup.ErrDamaged)
		require.NoError(t, os.WriteFile(path, whole, 0o600))
	}
	require.NoError(t, w.store.Verify(t.Context(), snap.ID), "whole again")
}

func flip(t *testing.T, path string, bit int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, bit/8)
	require.NoError(t, err)
	b[0] ^= 1 << (bit % 8)
	_, err = f.WriteAt(b, bit/8)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
