package files

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Who can write the backups writes the archive of a directory: whatever is in it,
// nothing is made or changed outside.
func FuzzExtract(f *testing.F) {
	for _, entries := range [][]tar.Header{
		{{Name: ".", Typeflag: tar.TypeDir, Mode: 0o700}, {Name: "a", Typeflag: tar.TypeReg, Size: 3, Mode: 0o600}},
		{{Name: ".", Typeflag: tar.TypeDir, Mode: 0o700}, {Name: "../outside", Typeflag: tar.TypeReg, Size: 3}},
		{{Name: ".", Typeflag: tar.TypeDir, Mode: 0o700}, {Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "l/outside", Typeflag: tar.TypeReg, Size: 3}},
		{{Name: ".", Typeflag: tar.TypeDir, Mode: 0o700}, {Name: "h", Typeflag: tar.TypeLink, Linkname: "../kept"}},
		{{Name: "/", Typeflag: tar.TypeDir, Mode: 0o7777}, {Name: "f", Typeflag: tar.TypeFifo}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range entries {
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
			if h.Size > 0 {
				_, _ = w.Write([]byte("abc"))
			}
		}
		_ = w.Close()
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		in, kept := filepath.Join(dir, "in"), filepath.Join(dir, "kept")
		if err := os.WriteFile(kept, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(in, 0o700); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(in)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = extract(t.Context(), tar.NewReader(bytes.NewReader(text)), root)
		_ = root.Close()
		_ = filepath.WalkDir(in, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o700) // t.TempDir removes it
			}
			return nil
		})
		entries, err := os.ReadDir(dir)
		if b, kerr := os.ReadFile(kept); err != nil || len(entries) != 2 || kerr != nil || string(b) != "kept" {
			t.Fatalf("outside: %v %v %q %v", entries, err, b, kerr)
		}
	})
}
