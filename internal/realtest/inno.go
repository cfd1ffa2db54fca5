package realtest

import (
	"os"
	"path/filepath"
	"testing"
)

// InnoCompilers returns the directories of the compilers of Inno Setup, by
// version, the newest last. Each has ISCC.exe, a program for 32-bit Windows. They
// are in ASPUPDATE_INNO or where .ci/run unpacks them. It skips the test if there
// are none.
func InnoCompilers(t testing.TB) []string {
	t.Helper()
	dir := os.Getenv("ASPUPDATE_INNO")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(cache, "aspupdate", "inno")
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "ISCC.exe"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		SkipAbsent(t, "inno", "Inno Setup's compiler is not in %s", dir)
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}
