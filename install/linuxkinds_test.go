//go:build linux

package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A linuxRoot is a directory that package managers take for the machine.
type linuxRoot struct{ dir string }

func newLinuxRoot(t *testing.T) linuxRoot {
	t.Helper()
	if os.Geteuid() != 0 {
		realtest.Skip(t, "package managers install for root only")
	}
	r := linuxRoot{t.TempDir()}
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(r.dir, dir), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "var/lib/dpkg/status"), nil, 0o644))
	return r
}

// apt returns the environment in which apt takes the directory for the machine.
func (r linuxRoot) apt(t *testing.T) []string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "apt.conf")
	require.NoError(t, os.WriteFile(config, []byte(`Dir "`+r.dir+`";
Dir::Bin::Methods "/usr/lib/apt/methods";
Dir::State::Status "`+r.dir+`/var/lib/dpkg/status";
DPkg::Options { "--root=`+r.dir+`"; "--force-script-chrootless"; "--log=/dev/null"; };
APT::Architecture "`+strings.TrimSpace(output(t, "dpkg", "--print-architecture"))+`";
`), 0o600))
	return append(BaseEnv(), "APT_CONFIG="+config)
}

func (r linuxRoot) has(t *testing.T, name, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(r.dir, name))
	require.NoError(t, err)
	require.Equal(t, want, strings.TrimSpace(string(got)))
}

func (r linuxRoot) hasNot(t *testing.T, name string) {
	t.Helper()
	require.NoFileExists(t, filepath.Join(r.dir, name))
}

// buildRPM makes a package with a version file, a configuration file, and a
// script in Lua, which needs no shell in the root.
func buildRPM(t *testing.T, version, more, post string) string {
	t.Helper()
	dir := t.TempDir()
	spec := filepath.Join(dir, "asp.spec")
	require.NoError(t, os.WriteFile(spec, []byte(`Name: asp
Version: `+version+`
Release: 1
Summary: tests
License: MIT
BuildArch: noarch
`+more+`
%description
tests
%install
mkdir -p %{buildroot}/opt/asp %{buildroot}/etc
echo %{version} > %{buildroot}/opt/asp/version.txt
echo as shipped with %{version} > %{buildroot}/etc/asp.conf
%files
/opt/asp/version.txt
%config(noreplace) /etc/asp.conf
%post -p <lua>
`+post+`
`), 0o600))
	cmd := exec.Command(realtest.Program(t, "rpmbuild"), "-bb", "--define", "_topdir "+dir, "--define", "_rpmdir "+dir, spec)
	cmd.Env = append(os.Environ(), "HOME="+dir) // it makes a database there
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	built, err := filepath.Glob(filepath.Join(dir, "noarch", "*.rpm"))
	require.NoError(t, err)
	require.Len(t, built, 1)
	named := filepath.Join(dir, "Установка {7,8} [a] "+version+".rpm")
	require.NoError(t, os.Rename(built[0], named))
	return named
}

