package main

import (
	"bytes"
	"context"
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

	"github.com/stretchr/testify/require"
)

// program is this command, built for the tests: the demo and the installers
// run it again, so that the test binary cannot stand in for it.
var program string

func TestMain(m *testing.M) {
	if do, ok := helpers[os.Args[min(1, len(os.Args)-1)]]; ok {
		if err := do(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
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

// helpers are commands of an operator's that are there on every system: the
// test binary itself.
var helpers = map[string]func(args []string) error{
	"append-input": func(args []string) error {
		f, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = io.Copy(f, os.Stdin)
		}
		return err
	},
	"killed-at": killedAt,
	"write":     func(args []string) error { return os.WriteFile(args[0], []byte(args[1]), 0o600) },
	"setup":     setup,
	// setup-once FILE ... fails the first time.
	"setup-once": func(args []string) error {
		if _, err := os.Stat(args[0]); err != nil {
			return errors.Join(os.WriteFile(args[0], nil, 0o600), err)
		}
		return setup(args[1:])
	},
	"large": func(args []string) error { // without room on the disk for what it says to hold
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

// setup is an installer: what it is to do stands in its file.
func setup(args []string) error {
	text, err := os.ReadFile(args[0])
	if version, ok := strings.CutPrefix(string(text), "says "); ok && err == nil {
		return os.WriteFile(args[1], []byte(version), 0o600)
	}
	return fmt.Errorf("this installer does not work: %q, %w", text, err)
}

// aspupdate runs the command and returns its exit code, standard output and
// standard error.
func aspupdate(t testing.TB, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestDemoEndsAsItShould(t *testing.T) {
	code, out, errs := aspupdate(t, []string{"TMPDIR=" + t.TempDir()}, "demo")
	require.Zero(t, code, "%s\n%s", out, errs)
	for _, want := range []string{
		"Act 1", "committed: the new version",
		"Act 2", "rolled back", "row for row",
		"Act 3", "killed, its installer is still running", "All three acts ended as expected",
	} {
		require.Contains(t, out, want)
	}
	require.Empty(t, errs)
}

func TestHelpTellsTheExitCodes(t *testing.T) {
	code, out, _ := aspupdate(t, nil, "--help")
	require.Zero(t, code)
	for code, exit := range exitTable {
		require.Contains(t, out, fmt.Sprintf("%2d  %s", code, exit.meaning))
	}
	code, _, errs := aspupdate(t, nil, "update", "--no-such-flag")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "see --help")
}

// TestEmbedIsSmallAndRunsInAForeignModule copies the embed example into a
// module of its own, far from here, and updates with it.
func TestEmbedIsSmallAndRunsInAForeignModule(t *testing.T) {
	src, err := os.ReadFile("../embed/main.go")
	require.NoError(t, err)
	require.LessOrEqual(t, bytes.Count(src, []byte("\n")), 60)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir, site := t.TempDir(), t.TempDir()
	sums, err := os.ReadFile("../../go.sum")
	require.NoError(t, err)
	for name, text := range map[string]string{
		"main.go": string(src),
		"go.sum":  string(sums),
		"go.mod":  "module example.org/foreign\n\ngo 1.26.0\n\nrequire github.com/aspupdate/aspupdate v0.0.0\n\nreplace github.com/aspupdate/aspupdate => " + root + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(site, "app"), []byte("7.12.100"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(site, "data"), []byte("children and wards"), 0o600))
	cmd := exec.Command("go", "run", "-mod=mod", ".", site)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "committed <nil>")
	app, err := os.ReadFile(filepath.Join(site, "app"))
	require.NoError(t, err)
	require.Equal(t, "7.13.100", strings.TrimSpace(string(app)))
	cmd = exec.Command("go", "run", "-mod=mod", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	out, err = cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "usage: embed FOLDER")
}
