package install

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Kind is a family of installers that share their silent arguments, their
// way of quoting and their exit codes. [Detect] returns that of a file.
type Kind string

// The kinds. Burn is implemented by its makers' documentation: the tests have no
// bundle.
const (
	// Auto is the kind that [Detect] returns. A [Plain] program is then refused
	// without Args: what makes it run unattended is not known.
	Auto   Kind = "auto"
	Plain  Kind = "plain"  // any program: 0 is success; restarts and other installations by the codes of Windows; anything else a failure
	Script Kind = "script" // begins with an interpreter line
	Deb    Kind = "deb"    // packages of Debian, installed by dpkg
	MSI    Kind = "msi"    // packages of Windows Installer, installed by msiexec
	NSIS   Kind = "nsis"   // programs made by NSIS
	Inno   Kind = "inno"   // programs made by Inno Setup
	Burn   Kind = "burn"   // bundles made by WiX, also those of Visual Studio

	makeself Kind = "makeself" // scripts with an archive, made by makeself
	apt      Kind = "apt"      // packages of Debian, installed by apt with what they need; never detected
	rpm      Kind = "rpm"      // packages of ALT, RED OS and others, installed by rpm
)

// Codes maps exit codes to their meaning. A code that is missing is a success
// if it is 0, and otherwise a failure.
type Codes map[uint32]Verdict

// A Verdict is the meaning of one exit code.
type Verdict struct {
	Status  Status // never empty in a table
	Meaning string // what happened
	Next    string // what to do next; "" after a success
}

// codes returns a new copy of the kind's table. [Auto] has none.
func (k Kind) codes() (Codes, error) {
	codes, ok := tables()[cmp.Or(k, Plain)]
	if !ok {
		return nil, fmt.Errorf("unknown kind of installer %q; use one of %s", string(k), strings.Join(Kinds(), " "))
	}
	return codes, nil
}

// Kinds returns the names that a Command's Kind may have, in order.
func Kinds() []string {
	names := []string{string(Auto)}
	for k := range tables() {
		names = append(names, string(k))
	}
	slices.Sort(names)
	return names
}

// verdict returns the meaning of code.
func (c Codes) verdict(code uint32) Verdict {
	if v, ok := c[code]; ok {
		return v
	}
	switch {
	case code == 0:
		return Verdict{Status: OK, Meaning: "done"}
	case code >= 0xC0000000: // the faults of Windows
		return Verdict{Status: Failed, Meaning: "crashed", Next: nextLog}
	}
	return Verdict{Status: Failed, Meaning: "failed with an unknown code", Next: nextLog}
}

const (
	nextLog     = "read the log; the installation may be half done, so query the probe before going on or back"
	nextNothing = "read the log; nothing was changed"
	nextReboot  = "restart the machine, then query the probe"
	nextRestart = "restart the machine, then run it again"
	nextBusy    = "wait until it has ended, then run it again"
	nextPackage = "compare the file with the archive's hash, and fetch the version again"
	nextArgs    = "correct the arguments"
	nextSilent  = "run it again, unattended"
)

// notInstalled is the code of Windows Installer for a product that is not installed.
const notInstalled = 1605

