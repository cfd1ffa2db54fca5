package dirhash

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestSum(t *testing.T) {
	require.Equal(t, hexSum(""), Sum(nil), "no files")
	// Byte order: "a-b" is before "a/b", and "B" before "a".
	want := hexSum(hexSum("3") + "  B\n" + hexSum("2") + "  a-b\n" + hexSum("1") + "  a/b\n")
	require.Equal(t, want, Sum(map[string]string{"a/b": hexSum("1"), "a-b": hexSum("2"), "B": hexSum("3")}))
}

func TestSumIsThatOfSha256sum(t *testing.T) {
	if _, err := exec.LookPath("sha256sum"); err != nil {
		t.Skip("sha256sum is not installed")
	}
	dir := t.TempDir()
	files := map[string]string{"setup.exe": "program", "data/один.cab": "cabinet", "data/with a space": ""}
	sums := map[string]string{}
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		sums[name] = hexSum(content)
	}
	cmd := exec.Command("sh", "-c", "find . -type f | sed 's,^./,,' | LC_ALL=C sort | xargs -d '\\n' sha256sum")
	cmd.Dir = dir
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, hexSum(strings.ReplaceAll(string(out), " *", "  ")), Sum(sums))
}

func TestOfIsTheSumOfWhatWasRead(t *testing.T) {
	dir := t.TempDir()
	want := map[string]string{}
	for name, content := range map[string]string{"setup.exe": "program", "data/один.cab": "cabinet", "data/empty": ""} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		want[name] = hexSum(content)
	}
	read := map[string]string{}
	sum, err := Of(t.Context(), dir, func(name string, f *os.File, r io.Reader) error {
		require.Equal(t, filepath.Base(filepath.FromSlash(name)), filepath.Base(f.Name()))
		text, err := io.ReadAll(r)
		read[name] = hexSum(string(text))
		return err
	})
	require.NoError(t, err)
	require.Equal(t, Sum(want), sum)
	require.Equal(t, want, read)
	sum, err = Of(t.Context(), dir, func(string, *os.File, io.Reader) error { return nil })
	require.NoError(t, err)
	require.Equal(t, Sum(want), sum, "also what was not read")
	if os.Symlink(filepath.Join(dir, "setup.exe"), filepath.Join(dir, "link")) == nil {
		if _, err := os.Lstat(filepath.Join(dir, "link")); err == nil { // Wine makes none
			_, err = Of(t.Context(), dir, func(string, *os.File, io.Reader) error { return nil })
			require.ErrorContains(t, err, "link in the directory is neither a file nor a directory")
		}
	}
}
