package roles

import (
	"context"
	"errors"
	"os"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/internal/process"
)

// A Command is one of the operator's programs.
type Command struct {
	Argv []string // the program and its arguments, which every user of the machine can see
	// Environment names the variables that the command gets from this process
	// besides those of [install.BaseEnv]. All others are left out: they may
	// hold passwords.
	Environment []string
}

// Run runs the command to its end, with input on its standard input. The error
// is nil exactly if its exit code is 0; otherwise it holds the end of what the
// command printed. A service that the command starts lives on. When ctx ends
// first, the command is killed; a Ctrl-C at the terminal does not reach it.
func (c Command) Run(ctx context.Context, input []byte) error {
	if len(c.Argv) == 0 {
		return errors.New("the command has no program; set Argv")
	}
	return process.Run(ctx, c.Argv, Environment(c.Environment...), input)
}

// Environment returns [install.BaseEnv] and the named variables of this
// process, as far as they are set, each as "NAME=value".
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
// After a crash either is run again, whether it had run or not, and must then
// succeed as well. As an application, Off may find nothing to stop when a first
// installation is rolled back.
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
