package process_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

func TestRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("its commands are shell scripts")
	}
	dir, records := t.TempDir(), filepath.Join(t.TempDir(), "records")
	sh := func(script string) process.Command {
		return process.Command{Argv: []string{"/bin/sh", "-c", script}}
	}
	withInput := sh("cat > " + dir + "/input")
	withInput.Input = []byte("an event")
	require.NoError(t, process.Run(t.Context(), records, withInput))
	got, err := os.ReadFile(filepath.Join(dir, "input"))
	require.NoError(t, err)
	require.Equal(t, "an event", string(got))

	err = process.Run(t.Context(), records, sh("echo the mailer is down >&2; exit 3"))
	require.ErrorContains(t, err, "/bin/sh: exit status 3: the mailer is down")
	named := sh("test -z \"$HOME\" && test \"$A\" = b")
	named.Env = []string{"A=b"}
	require.NoError(t, process.Run(t.Context(), records, named), "nothing but Env")
	require.Error(t, process.Run(t.Context(), records, process.Command{Argv: []string{filepath.Join(dir, "none")}}))

	var seen []string
	talks := sh("echo one; printf two; while [ ! -e " + dir + "/heard ]; do sleep 0.02; done; printf ' three\\nfour'")
	talks.Seen = func(b []byte) {
		seen = append(seen, string(b))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "heard"), nil, 0o600))
	}
	require.NoError(t, process.Run(t.Context(), records, talks))
	require.Equal(t, []string{"one\n", "two three\n", "four"}, seen, "while it runs, in whole lines, and the rest at the end")

	// What the command was given in confidence is not shown, nor a half of it.
	careless := sh("echo level 2: battery staple; printf %0490d 0; exit 3")
	careless.Env = append(process.BaseEnv(), "TOKEN=battery staple", "LEVEL=2", "NONE=")
	printed := ""
	careless.Seen = func(b []byte) { printed += string(b) }
	err = process.Run(t.Context(), records, careless)
	require.ErrorContains(t, err, ": $TOKEN\n000")
	require.NotContains(t, err.Error(), "staple")
	require.True(t, strings.HasPrefix(printed, "level 2: $TOKEN\n"), printed)

	// After a flood, of which the middle was left out, its file has no hole.
	flood := sh("i=0; while [ $i -lt 60 ]; do head -c 200000 /dev/zero | tr '\\0' x; i=$((i+1)); sleep 0.01; done; echo; echo the end; exit 4")
	holes := 0
	flood.Seen = func(b []byte) { holes += bytes.Count(b, []byte{0}) }
	require.ErrorContains(t, process.Run(t.Context(), records, flood), "the end")
	require.Zero(t, holes)

	start := time.Now()
	require.NoError(t, process.Run(t.Context(), records, sh("sleep 20 &")))
	require.Less(t, time.Since(start), 10*time.Second, "a service that it starts does not delay it")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Error(t, process.Run(ctx, records, process.Command{Argv: []string{"/bin/sleep", "20"}}))
	require.Less(t, time.Since(start), 15*time.Second)
	left, err := os.ReadDir(records)
	require.NoError(t, err)
	require.Empty(t, left, "what has ended is not recorded")
}

// A program that goes on in a copy of itself has not ended yet.
func TestWholeLastsUntilTheLastProcessEnds(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "done")
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := process.Command{Argv: []string{exe, "leave", "sleep=1s", "mark=" + mark}, Env: self().Env, Whole: true}
	require.NoError(t, process.Run(t.Context(), filepath.Join(dir, "records"), cmd))
	require.FileExists(t, mark)

	cmd.Argv = []string{exe, "leave", "mark=" + mark + "2", "hang"}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- process.Run(ctx, filepath.Join(dir, "records"), cmd) }()
	pid, err := strconv.Atoi(awaitFile(t, mark+"2"))
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	_, alive := process.Lookup(pid)
	require.False(t, alive, "it ends with the context")
}

// An updater that dies leaves its command, which Settle waits for.
func TestSettleWaitsForTheCommandsOfADeadProcess(t *testing.T) {
	for _, verb := range []string{"run", "whole"} {
		dir := t.TempDir()
		records, began, mark := filepath.Join(dir, "records [1]"), filepath.Join(dir, "began"), filepath.Join(dir, "done")
		updater := self(verb+"="+records, "mark="+began, "sleep=2s", "mark="+mark)
		require.NoError(t, realtest.Start(updater))
		awaitFile(t, began)
		finished, err := process.Settle(t.Context(), records)
		require.NoError(t, err)
		require.False(t, finished, "what a living process runs is left alone")
		require.NoFileExists(t, mark)

		require.NoError(t, updater.Process.Kill())
		require.Error(t, updater.Wait())
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		_, err = process.Settle(ctx, records)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "is still running")
			finished, err = process.Settle(t.Context(), records)
			require.NoError(t, err)
			require.True(t, finished)
		}
		require.FileExists(t, mark)
		left, err := os.ReadDir(records)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

