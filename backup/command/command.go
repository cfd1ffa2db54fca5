package command

import (
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

// DefaultTimeout bounds a command that sets no limit of its own.
const DefaultTimeout = 3 * time.Hour

// A Command is a program and how to run it. It prints as its program's name.
type Command struct {
	// Argv is the program and its arguments, which go to it as they are: there
	// is no shell. Placeholders in them are replaced, alone or within an
	// argument; see the package's documentation. Everybody on the machine can
	// read arguments: a password in them is not known for one, and not hidden.
	Argv []string
	// Env is the whole environment, "NAME=value" each, the place for
	// passwords. nil is this process's own. ASPUPDATE_SNAPSHOT, the folder of
	// the snapshot, is added to it where there is one. Values of four bytes and
	// more are replaced by $NAME in what is kept of the output.
	Env []string `json:"-"`
	// Dir is the working folder; empty is this process's own.
	Dir string
	// Timeout ends the command with everything that it has started; zero is
	// [DefaultTimeout].
	Timeout time.Duration
	// OK are the exit codes that mean success; empty is 0 alone.
	OK []int
}

// Format implements [fmt.Formatter]: nothing but the program is ever printed,
// because Env holds passwords.
func (c Command) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.program()) }

func (c Command) program() string {
	if len(c.Argv) == 0 {
		return ""
	}
	return filepath.Base(c.Argv[0])
}

func (c Command) uses(placeholder string) bool {
	return slices.ContainsFunc(c.Argv, func(a string) bool { return strings.Contains(a, placeholder) })
}

// Error says how a command failed.
type Error struct {
	Step    string // "backup", "verify", "restore", "describe", "version", "list", "rename", "drop"
	Program string // its name; not the arguments
	Code    int    // the exit code, where that is what failed
	Output  string // the end of what it printed, values from Env replaced
	Log     string // the file with all of it, where Target.Logs is set
	Err     error  // wraps [context.DeadlineExceeded] where the time was up
}

func (e *Error) Error() string {
	text := e.Step + " by " + e.Program + ": " + e.Err.Error()
	if e.Output != "" {
		text += "; the end of its output: " + e.Output
	}
	if e.Log != "" {
		text += "; all of it is in " + e.Log
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// vars are placeholders and their values.
type vars map[string]string

// The placeholders of each step.
func placeholders(step string) []string {
	switch step {
	case "backup":
		return []string{"{live}", "{file}", "{dir}"}
	case "verify", "restore":
		return []string{"{live}", "{file}", "{dir}", "{new}"}
	case "describe", "drop":
		return []string{"{live}", "{name}"}
	case "rename":
		return []string{"{live}", "{from}", "{to}"}
	}
	return []string{"{live}"}
}

// Check finds what is missing and what contradicts itself. Every method
// begins with it; a caller may ask earlier. It does not look at the machine.
func (t *Target) Check() error {
	given := 0
	for step, c := range map[string]Command{
		"backup": t.Commands.Backup, "verify": t.Commands.Verify, "restore": t.Commands.Restore, "describe": t.Commands.Describe, "version": t.Commands.Version,
		"list": t.Names.List, "rename": t.Names.Rename, "drop": t.Names.Drop,
	} {
		if c.Timeout < 0 {
			return fmt.Errorf("the timeout of %s is negative: give it time", step)
		}
		if slices.Contains([]string{"list", "rename", "drop"}, step) && len(c.Argv) > 0 {
			given++
		}
		for _, p := range []string{"{file}", "{dir}", "{new}", "{name}", "{from}", "{to}"} {
			if c.uses(p) && !slices.Contains(placeholders(step), p) {
				return fmt.Errorf("%s is not known to %s: it may use %s", p, step, strings.Join(placeholders(step), ", "))
			}
		}
	}
	switch {
	case t.Live == "":
		return errors.New("nothing is named to back up: set Live")
	case len(t.Commands.Backup.Argv) == 0:
		return errors.New("there is no command to back up: set Backup")
	case len(t.Commands.Restore.Argv) == 0:
		return errors.New("there is no command to restore: set Restore")
	case given != 0 && given != 3:
		return errors.New("names want all of List, Rename and Drop")
	case given == 0 && !filepath.IsAbs(t.Live):
		return fmt.Errorf("%q is no absolute path: correct Live, or give Names for what is no file", t.Live)
	case t.Logs != "" && !filepath.IsAbs(t.Logs):
		return fmt.Errorf("%q is no absolute path: correct Logs", t.Logs)
	}
	return nil
}

// run runs one command. Its standard output goes to stdout, if given, and
// else with its standard error to the log and the end that an Error carries.
func (c *call) run(ctx context.Context, step string, cmd Command, v vars, stdout io.Writer) error {
	limit := cmd.Timeout
	if limit == 0 {
		limit = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("%w: it was not done after %s and was ended; see what it waits for, or raise Timeout", context.DeadlineExceeded, limit))
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
	if err != nil {
		return &Error{Step: step, Program: cmd.program(), Code: code, Output: end, Log: c.log, Err: err}
	}
	return nil
}

// execute runs the program to its end, or ends it with ctx.
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
		return 0, nil // it ended well, and what it left behind may go on printing
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}
