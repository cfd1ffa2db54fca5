package process_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"

	"github.com/aspupdate/aspupdate/internal/process"
)

// A virus scanner that holds a fresh program for seconds does not make its start
// fail.
func TestAProgramInUseIsWaitedFor(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	b, err := os.ReadFile(self)
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "Setup.exe")
	require.NoError(t, os.WriteFile(program, b, 0o700))
	p, err := windows.UTF16PtrFromString(program)
	require.NoError(t, err)
	h, err := windows.CreateFile(p, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, 0, 0)
	require.NoError(t, err)
	time.AfterFunc(3*time.Second, func() { _ = windows.CloseHandle(h) })
	cmd := exec.Command(program, "exit=7")
	cmd.Env = append(process.BaseEnv(), role+"=yes")
	err = process.Do(t.Context(), cmd)
	require.ErrorContains(t, err, "exit status 7")
}
