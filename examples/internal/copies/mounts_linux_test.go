package copies

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A disk that is full, and one that became read only: each is reported at once, no half copy
// has a name, and what was copied before is whole.
func TestPlaceFullOrReadOnly(t *testing.T) {
	realtest.WithMounts(t, "TestPlaceFullOrReadOnly", func() {
		w := newWorld(t)
		require.NoError(t, syscall.Mount("none", w.Dir, "tmpfs", 0, "size=96k"))
		t.Cleanup(func() { _ = syscall.Unmount(w.Dir, syscall.MNT_DETACH) })
		require.NoError(t, w.Ready())
		_, err := w.Put(t.Context(), w.sources[0])
		require.NoError(t, err)
		_, err = w.Put(t.Context(), w.sources[1])
		require.ErrorIs(t, err, syscall.ENOSPC)
		for _, name := range w.files(t) {
			require.False(t, strings.HasPrefix(name, tempPrefix), name)
		}
		n, errs := w.Verify(t.Context())
		require.Empty(t, errs)
		require.Equal(t, 1, n)

		require.NoError(t, syscall.Mount("none", w.Dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		err = w.Ready()
		require.ErrorIs(t, err, ErrPlace)
		require.ErrorContains(t, err, "cannot be written")

		// With the disk away, the directory below is not filled.
		require.NoError(t, syscall.Unmount(w.Dir, 0))
		require.ErrorIs(t, w.Ready(), ErrPlace)
		left, err := filepath.Glob(filepath.Join(w.Dir, "*"))
		require.NoError(t, err)
		require.Empty(t, left)
	})
}
