package roles

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/rollback"
)

// Data is a [rollback.Data]: snapshots of Target in Store (R9, R15). It also has
// Needs, and Tidy and Counts for a Target that has them. Fence and State are
// optional.
type Data struct {
	Store  *backup.Store
	Name   string // for people; the same each time
	Target backup.Target
	// State is a directory for the records of the programs that Target runs, so that
	// a later process finds those whose updater has died. It must not be where another
	// user writes. A Target that runs none needs no State.
	State string
	// MustProve asks for a backup of the same shape that was restored beside the
	// live data and compared, before an update may start (R9). It is for data whose backup is
	// of another form, such as a dump.
	MustProve bool
	// SetupWrites is why a difference that the previous version's Setup has made in restored
	// data is only reported. "" means that a person decides (R15).
	SetupWrites string
	// Early has a backup made before users are kept out as well, of a Target that can be compared in
	// less time than that takes, such as a directory. It counts if nothing has changed once they are;
	// otherwise another is made, and this one has cost its time only. See [backup.Store.Early].
	Early bool
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

// recorded returns a context in which what Target runs is recorded.
func (d Data) recorded(ctx context.Context) context.Context {
	if d.State == "" {
		return ctx
	}
	return process.Recorded(ctx, d.State)
}

// Settle waits for programs of Target that a process before this one left running,
// or ends those whose time is up. It reports whether one was found and came to its
// own end.
func (d Data) Settle(ctx context.Context) (finished bool, err error) {
	if d.State == "" {
		return false, nil
	}
	return process.Settle(ctx, d.State)
}

// Snapshot makes a sealed and verified snapshot and returns its reference, which
// the journal keeps: an account that can write to the backups alone can then destroy
// the snapshot, but not have another one restored.
func (d Data) Snapshot(ctx context.Context) (ref string, err error) {
	if d.Fence != nil {
		if err := d.Fence.Close(ctx); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, d.Fence.Open(ctx)) }()
	}
	snap, err := d.Store.Take(d.recorded(ctx), d.snapshotName(), d.Target)
	if err != nil {
		return "", err
	}
	return snap.Ref(), nil
}

// Prepare makes a snapshot for [rollback.Data] if Early is set.
func (d Data) Prepare(ctx context.Context) (snapshot func(context.Context) (ref string, err error), drop func(context.Context) error, err error) {
	if !d.Early || d.Fence != nil {
		return nil, nil, errors.ErrUnsupported
	}
	take, remove, err := d.Store.Early(d.recorded(ctx), d.snapshotName(), d.Target)
	if err != nil {
		return nil, nil, err
	}
	snapshot = func(ctx context.Context) (string, error) {
		snap, err := take(d.recorded(ctx))
		if err != nil {
			return "", err
		}
		return snap.Ref(), nil
	}
	return snapshot, func(context.Context) error { return remove() }, nil
}

// vouched warns if the journal has no hash of the snapshot: a version before the
// references wrote it.
func (d Data) vouched(ref string) {
	if ref == backup.ID(ref) && d.Store.Observe != nil {
		d.Store.Observe(backup.Event{Time: time.Now().UTC(), Kind: backup.EventWarning, Text: d.Name + ": the journal of an earlier version has no hash of the snapshot " + ref +
			": it is compared with its own manifest alone"})
	}
}

// Verify reads the snapshot back from the disk, or what of it may have changed since Store has
// read it back, see [backup.Store.Recheck]. The error wraps [backup.ErrDamaged] if a byte
// differs from what was sealed, or if the snapshot is not the one that ref refers to. A
// reference that is an ID alone is accepted with a warning, because journals of earlier versions have no others.
func (d Data) Verify(ctx context.Context, ref string) error {
	d.vouched(ref)
	return d.Store.Recheck(ctx, ref)
}

// Restore replaces the live data with the snapshot, or on an error changes nothing.
// The replaced data is kept aside until Tidy.
func (d Data) Restore(ctx context.Context, ref string) error {
	d.vouched(ref)
	if _, err := d.Store.Restore(d.recorded(ctx), ref, d.Target); err != nil {
		return err
	}
	if d.Fence != nil { // it was closed when the snapshot was made
		return d.Fence.Open(ctx)
	}
	return nil
}

