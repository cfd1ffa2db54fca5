package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// role is set for a copy of the test binary that plays a part.
const role = "PROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(role) != "" {
		os.Exit(play(os.Args[1:]))
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// play does one step after the other.
func play(steps []string) int {
	for i, step := range steps {
		verb, arg, _ := strings.Cut(step, "=")
		switch verb {
		case "print":
			fmt.Println(arg)
		case "complain":
			fmt.Fprintln(os.Stderr, arg)
		case "copy":
			_, _ = io.Copy(os.Stdout, os.Stdin)
		case "env":
			fmt.Println(strings.Join(os.Environ(), "\n"))
		case "pwd":
			dir, _ := os.Getwd()
			fmt.Println(dir)
		case "exit":
			code, _ := strconv.ParseUint(arg, 10, 32)
			return int(code)
		case "hang":
			time.Sleep(time.Minute)
		case "mark":
			_ = os.WriteFile(arg, []byte(strconv.Itoa(os.Getpid())), 0o600)
		case "leave": // a child does the rest, and this process ends
			cmd := exec.Command(os.Args[0], steps[i+1:]...)
			cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = os.Stdout, os.Stderr, process.OwnGroup()
			if err := realtest.Start(cmd); err != nil {
				fmt.Println(err)
				return 99
			}
			return 0
		case "sleep":
			d, _ := time.ParseDuration(arg)
			time.Sleep(d)
		case "run", "whole": // the rest, as an updater that records it in the directory
			exe, _ := os.Executable()
			err := process.Run(context.Background(), arg, process.Command{
				Argv: append([]string{exe}, steps[i+1:]...), Env: self().Env, Whole: verb == "whole",
			})
			fmt.Println(err)
			return 0
		case "disposable":
			_ = process.Do(process.Disposable(process.Recorded(context.Background(), arg)), self(steps[i+1:]...))
			return 0
		case "start": // the rest, as an updater that records it in the file
			log, err := os.Create(arg + ".log")
			if err == nil {
				cmd := self(steps[i+1:]...)
				cmd.Path, cmd.Stdout, cmd.Stderr = os.Getenv("PROGRAM"), log, log
				_, err = process.Start(cmd, process.NewRecord(), func(rec process.Record) error {
					text, _ := json.Marshal(rec)
					if err := os.WriteFile(arg+".new", text, 0o600); err != nil {
						return err
					}
					return os.Rename(arg+".new", arg)
				})
			}
			if err != nil {
				fmt.Println(err)
				return 1
			}
			time.Sleep(time.Minute)
		}
	}
	return 0
}

func self(steps ...string) *exec.Cmd {
	exe, _ := os.Executable()
	cmd := exec.Command(exe, steps...)
	cmd.Env = append(os.Environ(), role+"=yes", "GORACE=atexit_sleep_ms=0")
	return cmd
}

func awaitFile(t *testing.T, path string) (text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		b, err := os.ReadFile(path)
		text = string(b)
		return err == nil && text != ""
	}, 30*time.Second, 2*time.Millisecond, "%s was not written", path)
	return text
}

func TestStartSavesBeforeAndAfterTheStart(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	rec := process.NewRecord()
	var saved []process.Record
	tree, err := process.Start(self("mark="+mark, "exit=7"), rec, func(r process.Record) error {
		if saved = append(saved, r); len(saved) == 2 && runtime.GOOS == "windows" {
			time.Sleep(100 * time.Millisecond)
			require.NoFileExists(t, mark, "it is suspended until it is recorded")
		}
		return nil
	})
	require.NoError(t, err)
	defer tree.Close()
	<-tree.Exited()
	require.FileExists(t, mark)
	exit, ok := tree.Exit()
	require.True(t, ok)
	require.Equal(t, process.Exit{Code: 7}, exit)
	require.Len(t, saved, 2)
	require.Equal(t, rec, saved[0])
	require.Positive(t, saved[1].PID)
	require.NotEmpty(t, saved[1].Birth)
	require.Equal(t, saved[1], tree.Record())
	require.NoError(t, tree.Wait(t.Context()))
}

func TestStartEndsWhatCannotBeRecorded(t *testing.T) {
	full := errors.New("the disk is full")
	_, err := process.Start(self("hang"), process.NewRecord(), func(process.Record) error { return full })
	require.ErrorIs(t, err, full)

	calls := 0
	tree, err := process.Start(self("hang"), process.NewRecord(), func(process.Record) error {
		if calls++; calls == 2 {
			return full
		}
		return nil
	})
	require.ErrorIs(t, err, full)
	defer tree.Close()
	<-tree.Exited()
	alive, err := tree.Alive()
	require.NoError(t, err)
	require.False(t, alive)
	require.NoError(t, tree.End(), "it may be called again")

	tree, err = process.Start(exec.Command(filepath.Join(t.TempDir(), "none")), process.NewRecord(), nil)
	require.Error(t, err)
	require.Nil(t, tree)
}

