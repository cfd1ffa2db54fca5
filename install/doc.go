// Package install runs a vendor's installer unattended, reports how it ended,
// and leaves no process of it behind.
//
// # Running
//
// A [Command] is an installer file with its expected SHA-256, its arguments,
// environment and deadline. A [Runner] copies the file into a directory of its
// own, compares the hash of what it copied, and runs that copy: replacing the
// original afterwards has no effect. Standard input is empty. Standard output
// and error go to a log file. The [Outcome] has the end of it, the exit code and
// what that code means for the [Kind] of installer.
//
//	r := &install.Runner{State: "/var/lib/aspupdate/install"}
//	out, err := r.Run(ctx, install.Command{Path: setup, SHA256: sum, Args: []string{"--quiet"}})
//
// # Kinds
//
// [Detect] returns the kind of an installer by the headers of its file alone:
//
//	kind    detected by                         started as
//	script  an interpreter line                 the interpreter, with the copy
//	deb     an archive with debian-binary       dpkg -i, configuration files stay
//	msi     the class of a compound file        msiexec /i (or /x), /qn /norestart /l*v
//	nsis    NullsoftInst after the program      /S, with /D= last and unquoted
//	inno    resource 11111                      /VERYSILENT and related options, /LOG=
//	burn    a section named .wixburn            /quiet /norestart /log
//	plain   any other program                   with your Args alone
//
// A Command whose Kind is [Auto] runs as the kind of its file:
//
//	out, err := r.Run(ctx, install.Command{Path: setup, SHA256: sum, Kind: install.Auto})
//
// For an installer that is a directory or a zip archive, Entry names the file
// that runs; all of it is copied and hashed.
//
// Nothing is guessed: a file of no known kind, and a plain program without
// Args, fails with [ErrUnknownKind] until the command sets a Kind and Args. An installer
// for the other system fails with [errors.ErrUnsupported]. If another installation is in
// progress ([Busy]), the installer is started again a few times; a restart that
// is needed is [RebootNeeded], a success.
//
// A package of kind msi refuses to replace a newer version: to roll back (R15),
// run the newer version's package with Uninstall first. With dpkg and NSIS the
// older version is installed over the newer one.
//
// How far this was tested: scripts, .deb, NSIS and MSI with real installers (the
// latter two under Wine). Inno Setup and Burn were NOT run: no installer of
// these kinds could be made for the tests, so their headers there are made up,
// and options and codes are as documented by their makers. Try yours before
// relying on it, or set Kind plain with Args and Codes of your own.
//
// When the deadline or the context ends, the whole tree of processes is ended,
// including those that left the installer's process group or outlived their
// parent: a job object holds it on Windows, and on Linux a control group
// (version 2), where one can be made: as root, or where the unit of the updater
// has Delegate=yes. Elsewhere they are found by descent, session, and a variable
// in their environment.
//
// # Before it runs
//
// A [Checklist] is the requirements of an installation. It fails with an
// [*Unmet] that lists every failure that blocks, each with what to do.
// Ready-made checks are [NothingInstalled] (R3), and for the requirements of the first
// version of a year (R14) [System], [DotNetFramework], [FreeSpace],
// [NoRebootPending], [Elevated], and [Confirmed], a person's statement recorded
// by [Confirm]. A check that need not pass is Waived, with the reason. Run the
// list when an update is planned, before users are closed out, and set it as
// the Command's Checks, which are run again.
//
// [Command.Rights] reports in advance that elevated rights are missing. Run
// starts no MSI, Burn, .deb or program whose manifest requires an administrator
// without them, unless the command is Unelevated.
//
// # When the updater dies
//
// The installer outlives the process that started it: a database that is half
// restructured is worse than an installer without an updater. The next
// process finds it by a record in the state directory: [Runner.Settle] waits for it,
// or ends it after its deadline. Until then [Runner.Run] starts no other. (A
// service manager may end everything that a service started: with systemd set
// KillMode=process for the updater's unit.)
//
// # Waiting for health
//
// An exit code means that an installer has ended, not that the application
// works: [Await] queries a [Probe] until the expected version answers, through
// R11's restructuring and R12's errors and refused logins. Ready-made probes are
// [HTTPProbe], [CommandProbe], [SQLProbe], [FileProbe] and [TCPProbe]; a
// [ProbeFunc] is a function. A file's version or an open port alone does not
// show that the application works: combine it with a page or a query, by Then.
//
// # Limits
//
// Linux and Windows are supported; elsewhere running fails with
// [errors.ErrUnsupported]. The tests for Windows run under Wine, not yet on
// Microsoft's Windows. On Linux, where no control group can be made, a process
// that cleared its environment, opened a session of its own and lost its parent
// is not found. On Windows, once the updater and the installer's own process
// have both ended, Settle does not find the other processes of the installer.
// The work of an MSI happens in the service of Windows Installer, which does not
// belong to the tree: after a timeout the runner waits for its mutex, and if
// the service does not finish, the run is [Unknown] and must be settled. A
// repair of an MSI needs the package again, and the private copy is gone: use
// the file in the archive. Whether an MSI is for one user or for the machine is
// not read from it: it counts as the latter. The rights that a script needs are
// not known: add Elevated to its Checks. Those of a program in a zip archive are
// known only once it is unpacked. [DotNetFramework] does not check .NET 5 and
// later. Whether Windows needs a restart is read from three marks in its
// registry, which the tests make themselves.
package install
