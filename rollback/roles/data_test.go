package roles_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// newData returns the data of a directory with the file rows.
func newData(t *testing.T) (d roles.Data, rows string) {
	t.Helper()
	dir := t.TempDir()
	live := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(live, 0o700))
	rows = filepath.Join(live, "rows")
	require.NoError(t, os.WriteFile(rows, []byte("before"), 0o600))
	return roles.Data{Store: &backup.Store{Dir: filepath.Join(dir, "backups")}, Name: "database", Target: &files.Directory{Path: live}}, rows
}

func TestR15DataIsRestored(t *testing.T) {
	d, rows := newData(t)
	ref, err := d.Snapshot(t.Context())
	require.NoError(t, err)
	require.NoError(t, d.Verify(t.Context(), ref))
	snap, err := d.Store.Get(ref)
	require.NoError(t, err)
	require.Equal(t, "before an update: database", snap.Name)
	require.Equal(t, snap.Ref(), ref, "with its hash")

	// A journal of an earlier version has the ID alone.
	var texts []string
	d.Store.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning {
			texts = append(texts, e.Text)
		}
	}
	require.NoError(t, d.Verify(t.Context(), ref))
	require.Empty(t, texts)
	require.NoError(t, d.Verify(t.Context(), snap.ID))
	require.Equal(t, []string{"database: the journal of an earlier version has no hash of the snapshot " + snap.ID + ": it is compared with its own manifest alone"}, texts)

	require.NoError(t, os.WriteFile(rows, []byte("damaged"), 0o600))
	require.NoError(t, d.Restore(t.Context(), ref))
	require.Equal(t, "before", content(t, rows))
	beside := func() int {
		entries, err := os.ReadDir(filepath.Dir(filepath.Dir(rows)))
		require.NoError(t, err)
		return len(entries)
	}
	aside := beside()
	require.NoError(t, d.Tidy(t.Context()))
	require.Less(t, beside(), aside, "what was replaced stays until Tidy")
}

func TestR9DamagedSnapshotDoesNotVerify(t *testing.T) {
	d, rows := newData(t)
	ref, err := d.Snapshot(t.Context())
	require.NoError(t, err)
	dir, err := d.Store.Path(ref)
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text[len(text)/2] ^= 1
		return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, text, 0o600))
	}))
	require.ErrorIs(t, d.Verify(t.Context(), ref), backup.ErrDamaged)
	require.ErrorIs(t, d.Restore(t.Context(), ref), backup.ErrDamaged)
	require.Equal(t, "before", content(t, rows))
	require.ErrorIs(t, d.Verify(t.Context(), "no such snapshot"), backup.ErrNotFound)
}

// An account that can write to the backups puts another snapshot, with a manifest
// and a seal of its own, in the place of the one that the journal refers to.
func TestR15ReplacedSnapshotIsNotRestored(t *testing.T) {
	d, rows := newData(t)
	ref, err := d.Snapshot(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(rows, []byte("planted"), 0o600))
	planted, err := d.Store.Take(t.Context(), "x", d.Target)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(rows, []byte("today"), 0o600))
	id, at := backup.ID(ref), func(id string, name ...string) string {
		return filepath.Join(append([]string{d.Store.Dir, id}, name...)...)
	}
	manifest, err := os.ReadFile(at(planted.ID, "manifest.json"))
	require.NoError(t, err)
	manifest = bytes.ReplaceAll(manifest, []byte(planted.ID), []byte(id))
	require.NoError(t, os.WriteFile(at(planted.ID, "manifest.json"), manifest, 0o600))
	require.NoError(t, os.WriteFile(at(planted.ID, "manifest.sha256"), fmt.Appendf(nil, "%x  manifest.json\n", sha256.Sum256(manifest)), 0o600))
	require.NoError(t, os.RemoveAll(at(id)))
	require.NoError(t, os.Rename(at(planted.ID), at(id)))

	require.NoError(t, d.Store.Verify(t.Context(), id), "it is whole")
	require.ErrorIs(t, d.Verify(t.Context(), ref), backup.ErrDamaged)
	require.ErrorIs(t, d.Restore(t.Context(), ref), backup.ErrDamaged)
	require.Equal(t, "today", content(t, rows))
}

// A target calls a function when it is backed up.
type target struct {
	backup.Target
	backup func() error
}

func (t target) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	if err := t.backup(); err != nil {
		return backup.Meta{}, err
	}
	return t.Target.Backup(ctx, dir)
}

func TestDataThatIsClosedForItsSnapshotAlone(t *testing.T) {
	d, rows := newData(t)
	g, _ := gates(t, "", "database")
	d.Fence = g[0]
	closed, fails := false, error(nil)
	d.Target = target{d.Target, func() error { closed = g[0].closed(t); return fails }}
	ref, err := d.Snapshot(t.Context())
	require.NoError(t, err)
	require.True(t, closed)
	require.False(t, g[0].closed(t), "the installer comes in")

	closed, fails = false, errors.New("the disk is full")
	_, err = d.Snapshot(t.Context())
	require.ErrorIs(t, err, fails)
	require.True(t, closed)
	require.False(t, g[0].closed(t))

	require.NoError(t, os.WriteFile(rows, []byte("damaged"), 0o600))
	require.NoError(t, g[0].Close(t.Context())) // as it was in the snapshot
	require.NoError(t, d.Restore(t.Context(), ref))
	require.Equal(t, "before", content(t, rows))
	require.False(t, g[0].closed(t))

	g, _ = gates(t, "close database", "database")
	d.Fence, closed = g[0], false
	_, err = d.Snapshot(t.Context())
	require.ErrorContains(t, err, "close database fails")
	require.False(t, closed, "nothing is backed up while users may write")
	g, _ = gates(t, "open database", "database")
	d.Fence, fails = g[0], nil
	_, err = d.Snapshot(t.Context())
	require.ErrorContains(t, err, "open database fails")
}

