package command_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Where nothing could be restored, as on exFAT, that is known before users are kept out.
func TestARestoreOfAFileIsTriedBeforeAnUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.target.Needs(durable.Trying(t.Context()))
	require.NoError(t, err)
	if out, err := exec.Command("setfacl", "-d", "-m", "u::rx", filepath.Dir(w.live)).CombinedOutput(); err != nil {
		realtest.Skip(t, "setfacl is not possible here: %v: %s", err, out)
	}
	_, err = w.target.Needs(t.Context())
	require.NoError(t, err, "a plan makes nothing")
	_, err = w.target.Needs(durable.Trying(t.Context()))
	require.ErrorContains(t, err, "nothing could be restored beside it")
	_, err = w.store.Take(t.Context(), "x", w.target)
	require.ErrorContains(t, err, "nothing could be restored beside it")
	entries, err := os.ReadDir(filepath.Dir(w.live))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left")
}
