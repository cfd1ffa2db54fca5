// Package backup makes backups that are proven and restores that are whole.
//
// The regulation asks for a backup copy before every update (R9) and for a
// way back to it (R15). What goes wrong with backups in practice is that a
// copy is cut short, or one of its bits flips, and that nobody notices until
// it is needed; and that a restore stops half way and leaves a database that
// is neither old nor new. So here:
//
//   - a snapshot is either sealed and verified, or it does not exist;
//   - a restore either happened or did not, and can be undone.
//
// # Words
//
// A [Target] is what can be lost: a database or a folder. It knows how to
// write itself into a folder and how to come back from one. Targets are in
// the packages below this one: files (a folder, an SQLite database) and
// postgres. Package backuptest holds the suite that every Target passes,
// also one of your own.
//
// A [Store] is a folder of snapshots. It knows nothing of databases: it names
// what a Target wrote, hashes it, seals it and checks it.
//
// A [Snapshot] is sealed once its manifest, with the size and the SHA-256 of
// every file, is on the disk together with the manifest's own SHA-256. It is
// verified once every byte was read back and hashed. Take does both under a
// temporary name and renames last: whatever has a snapshot's name was whole.
//
// It is proven once it was restored beside the live data, compared and dropped
// again, by [Store.Prove], on demand: that takes as long as a restore.
//
// [Restored] is a restore that has happened: what was there before is kept
// aside until Discard, and Undo brings it back.
//
// Old snapshots go by [Store.Prune], which is told how many and how young ones
// are to be kept and which an update still needs, and which removes nothing
// before the newest one of the same target has been read back whole.
//
// # Use
//
//	store := backup.Store{Dir: "/srv/backups"}
//	snap, err := store.Take(ctx, "before 7.13.100", target)
//	…
//	restored, err := store.Restore(ctx, snap.ID, target)
//	…
//	err = restored.Discard(ctx) // or Undo
//
// # What it does not do
//
// The hashes tell damage from wholeness. They do not tell a forger from the
// owner: who may write to the folder can write another snapshot. Nothing is
// encrypted; files are 0600 and folders 0700 because they hold personal data.
// The caller keeps users and writers away while a backup or a restore runs.
package backup
