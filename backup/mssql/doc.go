// Package mssql backs up and restores a SQL Server database, and closes it to users
// meanwhile.
//
//	db := &mssql.Database{URI: "sqlserver://maintenance:…@localhost?database=asp", Dir: `D:\Exchange`}
//	db.Tested, err = db.SelfTest(ctx)                // once on each server and version; store it
//	_, err = db.Check(ctx)                           // before users are put out
//	err = db.Close(ctx)                              // closes users out
//	snap, err := store.Take(ctx, "before 7.13.100", db)
//	…                                                // the update
//	restored, err := store.Restore(ctx, snap.ID, db) // only to roll back
//	err = db.Open(ctx)                               // lets users in
//	err = db.Tidy(ctx)                               // when the update has ended for good
//
// # What was run, and what was not
//
// The authors have run this package against a model of SQL Server that they wrote
// from Microsoft's documentation, with a crash and a lost connection at every
// statement, and not on a real server. Therefore Backup and Restore are refused until
// [Database.SelfTest] has passed on the caller's own server, in its present version:
// it carries out everything that is described here on a database of its own. The same
// tests run on a real server if ASPUPDATE_MSSQL_URI names one; the workflow
// .github/workflows/mssql.yml does that in a container of Microsoft's.
//
// # How it works
//
// A backup is made by the server: BACKUP DATABASE WITH COPY_ONLY, CHECKSUM, compressed
// where the edition can. It disturbs no other plan of backups. The server's account writes the
// file to Dir, the exchange directory, and checks it (RESTORE VERIFYONLY); then this
// program copies it into the snapshot, hashes it, and removes it from Dir. The manifest
// also keeps owner, options, files, users with their logins, a list of all objects, and
// for every table the number of rows and a checksum.
//
// A restore never touches the live database. The backup goes through Dir again, and
// the server restores it under another name, to other files. Then DBCC CHECKDB runs,
// the contents are compared with the manifest, and what RESTORE resets is set: the
// owner, TRUSTWORTHY, DB_CHAINING, and the logins of users where those were made again.
// Two renames swap it in. What was live is kept aside until Discard or Tidy.
//
// SQL Server cannot rename two databases in one transaction. If a run is killed between
// the two renames, nothing has the live name; the next call of any method but Check, Closed, Needs
// and Counts gives it back to the old data. By hand: ALTER DATABASE
// [<name>_aspupdate_old_<mark>] MODIFY NAME = [<name>].
//
// A name does not say which database it is: somebody can make another one under the live
// name between the two renames. A database is known by its number and its database_guid
// (sys.database_recovery_status): the mark in the name of what was live is made from them, and
// what was restored is known by its files, whose names the restore has chosen. Each
// statement that drops, renames or changes a database is in one batch with a check that
// the name still has that database. What is kept aside is dropped only while the live name has
// what was live or what was restored. If another one has taken the name, all methods but
// Closed, Needs and Counts fail with [backup.ErrBusy] and what to do, and change nothing.
//
// Only one of two databases with the same Service Broker identifier can have the broker
// enabled. It is enabled in the restored database after the swap, and disabled in the
// one that is kept aside, which has the extended property aspupdate.broker until it is
// live again.
//
// A proof (see [backup.Store.Prove]) makes such a database, compares and drops it,
// while users go on with the live one.
//
// # The fence
//
// Close sets RESTRICTED_USER and ends all sessions. The server then lets in sysadmins,
// members of dbcreator, the owner, and members of db_owner: the installer and the
// health probe need a login that is a sysadmin, and the application one that is none of
// these. Otherwise only the application's own fence keeps its users out:
// Check refuses such a database, and one on which a sysadmin's session is that is not ours,
// unless OwnersOut confirms that there is one. Backup,
// Restore and Undo are refused while the database is open. Open sets MULTI_USER.
//
// # Rights
//
// The login must be a sysadmin. What is in a database belongs to others, and can run
// code of theirs when it is read: a computed column, a policy, a trigger of the database. All that
// is done there is done as its owner (EXECUTE AS USER = 'dbo' WITH NO REVERT), who
// has no rights outside it, unless the database is TRUSTWORTHY and belongs to a
// sysadmin: then its owners have these rights anyway.
//
// Who can write to Dir can replace a file there while it is on its way. It is then
// restored beside and found out by the comparison, and is not swapped in. Let no one write there
// but this account and the server's. On Linux let the directory belong to the
// server's group, with the set-group-ID bit, or run as root.
//
// # Limits
//
// SQL Server 2012 or newer, on Windows or Linux; no service of the cloud. Refused
// are databases in availability groups, with mirroring, log shipping, replication, change data
// capture, FILESTREAM, FileTables, memory-optimized tables, with database snapshots, and with
// transparent encryption by a certificate whose key was never backed up.
//
// No database snapshot is used as a quicker rollback: a revert overwrites the live
// database, and nothing of what was live would be kept. Columns of the types
// text, ntext, image and xml and of CLR types, and computed columns, are not part of the
// sums: the checksums of pages protect them. After a restore the chain of the site's own log and
// differential backups begins anew: make a full backup. Jobs, logins and linked servers
// are the server's, and in no backup of a database. Statements have no timeout: they end
// with the context.
package mssql
