//go:build linux

package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// buildDeb makes a package with a version file, a configuration file and a
// script that runs after unpacking.
func buildDeb(t *testing.T, version, postinst string) string {
	t.Helper()
	tree := t.TempDir()
	for name, text := range map[string]string{
		"DEBIAN/control":       "Package: asp\nVersion: " + version + "\nArchitecture: all\nMaintainer: tests <tests@example.com>\nDescription: tests\n",
		"DEBIAN/conffiles":     "/etc/asp.conf\n",
		"DEBIAN/postinst":      "#!/bin/sh\n" + postinst + "\n",
		"opt/АСП/version.txt":  version,
		"etc/asp.conf":         "as shipped with " + version + "\n",
		"usr/share/doc/asp/ok": "",
	} {
		path := filepath.Join(tree, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	require.NoError(t, os.Chmod(tree, 0o755))
	require.NoError(t, os.Chmod(filepath.Join(tree, "DEBIAN/postinst"), 0o755))
	deb := filepath.Join(t.TempDir(), "Установка "+version+".deb")
	out, err := exec.Command(realtest.Program(t, "dpkg-deb"), "--build", "--root-owner-group", tree, deb).CombinedOutput()
	require.NoError(t, err, string(out))
	return deb
}

// debRoot makes a directory for a system of packages of its own.
func debRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644))
	return root
}

// Packages are installed into a system below a directory; its configuration
// survives what the package brings, and nothing asks.
func TestDeb(t *testing.T) {
	realtest.Program(t, "dpkg")
	if os.Geteuid() != 0 {
		realtest.Skip(t, "dpkg installs for root only")
	}
	root := debRoot(t)
	run := func(version, postinst string) (Outcome, error) {
		t.Helper()
		deb := buildDeb(t, version, postinst)
		r, _ := newRunner(t)
		out, err := r.Run(t.Context(), Command{
			Path: deb, SHA256: sumOf(t, deb), Kind: Auto, Args: []string{"--root=" + root, "--force-script-chrootless", "--log=/dev/null"},
		})
		requireClean(t, r)
		require.Equal(t, Deb, out.Kind)
		return out, err
	}
	has := func(name, want string) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	out, err := run("7.12.100", "echo frontend=$DEBIAN_FRONTEND")
	require.NoError(t, err, out.Tail)
	require.Contains(t, out.Tail, "frontend=noninteractive")
	has("opt/АСП/version.txt", "7.12.100")
	conf := filepath.Join(root, "etc/asp.conf")
	require.NoError(t, os.WriteFile(conf, []byte("the administrator's\n"), 0o644))

	out, err = run("7.13.100", "exit 0")
	require.NoError(t, err, out.Tail)
	has("opt/АСП/version.txt", "7.13.100")
	has("etc/asp.conf", "the administrator's\n")

	out, err = run("7.12.100", "exit 0") // R15: dpkg goes back by itself
	require.NoError(t, err, out.Tail)
	has("opt/АСП/version.txt", "7.12.100")

	out, err = run("7.14.100", "echo no database; exit 9")
	require.ErrorIs(t, err, ErrFailed)
	require.EqualValues(t, 1, out.Code)
	require.ErrorContains(t, err, "dpkg --configure -a")
	require.Contains(t, out.Tail, "no database")
}
