package backup_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// replace puts another snapshot, with its manifest and its seal, in the place of
// one, as an account can that may write to the store.
func replace(t *testing.T, dir, id, by string) {
	t.Helper()
	at := func(id, name string) string { return filepath.Join(dir, id, name) }
	manifest, err := os.ReadFile(at(by, "manifest.json"))
	require.NoError(t, err)
	manifest = []byte(strings.ReplaceAll(string(manifest), by, id))
	seal := fmt.Sprintf("%x  manifest.json\n", sha256.Sum256(manifest))
	require.NoError(t, os.WriteFile(at(by, "manifest.json"), manifest, 0o600))
	require.NoError(t, os.WriteFile(at(by, "manifest.sha256"), []byte(seal), 0o600))
	require.NoError(t, os.Rename(filepath.Join(dir, id), filepath.Join(dir, "aside")))
	require.NoError(t, os.Rename(filepath.Join(dir, by), filepath.Join(dir, id)))
}

func TestR15ReplacedSnapshotIsNotRestored(t *testing.T) {
	s, m := newStore(t), newMemory()
	whole, err := s.Take(t.Context(), "before", m)
	require.NoError(t, err)
	for _, ref := range []string{whole.Ref(), whole.ID} {
		require.Equal(t, whole.ID, backup.ID(ref))
		require.NoError(t, s.Verify(t.Context(), ref))
		got, err := s.Get(ref)
		require.NoError(t, err)
		require.Equal(t, whole.Ref(), got.Ref())
		_, err = s.Path(ref)
		require.NoError(t, err)
		_, err = s.Restore(t.Context(), ref, m)
		require.NoError(t, err)
		kept, err := s.Prunable(backup.Retention{Newest: 1}, []string{ref})
		require.NoError(t, err)
		require.Empty(t, kept)
	}
	m.live["a.txt"] = "evil!"
	forged, err := s.Take(t.Context(), "before", m)
	require.NoError(t, err)
	m.live["a.txt"] = "today"
	replace(t, s.Dir, whole.ID, forged.ID)

	require.NoError(t, s.Verify(t.Context(), whole.ID), "nothing else can be seen by the ID alone")
	calls := m.calls
	err = s.Verify(t.Context(), whole.Ref())
	require.ErrorIs(t, err, backup.ErrDamaged)
	require.ErrorContains(t, err, "verify "+whole.ID+": manifest.json: the snapshot is damaged: it is of another snapshot")
	require.ErrorContains(t, err, "who can write to the store")
	_, err = s.Restore(t.Context(), whole.Ref(), m)
	require.ErrorIs(t, err, backup.ErrDamaged)
	_, err = s.Get(whole.Ref())
	require.ErrorIs(t, err, backup.ErrDamaged)
	require.Equal(t, calls, m.calls)
	require.Equal(t, "today", m.live["a.txt"])
}

func TestReferenceOfAnotherForm(t *testing.T) {
	s := newStore(t)
	snap, err := s.Take(t.Context(), "x", newMemory())
	require.NoError(t, err)
	for _, ref := range []string{snap.ID + "@", snap.ID + "@abc", snap.Ref() + "0", "@" + snap.Ref(), strings.ToUpper(snap.Ref())} {
		require.ErrorIs(t, s.Verify(t.Context(), ref), backup.ErrNotFound, ref)
	}
}

// A link in the store would lead out of it.
func TestSnapshotThatIsALink(t *testing.T) {
	s := newStore(t)
	snap, err := s.Take(t.Context(), "x", newMemory())
	require.NoError(t, err)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.Rename(filepath.Join(s.Dir, snap.ID), elsewhere))
	if err := os.Symlink(elsewhere, filepath.Join(s.Dir, snap.ID)); err != nil {
		realtest.Skip(t, "links cannot be made here: %v", err)
	}
	require.ErrorIs(t, s.Verify(t.Context(), snap.ID), backup.ErrNotFound)
}
