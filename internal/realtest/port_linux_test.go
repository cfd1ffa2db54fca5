package realtest

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPortsAreGivenOnce(t *testing.T) {
	port := FreePort(t)
	require.ErrorContains(t, claim(port), strconv.Itoa(port))
	require.Error(t, claim(port))
	seen := map[int]bool{port: true}
	for range 200 {
		p := FreePort(t)
		require.False(t, seen[p], p)
		seen[p] = true
	}
}