func TestRPM(t *testing.T) {
	root := newLinuxRoot(t)
	rpmProgram := realtest.Program(t, "rpm")
	run := func(path string) (Outcome, error) {
		t.Helper()
		r, _ := newRunner(t)
		out, err := r.Run(t.Context(), Command{Path: path, SHA256: sumOf(t, path), Kind: Auto, Args: []string{"--root=" + root.dir}})
		requireClean(t, r)
		require.Equal(t, rpm, out.Kind)
		return out, err
	}
	installed := func() string {
		t.Helper()
		got, err := CommandProbe{Path: rpmProgram, Args: []string{"--root=" + root.dir, "-q", "--qf", "%{VERSION}\n", "asp"}}.Version(t.Context())
		require.NoError(t, err)
		return got
	}
	out, err := run(buildRPM(t, "7.12.100", "", `print("post")`))
	require.NoError(t, err, out.Tail)
	require.Contains(t, out.Tail, "post")
	root.has(t, "opt/asp/version.txt", "7.12.100")
	conf := filepath.Join(root.dir, "etc/asp.conf")
	require.NoError(t, os.WriteFile(conf, []byte("the administrator's\n"), 0o644))

	newer := buildRPM(t, "7.13.100", "", "")
	out, err = run(newer)
	require.NoError(t, err, out.Tail)
	require.Equal(t, "7.13.100", installed())
	root.has(t, "etc/asp.conf", "the administrator's")

	out, err = run(newer) // after a failure halfway it is not known whether it is installed
	require.NoError(t, err, out.Tail)
	out, err = run(buildRPM(t, "7.12.100", "", "")) // R15
	require.NoError(t, err, out.Tail)
	require.Equal(t, "7.12.100", installed())
	root.has(t, "opt/asp/version.txt", "7.12.100")

	out, err = run(buildRPM(t, "7.14.100", "Requires: libasp-of-another-vendor", ""))
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorContains(t, err, "rpm refused the package")
	require.Contains(t, out.Tail, "libasp-of-another-vendor")
	require.Equal(t, "7.12.100", installed(), "what a package needs is never left out")

	out, err = run(buildRPM(t, "7.15.100", "", `error("no database")`))
	require.ErrorIs(t, err, ErrFailed, out.Tail)
	require.EqualValues(t, 0, out.Code, "rpm calls it a success")
	require.ErrorContains(t, err, "a script of the package failed")

	// The same in shell, which the root does not have: a package without files.
	dir := t.TempDir()
	spec := filepath.Join(dir, "shell.spec")
	require.NoError(t, os.WriteFile(spec, []byte("Name: shell\nVersion: 1\nRelease: 1\nSummary: tests\nLicense: MIT\nBuildArch: noarch\n%description\ntests\n%files\n%post\nexit 9\n"), 0o600))
	cmd := exec.Command("rpmbuild", "-bb", "--define", "_topdir "+dir, "--define", "_rpmdir "+dir, spec)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	built, err := cmd.CombinedOutput()
	require.NoError(t, err, string(built))
	path := filepath.Join(dir, "noarch", "shell-1-1.noarch.rpm")
	r, _ := newRunner(t)
	out, err = r.Run(t.Context(), Command{Path: path, SHA256: sumOf(t, path), Kind: Auto, Args: []string{"--dbpath=" + dir, "--nodeps"}})
	require.ErrorIs(t, err, ErrFailed, out.Tail)
	require.ErrorContains(t, err, "a script of the package failed")

	removed, err := exec.Command(rpmProgram, "--root="+root.dir, "-e", "asp").CombinedOutput()
	require.NoError(t, err, string(removed))
	root.hasNot(t, "opt/asp/version.txt")
}

