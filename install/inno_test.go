//go:build linux && !race

package install

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// buildInno makes an installer of Inno Setup with the compiler in the directory.
func buildInno(t *testing.T, w *realtest.Wine, compiler, out, version string, defines ...string) {
	t.Helper()
	source, err := filepath.Abs(filepath.Join("testdata", "setup.iss"))
	require.NoError(t, err)
	name := filepath.Base(out[:len(out)-len(filepath.Ext(out))])
	args := []string{filepath.Join(compiler, "ISCC.exe"), "/Q", "/DVERSION=" + version, "/DOUT=Z:" + filepath.Dir(out), "/DNAME=" + name}
	w.Output(t, w.Command(append(append(args, defines...), "Z:"+source)...))
	require.FileExists(t, out)
	kind, err := Detect(out)
	require.NoError(t, err)
	require.Equal(t, Inno, kind)
}

// buildAllNSIS makes one installer with each compression and for each kind of
// Windows, and returns their names.
func buildAllNSIS(t *testing.T, dir, version string) (names []string) {
	t.Helper()
	for _, target := range []string{"x86-unicode", "x86-ansi", "amd64-unicode"} {
		for _, compressor := range []string{"zlib", "bzip2", "lzma", "/SOLID zlib", "/SOLID bzip2", "/SOLID lzma"} {
			name := "NSIS " + target + " " + filepath.Base(compressor) + ".exe"
			buildNSIS(t, filepath.Join(dir, name), version, "-DTARGET="+target, "-DCOMPRESSOR="+compressor)
			kind, err := Detect(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, NSIS, kind, name)
			names = append(names, name)
		}
	}
	return names
}

// Every stub of NSIS is recognized, with each compression.
func TestDetectKnowsEveryNSIS(t *testing.T) {
	require.Len(t, buildAllNSIS(t, t.TempDir(), "7.13.100"), 18)
}
