package backup

import (
	"context"
	"encoding/json"
)

// A Target is something that can be backed up and restored: a database, a
// folder. The Store names, hashes and seals what it writes.
//
// A Target is used by one call at a time, and its users are kept out by the
// caller (the fence): what they enter after Backup is lost by Restore. Both
// methods first put in order what an earlier call left unfinished when it
// was killed, so that the live data is the old or the new.
type Target interface {
	// Backup writes everything that Restore needs into dir, an empty folder
	// on a local disk: regular files and folders only. The live data is not
	// changed. When it fails, or ctx ends, what it wrote is thrown away.
	Backup(ctx context.Context, dir string) (Meta, error)

	// Restore replaces the live data by that in dir, which holds what Backup
	// wrote and is not written to. The new data is made beside the live data,
	// compared with what m says, and put in its place last: on an error the
	// live data is as it was. What was live is kept aside.
	Restore(ctx context.Context, dir string, m Meta) (Restored, error)
}

// Restored is a restore that has happened. Undo and Discard exclude each
// other; each may be repeated after an error, and does nothing once done. When the process is gone,
// what it kept aside is dropped by the target's Tidy.
type Restored interface {
	// Undo puts back what was live before the restore, and drops what the
	// restore had brought.
	Undo(ctx context.Context) error
	// Discard drops what was live before the restore.
	Discard(ctx context.Context) error
}

// Meta is what a Target tells about a backup, kept in the manifest.
type Meta struct {
	Kind   string            `json:"kind"`             // of the target: "folder", "sqlite", "postgres"
	Target string            `json:"target,omitempty"` // which one of its kind, the same each time: a path, a database of a server
	Engine string            `json:"engine,omitempty"` // what holds the live data, with its version
	Tools  map[string]string `json:"tools,omitempty"`  // the programs used, and their versions
	Detail json.RawMessage   `json:"detail,omitempty"` // what the target itself needs for its restore

	// Sums are the SHA-256 (lower-case hex) of files in dir, by slash-separated
	// path, as the target computed them while it wrote. The store hashes
	// the files that are not named here. Reading back then proves that what was
	// written is what was meant.
	Sums map[string]string `json:"-"`
}

// Tidier is a Target that can leave things behind: copies kept for a quick
// way back, what a restore kept aside, what a killed run left half made.
type Tidier interface {
	// Tidy drops all of these, and nothing that it does not know for its own.
	// It is called when an update has ended, committed or rolled back for good.
	Tidy(ctx context.Context) error
}

// A Need is room that a backup, the update after it, or the way back takes on
// top of what is in use now.
type Need struct {
	Path  string // where, "" when the target cannot tell (a database server elsewhere)
	Bytes int64  // an estimate from above
	For   string // what for, one of the For constants or the target's own words
}

// What room is needed for. The one for ForSnapshot is where the store lies,
// which a target does not know: [Store.Needs] fills in its Path.
const (
	ForSnapshot = "snapshot"      // the sealed copy in the store
	ForClone    = "clone"         // a copy for the quick way back
	ForRestored = "restored copy" // what a restore makes beside the live data
	ForOld      = "kept old"      // what an update may add to the live data, later kept aside
)

// Sizer is a Target that can tell the room it needs.
type Sizer interface {
	Needs(ctx context.Context) ([]Need, error)
}

// Counter is a Target that can tell how many rows its live data has, by table.
// It reads them: on large data that takes as long as reading it, and ctx ends
// it. A caller who goes back to a snapshot can so tell people how much was
// entered since.
type Counter interface {
	Counts(ctx context.Context) (map[string]int64, error)
}