// apt brings what a package needs: from a file beside it, or from the machine's
// own sources.
func TestApt(t *testing.T) {
	root := newLinuxRoot(t)
	realtest.Program(t, "apt-get")
	debs := t.TempDir()
	build := func(name, version, depends string) string {
		t.Helper()
		tree := t.TempDir()
		control := "Package: " + name + "\nVersion: " + version + "\nArchitecture: all\nMaintainer: tests <tests@example.com>\nDescription: tests\n"
		if depends != "" {
			control += "Depends: " + depends + "\n"
		}
		require.NoError(t, os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755))
		require.NoError(t, os.MkdirAll(filepath.Join(tree, "opt", name), 0o755))
		require.NoError(t, os.Chmod(tree, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(tree, "DEBIAN/control"), []byte(control), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(tree, "opt", name, "version.txt"), []byte(version+"\n"), 0o644))
		out, err := exec.Command(realtest.Program(t, "dpkg-deb"), "--build", "--root-owner-group", tree, filepath.Join(debs, name+"-"+version+".deb")).CombinedOutput()
		require.NoError(t, err, string(out))
		return filepath.Join(debs, name+"-"+version+".deb")
	}
	env := root.apt(t)
	run := func(path, entry string, args ...string) (Outcome, error) {
		t.Helper()
		sumOfPath := sumOf
		if entry != "" {
			sumOfPath = treeSum
		}
		r, _ := newRunner(t)
		out, err := r.Run(t.Context(), Command{Path: path, SHA256: sumOfPath(t, path), Entry: entry, Kind: apt, Args: args, Env: env})
		requireClean(t, r)
		return out, err
	}
	lib := build("libasp", "1.0", "")
	older, newer := build("asp", "7.12.100", ""), build("asp", "7.13.100", "libasp (>= 1.0)")
	out, err := run(older, "")
	require.NoError(t, err, out.Tail)
	root.has(t, "opt/asp/version.txt", "7.12.100")

	out, err = run(newer, "")
	require.ErrorIs(t, err, ErrFailed)
	require.EqualValues(t, 100, out.Code)
	require.Contains(t, out.Tail, "libasp")
	root.has(t, "opt/asp/version.txt", "7.12.100")

	// From a file in the same directory.
	setup := t.TempDir()
	for name, from := range map[string]string{"asp.deb": newer, "libasp.deb": lib} {
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(setup, name), b, 0o600))
	}
	out, err = run(setup, "asp.deb", "./libasp.deb")
	require.NoError(t, err, out.Tail)
	root.has(t, "opt/asp/version.txt", "7.13.100")
	root.has(t, "opt/libasp/version.txt", "1.0")
	out, err = run(setup, "asp.deb", "./libasp.deb") // once more
	require.NoError(t, err, out.Tail)

	out, err = run(older, "") // R15
	require.NoError(t, err, out.Tail)
	root.has(t, "opt/asp/version.txt", "7.12.100")

	// From the machine's own sources.
	build("libother", "2.0", "")
	packages := output(t, "sh", "-c", "cd '"+debs+"' && dpkg-scanpackages . 2>/dev/null")
	require.NoError(t, os.WriteFile(filepath.Join(debs, "Packages"), []byte(packages), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(root.dir, "etc/apt/sources.list"), []byte("deb [trusted=yes] file:"+debs+" ./\n"), 0o600))
	update := exec.Command("apt-get", "-o", "APT::Sandbox::User=root", "update")
	update.Env = env
	said, err := update.CombinedOutput()
	require.NoError(t, err, string(said))
	out, err = run(build("asp", "7.14.100", "libother"), "")
	require.NoError(t, err, out.Tail)
	root.has(t, "opt/asp/version.txt", "7.14.100")
	root.has(t, "opt/libother/version.txt", "2.0")

	got, err := CommandProbe{Path: "dpkg-query", Args: []string{"--admindir=" + root.dir + "/var/lib/dpkg", "-W", "-f", "${Version}\n", "asp"}}.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.14.100", got)
	removed, err := exec.Command("dpkg", "--root="+root.dir, "--log=/dev/null", "-r", "asp").CombinedOutput()
	require.NoError(t, err, string(removed))
	root.hasNot(t, "opt/asp/version.txt")
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(realtest.Program(t, name), args...).Output()
	require.NoError(t, err)
	return string(out)
}

// treeSum returns the hash of a directory, as an archive has it.
func treeSum(t *testing.T, dir string) string {
	t.Helper()
	sum, err := copyTree(t.Context(), dir, t.TempDir())
	require.NoError(t, err)
	return sum
}

// buildMakeself makes an archive whose script writes the version and its arguments.
func buildMakeself(t *testing.T, version, more string, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "src"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "src", "install.sh"), []byte("#!/bin/sh\nset -e\nmkdir -p \"$1\"\necho "+version+" > \"$1/version.txt\"\necho \"in $PWD\"\n"+more+"\n"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "license"), []byte("Do you agree?\n"), 0o600))
	run := filepath.Join(dir, "Установка "+version+".run")
	args := slices.Concat(options, []string{"--license", filepath.Join(dir, "license"), filepath.Join(dir, "src"), run, "АСП", "./install.sh"})
	out, err := exec.Command(realtest.Program(t, "makeself"), args...).CombinedOutput()
	require.NoError(t, err, string(out))
	return run
}

