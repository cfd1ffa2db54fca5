package rollback_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// A plan already shows that an archive, backups or a state directory cannot be
// written, or have no space, whatever the permissions say.
func TestPlanFindsWhatCannotBeWritten(t *testing.T) {
	realtest.WithMounts(t, "TestPlanFindsWhatCannotBeWritten", func() { planUnwritable(t) })
}

func planUnwritable(t *testing.T) {
	mount := func(t *testing.T, dir string, flags uintptr, options string) {
		t.Helper()
		require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", flags, options), "cannot mount")
		t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	}
	full := func(t *testing.T, dir, options string) {
		mount(t, dir, 0, options)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 200<<10), 0o600))
	}
	const next = "make it writable, or bring its share back"
	for name, is := range map[string]struct {
		spoil      func(t *testing.T, w *world)
		reason     rollback.Reason
		says, next string
	}{
		"read-only archive": {func(t *testing.T, w *world) { mount(t, w.path("kept archive"), unix.MS_RDONLY, "") }, rollback.ReasonState, "kept archive: read-only file system", next},
		"read-only backups": {func(t *testing.T, w *world) { mount(t, w.path("kept backups"), unix.MS_RDONLY, "") }, rollback.ReasonState, "kept backups: read-only file system", next},
		"full archive":      {func(t *testing.T, w *world) { full(t, w.path("kept archive"), "size=256k") }, rollback.ReasonSpace, "kept archive: no space left on device", "free space on it"},
		"no archive": {func(t *testing.T, w *world) {
			require.NoError(t, os.Remove(w.path("kept archive")))
			w.write(t, "kept archive", "")
		}, rollback.ReasonState, "kept archive: not a directory", next},
		"read-only state": {func(t *testing.T, w *world) {
			require.NoError(t, os.MkdirAll(w.path("state"), 0o700))
			mount(t, w.path("state"), unix.MS_RDONLY, "mode=0700")
		}, rollback.ReasonState, "state: read-only file system", next},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			u := w.marked(t)
			is.spoil(t, w)
			_, err := u.Plan(t.Context())
			requireRefusal(t, err, is.reason)
			require.ErrorContains(t, err, "state, archive and backups must be writable: ")
			require.ErrorContains(t, err, is.says)
			require.ErrorContains(t, err, is.next)
			require.NotContains(t, w.calls, "fence.close")
			require.False(t, w.fenced())
		})
	}

	// An archive that is not there yet is no reason.
	w := newWorld(t, "ASP")
	u := w.marked(t)
	require.NoError(t, os.Remove(w.path("kept archive")))
	_, err := u.Plan(t.Context())
	require.NoError(t, err)
}
