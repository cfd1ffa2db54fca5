package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aspupdate/aspupdate/version"
)

// Who can write the archive writes its manifests, too: whatever one says, the item
// that is read is the file beside it.
func FuzzManifest(f *testing.F) {
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	k := Key{"asp", version.MustParse("7.01.100"), version.Setup, sum}
	dir := filepath.Join(f.TempDir(), itemDir(k))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Setup.exe"), nil, 0o600); err != nil {
		f.Fatal(err)
	}
	good, err := manifestOf(Item{Key: k, Path: "Setup.exe", Archived: time.Unix(1, 0).UTC()}).encode()
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifestName), good, 0o600); err != nil {
		f.Fatal(err)
	}
	if _, err := readManifest(dir); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(good), "", "null", "{}", "[]", `{"format":1,"file":"../../../x","sha256":"` + sum + `"}`, `{"format":99}`,
		`{"format":1,"file":"Setup.exe","sha256":"` + sum + `","parts":[{"path":"../x","size":-1}]}`,
		strings.Replace(string(good), "Setup.exe", `Setup\u0000.exe`, 1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, manifestName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		it, err := readManifest(dir)
		if err == nil && filepath.Dir(it.Path) != dir {
			t.Fatalf("%q is not beside its manifest", it.Path)
		}
		for _, p := range it.Parts {
			if !filepath.IsLocal(filepath.FromSlash(p.Path)) {
				t.Fatalf("%q leaves the item", p.Path)
			}
		}
	})
}
