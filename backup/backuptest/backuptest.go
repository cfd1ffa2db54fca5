// Package backuptest has the tests that every [backup.Target] must pass, including
// one of your own:
//
//	func TestTarget(t *testing.T) {
//		backuptest.Test(t, func(t *testing.T) backuptest.Fixture { … })
//	}
package backuptest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// A Fixture is a target with live data that the test may change.
type Fixture struct {
	Target backup.Target
	// Change changes the live data, as an update would, each time to
	// something different: it adds, alters and removes data.
	Change func(t *testing.T)
	// State describes all of the live data that a backup keeps: two states are
	// equal if and only if the data is.
	State func(t *testing.T) string
}

// Test runs the tests. It calls fixture once for each of them to make new data.
// Tests of optional interfaces that the target lacks, such as [backup.Prover], are skipped.
func Test(t *testing.T, fixture func(t *testing.T) Fixture) {
	for _, c := range []struct {
		name string
		test func(*testing.T, suite)
	}{
		{"BackupChangesNothing", backupChangesNothing},
		{"RestoreBringsTheOldStateBack", restoreBringsTheOldStateBack},
		{"UndoBringsTheChangedStateBack", undoBringsTheChangedStateBack},
		{"RestoreTwice", restoreTwice},
		{"TidyLeavesTheLiveDataAlone", tidyLeavesTheLiveDataAlone},
		{"TidiedSnapshotStillRestores", tidiedSnapshotStillRestores},
		{"ProofLeavesTheLiveDataAlone", proofLeavesTheLiveDataAlone},
		{"WhatHasChangedIsFound", whatHasChangedIsFound},
		{"EarlyBackupCountsOnlyIfNothingChanges", earlyBackupCountsOnlyIfNothingChanges},
		{"DamagedSnapshotIsRefused", damagedSnapshotIsRefused},
		{"ForeignSnapshotIsRefused", foreignSnapshotIsRefused},
		{"CanceledLeavesTheLiveDataAlone", canceledLeavesTheLiveDataAlone},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, suite{fixture(t), &backup.Store{Dir: filepath.Join(t.TempDir(), "store")}})
		})
	}
}

type suite struct {
	Fixture
	store *backup.Store
}

func (s suite) take(t *testing.T) string {
	t.Helper()
	snap, err := s.store.Take(t.Context(), "резервная копия", s.Target)
	require.NoError(t, err)
	require.NotEmpty(t, snap.Meta.Kind)
	return snap.ID
}

func (s suite) restore(t *testing.T, id string) backup.Restored {
	t.Helper()
	r, err := s.store.Restore(t.Context(), id, s.Target)
	require.NoError(t, err)
	return r
}

func backupChangesNothing(t *testing.T, s suite) {
	before := s.State(t)
	id := s.take(t)
	require.Equal(t, before, s.State(t))
	require.NoError(t, s.store.Verify(t.Context(), id))
	s.Change(t)
	require.NotEqual(t, before, s.State(t), "Change of the fixture must change something that State describes")
	require.NoError(t, s.store.Verify(t.Context(), id), "the snapshot is a copy, not a link")
}

func restoreBringsTheOldStateBack(t *testing.T, s suite) {
	before := s.State(t)
	id := s.take(t)
	s.Change(t)
	r := s.restore(t, id)
	require.Equal(t, before, s.State(t))
	require.NoError(t, s.store.Verify(t.Context(), id), "a restore leaves the snapshot as it is")
	require.NoError(t, r.Discard(t.Context()))
	require.NoError(t, r.Discard(t.Context()), "repeating is fine")
	require.Equal(t, before, s.State(t))
}

func undoBringsTheChangedStateBack(t *testing.T, s suite) {
	id := s.take(t)
	s.Change(t)
	changed := s.State(t)
	r := s.restore(t, id)
	require.NotEqual(t, changed, s.State(t))
	require.NoError(t, r.Undo(t.Context()))
	require.Equal(t, changed, s.State(t))
	require.NoError(t, r.Undo(t.Context()), "repeating is fine")
	require.Equal(t, changed, s.State(t))
}

func restoreTwice(t *testing.T, s suite) {
	before := s.State(t)
	id := s.take(t)
	s.Change(t)
	s.restore(t, id)
	require.Equal(t, before, s.State(t))
	s.Change(t)
	changed := s.State(t)
	second := s.restore(t, id)
	require.Equal(t, before, s.State(t))
	require.NoError(t, second.Undo(t.Context()))
	require.Equal(t, changed, s.State(t), "it undoes the second restore, not the first")
}

func tidyLeavesTheLiveDataAlone(t *testing.T, s suite) {
	tidier, ok := s.Target.(backup.Tidier)
	if !ok {
		t.Skip("the target is not a backup.Tidier")
	}
	id := s.take(t)
	s.Change(t)
	changed := s.State(t)
	require.NoError(t, tidier.Tidy(t.Context()))
	require.Equal(t, changed, s.State(t))
	r := s.restore(t, id)
	restored := s.State(t)
	require.NoError(t, tidier.Tidy(t.Context()))
	require.Equal(t, restored, s.State(t))
	require.Error(t, r.Undo(t.Context()), "what was kept aside is gone, and Undo must fail")
	require.Equal(t, restored, s.State(t))
}

