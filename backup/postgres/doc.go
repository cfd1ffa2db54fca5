// Package postgres backs up and restores a PostgreSQL database, and closes it to
// users meanwhile.
//
//	db := &postgres.Database{URI: "postgres://maintenance@db.example/app?passfile=/etc/app/pgpass"}
//	err := db.Close(ctx)                             // closes users out
//	snap, err := store.Take(ctx, "before 7.13.100", db)
//	…                                                // the update
//	restored, err := store.Restore(ctx, snap.ID, db) // only to roll back
//	err = db.Open(ctx)                               // lets users in
//	err = db.Tidy(ctx)                               // when the update has ended for good
//
// # How it works
//
// A backup copies the database on the server (the clone: file by file, a second
// or two a gigabyte) and dumps the clone with pg_dump, compressed by zstd. The
// dump is the backup that the regulation asks for (R9). The clone is kept until Tidy
// or the next backup, because a restore from it takes seconds. If the server's
// disk has no space for a clone, or a superuser's session stays on a closed
// database, the database itself is dumped, and the manifest and an event say
// why. A database that is open is only backed up through a clone: what users enter meanwhile
// would be lost in a rollback, and they could put something else in the place of
// what pg_dump reads by name.
//
// Besides the dump the manifest keeps what pg_dump leaves out: owner, grants,
// settings, comment and connection limit of the database, encoding and locale,
// the roles it refers to, the extensions with their versions, and, with
// Checksums, a count and a checksum of the rows of every table.
//
// A restore never touches the live database. It makes another one beside it,
// from the clone or else from the dump, applies what pg_dump left out, compares
// the result with the manifest, and swaps the two by renaming, in one
// transaction. The one that was live is kept aside.
//
// A proof (see [backup.Store.Prove]) makes such a database from the dump,
// compares and drops it, while users go on with the live one.
//
// # The maintenance role
//
// URI names the database and the maintenance role, a superuser. CONNECTION
// LIMIT 0 stops every other role, including the database's owner, and lets
// superusers in: the installer and the health probe need such a role too while
// the database is closed. If the application itself connects as a superuser, the
// database cannot distinguish the two, and only the application's own fence keeps
// users out: Close fails with [backup.ErrBusy] if the application keeps
// reconnecting, and otherwise warns that it was connected.
//
// It should be a superuser: before PostgreSQL 15 no other role will do. From 15 on it may be a role that
// Versions finds to have the rights that it needs: LOGIN CREATEDB CREATEROLE; membership in
// pg_read_all_data, pg_monitor, pg_signal_backend and in the owner of the database; and SET on the parameters
// aspupdate.connection_limit, aspupdate.owner, aspupdate.grants, aspupdate.kind, aspupdate.snapshot, aspupdate.swapping and
// session_preload_libraries. No other role may be a member of it. It closes a database by owning it and
// taking all others' right to connect, and is in itself. Objects in the database must belong to the database's owner, or to extensions
// that are trusted; what only a superuser can make (event triggers, functions in C, publications of all tables and so on) and tables
// with FORCE ROW LEVEL SECURITY are refused by Versions and Take, with their names. Close and Open must be done by the same role.
//
// Nothing in the database is run with the rights of the maintenance role. Sessions have the settings of ours, tables are read by COPY,
// which evaluates nothing, and Ask queries with the rights of Reader or of the database's owner. A
// dump is loaded by a login that is made for it, aspupdate_load_ and eight digits
// that depend on the database's name, and dropped after. It owns nothing else and has no
// other rights, and enters no database but the copy; pg_hba.conf must let it connect with a password from
// where the maintenance role connects, or, if that uses a socket, from 127.0.0.1. Versions tries that.
//
// Code of one owner that runs while a dump is loaded can change rows of another owner.
// Checksums make that a difference; without them it is not noticed. Code
// that works only as its owner fails, because it runs as the login.
//
// # What it leaves on the server
//
// Databases named <database>_aspupdate_<kind>_<mark>, of the kinds clone, new and
// old, and settings of databases named aspupdate.*, by which the next call
// recognizes and finishes what a killed run left.
//
// A backup does not keep roles and their passwords, tablespaces, security labels
// on the database, and replication slots. A database with subscriptions is
// refused: a copy would lack them, and they write despite the fence.
package postgres