// RestoreDiffering is Restore for a person who has accepted these differences, see
// [rollback.Data]. The error is [errors.ErrUnsupported] if Target never keeps what differs.
func (d Data) RestoreDiffering(ctx context.Context, ref string, accepted []string) error {
	t, ok := d.Target.(differer)
	if !ok {
		return errors.ErrUnsupported
	}
	d.Target = accepting{d.Target, t, accepted}
	return d.Restore(ctx, ref)
}

type differer interface {
	RestoreDiffering(ctx context.Context, dir string, m backup.Meta, accepted []string) (backup.Restored, error)
}

// An accepting target restores what differs in an accepted way.
type accepting struct {
	backup.Target
	differer
	accepted []string
}

func (a accepting) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	return a.RestoreDiffering(ctx, dir, m, a.accepted)
}

// Tidy removes what Target kept aside.
func (d Data) Tidy(ctx context.Context) error {
	if t, ok := d.Target.(backup.Tidier); ok {
		return t.Tidy(d.recorded(ctx))
	}
	return nil
}

// Counts returns how many rows the live data has now, by table. The error is
// [errors.ErrUnsupported] if Target cannot count.
func (d Data) Counts(ctx context.Context) (map[string]int64, error) {
	if c, ok := d.Target.(backup.Counter); ok {
		return c.Counts(d.recorded(ctx))
	}
	return nil, errors.ErrUnsupported
}

// Needs returns the space that snapshot, update and rollback need on this machine.
// It leaves out what a database server needs elsewhere.
func (d Data) Needs(ctx context.Context) ([]rollback.Need, error) {
	needs, err := d.Store.Needs(d.recorded(ctx), d.Target)
	var local []rollback.Need
	for _, n := range needs {
		if n.Path != "" {
			local = append(local, rollback.Need{Path: n.Path, Bytes: n.Bytes, For: d.Name + ": " + n.For})
		}
	}
	return local, err
}

// Prove restores the newest snapshot beside the live data, compares and drops it, as
// [backup.Store.Prove]. The error wraps [backup.ErrNotFound] if there is none.
func (d Data) Prove(ctx context.Context) (backup.Snapshot, error) {
	snaps, err := d.Store.List()
	for _, snap := range slices.Backward(snaps) {
		if snap.Name == d.snapshotName() {
			return d.Store.Prove(d.recorded(ctx), snap.Ref(), d.Target)
		}
	}
	if err == nil {
		err = &backup.Error{Op: "prove", Subject: d.Name, Err: backup.ErrNotFound, Next: "take one first, as an update or a rehearsal does"}
	}
	return backup.Snapshot{}, err
}

// Proven returns when a backup of the shape that Target has now was last proven, and
// how long that took. The error says that none ever was, if MustProve asks for that.
func (d Data) Proven(ctx context.Context) (rollback.Proof, error) {
	snap, err := d.Store.Proof(ctx, d.snapshotName(), d.Target)
	if err == nil && d.MustProve && snap.Proven.IsZero() {
		err = errors.New("no backup like this one was ever restored and compared")
	}
	return rollback.Proof{At: snap.Proven, Took: snap.ProofTook}, err
}

// lastProof returns how long the last proof took, of whatever shape; 0 if there is none.
func (d Data) lastProof() (took time.Duration, err error) {
	snaps, err := d.Store.List()
	var last time.Time
	for _, snap := range snaps {
		if snap.Name == d.snapshotName() && snap.Proven.After(last) {
			last, took = snap.Proven, snap.ProofTook
		}
	}
	if took > 0 || errors.Is(err, backup.ErrDamaged) { // the snapshots that can be read are valid
		err = nil
	}
	return took, err
}

// lastTook returns how long snapshots take in the window, 0 if there is none yet: one that was
// made early may have to be made again.
func (d Data) lastTook() (time.Duration, error) {
	took, err := d.Store.Took(d.snapshotName())
	if _, ok := d.Target.(interface {
		Unchanged(ctx context.Context, m backup.Meta) (bool, error)
	}); ok && d.Early {
		took *= 2
	}
	return took, err
}
