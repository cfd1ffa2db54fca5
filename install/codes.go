package install

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Kind is a family of installers that share their exit codes.
type Kind string

// The kinds.
const (
	Plain Kind = "plain" // 0 is success, anything else a failure
	MSI   Kind = "msi"   // Windows Installer packages
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

// Codes returns a fresh copy of the kind's table.
func (k Kind) Codes() (Codes, error) {
	if k == "" {
		k = Plain
	}
	all := tables()
	codes, ok := all[k]
	if !ok {
		names := slices.Sorted(maps.Keys(all))
		return nil, fmt.Errorf("unknown kind of installer %q; use one of %s", string(k), strings.Trim(fmt.Sprint(names), "[]"))
	}
	return codes, nil
}

// Verdict tells what code means.
func (c Codes) Verdict(code uint32) Verdict {
	if v, ok := c[code]; ok {
		return v
	}
	if code == 0 {
		return Verdict{Status: OK, Meaning: "done"}
	}
	return Verdict{Status: Failed, Meaning: "failed with a code of its own", Next: nextLog}
}

const (
	nextLog     = "read the log; the installation may be half done, so ask the probe before going on or back"
	nextReboot  = "restart the machine, then ask the probe"
	nextPackage = "compare the file with the archive's hash, and get the version anew"
)

// tables holds only codes seen in runs or in the makers' documentation.
func tables() map[Kind]Codes {
	return map[Kind]Codes{
		Plain: {},
		MSI: {
			0:    {OK, "done", ""},
			1602: {Canceled, "canceled by a person at the machine", "run it again, unattended"},
			1603: {Failed, "fatal error; Windows Installer took its own changes back where it could", nextLog},
			1618: {Busy, "another installation is in progress", "wait until it has ended, then run it again"},
			1619: {Failed, "the package could not be opened", nextPackage},
			1620: {Failed, "the package is not a valid Windows Installer package", nextPackage},
			1622: {Failed, "the installer's log file could not be opened", "make the log's folder writable"},
			1638: {Failed, "another version of the product is installed", "uninstall that version first, as a downgrade needs"},
			1639: {Failed, "the command line is not valid", "correct the arguments"},
			1641: {RebootNeeded, "done, and the machine is being restarted", nextReboot},
			3010: {RebootNeeded, "done but for a restart of the machine", nextReboot},
		},
	}
}
