package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestLostAnswerIsAnError writes to a full disk: who asked has no answer, so the
// exit code must not say that all is well.
func TestLostAnswerIsAnError(t *testing.T) {
	full := filepath.Join(t.TempDir(), "full")
	if err := unix.Mknod(full, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 7))); err != nil { // as /dev/full
		realtest.Skip(t, "mknod: %v", err)
	}
	f, err := os.OpenFile(full, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	dir := t.TempDir()
	config := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(config, []byte(goodConfig(dir)), 0o600))
	for _, args := range [][]string{{"--version"}, {"--help"}, {"plan", "--help"}, {"status", "--config", config}, {"calendar", "--json", "--config", config}} {
		cmd := exec.Command(program, args...)
		cmd.Stdout = f
		err := cmd.Run()
		require.ErrorContains(t, err, "exit status 1", args)
	}
}
