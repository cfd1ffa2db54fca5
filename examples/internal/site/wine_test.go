//go:build linux && !race

package site

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestUnderWine runs the tests of msi_windows_test.go, with real packages.
func TestUnderWine(t *testing.T) {
	packages, wixl := t.TempDir(), realtest.Program(t, "wixl")
	source, err := filepath.Abs("../../../install/testdata/setup.wxs")
	require.NoError(t, err)
	for _, v := range []string{"7.12.100", "7.13.100"} {
		require.NoError(t, os.WriteFile(filepath.Join(packages, v), []byte(v), 0o600))
		cmd := exec.Command(wixl, "-a", "x64", "-D", "Version="+v, "-D", "File="+v, "-o", filepath.Join(packages, v+".msi"), source)
		cmd.Dir = packages // wixl accepts no paths for the files of a package
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	w := realtest.StartWine(t)
	cmd := w.Command(w.BuildTest(t, "."), realtest.TestTimeout, "-test.v", "-test.run=^TestR15RollbackOfAnMSI$")
	cmd.Dir = packages
	require.Contains(t, w.Output(t, cmd), "--- PASS: TestR15RollbackOfAnMSI (", "it ran, and was not skipped")
}
