package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup/command"
)

// A tool that prompts gets the end of its input at once, and its last words are in the
// error.
func TestPromptGetsNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.target.Commands.Backup = tool(t, "ask")
	_, err := w.store.Take(t.Context(), "x", w.target)
	e, ok := errors.AsType[*command.Failure](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, 9, e.Code)
	require.Equal(t, "backup", e.Op)
	require.Equal(t, "a new name: 0 bytes came, <nil>", e.Output)
}

// pids waits until the file names n processes. They are ended with the test.
func pids(t *testing.T, file string, n int) []int {
	t.Helper()
	var list []int
	require.Eventually(t, func() bool {
		data, _ := os.ReadFile(file)
		list = nil
		for _, f := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(f)
			require.NoError(t, err)
			list = append(list, pid)
		}
		return len(list) == n
	}, 30*time.Second, 10*time.Millisecond)
	t.Cleanup(func() {
		for _, pid := range list {
			if p, err := os.FindProcess(pid); err == nil && alive(pid) {
				_ = p.Kill()
			}
		}
	})
	return list
}

func requireGone(t *testing.T, list []int) {
	t.Helper()
	for _, pid := range list {
		require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, 5*time.Millisecond, "process %d is left", pid)
	}
}

// The end of ctx ends the tool, its child and that one's child, although each has
// its own session.
func TestCancelLeavesNoProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "pids")
	w.target.Commands.Backup = tool(t, "hold", file, "2")
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := w.store.Take(ctx, "x", w.target)
		failed <- err
	}()
	list := pids(t, file, 3)
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	requireGone(t, list)
}

func TestDeadlineLeavesNoProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "pids")
	w.target.Commands.Backup = tool(t, "hold", file, "1")
	w.target.Commands.Backup.Timeout = 2 * time.Second
	begun := time.Now()
	_, err := w.store.Take(t.Context(), "x", w.target)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "raise Timeout")
	require.Less(t, time.Since(begun), 30*time.Second, "the tool would go on for a minute")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	requireGone(t, pids(t, file, len(strings.Fields(string(data)))))
}

// A child that a tool leaves behind keeps its output open. The call does not wait for
// it, and does not end it: it may be a service.
func TestChildLeftBehindDoesNotHang(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "pids")
	w.target.Commands.Verify = tool(t, "leave", file)
	begun := time.Now()
	_, err := w.store.Take(t.Context(), "x", w.target)
	require.NoError(t, err)
	require.Less(t, time.Since(begun), 30*time.Second)
	require.True(t, alive(pids(t, file, 1)[0]))

	w.target.Commands.Describe = tool(t, "leave", file)
	_, err = w.store.Take(t.Context(), "x", w.target)
	require.Error(t, err, "what it describes may not be all there")
	pids(t, file, 2)
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	logs := filepath.Join(w.store.Dir, "logs")
	w.target.Logs = logs
	long := strings.Repeat("длинный вывод\n", 3000)
	w.target.Commands.Backup = tool(t, "say", "5", long+"wrong password ")
	w.target.Commands.Backup.Env = append(os.Environ(), "SECRET=correct horse battery", "SECRET2=correct horse")
	_, err := w.store.Take(t.Context(), "x", w.target)
	require.ErrorContains(t, err, "wrong password $SECRET")
	e, ok := errors.AsType[*command.Failure](err)
	require.True(t, ok)
	require.Less(t, len(e.Output), 5000, "the end of it")
	log, err := os.ReadFile(e.Log)
	require.NoError(t, err)
	require.Contains(t, string(log), long, "all of it")
	require.Contains(t, string(log), "== backup: ")
	require.Contains(t, string(log), "== exit code 5")
	require.NoError(t, filepath.WalkDir(w.store.Dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		require.NotContains(t, string(data), "correct horse", p)
		return err
	}))
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		require.NotContains(t, fmt.Sprintf(format, w.target), "correct", format)
		require.NotContains(t, fmt.Sprintf(format, w.target.Commands.Backup), "correct", format)
	}
	text, err := json.Marshal(w.target)
	require.NoError(t, err)
	require.NotContains(t, string(text), "correct")
}

// A call has one log, outside the snapshot.
func TestLogsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.target.Logs = filepath.Join(w.store.Dir, "logs")
	snap := w.take(t)
	require.NoError(t, w.store.Verify(t.Context(), snap.ID))
	logs, err := filepath.Glob(filepath.Join(w.target.Logs, "backup-*.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	data, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	for _, step := range []string{"version", "describe", "backup", "verify"} {
		require.Contains(t, string(data), "== "+step+": ")
	}
	list, err := w.store.List()
	require.NoError(t, err)
	require.Len(t, list, 1, "a directory of logs in the store is not a snapshot")
}

func TestSnapshotIsInTheEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.target.Logs = t.TempDir()
	w.target.Commands.Backup = tool(t, "env", "{file}")
	w.target.Commands.Verify = command.Command{}
	snap := w.take(t)
	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	data, err := os.ReadFile(filepath.Join(dir, "backup"))
	require.NoError(t, err)
	require.Equal(t, "data", filepath.Base(string(data)))
	require.True(t, strings.HasPrefix(string(data), w.store.Dir))
}
