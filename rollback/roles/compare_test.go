package roles_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Setup that writes its default configuration over a directory that was
// restored is found out, and the directory may be restored again.
func TestR15DirectoryIsComparedWithItsSnapshot(t *testing.T) {
	d, rows := newData(t)
	ref, err := d.Snapshot(t.Context())
	require.NoError(t, err)
	_, err = d.Compare(t.Context(), ref)
	require.NoError(t, err)
	for _, change := range []func() error{
		func() error { return os.WriteFile(rows, []byte("color=green"), 0o600) },
		func() error { return os.Remove(rows) },
		func() error { return os.WriteFile(rows+".new", nil, 0o600) },
	} {
		require.NoError(t, change())
		again, err := d.Compare(t.Context(), ref)
		require.ErrorContains(t, err, "not what was backed up")
		require.True(t, again)
		require.NoError(t, d.Restore(t.Context(), ref))
		_, err = d.Compare(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, "before", content(t, rows))
	}
	d.Target = target{Target: d.Target}
	_, err = d.Compare(t.Context(), ref)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}
