package backup

import (
	"context"
	"encoding/json"
	"fmt"
)

// A Target can be backed up and restored. It writes files into a directory,
// which the Store names, hashes and seals.
//
// A Target may have more methods:
//
//	Shape(ctx context.Context) (string, error)
//
// returns what Meta.Shape of a backup would be now, without making one. The shape
// of a Target without it is "".
//
//	Compare(ctx context.Context, dir string, m Meta) (again bool, err error)
//
// compares the live data with what Backup wrote into dir, by what Restore compares. The error
// wraps [ErrMismatch] if they differ; any other means that they could not be compared,
// [errors.ErrUnsupported] that this backup cannot be. Again reports whether it may be restored
// once more if an installer has changed it since, as a directory may; of a database a person decides.
//
//	Unchanged(ctx context.Context, m Meta) (bool, error)
//
// reports whether the live data is still what Backup wrote, with everything that Restore brings
// back, in less time than Backup takes; see Store.Early.
//
// A Target whose Restore fails because the restored data differs may keep it beside the live
// data until Tidy. The error then wraps [ErrMismatch] and has a method
//
//	Beside() (name string, differences []string)
//
// and the Target has
//
//	RestoreDiffering(ctx context.Context, dir string, m Meta, accepted []string) (Restored, error)
//
// which restores all the same if the data differs in just this way.
//
// A Target is used by one call at a time, and the caller keeps users out (the
// fence): what they enter after Backup is lost by Restore. Both methods first
// finish or undo what a killed call left, so that the live data is the old or
// the new.
type Target interface {
	// Backup writes everything that Restore needs into dir, an empty directory
	// on a local disk: regular files and directories only. It does not change
	// the live data. If it fails or ctx ends, the caller removes dir.
	Backup(ctx context.Context, dir string) (Meta, error)

	// Restore replaces the live data with that in dir, which Backup wrote and
	// which it only reads. It makes the new data beside the live data, compares it
	// with m, and puts it in place last: after an error the live data is as it
	// was. What was live is kept aside.
	Restore(ctx context.Context, dir string, m Meta) (Restored, error)
}

// Restored is a restore that has happened. Undo and Discard exclude each
// other; each can be repeated after an error, and does nothing once done. If
// the process dies first, the target's Tidy drops what was kept aside.
type Restored interface {
	// Undo puts back what was live before, and drops what was restored.
	Undo(ctx context.Context) error
	// Discard drops what was live before.
	Discard(ctx context.Context) error
}

// Meta describes a backup. It is kept in the manifest.
type Meta struct {
	Kind   string            `json:"kind"`             // of the target: "directory", "sqlite", "postgres", "mssql", "command"
	Target string            `json:"target,omitempty"` // which one of its kind, the same each time: a path, a database of a server
	Engine string            `json:"engine,omitempty"` // what holds the live data, with its version
	Tools  map[string]string `json:"tools,omitempty"`  // programs used, and their versions
	Detail json.RawMessage   `json:"detail,omitempty"` // what the target needs for its restore, see Decode

	// Shape says in one line what decides whether a backup can be restored, apart
	// from its rows: the engine's version, encoding, extensions. A proof of one backup is
	// worth something for the next ones of the same shape, see Store.Proof.
	Shape string `json:"shape,omitempty"`

	// Sums are SHA-256 sums (lower-case hex) of files in dir, by slash-separated
	// path, which the target computed while it wrote them. The store hashes the
	// files that are not listed. Reading a file back then proves that it holds
	// what the target meant to write. Restore and Prove get the sums of all files:
	// since they were verified, another account may have replaced one.
	Sums map[string]string `json:"-"`
}

// Decode unmarshals Detail into detail if the backup is of that kind of target.
// The error wraps [ErrIncompatible].
func (m Meta) Decode(kind string, detail any) error {
	if m.Kind != kind {
		return fmt.Errorf("%w: the snapshot is of kind %q and the target of kind %q", ErrIncompatible, m.Kind, kind)
	}
	if err := json.Unmarshal(m.Detail, detail); err != nil {
		return fmt.Errorf("%w: cannot read the detail in the manifest: %w", ErrIncompatible, err)
	}
	return nil
}

// A Tidier is a Target that can leave things behind: copies for a quick
// rollback, what a restore kept aside, what a killed call left half made.
type Tidier interface {
	// Tidy drops all of these, and nothing that is not known to be its own. It is
	// called when an update has ended, committed or rolled back for good.
	Tidy(ctx context.Context) error
}

// A Prover is a Target that can prove that a backup can be restored.
type Prover interface {
	// Prove restores what Backup wrote in dir to a place of its own, compares it
	// with m, and removes it. It does not touch the live data, which may be in use.
	Prove(ctx context.Context, dir string, m Meta) error
}

// A Need is space that a backup, the update after it, or a rollback needs in
// addition to what is in use now.
type Need struct {
	Path  string // on which volume; "" if not known (a database server elsewhere)
	Bytes int64  // an upper estimate
	For   string // a For constant, or the target's own words
}

// What space is needed for. A target does not know where the store is: [Store.Needs]
// sets the Path of ForSnapshot.
const (
	ForSnapshot = "snapshot"      // the sealed copy in the store
	ForClone    = "clone"         // a copy for a quick rollback
	ForRestored = "restored copy" // what a restore makes beside the live data
	ForOld      = "kept old"      // what an update may add to the live data, later kept aside
)

// A Sizer is a Target that knows how much space it needs.
type Sizer interface {
	Needs(ctx context.Context) ([]Need, error)
}

// A Counter is a Target that can count the rows of its live data, by table. It
// reads all of them, until ctx ends. Before a restore the caller can use it to
// say how much was entered since the backup.
type Counter interface {
	Counts(ctx context.Context) (map[string]int64, error)
}
