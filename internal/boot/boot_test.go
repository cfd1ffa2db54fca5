package boot

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIDStays(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("the system has no ID of its boot")
	}
	first, err := ID()
	require.NoError(t, err)
	require.NotEmpty(t, strings.Trim(first, "0"))
	require.Equal(t, strings.TrimSpace(first), first)
	again, err := ID()
	require.NoError(t, err)
	require.Equal(t, first, again)
}
