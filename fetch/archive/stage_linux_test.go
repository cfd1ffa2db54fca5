package archive_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
)

// A crash, or a full disk, right after the files were made ready to run and
// before anything else: who has no right to write to them goes on all the same.
func TestR10ACrashWhileSealing(t *testing.T) {
	x := newSetup(t, size)
	stop(t, x)
	payload := filepath.Join(x.archive.Dir, "asp", "7.12.100", ".partial-Setup", "data", "payload")
	require.NoError(t, os.Chmod(payload, 0o500))
	var it archive.Item
	var err error
	ordinary(t, func() { it, err = x.blind(t.Context()) })
	x.good(t, it, err)
	require.NotEmpty(t, x.events.of(archive.EventResumed))
}
