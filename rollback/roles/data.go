package roles

import (
	"context"
	"errors"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/rollback"
)

// Data is one dataset of an update: the snapshots of Target in Store (R9, R15).
// It is a [rollback.Spacer], and has Tidy and Counts for a Target that has them.
type Data struct {
	Store  *backup.Store
	Name   string // for people, in the snapshots and where space is short; the same each time
	Target backup.Target
	// Fence is closed while the snapshot is made, and open for the installer
	// and the probe. It is for a database that they enter by the application's
	// own role, so that the database cannot distinguish them from users: then only
	// the update's fence keeps users out. That fence must have [OpenOnly] of
	// this one. nil means that the update's fence closes the database as well.
	Fence rollback.Fence
}

// String returns Name. fmt would print the fields, and a Target may hold a
// connection string.
func (d Data) String() string { return d.Name }

func (d Data) snapshotName() string { return "before an update: " + d.Name }

// Snapshot takes a sealed and verified snapshot and returns its ID.
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

// Verify reads every byte of the snapshot back from the disk; the error wraps
// [backup.ErrDamaged] if one is not what was sealed.
func (d Data) Verify(ctx context.Context, ref string) error { return d.Store.Verify(ctx, ref) }

// Restore makes the live data equal the snapshot, or changes nothing. What it
// replaced stays aside until Tidy.
func (d Data) Restore(ctx context.Context, ref string) error {
	if _, err := d.Store.Restore(ctx, ref, d.Target); err != nil {
		return err
	}
	if d.Fence != nil { // the snapshot may have been taken behind the closed fence
		return d.Fence.Open(ctx)
	}
	return nil
}

// Tidy drops what the target kept aside.
func (d Data) Tidy(ctx context.Context) error {
	if t, ok := d.Target.(backup.Tidier); ok {
		return t.Tidy(ctx)
	}
	return nil
}

// Counts returns how many rows the live data has now, by table. A target that
// cannot count is [errors.ErrUnsupported].
func (d Data) Counts(ctx context.Context) (map[string]int64, error) {
	if c, ok := d.Target.(backup.Counter); ok {
		return c.Counts(ctx)
	}
	return nil, errors.ErrUnsupported
}

// Needs returns the space that snapshot, update and rollback use on this
// machine. A database server elsewhere watches its own.
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
