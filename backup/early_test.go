package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// A watched target can say whether its live data has changed.
type watched struct {
	memory
	backups   int
	unchanged func(backup.Meta) (bool, error)
}

func (w *watched) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	w.backups++
	return w.memory.Backup(ctx, dir)
}

func (w *watched) Unchanged(_ context.Context, m backup.Meta) (bool, error) { return w.unchanged(m) }

func TestR9EarlyBackupCountsOnlyIfNothingHasChanged(t *testing.T) {
	for name, c := range map[string]struct {
		same    bool
		err     error
		backups int
	}{
		"nothing has changed": {true, nil, 1},
		"it has changed":      {false, nil, 2},
		"it is not known":     {true, errors.New("input/output error"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s := &backup.Store{Dir: dir}
			target := &watched{memory: memory{live: map[string]string{"a": "while users work"}}, unchanged: func(m backup.Meta) (bool, error) {
				require.Equal(t, "memory", m.Kind)
				return c.same, c.err
			}}
			take, _, err := s.Early(t.Context(), "x", target)
			require.NoError(t, err)
			list, err := s.List()
			require.NoError(t, err)
			require.Empty(t, list, "it is no snapshot yet")
			other, err := (&backup.Store{Dir: dir}).Take(t.Context(), "another", &memory{live: map[string]string{"b": "b"}})
			require.NoError(t, err, "another one can be taken meanwhile, and does not remove it")
			if !c.same {
				target.live["a"] = "users are out"
			}
			snap, err := take(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.backups, target.backups)
			require.NoError(t, s.Verify(t.Context(), snap.Ref()))
			path, err := s.Path(snap.Ref())
			require.NoError(t, err)
			text, err := os.ReadFile(filepath.Join(path, "a"))
			require.NoError(t, err)
			require.Equal(t, target.live["a"], string(text))
			removed, err := s.Prune(t.Context(), backup.Retention{Newest: 1}, []string{other.ID, snap.ID})
			require.NoError(t, err, "the store is no longer locked")
			require.Empty(t, removed)
		})
	}
}

func TestEarlyBackupThatIsNotUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := &backup.Store{Dir: dir}
	target := &watched{memory: memory{live: map[string]string{"a": "a"}}}
	_, drop, err := s.Early(t.Context(), "x", target)
	require.NoError(t, err)
	require.NoError(t, drop())
	entries, err := filepath.Glob(filepath.Join(dir, ".taking-*"))
	require.NoError(t, err)
	require.Empty(t, entries)

	_, _, err = s.Early(t.Context(), "x", &target.memory)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	target.fail = errors.New("it changes while it is read")
	_, _, err = s.Early(t.Context(), "x", target)
	require.ErrorIs(t, err, target.fail)
	_, err = s.Prune(t.Context(), backup.Retention{Newest: 1}, []string{})
	require.NoError(t, err, "the store is not locked")
}

// TestRecheckReadsWhatMayHaveChanged counts the bytes that are read back.
func TestRecheckReadsWhatMayHaveChanged(t *testing.T) {
	var read int64
	s := &backup.Store{Dir: filepath.Join(t.TempDir(), "store")}
	s.Observe = func(e backup.Event) {
		if e.Kind == "verify" {
			read++
		}
	}
	target := &memory{live: map[string]string{"a": "a", "b": "b"}}
	snap, err := s.Take(t.Context(), "x", target)
	require.NoError(t, err)
	reads := func(do func() error) int64 {
		read = 0
		require.NoError(t, do())
		return read
	}
	recheck := func() error { return s.Recheck(t.Context(), snap.Ref()) }
	require.Zero(t, reads(recheck), "Take has read it back")
	require.NotZero(t, reads(func() error { return s.Verify(t.Context(), snap.Ref()) }))
	path, err := s.Path(snap.Ref())
	require.NoError(t, err)
	file := filepath.Join(path, "b")
	require.NoError(t, os.Chtimes(file, snap.Sealed.AddDate(0, 0, 1), snap.Sealed.AddDate(0, 0, 1)))
	require.NotZero(t, reads(recheck), "somebody was there")
	require.Zero(t, reads(recheck))

	other := &backup.Store{Dir: s.Dir, Observe: s.Observe}
	require.NotZero(t, reads(func() error { return other.Recheck(t.Context(), snap.Ref()) }), "another Store has read nothing")

	fi, err := os.Stat(file)
	require.NoError(t, err)
	for name, damage := range map[string]func() error{
		"another byte":   func() error { return os.WriteFile(file, []byte("x"), 0o600) },
		"its time, too":  func() error { return os.Chtimes(file, fi.ModTime(), fi.ModTime()) },
		"a file is gone": func() error { return os.Remove(file) },
		"added":          func() error { return os.WriteFile(file+".new", []byte("b"), 0o600) },
	} {
		require.NoError(t, os.WriteFile(file, []byte("b"), 0o600))
		_ = os.Remove(file + ".new")
		require.NoError(t, recheck(), name)
		if name == "its time, too" {
			require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
		}
		require.NoError(t, damage())
		require.ErrorIs(t, recheck(), backup.ErrDamaged, name)
		_, err := s.Restore(t.Context(), snap.Ref(), target)
		require.ErrorIs(t, err, backup.ErrDamaged, name)
	}
}
