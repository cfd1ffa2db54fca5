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
	Path   string // the installer, a regular file or a folder of them; what runs is a private copy of it
	SHA256 string // that it must have, in hex; of a folder, that of what sha256sum prints for its files in byte order of their paths
	Entry  string // of a folder: the file to run, below it, separated by slashes; empty for one file
	Kind   Kind   // gives exit codes their meaning; empty is [Plain]

	// Launcher is the program, with its first arguments, that opens files of
	// this kind: {"msiexec", "/i"}, {"dpkg", "-i"}, {"/bin/sh"}. The copy's
	// path and Args follow. Empty: the copy itself is started.
	Launcher []string
	// Args are the installer's arguments. Every user of the machine can see
	// them while it runs: secrets belong into Env.
	Args []string
	// Dir is the working folder. Empty is the private folder, which holds
	// nothing but the copy.
	Dir string
	// Env is the whole environment, "NAME=value" each. nil is [BaseEnv],
	// and not this process's environment: that may hold passwords which are
	// none of the installer's business.
	Env []string

	// Codes replaces the Kind's table, for an installer with codes of its own.
	Codes Codes
	// Deadline is how long the run may take; zero is [DefaultDeadline].
	Deadline time.Duration
	// Log is the file that standard output and error are appended to, made
	// with mode 0600. Empty is a new file in the runner's state folder. Log
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
	case c.Entry != "" && !filepath.IsLocal(filepath.FromSlash(c.Entry)):
		return c, fmt.Errorf("the entry point %q is not a file below the installer's folder; name one, separated by slashes", c.Entry)
	case c.Deadline < 0:
		return c, fmt.Errorf("deadline %s is negative; set it to more than R11's worst case", c.Deadline)
	}
	c.SHA256 = strings.ToLower(strings.TrimSpace(c.SHA256))
	if sum, err := hex.DecodeString(c.SHA256); err != nil || len(sum) != 32 {
		return c, errors.New("the expected SHA-256 is missing or not 64 hex digits; take it from the archive's entry")
	}
	if c.Codes == nil {
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
