package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/backup"
)

// A shelf is a store with snapshots of several targets, taken an hour apart.
type shelf struct {
	*backup.Store
	at  time.Time
	ids []string
}

func newShelf(dir string) *shelf {
	s := &shelf{at: time.Date(2026, 1, 12, 4, 0, 0, 0, time.UTC)}
	s.Store = &backup.Store{Dir: dir, Now: func() time.Time { return s.at }}
	return s
}

func (s *shelf) take(t require.TestingT, target string) string {
	s.at = s.at.Add(time.Hour)
	snap, err := s.Take(context.Background(), "x", &memory{name: target, live: map[string]string{"a": target}})
	require.NoError(t, err)
	s.ids = append(s.ids, snap.ID)
	return snap.ID
}

// spoil overwrites a file of a snapshot, or its manifest.
func (s *shelf) spoil(t require.TestingT, id, file string) {
	require.NoError(t, os.WriteFile(filepath.Join(s.Dir, id, file), []byte("spoiled"), 0o600))
}

func names(snaps []backup.Snapshot) []string {
	out := []string{}
	for _, s := range snaps {
		out = append(out, s.ID)
	}
	return out
}

func TestR9PruneKeepsTheRetentionAndWhatIsInUse(t *testing.T) {
	s := newShelf(filepath.Join(t.TempDir(), "store"))
	var a, b []string
	for range 5 {
		a = append(a, s.take(t, "a"))
	}
	for range 2 {
		b = append(b, s.take(t, "b"))
	}
	none := []string{}
	for name, c := range map[string]struct {
		keep  backup.Retention
		inUse []string
		say   string
	}{
		"nil in use":         {backup.Retention{Newest: 1}, nil, "still needs were not given"},
		"negative number":    {backup.Retention{Newest: -1}, none, "negative"},
		"negative age":       {backup.Retention{Newest: 1, Younger: -1}, none, "negative"},
		"snapshot not found": {backup.Retention{Newest: 1}, []string{"20260112-040000.000000-01234567"}, "snapshot not found"},
		"no ID":              {backup.Retention{Newest: 1}, []string{"../" + a[0]}, "snapshot not found"},
		"no rule":            {backup.Retention{}, none, ""},
		"everything stays":   {backup.Retention{Newest: 9}, none, ""},
		"all young enough":   {backup.Retention{Younger: 7 * time.Hour}, none, ""},
		"the rest is in use": {backup.Retention{Newest: 1}, append(slices.Clone(a[:4]), b[0]), ""},
	} {
		removed, err := s.Prune(t.Context(), c.keep, c.inUse)
		would, dry := s.Prunable(c.keep, c.inUse)
		if c.say != "" {
			require.ErrorContains(t, err, c.say, name)
			require.EqualError(t, dry, err.Error(), name)
		} else {
			require.NoError(t, errors.Join(err, dry), name)
		}
		require.Empty(t, would, name)
		require.Empty(t, removed, name)
		require.Equal(t, s.ids, left(t, s.Store), name)
	}

	would, err := s.Prunable(backup.Retention{Younger: 6 * time.Hour}, none)
	require.NoError(t, err)
	require.Equal(t, a[:1], names(would), "exactly as old is not younger")

	var events []string
	s.Observe = func(e backup.Event) {
		if e.Kind != "verify" {
			events = append(events, string(e.Kind)+" "+e.Text[strings.LastIndexByte(e.Text, ' ')+1:])
		}
	}
	would, err = s.Prunable(backup.Retention{Newest: 2}, a[1:2])
	require.NoError(t, err)
	require.Equal(t, []string{a[0], a[2]}, names(would), "oldest first")
	require.Equal(t, s.ids, left(t, s.Store), "nothing is written")
	removed, err := s.Prune(t.Context(), backup.Retention{Newest: 2}, a[1:2])
	require.NoError(t, err)
	require.Equal(t, []string{a[0], a[2]}, names(removed), "oldest first")
	require.Equal(t, []string{"remove " + a[0], "remove " + a[2]}, events)
	require.Equal(t, []string{a[1], a[3], a[4], b[0], b[1]}, left(t, s.Store))

	s.at = s.at.Add(1000 * time.Hour)
	removed, err = s.Prune(t.Context(), backup.Retention{Younger: time.Hour}, none)
	require.NoError(t, err)
	require.Equal(t, []string{a[1], a[3], b[0]}, names(removed))
	require.Equal(t, []string{a[4], b[1]}, left(t, s.Store), "the newest of each stays, however old")

	empty := newStore(t)
	removed, err = empty.Prune(t.Context(), backup.Retention{Newest: 1}, none)
	require.NoError(t, err)
	require.Empty(t, removed)
	would, err = empty.Prunable(backup.Retention{Newest: 1}, none)
	require.NoError(t, err)
	require.Empty(t, would)
	require.NoDirExists(t, empty.Dir)
}

