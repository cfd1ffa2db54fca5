package tree

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// While what is ours is removed, its name is given to a directory of another account, again and
// again.
func TestAnotherDirectoryTakesTheNameOfOursWhileItIsRemoved(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root can mark and remove what belongs to another account")
	}
	dir := filepath.Join(realtest.SharedDir(t), "site")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Chown(dir, 54321, 54321))
	root := rootAt(t, dir)
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	require.NoError(t, os.Mkdir(theirs, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(theirs, "file"), nil, 0o600))
	var end atomic.Bool
	var attacker sync.WaitGroup
	attacker.Go(func() {
		for !end.Load() {
			_ = unix.Renameat2(unix.AT_FDCWD, theirs, unix.AT_FDCWD, ours, unix.RENAME_EXCHANGE)
		}
	})
	defer attacker.Wait()
	defer end.Store(true)
	removed := 0
	for range 300 {
		made, err := Make(root, "new")
		require.NoError(t, err)
		require.NoError(t, made.Close())
		require.NoError(t, os.WriteFile(filepath.Join(dir, "new", "mine"), nil, 0o600))
		_ = os.Rename(filepath.Join(dir, "new"), ours) // unless there is one already, under either name
		ok, err := RemoveOurs(root, "ours")
		if err == nil && ok {
			removed++
		}
		_, aside := os.Stat(filepath.Join(theirs, "file"))
		_, under := os.Stat(filepath.Join(ours, "file"))
		for i := 0; aside != nil && under != nil && i < 100; i++ { // it was exchanged between the two looks
			_, aside = os.Stat(filepath.Join(theirs, "file"))
			_, under = os.Stat(filepath.Join(ours, "file"))
		}
		require.True(t, aside == nil || under == nil, "the file of another account was removed")
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "new")))
	}
	require.Positive(t, removed)
}