// able is a target with every ability.
type able struct{ backup.Target }

func (able) Counts(context.Context) (map[string]int64, error) {
	return map[string]int64{"children": 2}, nil
}

func (able) Needs(context.Context) ([]backup.Need, error) {
	return []backup.Need{
		{Bytes: 1, For: backup.ForSnapshot},
		{Bytes: 2, For: backup.ForClone}, // on a server elsewhere
		{Path: "/srv/data", Bytes: 3, For: backup.ForOld},
	}, nil
}

func TestDataHasTheAbilitiesOfItsTarget(t *testing.T) {
	d, _ := newData(t)
	d.Target = target{Target: d.Target}
	_, err := d.Counts(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	needs, err := d.Needs(t.Context())
	require.NoError(t, err)
	require.Empty(t, needs)
	require.NoError(t, d.Tidy(t.Context()))

	d.Target = able{d.Target}
	counts, err := d.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"children": 2}, counts)
	needs, err = d.Needs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []rollback.Need{
		{Path: d.Store.Dir, Bytes: 1, For: "database: snapshot"},
		{Path: "/srv/data", Bytes: 3, For: "database: kept old"},
	}, needs)
}

func TestDataDoesNotPrintItsTarget(t *testing.T) {
	d, rows := newData(t)
	for _, format := range []string{"%v", "%+v", "%s"} {
		require.NotContains(t, fmt.Sprintf(format, rollback.Dataset{Name: "x", Data: d}), filepath.Dir(rows), format)
	}
}

// R11: how long the last backups took is planned for.
func TestR11WindowMeasuresTheLastBackups(t *testing.T) {
	d, _ := newData(t)
	clock := time.Date(2026, 1, 13, 4, 0, 0, 0, time.UTC)
	d.Store.Now = func() time.Time { clock = clock.Add(time.Minute); return clock }
	other := d
	other.Name = "other"
	data := []rollback.Dataset{{Name: "a", Data: d}, {Name: "b", Data: &other}, {Name: "c"}}
	planned := roles.Window{}
	planned.Estimate.Backup = 30 * time.Second
	w, err := planned.Measured(data, nil, 1)
	require.NoError(t, err)
	require.Equal(t, planned, w, "there is no backup yet")

	took := func(d roles.Data) time.Duration {
		ref, err := d.Snapshot(t.Context())
		require.NoError(t, err)
		snap, err := d.Store.Get(ref)
		require.NoError(t, err)
		require.GreaterOrEqual(t, snap.Sealed.Sub(snap.Started), time.Minute)
		return snap.Sealed.Sub(snap.Started)
	}
	first := took(d)
	w, err = planned.Measured(data, nil, 1)
	require.NoError(t, err)
	require.Equal(t, first, w.Estimate.Backup)
	both := first + took(other)
	w, err = planned.Measured(data, nil, 1)
	require.NoError(t, err)
	require.Equal(t, both, w.Estimate.Backup)
	w, err = planned.Measured(data, nil, 2)
	require.NoError(t, err)
	require.Equal(t, max(first, both-first), w.Estimate.Backup, "two are made at a time")
	w, err = planned.Measured(append(data, data[0]), nil, 2)
	require.NoError(t, err)
	require.Equal(t, min(first, both-first)+first, w.Estimate.Backup, "the third begins when the shorter one has ended")
	planned.Estimate.Backup = time.Hour
	w, err = planned.Measured(data, nil, 1)
	require.NoError(t, err)
	require.Equal(t, planned, w, "the worst case that a person gave is not made smaller")
}

// R9, R11: the plan has the last proof, and how long the restore took is planned for.
func TestR9ProofIsAskedForAndMeasured(t *testing.T) {
	d, _ := newData(t)
	clock := time.Date(2026, 1, 13, 4, 0, 0, 0, time.UTC)
	d.Store.Now = func() time.Time { clock = clock.Add(10 * time.Minute); return clock }
	_, err := d.Prove(t.Context())
	require.ErrorIs(t, err, backup.ErrNotFound)
	p, err := d.Proven(t.Context())
	require.NoError(t, err)
	require.Zero(t, p)
	d.MustProve = true
	_, err = d.Proven(t.Context())
	require.ErrorContains(t, err, "no backup like this one was ever restored and compared")

	ref, err := d.Snapshot(t.Context())
	require.NoError(t, err)
	planned := roles.Window{}
	planned.Estimate.Rollback = time.Minute
	data := []rollback.Dataset{{Name: "a", Data: d}}
	w, err := planned.Measured(data, nil, 1)
	require.NoError(t, err)
	require.Equal(t, time.Minute, w.Estimate.Rollback)

	snap, err := d.Prove(t.Context())
	require.NoError(t, err)
	require.Equal(t, ref, snap.Ref())
	p, err = d.Proven(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Proof{At: snap.Proven, Took: snap.ProofTook}, p)
	require.GreaterOrEqual(t, p.Took, 10*time.Minute)
	w, err = planned.Measured(data, nil, 1)
	require.NoError(t, err)
	require.Equal(t, p.Took+4*time.Minute, w.Estimate.Rollback)
	planned.Estimate.Rollback = 10 * time.Hour
	w, err = planned.Measured(data, nil, 1)
	require.NoError(t, err)
	require.Equal(t, 10*time.Hour, w.Estimate.Rollback)
}
