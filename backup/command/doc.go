// Package command backs up and restores by the caller's own commands: what
// the other targets do not know, such as Firebird by gbak or SQL Server by
// sqlcmd.
//
// # How it goes
//
// Backup runs the command that writes the backup, and the one that verifies
// it. Restore runs a command that restores into a new name beside the live
// one, never over it; then the live name and the new one are swapped by two
// renames, and what was live is kept aside until Discard or Tidy. For a file
// the renames are done here, for a database on a server by the caller's
// [Names]. A run that was killed between the two is put right by the next
// call of any method: the old gets its name back.
//
// Commands are not believed because they say 0: a backup has to be there, the
// restored copy has to be there and, with Describe, has to be the same
// data; and a rename has happened if List shows it.
//
// # How commands are run
//
// Arguments go to the program as they are, without a shell. On Windows a .bat or
// .cmd file is read by cmd.exe, which takes arguments its own way: give
// programs. These placeholders are replaced, also within an argument:
//
//	{live}        Target.Live                             all
//	{file}, {dir} the backup, and the folder it lies in   Backup, Verify, Restore
//	{new}         what is to be made                      Verify, Restore
//	{name}        what to look at, or to remove           Describe, Drop
//	{from}, {to}  the old name and the new one            Rename
//
// Names in SQL text are the caller's to quote: keep quotes and brackets out of
// Live and out of the store's path.
//
// Standard input is the null device, and on Unix there is no terminal: a tool
// that asks gets no answer and fails. (On Windows one that reads the console
// itself waits until its time is up.) When its time is up or the context
// ends, a command is killed with everything that it has started. Where it ends
// by itself, a process that it leaves behind is left alone: it may be a
// service that was to be started.
//
// Passwords belong into Command.Env. Neither it nor the arguments are ever
// printed, nor kept in the manifest; what a tool prints is kept in an [Error]
// and in Target.Logs, with the values from Env replaced. A password among the
// arguments is for everybody to see, and cannot be known for one here.
//
// # What it does not do
//
// The commands are as good as they are. Without Describe nobody compares what
// was restored: gbak, for one, restores flipped bits without a word. The
// snapshot's hashes protect what the tool wrote, not what it should have
// written. What a server keeps of a database beside its data, such as the owner
// on SQL Server, comes back as the tool restores it. Needs tells the room of a
// file alone. A database of several files, and a server that keeps a file open
// while it is renamed, want Names or a stopped server.
//
// # SQL Server
//
// The example SqlServer shows the commands. It was written from Microsoft's
// documentation and has not been run by the authors of this package: try it
// on a copy first. Mind that the server writes and reads the file, not sqlcmd:
// the store lies where the server sees it under the same path, and the
// service's account may write there.
//
//   - On Windows give that account "Modify" on the store's folder, to be
//     inherited by what is made below it.
//   - On Linux the snapshot's folder is made with mode 0700: run as the server's
//     user, or let a program of yours move the file from and to a folder that the
//     server can use.
//   - Rename takes the database into single-user mode. One that is killed
//     inside it can leave that on: ALTER DATABASE … SET MULTI_USER takes it off.
//   - A restored database belongs to the login that restored it: ALTER
//     AUTHORIZATION, in Restore, gives it back.
package command
