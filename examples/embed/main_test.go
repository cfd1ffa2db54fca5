package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// TestEmbedInAForeignModule copies the program into another module, builds it
// there without a network, and updates an application with it.
func TestEmbedInAForeignModule(t *testing.T) {
	src, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.LessOrEqual(t, bytes.Count(src, []byte("\n")), 60)
	sums, err := os.ReadFile("../../go.sum")
	require.NoError(t, err)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	module := t.TempDir()
	for name, text := range map[string]string{
		"main.go": string(src),
		"go.sum":  string(sums),
		"go.mod":  "module example.org/foreign\n\ngo 1.26.0\n\nrequire github.com/aspupdate/aspupdate v0.0.0\n\nreplace github.com/aspupdate/aspupdate => " + root + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(module, name), []byte(text), 0o600))
	}
	exe := ""
	if runtime.GOOS == "windows" {
		exe = ".exe"
	}
	embed := filepath.Join(module, "embed"+exe)
	build(t, module, embed, "-mod=mod")

	dir := t.TempDir()
	in := func(path string) string { return filepath.Join(dir, path) }
	for _, name := range []string{"app", "data", "bin"} {
		require.NoError(t, os.Mkdir(in(name), 0o700))
	}
	require.NoError(t, os.WriteFile(in("app/version.txt"), []byte("7.12.100"), 0o600))
	require.NoError(t, os.WriteFile(in("data/rows"), []byte("children and wards"), 0o600))
	for _, name := range []string{"close", "open", "version"} {
		build(t, "testdata/asp", in("bin/"+name+exe))
	}
	versions := &archive.Archive{Dir: in("archive")}
	for v, flags := range map[string]string{"7.12.100": "", "7.13.100": "", "7.13.200": " -X main.broken=yes"} {
		setup := filepath.Join(t.TempDir(), "Setup"+exe)
		build(t, "testdata/asp", setup, "-ldflags=-X main.version="+v+flags)
		key := archive.Key{Distribution: "ASP", Version: version.MustParse(v), Variant: version.Setup}
		_, err := versions.Import(t.Context(), setup, key, archive.Unauthenticated("a test"))
		require.NoError(t, err)
	}
	update := func(args ...string) (string, error) {
		out, err := exec.Command(embed, append([]string{"-any-time", "a test", "-steady", "100ms"}, append(args, dir)...)...).CombinedOutput()
		return string(out), err
	}
	is := func(v string) {
		t.Helper()
		for file, want := range map[string]string{"app/version.txt": v, "data/rows": "children and wards"} {
			got, err := os.ReadFile(in(file))
			require.NoError(t, err)
			require.Equal(t, want, string(got))
		}
		require.NoFileExists(t, in("closed"), "users are let in")
		st, err := rollback.ReadStatus(in("state"))
		require.NoError(t, err)
		require.Equal(t, v, string(st.Committed["ASP"].Version))
	}

	out, err := update("-from", "7.12.100", "-to", "7.13.100")
	require.NoError(t, err, out)
	require.Contains(t, out, " commit\n")
	is("7.13.100")
	out, err = update("-from", "7.13.100", "-to", "7.13.200")
	require.Error(t, err, out)
	require.Contains(t, out, "rolled back")
	is("7.13.100")
	snapshots, err := (&backup.Store{Dir: in("backups")}).List()
	require.NoError(t, err)
	require.Len(t, snapshots, 2)

	out, err = update("-from", "7.13.100", "-to", "7.14.100")
	require.Error(t, err)
	require.Contains(t, out, "not in the archive")
	out, err = update("-from", "7.13.100", "-to", "seven")
	require.Error(t, err)
	require.Contains(t, out, "-to")
	is("7.13.100")
}

// build builds the program in dir, in a module of its own or in this one.
func build(t *testing.T, dir, output string, flags ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-o", output}, append(flags, ".")...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
