package roles_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/version"
)

// programs are what the test binary does as a command of an operator's or as
// an installer, on every system.
var programs = map[string]func(args []string) error{
	"append": func(args []string) error { return appendTo(args[0], args[1]) }, // FILE TEXT
	"copy": func(args []string) error { // FILE gets the standard input
		text, err := io.ReadAll(os.Stdin)
		return errors.Join(err, appendTo(args[0], string(text)))
	},
	"variable": func(args []string) error { return appendTo(args[0], os.Getenv(args[1])) }, // FILE NAME
	"say":      func(args []string) error { _, err := fmt.Println(args[0]); return err },
	"fail":     func([]string) error { return errors.New("the mailer is down") },
	// "leave FILE TEXT" returns at once and goes on in a copy of itself, which writes
	// a little later.
	"leave": func(args []string) error {
		cmd := exec.Command(os.Args[0], "late", args[0], args[1])
		return cmd.Start()
	},
	"late": func(args []string) error {
		time.Sleep(time.Second)
		return appendTo(args[0], args[1])
	},
	// "off DIR FILE TEXT" is a updater that runs the "late" command.
	"off": func(args []string) error {
		return roles.Switch{Off: roles.Command{Argv: program("late", args[1], args[2]), State: args[0]}}.Close(context.Background())
	},
	"absent": func(args []string) error { // FILE; exit code 3 if it is there
		if _, err := os.Stat(args[0]); err == nil {
			os.Exit(3)
		}
		return nil
	},
	"restart": func([]string) error { os.Exit(4); return nil },
	// "setup INSTALLER VERSION-FILE" installs the version in the installer.
	"setup": func(args []string) error {
		text, err := os.ReadFile(args[0])
		switch string(text) {
		case "restart":
			os.Exit(3)
		case "slow":
			if err := os.WriteFile(args[1], []byte("begun"), 0o600); err != nil {
				return err
			}
			time.Sleep(2 * time.Second)
		}
		return errors.Join(err, os.WriteFile(args[1], text, 0o600))
	},
	// "update DIR SHA256" installs 7.13.100 of that hash in the world in DIR.
	"update": func(args []string) error {
		w := worldIn(args[0])
		item, err := w.archive.Get(archive.Key{Distribution: "АСП", Version: version.MustParse("7.13.100"), Variant: version.Setup, SHA256: args[1]})
		if err != nil {
			return err
		}
		return w.installers(archive.Item{}, item).Role().Install(context.Background(), roles.Release(item))
	},
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func TestMain(m *testing.M) {
	if do, ok := programs[os.Args[min(1, len(os.Args)-1)]]; ok {
		if err := do(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program returns the command line of one of the programs.
func program(args ...string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return append([]string{self}, args...)
}

func content(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	return string(text)
}
