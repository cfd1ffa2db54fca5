package install

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// makeZip makes an archive of names and texts, in that order. A text of
// "@link" is a link.
func makeZip(t *testing.T, pairs ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Setup.zip")
	f, err := os.Create(path)
	require.NoError(t, err)
	z := zip.NewWriter(f)
	for i := 0; i < len(pairs); i += 2 {
		h := &zip.FileHeader{Name: pairs[i], Method: zip.Deflate}
		if pairs[i+1] == "@link" {
			h.SetMode(fs.ModeSymlink | 0o777)
		}
		w, err := z.CreateHeader(h)
		require.NoError(t, err)
		_, err = w.Write([]byte(pairs[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	return path
}

const setupScript = "#!/bin/sh\n. \"$(dirname \"$0\")/lib/Общее.sh\"\n\"$(dirname \"$0\")/lib/helper\"\n"

func TestEntryOfADirectoryAndOfAZip(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the scripts of this test are for a Unix shell")
	}
	files := map[string]string{"bin/Setup": setupScript, "bin/lib/Общее.sh": "echo common\n", "bin/lib/helper": "#!/bin/sh\necho helper\n", "readme": "x"}
	dir := filepath.Join(t.TempDir(), "Setup")
	sums := sha256.New()
	for _, name := range []string{"bin/Setup", "bin/lib/helper", "bin/lib/Общее.sh", "readme"} { // in byte order
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(files[name]), 0o600))
		fmt.Fprintf(sums, "%s  %s\n", sumOf(t, path), name)
	}
	sum := hex.EncodeToString(sums.Sum(nil))
	archive := makeZip(t, "bin/", "", "bin/Setup", files["bin/Setup"], "bin/lib/Общее.sh", files["bin/lib/Общее.sh"], "bin/lib/helper", files["bin/lib/helper"])
	for name, cmd := range map[string]Command{
		"dir": {Path: dir, SHA256: sum},
		"zip": {Path: archive, SHA256: sumOf(t, archive)},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := newRunner(t)
			cmd.Kind, cmd.Entry = Auto, "bin/Setup"
			out, err := r.Run(t.Context(), cmd)
			require.NoError(t, err)
			require.Equal(t, "common\nhelper\n", out.Tail)
			requireClean(t, r)
			for entry, want := range map[string]string{
				"": "", "bin": "has no file", "bin/Nothing": "has no file", "../Setup": "is outside of", "/bin/sh": "is outside of",
			} {
				cmd.Entry = entry
				_, err := r.Run(t.Context(), cmd)
				require.ErrorContains(t, err, want)
				requireClean(t, r)
			}
		})
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "one more"), nil, 0o600))
	r, _ := newRunner(t)
	_, err := r.Run(t.Context(), Command{Path: dir, SHA256: sum, Entry: "bin/Setup"})
	require.ErrorIs(t, err, ErrMismatch, "what was put there later")
	require.NoError(t, os.Remove(filepath.Join(dir, "one more")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	_, err = r.Run(t.Context(), Command{Path: dir, SHA256: sum, Entry: "bin/Setup"})
	require.ErrorContains(t, err, "neither a file nor a directory")
	requireClean(t, r)
}

func TestHostileZips(t *testing.T) {
	for name, pairs := range map[string][]string{
		"up":            {"../evil", "x"},
		"absolute":      {"/evil", "x"},
		"deep up":       {"a/../../evil", "x"},
		"backslash":     {`..\evil`, "x"},
		"stream":        {"a:b", "x"},
		"empty":         {"", "x"},
		"itself":        {".", "x"},
		"link":          {"evil", "@link"},
		"twice":         {"Setup", "x", "Setup", "y"},
		"in a file":     {"Setup", "x", "Setup/evil", "y"},
		"over files":    {"Setup/evil", "x", "Setup", "y"},
		"not a parent":  {"a", "x", "a/", ""},
		"deep":          {strings.Repeat("a/", 2000) + "a", "x"},
		"a long name":   {strings.Repeat("a", 5000), "x"},
		"entry in it":   {"entry/evil", "x"},
		"entry, a link": {"entry", "@link"},
	} {
		t.Run(name, func(t *testing.T) {
			path := makeZip(t, append([]string{"entry", setupScript}, pairs...)...)
			r, _ := newRunner(t)
			cmd := Command{Path: path, SHA256: sumOf(t, path), Entry: "entry", Launcher: []string{self(t)}}
			err := r.Ready(t.Context(), cmd)
			require.ErrorContains(t, err, "the archive", "before users are put out")
			_, err = r.Run(t.Context(), cmd)
			require.Error(t, err)
			require.ErrorContains(t, err, "nothing was started")
			require.Regexp(t, "archive", err.Error())
			requireClean(t, r)
		})
	}
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("PK\x03\x04"), 0o600))
	r, _ := newRunner(t)
	_, err := r.Run(t.Context(), Command{Path: path, SHA256: sumOf(t, path), Entry: "entry"})
	require.ErrorContains(t, err, "is not a zip archive")
}

func FuzzUnpack(f *testing.F) {
	for _, text := range []string{"", "PK\x05\x06" + string(make([]byte, 18))} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		archive, out := filepath.Join(dir, "a"), filepath.Join(dir, "out")
		if os.WriteFile(archive, b, 0o600) != nil || os.Mkdir(out, 0o700) != nil {
			t.Skip()
		}
		_ = unpack(t.Context(), archive, out)
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Fatalf("%v %v: something was written beside the directory", entries, err)
		}
	})
}