func TestSettleEndsACommandWhoseTimeIsUp(t *testing.T) {
	dir := t.TempDir()
	records, began := filepath.Join(dir, "records"), filepath.Join(dir, "began")
	updater := self("whole="+records, "leave", "mark="+began, "hang")
	require.NoError(t, realtest.Start(updater))
	pid, err := strconv.Atoi(awaitFile(t, began))
	require.NoError(t, err)
	require.NoError(t, updater.Process.Kill())
	require.Error(t, updater.Wait())

	files, err := filepath.Glob(filepath.Join(records, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	text = []byte(strings.Replace(string(text), `"started"`, `"until": "2026-01-02T03:04:05Z", "started"`, 1))
	require.NoError(t, os.WriteFile(files[0], text, 0o600))
	finished, err := process.Settle(t.Context(), records)
	require.NoError(t, err)
	require.False(t, finished)
	_, alive := process.Lookup(pid)
	require.False(t, alive)

	require.NoError(t, os.WriteFile(files[0], []byte("{"), 0o600))
	_, err = process.Settle(t.Context(), records)
	require.ErrorContains(t, err, "is damaged", "what cannot be read may still run")
	_, err = process.Settle(t.Context(), filepath.Join(dir, "none"))
	require.NoError(t, err)
}

// A tool whose result no one will use is ended at once.
func TestSettleEndsWhatIsOfNoUse(t *testing.T) {
	dir := t.TempDir()
	records, began := filepath.Join(dir, "records"), filepath.Join(dir, "began")
	updater := self("disposable="+records, "mark="+began, "hang")
	require.NoError(t, realtest.Start(updater))
	pid, err := strconv.Atoi(awaitFile(t, began))
	require.NoError(t, err)
	require.NoError(t, updater.Process.Kill())
	require.Error(t, updater.Wait())
	finished, err := process.Settle(t.Context(), records)
	require.NoError(t, err)
	require.False(t, finished)
	_, alive := process.Lookup(pid)
	require.False(t, alive)
}

// What cannot be recorded is not started, unless it lets people in.
func TestRunWithoutARecord(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "ran")
	taken := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(taken, nil, 0o600))
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := process.Command{Argv: []string{exe, "mark=" + mark}, Env: self().Env}
	require.ErrorContains(t, process.Run(t.Context(), taken, cmd), "cannot record the command")
	require.NoFileExists(t, mark)
	cmd.Regardless = true
	require.NoError(t, process.Run(t.Context(), taken, cmd))
	require.FileExists(t, mark)
}

// Children get what was named for them, and a directory of their own for
// temporary files.
func TestChildrenGetNoMoreThanWasNamed(t *testing.T) {
	t.Setenv("PROCESS_TEST_PASSWORD", "hunter2")
	for _, name := range []string{"TMPDIR", "TEMP", "TMP"} {
		t.Setenv(name, t.TempDir())
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	env := func(env []string) string {
		var out bytes.Buffer
		cmd := exec.Command(exe, "env")
		cmd.Env, cmd.Stdout = env, &out
		require.NoError(t, process.Do(t.Context(), cmd))
		return out.String()
	}
	t.Setenv(role, "")
	got := env(append(process.BaseEnv(), role+"=yes"))
	require.NotContains(t, got, "hunter2")
	require.NotContains(t, got, "\nTMPDIR="+os.Getenv("TMPDIR")+"\n")
	require.Contains(t, got, "aspupdate-run-")
	require.Contains(t, env(append(process.BaseEnv(), role+"=yes", "TMPDIR=/named", "TEMP=/named", "TMP=/named")), "=/named\n")
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "aspupdate-*"))
	require.NoError(t, err)
	require.Empty(t, left)

	// Without an environment of its own a child does not get this process's either.
	var out bytes.Buffer
	cmd := exec.Command(exe, "-test.run=^TestPrintEnvironment$", "-test.v")
	cmd.Stdout = &out
	require.NoError(t, process.Do(t.Context(), cmd))
	require.Contains(t, out.String(), "ASPUPDATE_RUN=")
	require.NotContains(t, out.String(), "hunter2")
}

// TestPrintEnvironment is of use to the test above alone.
func TestPrintEnvironment(t *testing.T) {
	if os.Getenv("ASPUPDATE_RUN") == "" {
		t.Skip("it is run by TestChildrenGetNoMoreThanWasNamed")
	}
	t.Log(strings.Join(os.Environ(), "\n"))
}

// A tree is found although its root and the process that started it have ended.
func TestTreeWhoseRootHasEndedIsFound(t *testing.T) {
	dir := t.TempDir()
	records, began, mark := filepath.Join(dir, "records"), filepath.Join(dir, "began"), filepath.Join(dir, "done")
	updater := self("whole="+records, "leave", "mark="+began, "sleep=3s", "mark="+mark)
	require.NoError(t, realtest.Start(updater))
	awaitFile(t, began)
	time.Sleep(500 * time.Millisecond) // the root has ended
	require.NoError(t, updater.Process.Kill())
	require.Error(t, updater.Wait())
	_, err := process.Settle(t.Context(), records)
	require.NoError(t, err)
	require.FileExists(t, mark)
}

// What lets people in again runs also where there is no place for its output.
func TestRegardlessOfTheDirectoryForTemporaryFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("its commands are shell scripts")
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	open := process.Command{Argv: []string{"/bin/sh", "-c", "echo opening; touch " + dir + "/open"}}
	require.Error(t, process.Run(t.Context(), filepath.Join(dir, "records"), open))
	open.Regardless = true
	require.NoError(t, process.Run(t.Context(), filepath.Join(dir, "records"), open))
	require.FileExists(t, filepath.Join(dir, "open"))
	open.Argv[2] = "exit 3"
	require.ErrorContains(t, process.Run(t.Context(), filepath.Join(dir, "records"), open), "/bin/sh: exit status 3")
}