func TestFindMembersAndEnd(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "child")
	started, err := process.Start(self("leave", "mark="+mark, "hang"), process.NewRecord(), nil)
	require.NoError(t, err)
	defer started.Close()
	<-started.Exited()
	pid, err := strconv.Atoi(awaitFile(t, mark))
	require.NoError(t, err)

	found, err := process.Find(started.Record())
	require.NoError(t, err)
	defer found.Close()
	require.False(t, found.Suspended())
	root, err := found.RootAlive()
	require.NoError(t, err)
	require.False(t, root)
	members, err := found.Members()
	require.NoError(t, err)
	i := slices.IndexFunc(members, func(m process.Member) bool { return m.PID == pid })
	require.GreaterOrEqual(t, i, 0, "%d is not among %#v", pid, members)
	child := members[i]
	t.Logf("%#v", members)
	exe, err := os.Executable()
	require.NoError(t, err)
	require.Equal(t, filepath.Base(exe), child.Name)
	require.True(t, child.Alive())
	parsed, err := process.ParseMember(child.String())
	require.NoError(t, err)
	require.Equal(t, process.Member{PID: child.PID, Birth: child.Birth}, parsed)
	require.False(t, process.Member{PID: child.PID, Birth: "1"}.Alive())

	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errors.New("enough"))
	defer cancel()
	require.ErrorContains(t, found.Wait(ctx), "enough")
	require.NoError(t, found.End())
	require.False(t, child.Alive())
	require.NoError(t, found.Wait(t.Context()))
}

// TestTreeOfAKilledUpdaterIsFound kills updaters at random moments of the
// start. What they started is found by the record, and ended: its program can be
// written to, which no system allows while a process runs it.
func TestTreeOfAKilledUpdaterIsFound(t *testing.T) {
	dir := realtest.TempDir(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	b, err := os.ReadFile(exe)
	require.NoError(t, err)
	program := filepath.Join(dir, "Setup.exe")
	require.NoError(t, os.WriteFile(program, b, 0o700))
	for n := range 12 {
		file := filepath.Join(dir, fmt.Sprint("record-", n))
		updater := self("start="+file, "hang")
		updater.Env = append(updater.Env, "PROGRAM="+program)
		require.NoError(t, realtest.Start(updater))
		awaitFile(t, file)
		time.Sleep(time.Duration(rand.N(20_000)) * time.Microsecond)
		require.NoError(t, updater.Process.Kill())
		require.Error(t, updater.Wait())

		var rec process.Record
		require.NoError(t, json.Unmarshal([]byte(awaitFile(t, file)), &rec))
		require.True(t, process.ValidID(rec.ID))
		tree, err := process.Find(rec)
		require.NoError(t, err)
		alive, err := tree.Alive()
		require.NoError(t, err)
		t.Logf("%d: recorded as %d, alive %t, suspended %t", n, rec.PID, alive, tree.Suspended())
		require.NoError(t, tree.End())
		alive, err = tree.Alive()
		require.NoError(t, err)
		require.False(t, alive)
		tree.Close()
		require.Eventually(t, func() bool {
			err = os.Truncate(program, int64(len(b)))
			return err == nil
		}, 5*time.Second, 10*time.Millisecond, "a process runs")
	}
}

func TestDoConnectsTheStandardFiles(t *testing.T) {
	var out, complaints bytes.Buffer
	cmd := self("print=one", "complain=two", "copy", "exit=3")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(strings.Repeat("text\n", 50_000)), &out, &complaints
	err := process.Do(t.Context(), cmd)
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, 3, exit.ExitCode())
	require.Equal(t, "one\n"+strings.Repeat("text\n", 50_000), out.String())
	require.Equal(t, "two\n", complaints.String())

	out.Reset()
	cmd = self("print=one", "complain=two", "env", "pwd")
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"ASPUPDATE_RUN=another", "B=2", "a=Ж"}, role+"=yes")
	cmd.Stdout, cmd.Stderr = &out, &out // one writer, written to by one at a time
	cmd.Stdin = strings.NewReader(strings.Repeat("not read\n", 50_000))
	require.NoError(t, process.Do(t.Context(), cmd))
	for _, want := range []string{"one\ntwo\n", "\nB=2\n", "\na=Ж\n", filepath.Base(cmd.Dir)} {
		require.Contains(t, out.String(), want)
	}
	require.NotContains(t, out.String(), "another")

	require.NoError(t, process.Do(t.Context(), self("print=to the null device", "copy")))
	require.ErrorIs(t, process.Do(t.Context(), exec.Command("no-such-program-anywhere")), exec.ErrNotFound)
}

func TestDoEndsTheTreeWithTheContext(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "child")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		cmd := self("leave", "mark="+mark, "hang")
		cmd.Stdout, cmd.WaitDelay = io.Discard, time.Minute // the child holds it open
		done <- process.Do(ctx, cmd)
	}()
	pid, err := strconv.Atoi(awaitFile(t, mark))
	require.NoError(t, err)
	cancel(errors.New("the operator's wish"))
	err = <-done
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "the operator's wish")
	_, alive := process.Lookup(pid)
	require.False(t, alive)
	require.Error(t, process.Do(ctx, self("hang")))
}

func TestDoDoesNotWaitForOutputOfWhatIsLeft(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "child")
	var out bytes.Buffer
	cmd := self("print=before", "leave", "mark="+mark, "hang")
	cmd.Stdout, cmd.WaitDelay = &out, 100*time.Millisecond
	require.ErrorIs(t, process.Do(t.Context(), cmd), exec.ErrWaitDelay)
	require.Equal(t, "before\n", out.String())
	pid, err := strconv.Atoi(awaitFile(t, mark))
	require.NoError(t, err)
	p, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, p.Kill(), "it lives on")
}
