package install

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// refused asserts that an installer for another machine is refused before users are closed out,
// and where it is in a zip archive, and that it is not started; and that a launcher may open it.
func refused(t *testing.T, path string, kind Kind, want string) {
	t.Helper()
	r := &Runner{State: filepath.Join(t.TempDir(), "state"), elevated: always}
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, cmd := range []Command{
		{Path: path, SHA256: sumOf(t, path), Kind: kind, Args: []string{"-q"}},
		{Path: makeZip(t, "setup", string(b)), Entry: "setup", Kind: kind, Args: []string{"-q"}},
	} {
		cmd.SHA256 = sumOf(t, cmd.Path)
		err := r.Ready(t.Context(), cmd)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, want)
		out, err := r.Run(t.Context(), cmd)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "nothing was started")
		require.Equal(t, notRun, out.Status)
		cmd.Launcher = []string{self(t)}
		require.NoError(t, r.Ready(t.Context(), cmd))
	}
}

func TestReadyRefusesOtherProcessors(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the programs are for others than x86-64")
	}
	path := goProgram(t, "linux", "riscv64")
	head, err := fileAt(path).head()
	require.NoError(t, err)
	if interpreted(head) {
		realtest.Skip(t, "this machine emulates RISC-V")
	}
	refused(t, path, Plain, "an installer for RISC-V cannot run on this machine, which is x86-64: unsupported operation; get the one for this machine, or set a Launcher")
	refused(t, path, Auto, "an installer for RISC-V cannot run on this machine")
	may := Command{Path: goProgram(t, "linux", "386"), Args: []string{"-q"}}
	require.NoError(t, new(Runner).Ready(t.Context(), may), "a kernel of 64 bits may run it")
}

func TestReadyRefusesPackagesForOtherProcessors(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the packages are for others than x86-64")
	}
	t.Run("rpm", func(t *testing.T) {
		build := func(target string) string {
			dir := t.TempDir()
			spec := filepath.Join(dir, "asp.spec")
			require.NoError(t, os.WriteFile(spec, []byte("Name: asp\nVersion: 1\nRelease: 1\nSummary: tests\nLicense: MIT\n%description\ntests\n%files\n"), 0o600))
			cmd := exec.Command(realtest.Program(t, "rpmbuild"), "-bb", "--target", target, "--define", "_topdir "+dir, "--define", "_rpmdir "+dir, spec)
			cmd.Env = append(os.Environ(), "HOME="+dir)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			return filepath.Join(dir, target, "asp-1-1."+target+".rpm")
		}
		refused(t, build("aarch64"), rpm, "an installer for ARM64 cannot run on this machine, which is x86-64")
		for _, target := range []string{"noarch", "i586", "x86_64"} {
			require.NoError(t, (&Runner{elevated: always}).Ready(t.Context(), Command{Path: build(target), Kind: rpm}), target)
		}
		forced := Command{Path: build("aarch64"), Kind: rpm, Args: []string{"--ignorearch"}}
		require.NoError(t, (&Runner{elevated: always}).Ready(t.Context(), forced))
	})
	t.Run("deb", func(t *testing.T) {
		build := func(architecture string) string {
			tree := t.TempDir()
			require.NoError(t, os.Chmod(tree, 0o755))
			require.NoError(t, os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(tree, "DEBIAN/control"), []byte("Package: asp\nVersion: 1\nArchitecture: "+architecture+"\nMaintainer: tests <tests@example.com>\nDescription: tests\n"), 0o644))
			deb := filepath.Join(t.TempDir(), "Установка.deb")
			out, err := exec.Command(realtest.Program(t, "dpkg-deb"), "--build", "--root-owner-group", tree, deb).CombinedOutput()
			require.NoError(t, err, string(out))
			return deb
		}
		accepts := append(strings.Fields(output(t, "dpkg", "--print-architecture")), strings.Fields(output(t, "dpkg", "--print-foreign-architectures"))...)
		if slices.Contains(accepts, "riscv64") {
			realtest.Skip(t, "dpkg accepts packages for RISC-V here")
		}
		refused(t, build("riscv64"), Deb, "a package for riscv64 cannot be installed on this machine, where dpkg accepts "+strings.Join(accepts, " "))
		for _, architecture := range append(accepts, "all") {
			cmd := Command{Path: build(architecture), Kind: Deb}
			require.NoError(t, (&Runner{elevated: always}).Ready(t.Context(), cmd), architecture)
		}
		forced := Command{Path: build("riscv64"), Kind: Deb, Args: []string{"--force-architecture"}}
		require.NoError(t, (&Runner{elevated: always}).Ready(t.Context(), forced))
	})
}

