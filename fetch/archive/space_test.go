//go:build unix

package archive

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/fetch"
)

func TestAFullDiskHasItsReason(t *testing.T) {
	full := fmt.Errorf("save: %w", &os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC})
	err := fetch.Wrap("fetch", "x", (&Archive{Dir: "archive"}).diskError(full))
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorContains(t, err, "free some space")
	require.NotErrorIs(t, (&Archive{}).diskError(os.ErrPermission), ErrNoSpace)
}
