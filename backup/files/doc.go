// Package files backs up and restores what lies in a file system: a folder
// (the application, its configuration) and an SQLite database.
//
// # How a restore goes
//
// The new data is built beside the old, compared with the backup and synced.
// Then the old is renamed to <name>_aspupdate_old_<mark> and the new gets the
// name. Where a run is killed between the two renames, nothing has the name;
// the next call of any method sees that and gives it back to the old. The old
// is kept until Discard or Tidy.
//
// The application is stopped while this goes on: on Windows an open file cannot
// be renamed, and elsewhere a program would go on writing to the old one.
//
// # What is kept
//
// Folder keeps names in any script, permissions, the times of files and
// folders, symbolic links as they are, and on Unix owner and group. It
// does not keep access control lists, extended attributes and alternate
// streams; files with two names become two files; sockets are left out, as
// they belong to a running process; a device or a pipe is an error.
package files