func tidiedSnapshotStillRestores(t *testing.T, s suite) {
	before := s.State(t)
	id := s.take(t)
	s.Change(t)
	if tidier, ok := s.Target.(backup.Tidier); ok {
		require.NoError(t, tidier.Tidy(t.Context()))
	}
	s.restore(t, id)
	require.Equal(t, before, s.State(t), "the snapshot alone is enough")
}

func proofLeavesTheLiveDataAlone(t *testing.T, s suite) {
	prover, ok := s.Target.(backup.Prover)
	if !ok {
		t.Skip("the target is not a backup.Prover")
	}
	id := s.take(t)
	s.Change(t)
	changed := s.State(t)
	snap, err := s.store.Get(id)
	require.NoError(t, err)
	require.Zero(t, snap.Proven)

	// Bypass the store, which would verify the snapshot first.
	dir, err := s.store.Path(id)
	require.NoError(t, err)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, whole[:len(whole)/2], 0o600))
		require.Error(t, prover.Prove(t.Context(), dir, snap.Meta), "%s was cut short", d.Name())
		return os.WriteFile(path, whole, 0o600)
	})
	require.NoError(t, err)
	require.Equal(t, changed, s.State(t))
	require.ErrorIs(t, prover.Prove(t.Context(), dir, backup.Meta{Kind: "something else"}), backup.ErrIncompatible)

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.store.Prove(canceled, id, s.Target)
	require.ErrorIs(t, err, context.Canceled)

	snap, err = s.store.Prove(t.Context(), id, s.Target)
	require.NoError(t, err)
	require.NotZero(t, snap.Proven)
	require.Equal(t, changed, s.State(t))
	require.NoError(t, s.store.Verify(t.Context(), id), "what was sealed stays as it was")
}

func whatHasChangedIsFound(t *testing.T, s suite) {
	c, ok := s.Target.(interface {
		Compare(ctx context.Context, dir string, m backup.Meta) (again bool, err error)
	})
	if !ok {
		t.Skip("the target has no Compare")
	}
	id := s.take(t)
	snap, err := s.store.Get(id)
	require.NoError(t, err)
	dir, err := s.store.Path(id)
	require.NoError(t, err)
	compare := func() error {
		_, err := c.Compare(t.Context(), dir, snap.Meta)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("the target cannot compare this backup")
		}
		return err
	}
	require.NoError(t, compare())
	s.Change(t)
	changed := s.State(t)
	require.ErrorIs(t, compare(), backup.ErrMismatch)
	require.Equal(t, changed, s.State(t))
	s.restore(t, id)
	require.NoError(t, compare())
	require.NoError(t, s.store.Verify(t.Context(), id), "what was sealed stays as it was")
	_, err = c.Compare(t.Context(), dir, backup.Meta{Kind: "something else"})
	require.ErrorIs(t, err, backup.ErrIncompatible)

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Compare(canceled, dir, snap.Meta)
	require.ErrorIs(t, err, context.Canceled)
}

func earlyBackupCountsOnlyIfNothingChanges(t *testing.T, s suite) {
	for _, change := range []func(*testing.T){nil, s.Change} {
		take, _, err := s.store.Early(t.Context(), "x", s.Target)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("the target has no Unchanged")
		}
		require.NoError(t, err)
		if change != nil {
			change(t)
		}
		before := s.State(t)
		snap, err := take(t.Context())
		require.NoError(t, err)
		s.Change(t)
		s.restore(t, snap.Ref())
		require.Equal(t, before, s.State(t))
	}
}

func damagedSnapshotIsRefused(t *testing.T, s suite) {
	id := s.take(t)
	s.Change(t)
	changed := s.State(t)
	dir, err := s.store.Path(id)
	require.NoError(t, err)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		flipped := append([]byte(nil), whole...)
		flipped[len(flipped)/2] ^= 1
		for _, damaged := range [][]byte{flipped, whole[:len(whole)/2], {}} {
			require.NoError(t, os.WriteFile(path, damaged, 0o600))
			_, err := s.store.Restore(t.Context(), id, s.Target)
			require.ErrorIs(t, err, backup.ErrDamaged)
		}
		return os.WriteFile(path, whole, 0o600)
	})
	require.NoError(t, err)
	require.Equal(t, changed, s.State(t))
}

func foreignSnapshotIsRefused(t *testing.T, s suite) {
	before := s.State(t)
	_, err := s.Target.Restore(t.Context(), t.TempDir(), backup.Meta{Kind: "something else"})
	require.ErrorIs(t, err, backup.ErrIncompatible)
	require.Equal(t, before, s.State(t))
}

func canceledLeavesTheLiveDataAlone(t *testing.T, s suite) {
	before := s.State(t)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.store.Take(canceled, "canceled", s.Target)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Target.Backup(canceled, t.TempDir())
	require.True(t, errors.Is(err, context.Canceled), "%v", err)
	list, err := s.store.List()
	require.NoError(t, err)
	require.Empty(t, list)

	id := s.take(t)
	s.Change(t)
	changed := s.State(t)
	snap, err := s.store.Get(id)
	require.NoError(t, err)
	dir, err := s.store.Path(id)
	require.NoError(t, err)
	_, err = s.Target.Restore(canceled, dir, snap.Meta)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, changed, s.State(t))
	s.restore(t, id)
	require.Equal(t, before, s.State(t), "and a later one succeeds")
}