func TestR9PruneOnlyAfterANewerOneIsVerified(t *testing.T) {
	s := newShelf(filepath.Join(t.TempDir(), "store"))
	for range 3 {
		s.take(t, "a")
	}
	keep, none := backup.Retention{Newest: 1}, []string{}
	s.spoil(t, s.ids[2], "data/a")
	removed, err := s.Prune(t.Context(), keep, none)
	require.ErrorIs(t, err, backup.ErrDamaged)
	require.ErrorContains(t, err, s.ids[2])
	require.ErrorContains(t, err, "the older ones stay")
	require.Empty(t, removed)
	require.Equal(t, s.ids, left(t, s.Store))

	// Its target is unknown now.
	s.spoil(t, s.ids[2], "manifest.json")
	removed, err = s.Prune(t.Context(), keep, none)
	require.ErrorIs(t, err, backup.ErrDamaged)
	require.ErrorContains(t, err, "nothing is removed")
	require.Empty(t, removed)
	_, dry := s.Prunable(keep, none)
	require.EqualError(t, dry, err.Error())
	require.Equal(t, s.ids, left(t, s.Store))

	s.take(t, "a")
	removed, err = s.Prune(t.Context(), keep, none)
	require.ErrorIs(t, err, backup.ErrDamaged, "the error names it")
	require.ErrorContains(t, err, s.ids[2])
	require.Equal(t, s.ids[:2], names(removed))
	require.Equal(t, s.ids[2:], left(t, s.Store), "the damaged one stays")
}

// Two databases of a kind of target that does not name them are two targets.
func TestPruneDistinguishesTargetsByName(t *testing.T) {
	s := newStore(t)
	for _, name := range []string{"one", "two"} {
		_, err := s.Take(t.Context(), name, newMemory())
		require.NoError(t, err)
	}
	removed, err := s.Prune(t.Context(), backup.Retention{Newest: 1}, []string{})
	require.NoError(t, err)
	require.Empty(t, removed)
}

// When Prune is interrupted, what has a snapshot's name is whole, and the next Prune
// deletes the rest.
func TestPruneInterrupted(t *testing.T) {
	s := newShelf(filepath.Join(t.TempDir(), "store"))
	for range 4 {
		s.take(t, "a")
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.Observe = func(e backup.Event) {
		if e.Kind == backup.EventRemove {
			cancel()
		}
	}
	removed, err := s.Prune(ctx, backup.Retention{Newest: 2}, []string{})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, s.ids[:2], names(removed))
	s.Observe = nil
	require.Equal(t, []string{".removing-" + s.ids[0], ".removing-" + s.ids[1], s.ids[2], s.ids[3]}, left(t, s.Store))
	require.NoError(t, os.Remove(filepath.Join(s.Dir, ".removing-"+s.ids[0], "data", "a"))) // half deleted
	list, err := s.List()
	require.NoError(t, err)
	require.Equal(t, s.ids[2:], names(list))
	for _, id := range s.ids[:2] {
		_, err = s.Get(id)
		require.ErrorIs(t, err, backup.ErrNotFound)
	}
	removed, err = s.Prune(t.Context(), backup.Retention{Newest: 2}, []string{})
	require.NoError(t, err)
	require.Empty(t, removed)
	require.Equal(t, s.ids[2:], left(t, s.Store))
}

// Another program prunes between the verification of the newest snapshot and the
// removal of the others: without a verified one nothing is removed.
func TestR9NewestIsRemovedMeanwhile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows removes no directory in which a file is open")
	}
	s := newShelf(filepath.Join(t.TempDir(), "store"))
	s.take(t, "a")
	s.take(t, "a")
	s.Now = func() time.Time { s.at = s.at.Add(2 * time.Second); return s.at }
	s.Observe = func(e backup.Event) {
		if e.Kind == "verify" && e.Done == e.Total && e.Done > 0 {
			require.NoError(t, os.RemoveAll(filepath.Join(s.Dir, s.ids[1])))
		}
	}
	removed, err := s.Prune(t.Context(), backup.Retention{Newest: 1}, []string{})
	require.ErrorIs(t, err, backup.ErrNotFound)
	require.Empty(t, removed)
	require.Equal(t, s.ids[:1], left(t, s.Store))
}