// tables contains only codes seen in runs or in the makers' documentation.
func tables() map[Kind]Codes {
	msi := Codes{
		0:            {OK, "done", ""},
		1601:         {Failed, "the installer service could not be reached", "make sure that the service Windows Installer can start, then run it again"},
		1602:         {Canceled, "canceled by a person at the machine", nextSilent},
		1604:         {Busy, "suspended until the machine is restarted", nextRestart},
		1603:         {Failed, "fatal error; Windows Installer rolled its own changes back where it could", nextLog},
		notInstalled: {Failed, "this product is not installed", "query the probe for what is installed"},
		1612:         {Failed, "the package that the installed product came from is missing", "restore that version's package from the archive of versions"},
		1618:         {Busy, "another installation is in progress", nextBusy},
		1619:         {Failed, "the package could not be opened", nextPackage},
		1620:         {Failed, "the package is not a valid Windows Installer package", nextPackage},
		1622:         {Failed, "the installer's log file could not be opened", "make the log's directory writable"},
		1625:         {Failed, "a policy of this machine forbids the installation", "ask the administrator, or run as one"},
		1633:         {Failed, "the package is not for this machine's processor", "get the package for this machine"},
		1638:         {Failed, "another version of the product is installed", "uninstall that version first, as a downgrade needs"},
		1639:         {Failed, "the command line is not valid", nextArgs},
		1641:         {RebootNeeded, "done, and the machine is being restarted", nextReboot},
		1925:         {Failed, "an administrator's rights are needed", "run as an administrator"},
		3010:         {RebootNeeded, "done, and the machine must be restarted", nextReboot},
	}
	refused := Verdict{Failed, "rpm refused the package or could not install it", "read the log for what it names, such as a package that is missing, and query the probe before going on or back"}
	// What any program for Windows means by these codes, also one that passes on what
	// an installer in it returned, sometimes as an HRESULT.
	windows := Codes{
		32:   {Busy, "another program uses a file that is to be replaced", "close that program, then run it again"},
		350:  {Busy, "the machine must be restarted before anything can be installed; nothing was done", nextRestart},
		1223: {Canceled, "canceled by a person at the machine, or elevated rights were refused", nextSilent},
		3011: {RebootNeeded, "done, and the machine must be restarted", nextReboot},
		3017: {Busy, "the machine must be restarted before it can be installed", nextRestart},
		3018: {Busy, "the machine is being restarted before it can be installed", nextRestart},
		1604: msi[1604], 1618: msi[1618], 1641: msi[1641], 3010: msi[3010],
	}
	for code, verdict := range maps.Clone(windows) {
		windows[0x80070000|code] = verdict
		if code < 256 { // every program has codes of its own there
			delete(windows, code)
		}
	}
	maps.Copy(msi, windows)
	with := func(own Codes) Codes {
		all := maps.Clone(windows)
		maps.Copy(all, own)
		return all
	}
	burn := maps.Clone(msi) // bundles pass on the codes of their packages, sometimes as HRESULTs
	for code, verdict := range msi {
		if code != 0 && code < 1<<16 {
			burn[0x80070000|code] = verdict
		}
	}
	return map[Kind]Codes{
		Plain: windows,
		Script: {
			126: {Failed, "a command of the script may not be run", nextLog},
			127: {Failed, "a command of the script was not found", nextLog},
		},
		Deb: {
			1: {Failed, "dpkg stopped; the package may be unpacked and not configured", "read the log, repair what it names, and run dpkg --configure -a before going on or back"},
			2: {Failed, "dpkg could not start or continue, for example because another program holds its lock or a permission is missing", "read the log; if it names a lock, wait and run it again"},
		},
		apt: {
			100: {Failed, "apt stopped; the package may be unpacked and not configured", "read the log, repair what it names, and run apt-get -f install before going on or back"},
		},
		rpm: { // the code is the number of packages that failed, or one more
			1: refused,
			2: refused,
		},
		makeself: {
			1: {Failed, "the archive could not be unpacked, or the script in it failed", nextLog},
			2: {Failed, "the archive is damaged, or the script in it failed", nextLog},
		},
		MSI:  msi,
		Burn: burn,
		NSIS: with(Codes{
			1: {Canceled, "canceled by a person at the machine", nextSilent},
			2: {Failed, "stopped by its script", nextLog},
		}),
		Inno: with(Codes{
			1: {Failed, "the setup could not start", nextNothing},
			2: {Canceled, "canceled before anything was done", nextSilent},
			3: {Failed, "fatal error before anything was done", nextNothing},
			4: {Failed, "fatal error in the middle", nextLog},
			5: {Canceled, "canceled in the middle", nextLog},
			6: {Failed, "ended by a debugger", nextLog},
			7: {Failed, "the setup could not continue, and did nothing", nextNothing},
			8: {Busy, "the setup needs a restart before it can continue, and did nothing", nextRestart},
		}),
	}
}
