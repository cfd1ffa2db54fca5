// Package postgres backs up and restores a PostgreSQL database, and keeps
// its users out while that goes on.
//
//	db := &postgres.Database{URI: "postgres://maintenance@db.example/app?passfile=/etc/app/pgpass"}
//	err := db.Close(ctx)                            // users out, the maintenance role comes in
//	snap, err := store.Take(ctx, "before 7.13.100", db)
//	…                                               // the update
//	restored, err := store.Restore(ctx, snap.ID, db) // only on the way back
//	err = db.Open(ctx)
//	err = db.Tidy(ctx)                              // when it is over for good
//
// # How
//
// A backup copies the database on the server (the clone: file by file, a
// second or two a gigabyte) and dumps the clone by pg_dump, compressed by
// zstd. The dump is the backup that the regulation asks for (R9); the clone
// stays until Tidy or the next backup because a restore from it takes seconds.
// Where the server's disk has no room for a clone, or a superuser's session
// stays on a closed database, the database itself is dumped, and the manifest
// and an event say why. A database that is open and in use is not backed up
// without its clone unless InPlace says so: what its users enter meanwhile
// would be lost on the way back; of a sequence that they use meanwhile only that
// it is there is compared.
//
// Beside the dump the manifest keeps what pg_dump leaves out: owner, rights,
// settings, comment and connection limit of the database, encoding and locale,
// the roles it refers to, the extensions with their versions, and, if Checksums
// asks for that, a count and a checksum of the rows of every table.
//
// A restore never touches the live database: it makes another one beside it,
// from the clone or else from the dump, gives it what pg_dump left out,
// compares it with the manifest, and swaps the two by renaming, in one
// transaction. The one that was live is kept aside under a name of its own.
//
// A proof (see [backup.Store.Prove]) makes such a database from the dump,
// compares and drops it, while users go on with the live one.
//
// # The role
//
// URI names the database and a superuser, the maintenance role. CONNECTION
// LIMIT 0 stops every other role, the database's owner included, and lets
// superusers in: the installer and the health probe need such a role too
// while the database is closed. Where the application itself connects as
// a superuser the database cannot tell them apart: then only the
// application's own fence keeps users out: Close fails with ErrBusy
// when the application keeps coming back, and tells by StageShared that it was
// there when it does not.
//
// # What it leaves on the server
//
// Databases named <database>_aspupdate_<kind>_<mark> (clone, new or old),
// never taken for ours by name alone, and settings of the database named
// aspupdate.*, so that a killed run is put in order by the next call.
//
// Not kept by a backup: roles and their passwords, tablespaces, security
// labels on the database, replication slots. A database with subscriptions is
// refused: a copy would lack them, and they write behind any fence.
package postgres
