// Package files backs up and restores parts of a file system: a directory
// (the application, its configuration) and an SQLite database.
//
// # How a restore works
//
// The new data is built beside the live data, compared with the backup and
// synced. Then the live data is renamed to <name>_aspupdate_old_<mark>, and the new
// data gets the name. If a run is killed between the two renames, nothing has the
// name; the next call of any method gives it back to the old data. The old data
// is kept until Discard or Tidy.
//
// Stop the application first: on Windows an open file cannot be renamed, and
// elsewhere a program would go on writing to the old data.
//
// # Other accounts
//
// An account that may write in the directory, such as the application's, can
// rename, link and replace while this package reads. Each file is opened once,
// without following a link, and its bytes, owner, permissions and attributes are
// read from that descriptor; a pipe or a device is not opened. What is restored
// is made where only this account can enter, gets its owner and permissions by
// its descriptor, and is moved into place when it is complete.
//
// # What is kept
//
// Directory keeps names in any script, permissions, the times of files and
// directories, symbolic links as links, hard links within the directory, holes in
// sparse files, and on Linux owner, group, access control lists, capabilities and
// extended attributes (not the security labels of SELinux, which follow from the
// path). On Windows it keeps neither owners, access control lists nor alternate
// streams: what is restored inherits them from its directory. Sockets are left
// out, since they belong to a running process.
//
// Backup and Needs fail where a restore could not succeed: at a device or a
// pipe, at a volume that is mounted inside the directory or is the directory
// itself, at a file that is marked as immutable or append-only (chattr), and at a
// name so long that no copy can be made beside it. What is mounted inside the
// directory meanwhile is never entered, moved or removed.
//
// SQLite runs PRAGMA integrity_check when it backs up and when it restores or
// proves.
package files
