package command_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/command"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// attacker puts root's private file, or a link to it, in the place of whatever
// appears beside the live file, until it is ended.
func attacker(dir string) {
	seen := map[string]bool{}
	for i := 0; ; {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if seen[path] || !strings.Contains(e.Name(), "aspupdate") || os.Rename(path, filepath.Join(dir, fmt.Sprintf("stolen-%d", i))) != nil {
				continue
			}
			seen[path] = true
			i++
			if i%2 == 0 {
				_ = os.Rename(filepath.Join(dir, "private"), path)
			} else {
				_ = os.Symlink("private", path)
			}
		}
	}
}

// The owner of the directory replaces what a restore makes there. The command
// writes into no file of root's, and none gets another owner or other rights.
func TestRestoreWhileItsOwnerAttacks(t *testing.T) {
	if os.Getuid() != 0 {
		realtest.Skip(t, "only root has something that others may not get")
	}
	rounds := 40
	if os.Getenv("ASPUPDATE_SOAK") != "" {
		rounds = 1000
	}
	home := filepath.Join(realtest.SharedDir(t), "home")
	require.NoError(t, os.Mkdir(home, 0o755))
	realtest.ToUnprivileged(t, home)
	w := newWorld(t)
	w.live = filepath.Join(home, "app.db")
	w.target.Live = w.live
	w.target.Commands.Verify, w.target.Commands.Describe = command.Command{}, command.Command{}
	live := func() {
		require.NoError(t, os.WriteFile(w.live, []byte("live"), 0o600))
		realtest.ToUnprivileged(t, w.live)
		require.NoError(t, os.Chmod(w.live, 0o666))
	}
	live()
	w.store = &backup.Store{Dir: filepath.Join(t.TempDir(), "store")}
	snap := w.take(t)

	cmd := realtest.Unprivileged(t, "tool", "attack", home)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })

	const text = "only root may read this"
	private, restored := filepath.Join(home, "private"), 0
	for range rounds {
		_ = os.Remove(private)
		held, err := os.OpenFile(private, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		require.NoError(t, err)
		_, err = held.WriteString(text)
		require.NoError(t, err)
		r, err := w.store.Restore(t.Context(), snap.ID, w.target)
		if err == nil {
			restored++
			_ = r.Discard(t.Context())
		}
		fi, err := held.Stat()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), fi.Mode())
		got := make([]byte, 100)
		n, _ := held.ReadAt(got, 0)
		require.Equal(t, text, string(got[:n]))
		require.NoError(t, held.Close())
		stolen, err := filepath.Glob(filepath.Join(home, "stolen-*"))
		require.NoError(t, err)
		for _, path := range stolen {
			_ = os.RemoveAll(path) // or each round takes longer than the one before
		}
		if fi, err := os.Lstat(w.live); err != nil || !fi.Mode().IsRegular() {
			_ = os.Remove(w.live)
			live()
		}
	}
	t.Logf("%d of %d restores succeeded", restored, rounds)
}

// The owner of the directory puts a link to root's file in the place of the live one while a
// command opens that by its path, and takes it away again: no backup has root's file.
func TestBackupWhileItsOwnerLeadsTheCommandElsewhere(t *testing.T) {
	if os.Getuid() != 0 {
		realtest.Skip(t, "only root has something that others may not get")
	}
	w := newWorld(t)
	home := filepath.Join(realtest.SharedDir(t), "home")
	require.NoError(t, os.Mkdir(home, 0o755))
	realtest.ToUnprivileged(t, home)
	private := filepath.Join(t.TempDir(), "private")
	require.NoError(t, os.WriteFile(private, []byte("only root may read this"), 0o600))
	w.live = filepath.Join(home, "app.db")
	w.target.Live = w.live
	w.target.Commands = command.Commands{
		Backup:  command.Command{Argv: []string{"sh", "-c", `mv "$0" "$0.away" && ln -s ` + private + ` "$0" && cp "$0" "$1"; mv "$0.away" "$0"`, "{live}", "{file}"}},
		Restore: tool(t, "say", "1", "x"),
	}
	require.NoError(t, os.WriteFile(w.live, []byte("live"), 0o600))
	realtest.ToUnprivileged(t, w.live)
	w.store = &backup.Store{Dir: filepath.Join(t.TempDir(), "store")}
	_, err := w.store.Take(t.Context(), "x", w.target)
	require.ErrorContains(t, err, "the file was replaced while it was backed up: \"app.db\" was renamed, removed or replaced on the way to "+w.live)
	list, err := w.store.List()
	require.NoError(t, err)
	require.Empty(t, list)
}

// A directory of logs that others can write, where a link could be put in a log's place, gets none.
func TestLogsWhereOthersCanWrite(t *testing.T) {
	w := newWorld(t)
	w.target.Logs = filepath.Join(realtest.SharedDir(t), "logs")
	require.NoError(t, os.Mkdir(w.target.Logs, 0o700))
	require.NoError(t, os.Chmod(w.target.Logs, 0o777))
	w.target.Commands.Backup = tool(t, "say", "5", "text")
	_, err := w.store.Take(t.Context(), "x", w.target)
	require.ErrorContains(t, err, "others can change "+w.target.Logs)
	require.ErrorContains(t, err, "chmod go-w")
	logs, err := filepath.Glob(filepath.Join(w.target.Logs, "*"))
	require.NoError(t, err)
	require.Empty(t, logs)
}