func TestMakeself(t *testing.T) {
	base := t.TempDir()
	app := filepath.Join(base, "Опека и попечительство")
	run := func(path string) (Outcome, error) {
		t.Helper()
		r, _ := newRunner(t)
		out, err := r.Run(t.Context(), Command{Path: path, SHA256: sumOf(t, path), Kind: Auto, Args: []string{app}})
		requireClean(t, r)
		require.Equal(t, makeself, out.Kind)
		if err == nil {
			require.Contains(t, out.Tail, "in "+r.State, "it unpacks where no one else can write")
		}
		return out, err
	}
	for _, compression := range []string{"--gzip", "--bzip2", "--xz", "--nocomp"} {
		for _, version := range []string{"7.12.100", "7.13.100", "7.12.100"} {
			out, err := run(buildMakeself(t, version, "", compression))
			require.NoError(t, err, "%s: %s", compression, out.Tail)
			linuxRoot{app}.has(t, "version.txt", version)
		}
	}
	out, err := run(buildMakeself(t, "7.14.100", "echo no database; exit 9"))
	require.ErrorIs(t, err, ErrFailed)
	require.EqualValues(t, 9, out.Code)
	require.Contains(t, out.Tail, "no database")

	damaged := buildMakeself(t, "7.15.100", "")
	b, err := os.ReadFile(damaged)
	require.NoError(t, err)
	b[len(b)-20] ^= 0xff
	require.NoError(t, os.WriteFile(damaged, b, 0o700))
	out, err = run(damaged)
	require.ErrorIs(t, err, ErrFailed)
	require.EqualValues(t, 2, out.Code)
	require.ErrorContains(t, err, "the archive is damaged")
	linuxRoot{app}.has(t, "version.txt", "7.14.100")
}

// A closed software environment runs only what carries a signature, which is an
// extended attribute of the file.
func TestPrivateCopyKeepsExtendedAttributes(t *testing.T) {
	dir := t.TempDir()
	mark := func(path string) {
		t.Helper()
		if err := unix.Setxattr(path, "user.sig", []byte("signature\x00\xff"), 0); err != nil {
			realtest.Skip(t, "the volume has no extended attributes: %v", err)
		}
	}
	kept := func(path string) {
		t.Helper()
		got := make([]byte, 100)
		n, err := unix.Getxattr(path, "user.sig", got)
		require.NoError(t, err)
		require.Equal(t, "signature\x00\xff", string(got[:n]))
	}
	file := filepath.Join(dir, "setup")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\n"), 0o600))
	mark(file)
	state := t.TempDir()
	copied, err := privateCopy(t.Context(), state, "a", file, sumOf(t, file), "")
	require.NoError(t, err)
	kept(copied)

	tree := filepath.Join(dir, "tree")
	require.NoError(t, os.MkdirAll(filepath.Join(tree, "bin"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "bin", "setup"), []byte("#!/bin/sh\n"), 0o600))
	mark(filepath.Join(tree, "bin", "setup"))
	copied, err = privateCopy(t.Context(), state, "b", tree, treeSum(t, tree), "bin/setup")
	require.NoError(t, err)
	kept(copied)
}

func TestRefusalsNameTheLauncher(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"fix.msp":    {samples()["?patches (.msp)"], `launcher = ["msiexec", "/p"]`},
		"kb.msu":     {[]byte("MSCF\x00\x00\x00\x00"), `launcher = ["wusa"]`},
		"asp.MSIX":   {samples()["?a zip archive"], "Add-AppxPackage"},
		"setup.ps1":  {[]byte("Write-Host x\r\n"), `"-File"]`},
		"setup.jar":  {samples()["?a zip archive"], `launcher = ["java", "-jar"]`},
		"install.sh": {[]byte("echo x\n"), `launcher = ["/bin/sh"]`},
	} {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, c.data, 0o600))
		_, err := Detect(path)
		require.ErrorIs(t, err, ErrUnknownKind, name)
		require.ErrorContains(t, err, c.want, name)
	}
}
