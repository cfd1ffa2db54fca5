package roles_test

import (
	"context"
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
	w, err := planned.Measured(data)
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
	w, err = planned.Measured(data)
	require.NoError(t, err)
	require.Equal(t, first, w.Estimate.Backup)
	both := first + took(other)
	w, err = planned.Measured(data)
	require.NoError(t, err)
	require.Equal(t, both, w.Estimate.Backup)
	planned.Estimate.Backup = time.Hour
	w, err = planned.Measured(data)
	require.NoError(t, err)
	require.Equal(t, planned, w, "the worst case that a person gave is not made smaller")
}
