package site

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestCopyInAForeignModule builds a copy of this package, and of the packages strict
// and copies, in another module: all else that they import can be imported from there.
func TestCopyInAForeignModule(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		realtest.Skip(t, "the go command is not in PATH: %v", err)
	}
	module := t.TempDir()
	copyTo := func(name, file string, replace ...string) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		path := filepath.Join(module, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600))
	}
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	copyTo("go.mod", "../../go.mod", "module github.com/aspupdate/aspupdate/examples", "module example.org/foreign", "=> ../", "=> "+filepath.ToSlash(root))
	copyTo("go.sum", "../../go.sum")
	for _, dir := range []string{"../site", "../strict", "../copies"} {
		files, err := filepath.Glob(dir + "/*")
		require.NoError(t, err)
		for _, file := range files {
			if ext := filepath.Ext(file); (ext == ".go" || ext == ".toml") && !strings.HasSuffix(file, "_test.go") {
				copyTo(strings.TrimPrefix(filepath.ToSlash(file), "../"), file, "github.com/aspupdate/aspupdate/examples/internal/", "example.org/foreign/")
			}
		}
	}
	cmd := exec.Command("go", "build", "-mod=mod", "./...")
	cmd.Dir, cmd.Env = module, append(os.Environ(), "GOWORK=off", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
