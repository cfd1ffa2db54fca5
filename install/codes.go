package install

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Kind is a family of installers that share their silent arguments, their
// way of quoting and their exit codes. [Detect] tells it from a file.
type Kind string

// The kinds. What is said of Inno and Burn is from their makers'
// documentation: no installer of theirs was run for it.
const (
	// Auto asks [Detect]. A [Plain] program is then refused unless Args are
	// given: what makes it run unattended is not known.
	Auto   Kind = "auto"
	Plain  Kind = "plain"  // any program: 0 is success, anything else a failure
	Script Kind = "script" // begins with an interpreter line
	Deb    Kind = "deb"    // packages of Debian, given to dpkg
	MSI    Kind = "msi"    // packages of Windows Installer, given to msiexec
	NSIS   Kind = "nsis"   // programs made by NSIS
	Inno   Kind = "inno"   // programs made by Inno Setup
	Burn   Kind = "burn"   // bundles made by WiX, also those of Visual Studio
)

// Codes is what the exit codes of a kind of installer mean. A code that it
// does not have is a success if it is 0, and else a failure.
type Codes map[uint32]Verdict

// A Verdict is the meaning of one exit code.
type Verdict struct {
	Status  Status // never empty in a table
	Meaning string // what happened
	Next    string // what to do about it; empty after a success
}

// Codes returns a fresh copy of the kind's table. [Auto] has none.
func (k Kind) Codes() (Codes, error) {
	if k == "" {
		k = Plain
	}
	all := tables()
	codes, ok := all[k]
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

// Verdict tells what code means.
func (c Codes) Verdict(code uint32) Verdict {
	if v, ok := c[code]; ok {
		return v
	}
	switch {
	case code == 0:
		return Verdict{Status: OK, Meaning: "done"}
	case code >= 0xC0000000: // how Windows numbers faults
		return Verdict{Status: Failed, Meaning: "crashed", Next: nextLog}
	}
	return Verdict{Status: Failed, Meaning: "failed with a code of its own", Next: nextLog}
}

const (
	nextLog     = "read the log; the installation may be half done, so ask the probe before going on or back"
	nextReboot  = "restart the machine, then ask the probe"
	nextPackage = "compare the file with the archive's hash, and get the version anew"
	nextArgs    = "correct the arguments"
	nextSilent  = "run it again, unattended"
)

// notInstalled is how Windows Installer says that it does not know a product.
const notInstalled = 1605

// tables holds only codes seen in runs or in the makers' documentation.
func tables() map[Kind]Codes {
	msi := Codes{
		0:            {OK, "done", ""},
		1601:         {Failed, "the installer service could not be reached", "see that the service Windows Installer can start, then run it again"},
		1602:         {Canceled, "canceled by a person at the machine", nextSilent},
		1603:         {Failed, "fatal error; Windows Installer took its own changes back where it could", nextLog},
		notInstalled: {Failed, "this product is not installed", "ask the probe what is installed"},
		1612:         {Failed, "the package that the installed product came from is gone", "put that version's package back out of the archive of versions"},
		1618:         {Busy, "another installation is in progress", "wait until it has ended, then run it again"},
		1619:         {Failed, "the package could not be opened", nextPackage},
		1620:         {Failed, "the package is not a valid Windows Installer package", nextPackage},
		1622:         {Failed, "the installer's log file could not be opened", "make the log's folder writable"},
		1625:         {Failed, "a policy of this machine forbids the installation", "ask the administrator, or run as one"},
		1633:         {Failed, "the package is not for this machine's processor", "get the package for this machine"},
		1638:         {Failed, "another version of the product is installed", "uninstall that version first, as a downgrade needs"},
		1639:         {Failed, "the command line is not valid", nextArgs},
		1641:         {RebootNeeded, "done, and the machine is being restarted", nextReboot},
		1925:         {Failed, "it takes an administrator's rights", "run as an administrator"},
		3010:         {RebootNeeded, "done but for a restart of the machine", nextReboot},
	}
	burn := maps.Clone(msi) // bundles pass on the codes of their packages, at times as results of COM
	for code, verdict := range msi {
		if code != 0 {
			burn[0x80070000|code] = verdict
		}
	}
	return map[Kind]Codes{
		Plain: {},
		Script: {
			126: {Failed, "a command in it may not be run", nextLog},
			127: {Failed, "a command in it was not found", nextLog},
		},
		Deb: {
			1: {Failed, "dpkg stopped; the package may be unpacked and not configured", "read the log, mend what it says, and run dpkg --configure -a before going on or back"},
			2: {Failed, "dpkg could not begin or go on, for example because another program holds its lock or a right is missing", "read the log; where it speaks of a lock, wait and run it again"},
		},
		MSI:  msi,
		Burn: burn,
		NSIS: {
			1: {Canceled, "canceled by a person at the machine", nextSilent},
			2: {Failed, "stopped by its script", nextLog},
			// Scripts that need a restart say so as Windows does.
			1641: msi[1641],
			3010: msi[3010],
		},
		Inno: {
			1: {Failed, "it could not begin", nextLog},
			2: {Canceled, "canceled before anything was done", nextSilent},
			3: {Failed, "fatal error before anything was done", nextLog},
			4: {Failed, "fatal error in the middle", nextLog},
			5: {Canceled, "canceled in the middle", nextLog},
			6: {Failed, "ended by a debugger", nextLog},
			7: {Failed, "it found that it cannot go on, and did nothing", nextLog},
			8: {Failed, "it found that it cannot go on before a restart, and did nothing", "restart the machine, then run it again"},
			// The code that its silent arguments ask for.
			3010: msi[3010],
		},
	}
}
