//go:build unix

package fetch

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAFullDiskHasItsReason(t *testing.T) {
	full := fmt.Errorf("save: %w", &os.PathError{Op: "write", Path: "x", Err: unix.ENOSPC})
	err := wrap("fetch", "x", Archive{Dir: "archive"}.diskError(full))
	require.ErrorIs(t, err, ErrNoSpace)
	require.ErrorContains(t, err, "free some space")
	require.NotErrorIs(t, Archive{}.diskError(os.ErrPermission), ErrNoSpace)
}