func TestPruneWaitsForReaders(t *testing.T) {
	synctest.Test(t, pruneWaitsForReaders)
}

func pruneWaitsForReaders(t *testing.T) {
	s := newShelf(filepath.Join(t.TempDir(), "store"))
	s.take(t, "a")
	s.take(t, "a")
	reader := flock.New(filepath.Join(s.Dir, ".lock"))
	require.NoError(t, reader.RLock())
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err := s.Prune(ctx, backup.Retention{Newest: 1}, []string{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, s.ids, left(t, s.Store))
	require.NoError(t, reader.Close())
	_, err = s.Prune(t.Context(), backup.Retention{Newest: 1}, []string{})
	require.NoError(t, err)
	require.Equal(t, s.ids[1:], left(t, s.Store))
}

// In any store: what the retention keeps stays, nothing is removed without a newer
// one that is whole, and what the rules allow is removed.
func TestR9LawsOfPruning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "aspupdate-prune-")
		require.NoError(t, err)
		defer func() { _ = os.RemoveAll(dir) }()
		s := newShelf(dir)
		of, sealed := map[string]string{}, map[string]time.Time{}
		spoiled := map[string]string{}
		for range rapid.IntRange(0, 8).Draw(t, "snapshots") {
			s.at = s.at.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "hours")) * time.Hour)
			id := s.take(t, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "target"))
			of[id], sealed[id] = mustGet(t, s, id).Meta.Target, s.at
			if file := rapid.SampledFrom([]string{"", "", "", "data/a", "manifest.json"}).Draw(t, "damage"); file != "" {
				s.spoil(t, id, file)
				spoiled[id] = file
			}
		}
		s.at = s.at.Add(time.Duration(rapid.IntRange(-20, 200).Draw(t, "later")) * time.Hour)
		keep := backup.Retention{Newest: rapid.IntRange(0, 4).Draw(t, "newest"), Younger: time.Duration(rapid.IntRange(0, 150).Draw(t, "younger")) * time.Hour}
		inUse := rapid.SliceOfN(rapid.SampledFrom(append([]string{"20260112-040000.000000-01234567"}, s.ids...)), 0, 3).Draw(t, "in use")
		if inUse == nil {
			inUse = []string{}
		}
		before := slices.Clone(s.ids)
		removed, err := s.Prune(context.Background(), keep, inUse)

		after := []string{}
		entries, rerr := os.ReadDir(dir)
		require.NoError(t, rerr)
		for _, e := range entries {
			if e.Name() != ".lock" {
				after = append(after, e.Name())
			}
		}
		gone := names(removed)
		require.True(t, slices.IsSorted(gone))
		require.Equal(t, before, slices.Sorted(slices.Values(append(slices.Clone(gone), after...))), "nothing is half removed")
		for _, id := range gone {
			require.NotContains(t, inUse, id)
			require.NotEqual(t, "manifest.json", spoiled[id])
			require.GreaterOrEqual(t, s.at.Sub(sealed[id]), keep.Younger)
			newer := 0
			whole := false
			for _, other := range before {
				if of[other] == of[id] && other > id && spoiled[other] != "manifest.json" {
					newer++
					whole = whole || spoiled[other] == "" && slices.Contains(after, other)
				}
			}
			require.GreaterOrEqual(t, newer, keep.Newest)
			require.True(t, whole, "a newer one of its target is whole and stays")
		}
		if err == nil { // all that the rules allow was removed
			for target := range map[string]bool{"a": true, "b": true} {
				same := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return of[id] != target })
				for i, id := range same {
					may := keep != (backup.Retention{}) && len(same)-i > max(1, keep.Newest) && s.at.Sub(sealed[id]) >= keep.Younger && !slices.Contains(inUse, id)
					require.Equal(t, may, slices.Contains(gone, id))
				}
			}
		}
		if slices.Contains(inUse, "20260112-040000.000000-01234567") {
			require.Error(t, err)
		} else if len(spoiled) == 0 {
			require.NoError(t, err)
		}
	})
}

func mustGet(t require.TestingT, s *shelf, id string) backup.Snapshot {
	snap, err := s.Get(id)
	require.NoError(t, err)
	return snap
}
