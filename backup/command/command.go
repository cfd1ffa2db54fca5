package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
)

// defaultTimeout is how long a command without a Timeout may take.
const defaultTimeout = 3 * time.Hour

// A Command is a program and how to run it. It formats as the program's name.
type Command struct {
	// Argv is the program and its arguments, which are passed on without a shell.
	// Placeholders in them are replaced, see the package's documentation. Other
	// accounts of the machine can read arguments: put no password here.
	Argv []string
	// Env is the whole environment, as "NAME=value", and the place for passwords.
	// Nil is this process's own. ASPUPDATE_SNAPSHOT, the directory of the
	// snapshot, is added if there is one. In what is kept of the output, values of
	// four bytes and more are replaced by $NAME.
	Env []string `json:"-"`
	// Dir is the working directory; empty is this process's own.
	Dir string
	// Timeout ends the command with all processes that it has started; zero is
	// three hours.
	Timeout time.Duration
	// OK are the exit codes that mean success; empty is 0 alone.
	OK []int
}

// Format implements [fmt.Formatter]: it prints only the program, because Env holds
// passwords.
func (c Command) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.program()) }

func (c Command) given() bool { return len(c.Argv) > 0 }

func (c Command) program() string {
	if !c.given() {
		return ""
	}
	return filepath.Base(c.Argv[0])
}

func (c Command) uses(placeholder string) bool {
	return slices.ContainsFunc(c.Argv, func(a string) bool { return strings.Contains(a, placeholder) })
}

// A failure describes how a command failed.
type failure struct {
	Op      string // "backup", "verify", "restore", "describe", "version", "list", "rename", "drop"
	Subject string // the program's name, without arguments
	Code    int    // the exit code, if it was the reason
	Output  string // the end of what it printed, values of Env replaced
	Log     string // the file with all of it, if Target.Logs is set
	Err     error  // wraps [context.DeadlineExceeded] if the Timeout ended it
	Next    string // what to do next; "" if that is not known
}

func (e *failure) Error() string {
	text := e.Op + " " + e.Subject + ": " + e.Err.Error()
	if e.Output != "" {
		text += "; the end of its output: " + e.Output
	}
	if e.Log != "" {
		text += "; all of it is in " + e.Log
	}
	if e.Next != "" {
		text += "; " + e.Next
	}
	return text
}

func (e *failure) Unwrap() error { return e.Err }

// A step is one of a target's commands, and the placeholders that it knows.
type step struct {
	name         string
	command      func(*Commands) *Command
	placeholders []string
}

var steps = []step{
	{"backup", func(c *Commands) *Command { return &c.Backup }, []string{"{live}", "{file}", "{dir}"}},
	{"verify", func(c *Commands) *Command { return &c.Verify }, []string{"{live}", "{file}", "{dir}", "{new}"}},
	{"restore", func(c *Commands) *Command { return &c.Restore }, []string{"{live}", "{file}", "{dir}", "{new}"}},
	{"describe", func(c *Commands) *Command { return &c.Describe }, []string{"{live}", "{name}"}},
	{"version", func(c *Commands) *Command { return &c.Version }, []string{"{live}"}},
	{"list", func(c *Commands) *Command { return &c.List }, []string{"{live}"}},
	{"rename", func(c *Commands) *Command { return &c.Rename }, []string{"{live}", "{from}", "{to}"}},
	{"drop", func(c *Commands) *Command { return &c.Drop }, []string{"{live}", "{name}"}},
}

// Check finds what is missing and what is inconsistent. It runs nothing. Every
// method calls it first.
func (t *Target) Check() error {
	for _, s := range steps {
		c := s.command(&t.Commands)
		if c.Timeout < 0 {
			return fmt.Errorf("the timeout of %s is negative", s.name)
		}
		for _, p := range []string{"{file}", "{dir}", "{new}", "{name}", "{from}", "{to}"} {
			if c.uses(p) && !slices.Contains(s.placeholders, p) {
				return fmt.Errorf("unknown placeholder %s of %s: it may use %s", p, s.name, strings.Join(s.placeholders, ", "))
			}
		}
	}
	c := &t.Commands
	server := c.List.given()
	switch {
	case t.Live == "":
		return errors.New("nothing to back up: set Live")
	case !c.Backup.given():
		return errors.New("no command to back up: set Backup")
	case !c.Restore.given():
		return errors.New("no command to restore: set Restore")
	case c.Rename.given() != server || c.Drop.given() != server:
		return errors.New("only some of List, Rename and Drop are set: set all or none")
	case !server && !filepath.IsAbs(t.Live):
		return fmt.Errorf("%q is not an absolute path: correct Live, or set List, Rename and Drop if it is not a file", t.Live)
	case t.Logs != "" && !filepath.IsAbs(t.Logs):
		return fmt.Errorf("%q is not an absolute path: correct Logs", t.Logs)
	}
	return nil
}

// vars are placeholders and their values.
type vars map[string]string

// run runs one command. Its standard output goes to stdout, if that is not nil;
// the rest goes to the log, and its end into the failure.
func (c *call) run(ctx context.Context, step string, cmd Command, v vars, stdout io.Writer) error {
	timeout := cmp.Or(cmd.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w: still running after %s and was ended", context.DeadlineExceeded, timeout))
	defer cancel()
	out, err := c.output(step, cmd)
	if err != nil {
		return err
	}
	code, err := c.execute(ctx, cmd, v, out, stdout)
	if err == nil && !slices.Contains(cmd.OK, code) && (code != 0 || len(cmd.OK) > 0) {
		err = fmt.Errorf("exit code %d", code)
	}
	end := out.close(err)
	if err == nil {
		return nil
	}
	failed := &failure{Op: step, Subject: cmd.program(), Code: code, Output: end, Log: c.log, Err: err}
	if errors.Is(err, context.DeadlineExceeded) {
		failed.Next = "find out what it waits for, or raise Timeout"
	}
	return failed
}

// noEffect is the error of a command that exited with success but did not do
// its job.
func (c *call) noEffect(step string, cmd Command, form string, args ...any) error {
	return &failure{Op: step, Subject: cmd.program(), Log: c.log, Err: fmt.Errorf("it exited with success, but "+form, args...)}
}

// execute runs the program to its end, or ends it when ctx ends.
func (c *call) execute(ctx context.Context, cmd Command, v vars, out, stdout io.Writer) (code int, err error) {
	var pairs []string
	for name, value := range v {
		pairs = append(pairs, name, value)
	}
	replace := strings.NewReplacer(pairs...) // one pass: a value that looks like a placeholder stays
	argv := make([]string, len(cmd.Argv))
	for i, a := range cmd.Argv {
		argv[i] = replace.Replace(a)
	}
	x := exec.Command(argv[0], argv[1:]...)
	x.Dir, x.Env = cmd.Dir, cmd.Env
	if dir := v["{dir}"]; dir != "" {
		x.Env = append(x.Environ(), "ASPUPDATE_SNAPSHOT="+dir)
	}
	x.Stdout, x.Stderr = out, out // standard input is the null device
	if stdout != nil {
		x.Stdout = stdout
	}
	err = process.Do(ctx, x)
	if errors.Is(err, exec.ErrWaitDelay) && stdout == nil {
		return 0, nil // the program itself succeeded
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}
