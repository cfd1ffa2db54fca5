// Package command backs up and restores, with the caller's own commands, what the
// other targets do not support, such as Firebird with gbak or SQL Server with sqlcmd.
//
// # How it works
//
// Backup runs the command that writes the backup, and the one that verifies it.
// Restore runs a command that restores to a new name beside the live one, never
// over it. Then two renames swap the live data and the new, and what was live is
// kept aside until Discard or Tidy. Files are renamed by this package, databases
// on a server by the caller's commands List, Rename and Drop. If a run is killed
// between the renames, the next call of any method gives the live name back to
// the old data.
//
// An exit code of 0 is not proof of success: a backup must exist, the restored
// copy must exist and, with Describe, must hold the same data; and a rename
// has happened if List shows it.
//
// # How commands are run
//
// Arguments are passed to the program as they are, without a shell. On Windows
// cmd.exe reads .bat and .cmd files and parses arguments its own way: use
// programs instead. These placeholders are replaced, also within an argument:
//
//	{live}        Target.Live                               all
//	{file}, {dir} the backup, and its directory             Backup, Verify, Restore
//	{new}         the name to create, see below             Verify, Restore
//	{name}        the name to describe or to remove         Describe, Drop
//	{from}, {to}  the old name and the new one              Rename
//
// The path {new} of a file is in a new directory that only this account can
// enter, on the volume of Live: an account that may write beside Live could else
// put a link in its way. Once Restore has ended, the file gets the owner and the
// permissions of the one that was backed up, and its name. A server that runs as
// another account cannot make a file there: use List, Rename and Drop, or a tool
// that needs no server.
//
// Quoting names in SQL text is up to the caller: use no quotes and brackets in
// Live and in the store's path.
//
// Standard input is the null device, and on Unix there is no terminal: a tool
// that prompts gets no answer and fails. (On Windows one that reads the console
// directly waits until its Timeout.) When its Timeout or the context ends, a
// command is killed with all processes that it has started. If it ends by itself, a
// process that it leaves behind keeps running: it may be a service that it started.
//
// Put passwords into Command.Env. Neither it nor the arguments are ever printed,
// nor kept in the manifest; what a tool prints is kept in the error and in
// Target.Logs, with the values of Env replaced. A password among the arguments
// can be read by all accounts of the machine, and is not hidden here.
//
// # Limits
//
// Without Describe nothing checks what was restored: gbak, for one, restores
// flipped bits without an error. The snapshot's hashes protect what the tool wrote,
// not what it should have written. What a server keeps of a database besides its
// data, such as the owner on SQL Server, is restored as the tool does it. Needs
// knows only the size of a file. For a database of several files, or a server
// that keeps its file open while it is renamed, use List, Rename and Drop, or
// stop the server.
//
// # SQL Server
//
// Package mssql supports SQL Server without commands. Where it cannot be used:
//
// Example SqlServer shows the commands. It was written from Microsoft's
// documentation and was not run by the authors of this package: try it on a copy
// first. The server writes and reads the file, not sqlcmd: the store must be
// where the server sees it under the same path, and the service's account must
// be allowed to write there.
//
//   - On Windows give that account "Modify" on the store's directory, inherited
//     by what is created below it.
//   - On Linux the snapshot's directory has mode 0700: run as the server's user,
//     or let a program of yours move the file from and to a directory that the
//     server can use.
//   - Rename puts the database into single-user mode. If it is killed, that mode
//     can remain: ALTER DATABASE … SET MULTI_USER ends it.
//   - A restored database belongs to the login that restored it: use ALTER
//     AUTHORIZATION in Restore to change that.
package command
