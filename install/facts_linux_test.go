package install

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Rights of real users: as root, and as another user.
func TestRightsOfUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		require.ErrorIs(t, Elevated().Run(t.Context()), ErrPermission)
		require.ErrorIs(t, new(Runner).Ready(t.Context(), Command{Kind: Deb}), ErrPermission)
		return
	}
	require.NoError(t, Elevated().Run(t.Context()))
	require.NoError(t, new(Runner).Ready(t.Context(), Command{Kind: Deb}))

	dir := realtest.SharedDir(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	b, err := os.ReadFile(exe)
	require.NoError(t, err)
	program := filepath.Join(dir, "test")
	require.NoError(t, os.WriteFile(program, b, 0o755))
	cmd := exec.Command(program, string(Deb))
	cmd.Env = []string{fakeRole + "=rights", noNap}
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Len(t, lines, 2)
	for _, line := range lines {
		require.Contains(t, line, ErrPermission.Error())
	}
}

// A file that this account may not read is refused before users are put out.
func TestReadyRefusesAFileThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "setup")
	require.NoError(t, os.WriteFile(path, samples()["script"], 0))
	if os.Geteuid() != 0 {
		require.ErrorIs(t, new(Runner).Ready(t.Context(), Command{Path: path, Kind: Auto}), os.ErrPermission)
		return
	}
	dir := realtest.SharedDir(t)
	for name, mode := range map[string]os.FileMode{"test": 0o755, "setup": 0o600} {
		from := map[string]string{"test": self(t), "setup": path}[name]
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, mode))
	}
	cmd := exec.Command(filepath.Join(dir, "test"), filepath.Join(dir, "setup"))
	cmd.Env = []string{fakeRole + "=ready", noNap}
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "prepare "+filepath.Join(dir, "setup")+": open ")
	require.Contains(t, string(out), "permission denied")
}

func TestRebootMark(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "reboot-required")
	reasons, err := rebootMark(mark)
	require.NoError(t, err)
	require.Empty(t, reasons)
	require.NoError(t, os.WriteFile(mark, []byte("*** System restart required ***\n"), 0o600))
	reasons, err = rebootMark(mark)
	require.NoError(t, err)
	require.Len(t, reasons, 1)
	_, err = rebootMark(filepath.Join(mark, "x"))
	require.Error(t, err, "a mark that cannot be read is an error")
	_, err = frameworkRelease()
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, DotNetFramework("4.8").Run(t.Context()), "only Windows has it")
}
