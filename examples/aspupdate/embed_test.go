package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEmbedIsSmallAndRunsInAForeignModule copies the embed example into another
// module, and runs an update with it.
func TestEmbedIsSmallAndRunsInAForeignModule(t *testing.T) {
	src, err := os.ReadFile("../embed/main.go")
	require.NoError(t, err)
	require.LessOrEqual(t, bytes.Count(src, []byte("\n")), 60)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir, site := t.TempDir(), t.TempDir()
	sums, err := os.ReadFile("../../go.sum")
	require.NoError(t, err)
	for name, text := range map[string]string{
		"main.go": string(src),
		"go.sum":  string(sums),
		"go.mod":  "module example.org/foreign\n\ngo 1.26.0\n\nrequire github.com/aspupdate/aspupdate v0.0.0\n\nreplace github.com/aspupdate/aspupdate => " + root + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(site, "app"), []byte("7.12.100"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(site, "data"), []byte("children and wards"), 0o600))
	cmd := exec.Command("go", "run", "-mod=mod", ".", site)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "committed <nil>")
	app, err := os.ReadFile(filepath.Join(site, "app"))
	require.NoError(t, err)
	require.Equal(t, "7.13.100", strings.TrimSpace(string(app)))
	cmd = exec.Command("go", "run", "-mod=mod", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	out, err = cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "usage: embed FOLDER")
}
