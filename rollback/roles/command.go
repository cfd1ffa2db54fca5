package roles

import (
	"context"
	"errors"
	"os"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/internal/process"
)

// A Command is a program of the operator.
type Command struct {
	Argv []string // the program and its arguments, which every user of the machine can see
	// Environment has the names of the variables that the command gets from
	// this process, besides those of [install.BaseEnv]. It gets no others:
	// they may hold passwords.
	Environment []string
}

// Run runs the command to its end, with input on its standard input. The error
// is nil if the exit code is 0, and otherwise has the end of what the command
// printed. A service that the command starts keeps running. If ctx ends first,
// the command is killed with everything that it started. A Ctrl-C at the terminal
// does not reach it.
func (c Command) Run(ctx context.Context, input []byte) error {
	if len(c.Argv) == 0 {
		return errors.New("the command has no program; set Argv")
	}
	return process.Run(ctx, c.Argv, Environment(c.Environment...), input)
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
// Both must succeed when there is nothing to do: after a crash they may run
// again, and when a first installation is rolled back there may be no application
// to stop.
type Switch struct {
	Off Command // keeps users out, or stops the application with its autostart
	On  Command // lets users in again, or starts the application
}

// Close runs Off.
func (s Switch) Close(ctx context.Context) error { return s.Off.Run(ctx, nil) }

// Open runs On.
func (s Switch) Open(ctx context.Context) error { return s.On.Run(ctx, nil) }

// Stop runs Off.
func (s Switch) Stop(ctx context.Context) error { return s.Off.Run(ctx, nil) }

// Start runs On.
func (s Switch) Start(ctx context.Context) error { return s.On.Run(ctx, nil) }
