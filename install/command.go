package install

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DefaultDeadline bounds a run and a wait for health that set no limit of
// their own. R11 knows 4 minutes for the installer and in the worst case two
// hours for the restructuring, which some installers do themselves.
const DefaultDeadline = 3 * time.Hour

// A Command is an installer and how to run it. Path and SHA256 are required.
type Command struct {
	Path   string // the installer, a file or a folder; what runs is a private copy of it
	SHA256 string // that it must have, in hex; of a folder that of what sha256sum prints for its files, sorted
	// Entry is the file to run where the installer is a folder or a zip
	// archive: its path in there, separated by slashes. Empty: Path itself.
	Entry string
	// Kind gives the installer its silent arguments and its exit codes their
	// meaning. Empty is [Plain]; [Auto] asks the file.
	Kind Kind

	// Args are the installer's arguments beside those that the kind has by
	// itself, each as the installer is to see it: quoting is done here, as the
	// kind needs it, also for "/D=C:\Program Files\ASP" of NSIS and for a
	// property of MSI, "TARGETDIR=C:\Program Files\ASP". Every user of the
	// machine can see them while it runs: secrets belong into Env.
	Args []string
	// Uninstall takes off what the package installed; for kind [MSI] only. A
	// downgrade of an MSI needs that, with the package of the version that is
	// installed. That it is not there (1605) is a success then.
	Uninstall bool
	// Launcher is the program, with its first arguments, that opens the
	// installer: {"/bin/sh", "-e"}, {"wine"}. The copy's path and Args follow,
	// and nothing that the kind would add. Empty: as the kind has it.
	Launcher []string
	// Dir is the working folder. Empty is the folder of what runs, below a
	// private one that holds nothing but the copy.
	Dir string
	// Env is the whole environment, "NAME=value" each. nil is [BaseEnv],
	// and not this process's environment: that may hold passwords which are
	// none of the installer's business.
	Env []string

	// Checks must hold before the installer is started; one that need not is
	// waived, for a reason that an event tells.
	Checks Checklist
	// Unelevated says that the installer needs no elevated rights although
	// its kind usually does, such as a package for one user; see Rights.
	Unelevated bool

	// Codes replaces the Kind's table, for an installer with codes of its own.
	Codes Codes
	// Deadline is how long the run may take; zero is [DefaultDeadline].
	Deadline time.Duration
	// Log is the file that standard output and error are appended to, made
	// with mode 0600. Empty is a new file in the runner's state folder. The
	// installer's own log, where its kind writes one, lies beside it. Log
	// files are never removed here.
	Log string
	// LeavesRunning says that what the installer started may live on after
	// it, such as the application itself. Otherwise a run lasts until the
	// last process of the tree has ended, since installers exist that return
	// at once and work on in a child.
	LeavesRunning bool
}

// check returns c with its defaults filled in.
func (c Command) check() (Command, error) {
	switch {
	case c.Path == "":
		return c, errors.New("the command names no installer file; set Path")
	case c.Deadline < 0:
		return c, fmt.Errorf("deadline %s is negative; set it to more than R11's worst case", c.Deadline)
	}
	c.SHA256 = strings.ToLower(strings.TrimSpace(c.SHA256))
	if sum, err := hex.DecodeString(c.SHA256); err != nil || len(sum) != 32 {
		return c, errors.New("the expected SHA-256 is missing or not 64 hex digits; take it from the archive's entry")
	}
	if c.Kind == "" {
		c.Kind = Plain
	}
	if c.Codes == nil && c.Kind != Auto {
		codes, err := c.Kind.Codes()
		if err != nil {
			return c, err
		}
		c.Codes = codes
	}
	if c.Deadline == 0 {
		c.Deadline = DefaultDeadline
	}
	if c.Env == nil {
		c.Env = BaseEnv()
	}
	// Relative paths mean the caller's folder, and the installer runs in another.
	for _, p := range []*string{&c.Path, &c.Dir, &c.Log} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return c, err
		}
		*p = abs
	}
	return c, nil
}

// BaseEnv returns what a program needs to find its way around the machine:
// the search path, the home and temporary folders, the language and time
// zone, and the folders that Windows announces in variables. It is taken from
// this process's environment and leaves out everything else, such as
// passwords.
func BaseEnv() []string {
	names := strings.Fields(baseNames)
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		name = strings.ToUpper(name)
		if slices.Contains(names, name) || strings.HasPrefix(name, "LC_") {
			env = append(env, kv)
		}
	}
	return env
}

const baseNames = "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TEMP TMP " +
	"SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT OS COMPUTERNAME USERNAME USERDOMAIN USERPROFILE " +
	"HOMEDRIVE HOMEPATH PUBLIC ALLUSERSPROFILE APPDATA LOCALAPPDATA PROGRAMDATA " +
	"PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES COMMONPROGRAMFILES(X86) COMMONPROGRAMW6432 " +
	"NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE PROCESSOR_IDENTIFIER PROCESSOR_LEVEL PROCESSOR_REVISION"
