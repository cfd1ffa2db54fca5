package install

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
)

// defaultDeadline bounds a run and a wait for health that set no deadline of
// their own. By R11 the installer takes 4 minutes and the restructuring, which
// some installers do themselves, two hours in the worst case.
const defaultDeadline = 3 * time.Hour

// A Command is an installer and how to run it. Path and SHA256 are required.
type Command struct {
	Path   string // the installer, a file or a directory; a private copy of it runs
	SHA256 string // the expected hash in hex; of a directory, the hash of what sha256sum prints for its files, sorted
	// Entry is the file to run where the installer is a directory or a zip
	// archive: its path inside, separated by slashes. Empty runs Path itself.
	Entry string
	// Kind determines the silent arguments and the meaning of the exit codes.
	// Empty is [Plain]; [Auto] detects it from the file.
	Kind Kind

	// Args are the installer's arguments in addition to those of its kind, each
	// as the installer is to see it: they are quoted as the kind needs it, also
	// "/D=C:\Program Files\ASP" of NSIS and a property of MSI,
	// "TARGETDIR=C:\Program Files\ASP". Every user of the machine can see them
	// while the installer runs: put secrets into Env.
	Args []string
	// Uninstall removes what the package installed; for kind [MSI] only. A
	// downgrade of an MSI needs it, with the package of the installed version.
	// If that is not installed (1605), the run is a success.
	Uninstall bool
	// Launcher is the program, with its first arguments, that opens the
	// installer: {"/bin/sh", "-e"}, {"wine"}. The copy's path and Args follow,
	// and nothing that the kind would add. Empty starts it as its kind needs.
	Launcher []string
	// Dir is the working directory. Empty is the directory of the file that
	// runs, below a private one that holds the copy alone.
	Dir string
	// Env is the whole environment, "NAME=value" each. nil is [BaseEnv], not
	// this process's environment, which may hold passwords. The installer gets a
	// directory of its own for temporary files, which ends with the run, unless
	// Env names one: TMPDIR, on Windows TEMP and TMP.
	Env []string

	// Unelevated means that the installer needs no elevated rights although its
	// kind usually does, such as a package for one user; see Rights.
	Unelevated bool

	// Codes are those of an installer that differ from the Kind's table.
	Codes Codes
	// Deadline bounds the run; zero is the context's deadline, or
	// 3 h if it has none.
	Deadline time.Duration
	// Log is the file that standard output and error are appended to, created
	// with mode 0600. Empty is a new file in the runner's state directory. The
	// installer's own log, where its kind writes one, is beside it. The runner
	// never removes log files.
	Log string
	// CodePage is that of what the installer prints: "utf-8", "866", "1251" or
	// "koi8-r". Empty takes each line for UTF-8, 866 or 1251, whichever fits.
	CodePage string
	// LeavesRunning means that any processes which the installer started may
	// outlive it. Otherwise a run lasts until the last process of its tree has
	// ended, because some installers return at once and go on in a child.
	LeavesRunning bool
	// Application has the directories of the application. Programs in them, and
	// interpreters such as java that run a file in them, may outlive the installer, which
	// starts the application: once it has ended, they are waited for no longer than half a
	// minute. Services are not waited for: the system starts them.
	Application []string
}

// within returns the command with the context's deadline, if it has none of its
// own: so that a later Settle, too, knows the one deadline of an update.
func (c Command) within(ctx context.Context) Command {
	if end, ok := ctx.Deadline(); ok && c.Deadline == 0 {
		c.Deadline = max(time.Until(end), 1)
	}
	return c
}

// check returns c with its defaults filled in.
func (c Command) check() (Command, error) {
	switch {
	case c.Path == "":
		return c, errors.New("the command has no installer file; set Path")
	case c.Deadline < 0:
		return c, fmt.Errorf("deadline %s is negative; set it to more than R11's worst case", c.Deadline)
	}
	c.SHA256 = strings.ToLower(strings.TrimSpace(c.SHA256))
	if sum, err := hex.DecodeString(c.SHA256); err != nil || len(sum) != 32 {
		return c, errors.New("the expected SHA-256 is missing or not 64 hex digits; use that of the archive's entry")
	}
	if err := codePage(c.CodePage).check(); err != nil {
		return c, err
	}
	c.Kind, c.Deadline = cmp.Or(c.Kind, Plain), cmp.Or(c.Deadline, defaultDeadline)
	if c.Kind != Auto {
		if err := c.addCodes(); err != nil {
			return c, err
		}
	}
	if c.Env == nil {
		c.Env = BaseEnv()
	}
	// Relative paths are relative to this process's directory; the installer runs in another.
	c.Application = slices.Clone(c.Application)
	paths := []*string{&c.Path, &c.Dir, &c.Log}
	for i := range c.Application {
		paths = append(paths, &c.Application[i])
	}
	for _, p := range paths {
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

// addCodes adds the table of the kind to the codes.
func (c *Command) addCodes() error {
	codes, err := c.Kind.codes()
	if err == nil {
		maps.Copy(codes, c.Codes)
		c.Codes = codes
	}
	return err
}

// BaseEnv returns the part of this process's environment that describes the
// machine: the search path, the home directory, the language and time zone, and
// the directories that Windows publishes in variables. Everything else, such as
// passwords, is left out. So are TMPDIR, TEMP and TMP: an installer and a probe get
// a directory of their own for temporary files, unless Env names one.
func BaseEnv() []string { return process.BaseEnv() }