// What the tools make for Windows states what it was made for.
func TestProcessorsOfInstallersForWindows(t *testing.T) {
	dir := t.TempDir()
	exe := filepath.Join(dir, "setup.exe")
	buildNSIS(t, exe, "7.13.100")
	require.Equal(t, x64, processorOf(t, exe, NSIS))
	for name, want := range map[string]processor{"x64": x64, "x86": ""} {
		require.Equal(t, want, processorOf(t, buildMSI(t, name), MSI), name)
	}
	require.Equal(t, arm64, processorOf(t, msiFor(t, "Arm64"), MSI))
	require.Equal(t, itanium, processorOf(t, msiFor(t, "Intel64"), MSI))
}

// buildMSI makes a package for a processor by the name that wixl has for it.
func buildMSI(t *testing.T, processor string) string {
	t.Helper()
	dir := t.TempDir()
	source, err := filepath.Abs(filepath.Join("testdata", "setup.wxs"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "7.13.100"), []byte("7.13.100"), 0o600))
	cmd := exec.Command(realtest.Program(t, "wixl"), "-a", processor, "-D", "Version=7.13.100", "-D", "File=7.13.100", "-o", "setup.msi", source)
	cmd.Dir = dir // wixl takes no whole paths for what goes into a package
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return filepath.Join(dir, "setup.msi")
}

// msiFor makes a package for a processor that wixl does not know of one for x86-64.
func msiFor(t *testing.T, platform string) string {
	t.Helper()
	path := buildMSI(t, "x64")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	const is = "\x09\x00\x00\x00x64;1033\x00\x00\x00\x00" // its length comes first
	value := platform + ";0"
	want := append([]byte{byte(len(value) + 1), 0, 0, 0}, value...)
	want = append(want, make([]byte, len(is)-len(want))...)
	require.Equal(t, 1, bytes.Count(b, []byte(is)))
	require.NoError(t, os.WriteFile(path, bytes.Replace(b, []byte(is), want, 1), 0o600))
	return path
}

func TestFormatsThatAreEmulated(t *testing.T) {
	const riscV = "enabled\ninterpreter /usr/bin/qemu-riscv64-static\nflags: OCF\noffset 0\nmagic 7f454c460201010000000000000000000200f300\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
	head, err := fileAt(goProgram(t, "linux", "riscv64")).head()
	require.NoError(t, err)
	dir := t.TempDir()
	require.False(t, interpretedBy(dir, head))
	format := filepath.Join(dir, "qemu-riscv64")
	require.NoError(t, os.WriteFile(format, []byte(riscV), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "status"), []byte("enabled\n"), 0o600))
	require.True(t, interpretedBy(dir, head))
	other, err := fileAt(self(t)).head()
	require.NoError(t, err)
	require.False(t, interpretedBy(dir, other))
	for _, disabled := range []string{strings.Replace(riscV, "enabled", "disabled", 1), strings.Replace(riscV, "offset 0", "offset 300", 1), "enabled\nextension .exe\n", ""} {
		require.NoError(t, os.WriteFile(format, []byte(disabled), 0o600))
		require.False(t, interpretedBy(dir, head), disabled)
	}
}
