package roles

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/internal/codepage"
	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/safetext"
)

// A Command is a program of the operator.
type Command struct {
	Argv []string // the program and its arguments, which every user of the machine can see
	// Environment has the names of the variables that the command gets from
	// this process, besides those of [install.BaseEnv]. It gets no others:
	// they may hold passwords. Their values, of four bytes or more, are in no error.
	Environment []string
	// State is a directory in which the command is recorded while it runs, so
	// that a later process finds one whose updater has died. Several commands may
	// share it. It is created with mode 0700.
	State string
	// Output, if not nil, is called with what the command prints while it runs:
	// decoded, without control characters, in whole lines. It is called from a
	// goroutine of its own, by one call at a time, and not after the command has ended.
	Output func(text string)
}

// Run runs the command to its end, with input on its standard input. The error
// is nil if the exit code is 0, and otherwise has the end of what the command
// printed. A service that the command starts keeps running. If ctx ends first,
// the command is killed with everything that it started. A Ctrl-C at the terminal
// does not reach it.
func (c Command) Run(ctx context.Context, input []byte) error {
	return c.run(ctx, process.Command{Input: input})
}

func (c Command) run(ctx context.Context, p process.Command) error {
	switch {
	case len(c.Argv) == 0:
		return errors.New("the command has no program; set Argv")
	case c.State == "":
		return errors.New("the command has no directory for its record; set State")
	}
	p.Argv, p.Env = c.Argv, Environment(c.Environment...)
	if c.Output != nil {
		p.Seen = func(b []byte) { c.Output(safetext.Clean(codepage.Decode(nil, b))) }
	}
	return process.Run(ctx, c.State, p)
}

// settle waits for commands that a process before this one left running, and
// reports whether one was found and came to its own end.
func (c Command) settle(ctx context.Context) (finished bool, err error) {
	if c.State == "" {
		return false, nil
	}
	return process.Settle(ctx, c.State)
}

// Environment returns [install.BaseEnv] and those of the named variables that are
// set in this process, each as "NAME=value".
func Environment(names ...string) []string {
	env := install.BaseEnv()
	for _, name := range names {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// A Switch is a [rollback.Fence] or a [rollback.Application] of two commands.
//
// Without Status both must succeed when there is nothing to do: after a crash they may run
// again, and when a first installation is rolled back there may be no application
// to stop.
type Switch struct {
	Off Command // keeps users out, or stops the application with its autostart
	On  Command // lets users in again, or starts the application
	// Status reports which of the two holds, so that what holds already is not
	// done again. Exit code 0 is on (open, running), 1 and 3 are off, as
	// systemctl is-active has it; any other code means that it is not known,
	// and the command runs. Without a program nothing is asked.
	Status Command
}

// String returns the name of the program that Off runs.
func (s Switch) String() string {
	if len(s.Off.Argv) == 0 {
		return "switch"
	}
	return filepath.Base(s.Off.Argv[0])
}

// Closed reports whether Status says off. The error is [errors.ErrUnsupported]
// without one.
func (s Switch) Closed(ctx context.Context) (bool, error) {
	if len(s.Status.Argv) == 0 {
		return false, errors.ErrUnsupported
	}
	err := s.Status.run(ctx, process.Command{Regardless: true})
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return false, nil
	case ok && (exit.ExitCode() == 1 || exit.ExitCode() == 3):
		return true, nil
	}
	return false, err
}

// turn runs a command unless Status says that it has nothing to do.
func (s Switch) turn(ctx context.Context, off bool) error {
	if is, err := s.Closed(ctx); err == nil && is == off {
		return nil
	}
	if off {
		return s.Off.Run(ctx, nil)
	}
	return s.On.run(ctx, process.Command{Regardless: true})
}

// Close runs Off, unless Status says that it is off.
func (s Switch) Close(ctx context.Context) error { return s.turn(ctx, true) }

// Open runs On, unless Status says that it is on, also where it cannot be
// recorded: users are let in on a full disk, too.
func (s Switch) Open(ctx context.Context) error { return s.turn(ctx, false) }

// Stop is Close.
func (s Switch) Stop(ctx context.Context) error { return s.turn(ctx, true) }

// Start is Open.
func (s Switch) Start(ctx context.Context) error { return s.turn(ctx, false) }

// Settle waits for a command that a process before this one left running, or ends
// it where its time is up. It reports whether one was found and came to its own
// end. [rollback.Update.Recover] calls it before it decides anything.
func (s Switch) Settle(ctx context.Context) (finished bool, err error) {
	return settleAll(ctx, s.Off, s.On, s.Status)
}

// A settler is what may have left a process.
type settler interface {
	Settle(ctx context.Context) (finished bool, err error)
}

// settleAll settles all of the roles that are settlers, and commands.
func settleAll[T any](ctx context.Context, roles ...T) (finished bool, err error) {
	for _, r := range roles {
		settle := func(context.Context) (bool, error) { return false, nil }
		switch r := any(r).(type) {
		case settler:
			settle = r.Settle
		case Command:
			settle = r.settle
		}
		found, err := settle(ctx)
		finished = finished || found
		if err != nil {
			return finished, err
		}
	}
	return finished, nil
}
