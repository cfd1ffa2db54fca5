package backup_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A volume without inodes has space, and takes no snapshot. Trying shows that before
// users are kept out.
func TestASnapshotIsTriedBeforeAnUpdate(t *testing.T) {
	realtest.WithMounts(t, "TestASnapshotIsTriedBeforeAnUpdate", func() {
		s := newStore(t)
		_, err := s.Needs(durable.Trying(t.Context()), newMemory())
		require.NoError(t, err)
		require.NoDirExists(t, s.Dir, "a store that is not there yet stays so")
		require.NoError(t, os.Mkdir(s.Dir, 0o700))
		require.NoError(t, unix.Mount("tmpfs", s.Dir, "tmpfs", 0, "mode=0700,size=1m,nr_inodes=6"))
		t.Cleanup(func() { require.NoError(t, unix.Unmount(s.Dir, 0)) })
		_, err = s.Needs(durable.Trying(t.Context()), newMemory())
		require.NoError(t, err)
		require.Empty(t, left(t, s))

		for _, name := range []string{"a", "b", "c"} { // and the root and the lock; the sixth is the trial's
			require.NoError(t, os.WriteFile(s.Dir+"/"+name, nil, 0o600))
		}
		_, err = s.Needs(t.Context(), newMemory())
		require.NoError(t, err, "a plan makes nothing")
		_, err = s.Needs(durable.Trying(t.Context()), newMemory())
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorContains(t, err, "try to make a snapshot in "+s.Dir)
		require.Equal(t, []string{"a", "b", "c"}, left(t, s), "nothing is left")
	})
}
