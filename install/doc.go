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
//	kind      detected by                       started as
//	script    an interpreter line               the interpreter, with the copy
//	makeself  a script that names makeself      --quiet --accept --nox11 --, then your Args
//	deb       an archive with debian-binary     dpkg -i, configuration files stay
//	apt       never; set it for a .deb          apt-get install, with what the package needs
//	rpm       the lead of a package             rpm -U --oldpackage --replacepkgs
//	msi       the class of a compound file      msiexec /i (or /x), /qn /norestart /l*v
//	nsis      NullsoftInst after the program    /S, with /D= last and unquoted
//	inno      resource 11111                    /VERYSILENT and related options, /LOG=
//	burn      a section named .wixburn          /quiet /norestart /log
//	plain     any other program                 with your Args alone
//
// The kinds apt, rpm and makeself have no constant; [Kinds] lists all names. With
// apt, Args may name further packages in the installer's directory (./libasp.deb);
// what is not there comes from the machine's own sources. What a package needs is
// never left out, with none of them. The Args of makeself are those of the script
// in it, and after a "--" among them; those before it are for makeself.
// The private copy of an installer keeps the extended attributes user.* and
// security.*, such as the signatures of a closed software environment.
//
// A Command whose Kind is [Auto] runs as the kind of its file:
//
//	out, err := r.Run(ctx, install.Command{Path: setup, SHA256: sum, Kind: install.Auto})
//
// For an installer that is a directory or a zip archive, Entry names the file
// that runs; all of it is copied and hashed. An MSI in a zip archive needs the Kind
// stated, because an update must know before it is unpacked that it can be uninstalled.
//
// Nothing is guessed: a file of no known kind, and a plain program without
// Args, fails with [ErrUnknownKind] until the command sets a Kind and Args. An installer
// for the other system fails with [errors.ErrUnsupported], and so does one for processors
// whose programs this machine surely cannot run: by the headers of a program, the
// template of an MSI, and the architecture of a .deb or rpm. What it may run is let
// through: x86 on x86-64 unless Windows has no WOW64, x86-64 on ARM64 from Windows 11
// on, foreign architectures of dpkg, and what Linux hands to an emulator. What scripts
// and makeself archives bring is not checked. If another installation is in
// progress ([Busy]), or another program holds the lock of the package manager, the
// installer is started again for up to half an hour; a restart that is needed is
// [RebootNeeded], a success.
//
// A package of kind msi refuses to replace a newer version: to roll back (R15),
// run the newer version's package with Uninstall first. With dpkg, apt,
// rpm and NSIS the older version is installed over the newer one.
//
// How far this was tested: the tests make and run scripts, makeself archives,
// .deb by dpkg and apt, rpm, and under Wine MSI packages, NSIS for 32 and 64 bits
// with each of its compressions, and Inno Setup 6.3 and 6.4. Inno Setup and the NSIS of 32 bits
// need Wine's support of 32 bits (wine32): where it is missing, the tests skip these
// and run MSI and the NSIS of 64 bits. They run no real Burn
// bundle, because its compiler cannot be had for them: one is made up there, with
// the mark and the log of Burn, and its options and codes are as documented by its
// makers. NSIS writes a log of its own, install.log in its directory, only if a special
// build of its compiler made it and its script says so: that log is not searched. Other versions
// of Inno Setup, ALT's and RED OS's own rpm, and Microsoft's Windows were not
// run. Try yours before relying on it, or set Kind plain with Args and Codes of
// your own.
//
// When the deadline or the context ends, the whole tree of processes is ended,
// including those that left the installer's process group or outlived their
// parent: a job object holds it on Windows, and on Linux a control group
// (version 2), where one can be made: as root, or where the unit of the updater
// has Delegate=yes. Elsewhere they are found by descent, session, and a secret in
// their environment.
//
// The output is kept within limits: of one that goes on without end, the first and
// the last part stay in the log file. An event reports, once each, that the installer
// prints the same again and again, that it has printed a question or shows a window
// and does nothing since, or that it has been silent and idle for 10 minutes.
//
// A run lasts until the last process of the tree has ended: many installers return
// at once and go on in a child. What is waited for is named by an event. Programs in
// the directories of the command's Application are the exception: an installer may
// start the application, and half a minute after its own end the run counts as ended.
//
// # Before it runs
//
// A [Checklist] is the requirements of an installation. It fails with an
// [*Unmet] that lists every failure that blocks, each with what to do.
// Ready-made checks are [NothingInstalled] (R3), and for the requirements of the first
// version of a year (R14) [System], [DotNetFramework], [FreeSpace],
// [NoRebootPending], [Elevated], [Private], and [Confirmed], a person's statement recorded
// by [Confirm]. A check that need not pass is Waived, with the reason. Run the
// list when an update is planned, before users are closed out, and again just before
// the installer.
//
// [Runner.Ready] reports in advance what would keep Run from starting the installer: a
// file of a wrong kind or for another system or processor, also where it is one in a zip archive, a program
// that is missing, or elevated rights. Run starts no MSI, Burn, .deb or program whose manifest requires an administrator
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
// is not found. On Windows a process that was started within the last tenth of a
// second before both the updater and the installer's own process ended may be missed.
// An installer that prints while no updater runs is not kept within the limits of its
// output until Settle is called, and its own log never is. A window that waits for an
// answer is seen only on the desktop of the updater, which is none of a person's where
// a service runs it.
// The work of an MSI happens in the service of Windows Installer, which does not
// belong to the tree: after a timeout the runner waits for its mutex, and if
// the service does not finish, the run is [Unknown] and must be settled. A
// repair of an MSI needs the package again, and the private copy is gone: use
// the file in the archive. Whether an MSI is for one user or for the machine is
// not read from it: it counts as the latter. The rights that a script needs are
// not known: check [Elevated] before it. [DotNetFramework] does not check .NET 5 and
// later. Whether Windows needs a restart is read from three marks in its
// registry, which the tests make themselves.
package install
