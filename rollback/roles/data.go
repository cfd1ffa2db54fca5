package roles

import (
	"context"
	"errors"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/rollback"
)

// Data is a [rollback.Data]: snapshots of Target in Store (R9, R15). It is also a
// [rollback.Spacer], and has Tidy and Counts for a Target that has them. Only Fence
// is optional.
type Data struct {
	Store  *backup.Store
	Name   string // for people; the same each time
	Target backup.Target
	// Fence is closed only while a snapshot is made. It is for a database that
	// installer and probe enter with the application's own role, so that the
	// database cannot distinguish them from users: only the fence of the update
	// keeps users out, and that fence must have [OpenOnly] of this one. It is
	// nil if the fence of the update closes the database.
	Fence rollback.Fence
}

// String returns Name, so that fmt does not print a connection string of Target.
func (d Data) String() string { return d.Name }

func (d Data) snapshotName() string { return "before an update: " + d.Name }

// Snapshot makes a sealed and verified snapshot and returns its ID.
func (d Data) Snapshot(ctx context.Context) (ref string, err error) {
	if d.Fence != nil {
		if err := d.Fence.Close(ctx); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, d.Fence.Open(ctx)) }()
	}
	snap, err := d.Store.Take(ctx, d.snapshotName(), d.Target)
	return snap.ID, err
}

// Verify reads every byte of the snapshot back from the disk. The error wraps
// [backup.ErrDamaged] if one differs from what was sealed.
func (d Data) Verify(ctx context.Context, ref string) error { return d.Store.Verify(ctx, ref) }

// Restore replaces the live data with the snapshot, or on an error changes nothing.
// The replaced data is kept aside until Tidy.
func (d Data) Restore(ctx context.Context, ref string) error {
	if _, err := d.Store.Restore(ctx, ref, d.Target); err != nil {
		return err
	}
	if d.Fence != nil { // it was closed when the snapshot was made
		return d.Fence.Open(ctx)
	}
	return nil
}

// Tidy removes what Target kept aside.
func (d Data) Tidy(ctx context.Context) error {
	if t, ok := d.Target.(backup.Tidier); ok {
		return t.Tidy(ctx)
	}
	return nil
}

// Counts returns how many rows the live data has now, by table. The error is
// [errors.ErrUnsupported] if Target cannot count.
func (d Data) Counts(ctx context.Context) (map[string]int64, error) {
	if c, ok := d.Target.(backup.Counter); ok {
		return c.Counts(ctx)
	}
	return nil, errors.ErrUnsupported
}

// Needs returns the space that snapshot, update and rollback need on this machine.
// It leaves out what a database server needs elsewhere.
func (d Data) Needs(ctx context.Context) ([]rollback.Need, error) {
	needs, err := d.Store.Needs(ctx, d.Target)
	var local []rollback.Need
	for _, n := range needs {
		if n.Path != "" {
			local = append(local, rollback.Need{Path: n.Path, Bytes: n.Bytes, For: d.Name + ": " + n.For})
		}
	}
	return local, err
}

// lastTook returns how long the last snapshot took, 0 if there is none.
func (d Data) lastTook() (time.Duration, error) { return d.Store.Took(d.snapshotName()) }
