// Package backup takes backups that are verified and restores them whole.
//
// The regulation asks for a backup before every update (R9) and for a rollback
// to it (R15). Backups fail in practice because a copy is cut short or a bit
// flips, which is noticed only when the copy is needed, and because a restore
// stops half way and leaves data that is neither old nor new. Therefore:
//
//   - a snapshot is sealed and verified, or it does not exist;
//   - a restore has happened or has not, and can be undone.
//
// # Terms
//
// A [Target] is a database or a directory. It writes itself into a directory and
// is restored from one. Packages files (directories, SQLite databases), postgres,
// mssql and command (the caller's own programs) have targets; package backuptest has
// the tests that every Target passes.
//
// A [Store] is a directory of snapshots. It names what a Target wrote, hashes
// it, seals it and verifies it, and knows nothing of databases.
//
// A [Snapshot] is sealed once its manifest, with the size and the SHA-256 of
// every file, is on disk together with the manifest's own SHA-256. It is
// verified once every byte was read back and hashed. [Store.Take] does both
// under a temporary name and renames last.
//
// A snapshot is proven once it was restored beside the live data, compared and
// dropped again, by [Store.Prove], which takes as long as a restore.
//
// [Restored] is a restore that has happened. What was live before is kept aside
// until Discard, and Undo brings it back.
//
// [Store.Prune] removes old snapshots. It keeps those that an update still needs, and
// removes nothing before it has read back the newest snapshot of the same target.
//
// # Use
//
//	store := &backup.Store{Dir: "/srv/backups"}
//	snap, err := store.Take(ctx, "before 7.13.100", target)
//	…
//	restored, err := store.Restore(ctx, snap.ID, target)
//	…
//	err = restored.Discard(ctx) // or Undo
//
// # Limits
//
// An account that may write to the store's directory can destroy snapshots, and
// can write others. A snapshot that is named by its reference, [Snapshot.Ref],
// is found out to be another; one that is named by its ID alone is not, nor is the
// record of a proof. Nothing is encrypted; files have mode 0600
// and directories 0700, because they hold personal data. The caller keeps users
// and other writers out while a backup or a restore runs.
package backup
