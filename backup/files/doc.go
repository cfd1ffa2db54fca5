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
// # What is kept
//
// Directory keeps names in any script, permissions, the times of files and
// directories, symbolic links as links, and on Unix owner and group. It does
// not keep access control lists, extended attributes and alternate streams. A
// file with two names becomes two files. Sockets are left out, since they belong
// to a running process; a device or a pipe is an error.
package files
