//go:build linux && !race

package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// requireCutRefused asserts that a whole file passes, and that the file without its end does
// not. Padding is what may be missing at the end.
func requireCutRefused(t *testing.T, path string, padding int) {
	t.Helper()
	require.NoError(t, fileAt(path).whole(), path)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	cut := filepath.Join(t.TempDir(), "cut"+filepath.Ext(path))
	for _, size := range []int{len(b) / 3, len(b) / 2, len(b) * 9 / 10, len(b) - padding - 1} {
		require.NoError(t, os.WriteFile(cut, b[:size], 0o700))
		r, _ := newRunner(t)
		err := r.Ready(t.Context(), Command{Path: cut, Kind: Auto, Unelevated: true})
		require.ErrorContains(t, err, "the file ", "%s has %d bytes of %d", filepath.Base(path), size, len(b))
		require.Regexp(t, fmt.Sprintf("cut short: it has %d bytes, and should have at least|truncated", size), err.Error())
		require.NoError(t, os.WriteFile(cut, b, 0o700))
		require.NoError(t, fileAt(cut).whole())
	}
}

// A file that was cut short is refused before users are out, where no hash vouches for it; a
// whole one never is.
func TestReadyRefusesWhatWasCutShort(t *testing.T) {
	const alignment, sector = 511, 511 // bytes that only fill up the end
	t.Run("programs", func(t *testing.T) {
		for _, arch := range []string{"386", "amd64", "arm64"} {
			requireCutRefused(t, goProgram(t, "windows", arch), alignment)
		}
	})
	t.Run("a signed program", func(t *testing.T) {
		dir := t.TempDir()
		run := func(name string, args ...string) {
			t.Helper()
			out, err := exec.Command(realtest.Program(t, name), args...).CombinedOutput()
			require.NoError(t, err, string(out))
		}
		key, certificate, signed := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "signed.exe")
		run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Vendor", "-keyout", key, "-out", certificate)
		run("osslsigncode", "sign", "-certs", certificate, "-key", key, "-in", goProgram(t, "windows", "amd64"), "-out", signed)
		requireCutRefused(t, signed, 0)
	})
	t.Run("nsis", func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range buildAllNSIS(t, dir, "7.13.100") {
			requireCutRefused(t, filepath.Join(dir, name), 0)
		}
	})
	t.Run("msi", func(t *testing.T) {
		for _, processor := range []string{"x86", "x64"} {
			requireCutRefused(t, buildMSI(t, processor), sector)
		}
	})
	t.Run("deb", func(t *testing.T) { requireCutRefused(t, buildDeb(t, "7.13.100", "exit 0"), 1) })
	t.Run("rpm", func(t *testing.T) { requireCutRefused(t, buildRPM(t, "7.13.100", "", ""), 0) })
}
