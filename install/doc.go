// Package install runs a vendor's installer unattended, says what became of
// it, and leaves no process of it behind.
//
// # Running
//
// A [Command] is an installer file with the SHA-256 that it must have, its
// arguments, environment and deadline. A [Runner] copies the file into a
// folder of its own, compares the hash of what it copied, and runs that copy:
// what replaces the original afterwards changes nothing. Standard input is
// empty. Standard output and error go straight to a log file, and the end of
// it comes back in the [Outcome] together with the exit code and what that
// code means for the [Kind] of installer.
//
//	r := install.Runner{State: "/var/lib/aspupdate/install"}
//	out, err := r.Run(ctx, install.Command{Path: setup, SHA256: sum, Args: []string{"--quiet"}})
//
// When the deadline passes or the context is canceled, the whole tree of
// processes is ended, those included that left the installer's process group
// or outlived their parent. Without that a hung installer's grandchild would
// go on writing while the previous version is being put back.
//
// # When the updater dies
//
// The installer does not die with the process that started it: a database
// half restructured is worse than an installer without an updater. A record
// in the state folder lets the next process find it: [Runner.Settle] waits
// for it, or ends it once it is past its deadline. Until then [Runner.Run]
// refuses to start another one. How a settled installer ended is not
// known; ask the probe. (A service manager may end everything that a service
// started: with systemd set KillMode=process for the updater's unit.)
//
// # Waiting for health
//
// An exit code says that an installer has ended, not that the application
// works. R11 allows for a restructuring of the database after it, and R12
// for a time of errors and refused logins. [Await] asks a [Probe] until the
// expected version answers. [HTTPProbe] and [CommandProbe] are ready-made,
// [ProbeFunc] makes one of a function.
//
// # Limits
//
// Linux and Windows are supported; elsewhere running is
// [errors.ErrUnsupported]. The Windows part is so far only compiled and
// vetted, not run. On Linux a process that cleared its environment, opened a
// session of its own and lost its parent is not recognized. On Windows, once
// the updater and the installer's own process are both gone, what else the
// installer started is not found by Settle; and the work of an MSI happens in
// the installer service, which does not belong to the tree: a timed-out MSI is
// to be judged by the probe.
package install
