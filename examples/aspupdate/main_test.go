package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// program is the path of this command, built for the tests. The demo and the
// installers run it as their own process, so that the test binary is not a
// substitute.
var program string

func TestMain(m *testing.M) {
	if do, ok := helpers[os.Args[min(1, len(os.Args)-1)]]; ok {
		if err := do(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	_ = os.Setenv("LC_ALL", "C.UTF-8") // the tests read English; Wine needs UTF-8 for names
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "aspupdate-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		program = filepath.Join(dir, "aspupdate")
		if runtime.GOOS == "windows" {
			program += ".exe"
		}
		if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// helpers are the operator's commands in the tests. The test binary runs them
// itself, so that they exist on every system.
var helpers = map[string]func(args []string) error{
	"systemd-world": systemdWorld,
	// append-message FILE appends what a command is told.
	"append-message": func(args []string) error {
		text, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		for _, name := range []string{"ID", "KIND", "SUBJECT", "DISTRIBUTION", "VERSION", "UPDATE"} {
			_, err = fmt.Fprintf(f, "%s=%s\n", name, os.Getenv("ASPUPDATE_"+name))
		}
		_, werr := f.Write(append(text, '\n'))
		for err = errors.Join(err, werr, f.Close()); len(args) > 1; time.Sleep(10 * time.Millisecond) { // until it may end
			if _, gone := os.Stat(args[1]); gone != nil {
				break
			}
		}
		return err
	},
	"killed-at": killedAt,
	"write":     func(args []string) error { return os.WriteFile(args[0], []byte(args[1]), 0o600) },
	"setup":     setup,
	// copy-state FROM TO copies a state directory.
	"copy-state": func(args []string) error {
		if err := os.MkdirAll(args[1], 0o700); err != nil {
			return err
		}
		return os.CopyFS(args[1], os.DirFS(args[0]))
	},
	// sqlite FILE STATEMENT executes it.
	"sqlite": func(args []string) error {
		db, err := sql.Open("sqlite", args[0])
		if err == nil {
			_, err = db.Exec(args[1])
			err = errors.Join(err, db.Close())
		}
		return err
	},
	// says FILE TEXT fails with code 1 if the file contains another text.
	"says": func(args []string) error {
		text, err := os.ReadFile(args[0])
		if string(text) != args[1] {
			err = errors.Join(err, fmt.Errorf("%s: %q", args[0], text))
		}
		return err
	},
	// setup-once FILE ... fails the first time.
	"setup-once": func(args []string) error {
		if _, err := os.Stat(args[0]); err != nil {
			return errors.Join(os.WriteFile(args[0], nil, 0o600), err)
		}
		return setup(args[1:])
	},
	"lose": func(args []string) error { // a copy in the directory
		names, err := filepath.Glob(filepath.Join(args[0], "installer-*.tar.age"))
		if err == nil && len(names) == 0 {
			err = os.ErrNotExist
		}
		if err != nil {
			return err
		}
		return os.Remove(names[0])
	},
	"large": func(args []string) error { // a sparse file larger than the disk
		f, err := os.Create(args[0])
		if err == nil {
			err = f.Truncate(8 << 40)
		}
		return err
	},
	"read": func(args []string) error {
		text, err := os.ReadFile(args[0])
		fmt.Print(string(text))
		return err
	},
}

// setup is an installer. Its file contains what it does.
func setup(args []string) error {
	text, err := os.ReadFile(args[0])
	if version, ok := strings.CutPrefix(string(text), "installs "); ok && err == nil {
		return os.WriteFile(args[1], []byte(version), 0o600)
	}
	return errors.Join(fmt.Errorf("this installer does not work: %q", text), err)
}

// aspupdate runs the command and returns its exit code, standard output and
// standard error.
func aspupdate(t testing.TB, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Duration(soaking(20, 2))*time.Minute) // also in a cleanup
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if bad := steers(out.String() + errs.String()); bad != "" {
		t.Errorf("%v prints what steers a terminal: %s", args, bad)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}
