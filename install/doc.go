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
// # Kinds
//
// [Detect] tells what kind of installer a file is, from its headers alone:
//
//	kind    told by                             started as
//	script  an interpreter line                 the interpreter, with the copy
//	deb     an archive with debian-binary       dpkg -i, configuration files stay
//	msi     the class of a compound file        msiexec /i (or /x), /qn /norestart /l*v
//	nsis    NullsoftInst behind the program     /S, with /D= last and unquoted
//	inno    resource 11111                      /VERYSILENT and what goes with it, /LOG=
//	burn    a section named .wixburn            /quiet /norestart /log
//	plain   any other program                   with your Args alone
//
// A Command whose Kind is [Auto] is run by what its file is:
//
//	out, err := r.Run(ctx, install.Command{Path: setup, SHA256: sum, Kind: install.Auto})
//
// An installer that is a folder or a zip archive names in Entry which file of
// it runs; the whole of it is copied, hashed, and lies around that file.
//
// Nothing is guessed: a file of no known kind, and a plain program without
// Args, is [ErrUnknownKind] until the command states a Kind and Args. An
// installer for the other system is [errors.ErrUnsupported]. Args are written
// as the installer is to see them; quoting, which each kind reads in its own
// way on Windows, is done here. Where another installation is in the way
// ([Busy], 1618 of MSI), the installer is started again a bounded number of
// times; a restart that is needed (3010, 1641) is [RebootNeeded], a success.
//
// A package of kind msi refuses to replace a newer version: to go back (R15),
// run the newer version's package with Uninstall first. With dpkg and NSIS the
// older version goes over the newer one.
//
// How far this was run: scripts, .deb, NSIS and MSI with real installers (the
// latter two under Wine). Inno Setup and Burn were NOT run: no installer of
// theirs could be made for the tests, so their headers there are made up, and
// switches and codes are as their makers document them. Have a dry run with
// yours, or state Kind plain with Args and Codes of your own.
//
// When the deadline passes or the context is canceled, the whole tree of
// processes is ended, those included that left the installer's process group
// or outlived their parent. Without that a hung installer's grandchild would
// go on writing while the previous version is being put back. On Windows a
// job object holds them. On Linux a control group does (version 2, below this
// process's own), where one can be made: as root, or where the unit of the
// updater says Delegate=yes. Elsewhere they are told by descent, session, and
// a variable in their environment.
//
// # Before it runs
//
// A [Checklist] says what must be so first, and blocks with an [*Unmet] that
// lists everything that is not, each with what to do. Ready-made are
// [NothingInstalled] (R3: a FullSetup does not go over an installation), and
// for the requirements of the first version of a year (R14) [System],
// [DotNetFramework], [FreeSpace], [NoRebootPending], [Elevated], and [Confirmed],
// a person's word taken by [Confirm]. A check that need not hold is Waived,
// with the reason:
//
//	list := install.Checklist{
//		install.System("windows", "10.0.17763"),
//		install.DotNetFramework("4.8"),
//		install.Confirmed("/var/lib/aspupdate/confirmed", "R14 2028: the requirements were read"),
//	}
//	waived, err := list.Look(ctx)
//
// Look at it when an update is planned, before any user is kept out, and give it
// to the Command as its Checks, which are looked at once more. The same holds
// for elevated rights: [Command.Rights] tells ahead whether they are missing,
// and Run starts no MSI, Burn, .deb or program whose manifest demands an
// administrator without them, unless the command says Unelevated: that is
// [ErrRights]. A restart that the machine waits for already is told in an event.
//
// # When the updater dies
//
// The installer does not die with the process that started it: a database
// half restructured is worse than an installer without an updater. A record
// in the state folder lets the next process find it: [Runner.Settle] waits
// for it, or ends it once it is past its deadline. Until then [Runner.Run]
// refuses to start another one. How a settled installer ended is known on
// Windows, if it was still at work; else ask the probe. (A service manager may
// end everything that a service started: with systemd set KillMode=process for
// the updater's unit.)
//
// # Waiting for health
//
// An exit code says that an installer has ended, not that the application
// works. R11 allows for a restructuring of the database after it, and R12
// for a time of errors and refused logins. [Await] asks a [Probe] until the
// expected version answers. Ready-made are [HTTPProbe], also for a page with
// a certain status or text; [CommandProbe]; [SQLProbe], through a handle and
// driver of yours; [FileProbe], the version resource of a program for
// Windows; and [TCPProbe], which asks another one as soon as a port answers.
// [ProbeFunc] makes one of a function. A file's version or an open port alone
// is no health: let a page or a query stand before or behind it, by Then.
//
// # Limits
//
// Linux and Windows are supported; elsewhere running is
// [errors.ErrUnsupported]. The tests for Windows run under Wine, not yet on a
// Windows of Microsoft's. On Linux, where no control group can be made, a
// process that cleared its environment, opened a session of its own and lost
// its parent is not recognized. On Windows, once the updater and the installer's own process are both gone,
// what else the installer started is not found by Settle. The work of an MSI
// happens in the installer service, which does not belong to the tree: after
// a timeout it is waited for by its mutex, and if it does not come to an end,
// the run is [Unknown] and stays to be settled. A repair of an MSI asks for
// the package again, and the private copy is gone: point it to the archive.
// Whether an MSI is for one user or for the machine is not read from it: it
// counts as the latter. What rights a script needs nothing tells: give it
// Elevated among its Checks. Those of a program packed into a zip archive are
// known only once it is unpacked. [DotNetFramework] knows nothing of .NET 5
// and later. That Windows wants a restart is known by three marks in its
// registry; none of a real update was there to be seen, the tests make them.
package install
