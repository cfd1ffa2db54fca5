package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDemo(t *testing.T) {
	code, out, errs := aspupdate(t, []string{"TMPDIR=" + t.TempDir()}, "demo")
	require.Zero(t, code, "%s\n%s", out, errs)
	requireDemo(t, out)
	require.Empty(t, errs)
}

func requireDemo(t *testing.T, out string) {
	t.Helper()
	for _, want := range []string{
		"Act 1", "committed: the new version",
		"Act 2", "rolled back", "row for row",
		"Act 3", "killed, its installer is still running", "All three acts ended as expected",
	} {
		require.Contains(t, out, want)
	}
}
