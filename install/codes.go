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

// The kinds. Inno and Burn are implemented by their makers' documentation:
// none of their installers was run.
const (
	// Auto is the kind that [Detect] returns. A [Plain] program is then refused
	// without Args: what makes it run unattended is not known.
	Auto   Kind = "auto"
	Plain  Kind = "plain"  // any program: 0 is success, anything else a failure
	Script Kind = "script" // begins with an interpreter line
	Deb    Kind = "deb"    // packages of Debian, installed by dpkg
	MSI    Kind = "msi"    // packages of Windows Installer, installed by msiexec
	NSIS   Kind = "nsis"   // programs made by NSIS
	Inno   Kind = "inno"   // programs made by Inno Setup
	Burn   Kind = "burn"   // bundles made by WiX, also those of Visual Studio
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
	nextReboot  = "restart the machine, then query the probe"
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
		1603:         {Failed, "fatal error; Windows Installer rolled its own changes back where it could", nextLog},
		notInstalled: {Failed, "this product is not installed", "query the probe for what is installed"},
		1612:         {Failed, "the package that the installed product came from is missing", "restore that version's package from the archive of versions"},
		1618:         {Busy, "another installation is in progress", "wait until it has ended, then run it again"},
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
	burn := maps.Clone(msi) // bundles pass on the codes of their packages, sometimes as HRESULTs
	for code, verdict := range msi {
		if code != 0 {
			burn[0x80070000|code] = verdict
		}
	}
	return map[Kind]Codes{
		Plain: {},
		Script: {
			126: {Failed, "a command of the script may not be run", nextLog},
			127: {Failed, "a command of the script was not found", nextLog},
		},
		Deb: {
			1: {Failed, "dpkg stopped; the package may be unpacked and not configured", "read the log, repair what it names, and run dpkg --configure -a before going on or back"},
			2: {Failed, "dpkg could not start or continue, for example because another program holds its lock or a permission is missing", "read the log; if it names a lock, wait and run it again"},
		},
		MSI:  msi,
		Burn: burn,
		NSIS: {
			1: {Canceled, "canceled by a person at the machine", nextSilent},
			2: {Failed, "stopped by its script", nextLog},
			// Scripts report a needed restart with the codes of Windows.
			1641: msi[1641],
			3010: msi[3010],
		},
		Inno: {
			1: {Failed, "the setup could not start", nextLog},
			2: {Canceled, "canceled before anything was done", nextSilent},
			3: {Failed, "fatal error before anything was done", nextLog},
			4: {Failed, "fatal error in the middle", nextLog},
			5: {Canceled, "canceled in the middle", nextLog},
			6: {Failed, "ended by a debugger", nextLog},
			7: {Failed, "the setup could not continue, and did nothing", nextLog},
			8: {Failed, "the setup needs a restart before it can continue, and did nothing", "restart the machine, then run it again"},
			// The code that its silent arguments request.
			3010: msi[3010],
		},
	}
}
