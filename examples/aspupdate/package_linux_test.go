package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// packageFiles writes what .ci/package/files writes for packages, and returns its directory.
func packageFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("bash", "../../.ci/package/files", program, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// makePackage makes a package of Linux by the release's configuration, which goreleaser gives to nfpm
// in the same way.
func makePackage(t *testing.T, files, format, version, program string) string {
	t.Helper()
	var config struct{ Nfpms []map[string]any }
	require.NoError(t, yaml.Unmarshal([]byte(readDocument(t, "../../.goreleaser.yaml")), &config))
	require.Len(t, config.Nfpms, 1)
	c := config.Nfpms[0]
	require.Contains(t, c["formats"], format)
	contents := append(c["contents"].([]any), map[string]any{"src": program, "dst": filepath.Join(c["bindir"].(string), "aspupdate"), "file_info": map[string]any{"mode": 0o755}})
	for _, file := range contents {
		file := file.(map[string]any)
		if name, made := strings.CutPrefix(fmt.Sprint(file["src"]), ".release/"); made {
			file["src"] = filepath.Join(files, name)
		}
	}
	c["contents"], c["name"], c["version"], c["arch"] = contents, c["package_name"], version, runtime.GOARCH
	for _, ours := range []string{"package_name", "formats", "bindir"} { // of goreleaser, unknown to nfpm
		delete(c, ours)
	}
	text, err := yaml.Marshal(c)
	require.NoError(t, err)
	dir := t.TempDir()
	recipe, to := filepath.Join(dir, "nfpm.yaml"), filepath.Join(dir, "aspupdate."+format)
	require.NoError(t, os.WriteFile(recipe, text, 0o600))
	gopath, err := exec.Command("go", "env", "GOPATH").Output()
	require.NoError(t, err)
	cmd := exec.Command(realtest.Program(t, "nfpm", filepath.Join(strings.TrimSpace(string(gopath)), "bin")), "package", "--config", recipe, "--packager", format, "--target", to)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return to
}

// A packager installs and removes packages below a root of its own.
type packager struct {
	format          string
	install, remove []string // commands; the package comes last
	admin           string   // what it keeps for itself
	system          []string // directories that are its system's: they stay
}

// packagers returns those of Debian and of Red Hat for a root.
func packagers(t *testing.T, root string) []packager {
	dpkg := []string{realtest.Program(t, "dpkg"), "--root=" + root, "--log=" + filepath.Join(root, "var/lib/dpkg/log"), "--force-script-chrootless"}
	rpm := []string{realtest.Program(t, "rpm"), "--root", root, "--dbpath", "/var/lib/rpm", "--nodeps"} // the shell that is copied is of no package
	with := func(command []string, args ...string) []string {
		return append(command[:len(command):len(command)], args...)
	}
	return []packager{
		{format: "deb", install: with(dpkg, "--install"), remove: with(dpkg, "--purge", "aspupdate"), admin: "var/lib/dpkg"},
		{format: "rpm", install: with(rpm, "--upgrade"), remove: with(rpm, "--erase", "aspupdate"), admin: "var/lib/rpm", system: []string{
			"usr/bin", "usr/share/doc", "usr/share/man/man1", "usr/share/man/ru/man1", "usr/share/bash-completion/completions",
			"usr/share/fish/vendor_completions.d", "usr/share/zsh/site-functions", "var/tmp",
		}},
	}
}

// TestPackagesOfLinux installs the packages by dpkg and rpm below an empty root, runs what they bring,
// upgrades and removes them: nothing is left. What the system still starts is not removed.
func TestPackagesOfLinux(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root may install packages below a root")
	}
	files := packageFiles(t)
	newer := filepath.Join(files, "newer")
	require.NoError(t, os.WriteFile(newer, []byte("#!/bin/sh\necho the newer one\n"), 0o755))
	for i, format := range []string{"deb", "rpm"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			root := newRoot(t)
			p := packagers(t, root)[i]
			for _, dir := range p.system {
				require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
			}
			run := func(command []string, args ...string) (string, error) {
				out, err := exec.Command(command[0], append(command[1:], args...)...).CombinedOutput()
				return string(out), err
			}
			before := p.tree(t, root)
			out, err := run(p.install, makePackage(t, files, format, "1.2.3", program))
			require.NoError(t, err, out)
			tryPackage(t, root)

			unit := filepath.Join(root, "etc/systemd/system/aspupdate-recover.service")
			require.NoError(t, os.MkdirAll(filepath.Dir(unit), 0o755))
			require.NoError(t, os.WriteFile(unit, []byte("[Service]\nExecStart=/usr/bin/aspupdate recover\n"), 0o600))
			other := filepath.Join(filepath.Dir(unit), "aspupdate-prove.service") // of a program that the package does not have
			require.NoError(t, os.WriteFile(other, []byte("[Service]\nExecStart=/opt/aspupdate/aspupdate prove\n"), 0o600))
			out, err = run(p.remove)
			require.Error(t, err, out)
			require.Contains(t, out, "aspupdate-recover.service still runs this program; first: aspupdate service remove")
			tryPackage(t, root)
			out, err = run(p.install, makePackage(t, files, format, "1.2.4", newer))
			require.NoError(t, err, out)
			out, err = run([]string{filepath.Join(root, "usr/bin/aspupdate")})
			require.NoError(t, err)
			require.Equal(t, "the newer one\n", out)

			require.NoError(t, os.RemoveAll(filepath.Join(root, "etc")))
			out, err = run(p.remove)
			require.NoError(t, err, out)
			require.Equal(t, before, p.tree(t, root))
		})
	}
}

// newRoot makes a root with a shell, which scripts of packages need, and what packagers need.
func newRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/rpm"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644))
	libraries, err := exec.Command("ldd", "/bin/sh").Output()
	require.NoError(t, err)
	for _, path := range append(strings.Fields(string(libraries)), "/bin/sh") {
		if !filepath.IsAbs(path) {
			continue
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), text, 0o755))
	}
	return root
}

// tree returns the paths below a root, without what the packager keeps for itself.
func (p packager) tree(t *testing.T, root string) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path == filepath.Join(root, p.admin) {
			return fs.SkipDir
		}
		paths = append(paths, path)
		return err
	}))
	return paths
}

// tryPackage runs the program of a package, reads its manual pages as man does, and completes a
// command in a bash that has no other completions.
func tryPackage(t *testing.T, root string) {
	t.Helper()
	bin := filepath.Join(root, "usr/bin")
	out, err := exec.Command(filepath.Join(bin, "aspupdate"), "--version").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "aspupdate version ")
	for page, text := range map[string]string{"man1": "roll back if an update fails", "ru/man1": "обновляет АС «АСП»"} {
		packed, err := os.ReadFile(filepath.Join(root, "usr/share/man", page, "aspupdate.1.gz"))
		require.NoError(t, err)
		r, err := gzip.NewReader(bytes.NewReader(packed))
		require.NoError(t, err)
		source, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Contains(t, formatted(t, string(source)), text)
	}
	cmd := exec.Command("bash", "--norc", "--noprofile", "-c", `source "$0"; COMP_WORDS=(aspupdate rollb); COMP_CWORD=1; _aspupdate; echo "${COMPREPLY[@]}"`,
		filepath.Join(root, "usr/share/bash-completion/completions/aspupdate"))
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	out, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "rollback\n", string(out))
	for _, name := range []string{"copyright", "README.md", "README.ru.md", "OPERATIONS.md", "OPERATIONS.ru.md"} {
		require.FileExists(t, filepath.Join(root, "usr/share/doc/aspupdate", name))
	}
}
