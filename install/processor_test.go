package install

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatAMachineRuns(t *testing.T) {
	for _, c := range []struct {
		m     machine
		runs  []processor
		never []processor
	}{
		{machine{goos: "windows", processor: x64}, []processor{x64, x86, ""}, []processor{arm64, arm, itanium}},
		{machine{goos: "windows", processor: x64, only64: true}, []processor{x64, ""}, []processor{x86, arm64}},
		{machine{goos: "windows", processor: x86}, []processor{x86, ""}, []processor{x64, arm64, arm}},
		{machine{goos: "windows", processor: arm64, build: 22000}, []processor{arm64, arm, x86, x64}, []processor{itanium}},
		{machine{goos: "windows", processor: arm64, build: 19045}, []processor{arm64, arm, x86}, []processor{x64}},
		{machine{goos: "windows"}, []processor{x86, arm64}, nil},
		{machine{goos: "linux", processor: x64}, []processor{x64, x86, ""}, []processor{arm64, arm, riscV, elbrus}},
		{machine{goos: "linux", processor: x86}, []processor{x86}, []processor{x64, arm64}},
		{machine{goos: "linux", processor: arm64}, []processor{arm64, arm}, []processor{x64, x86}},
		{machine{goos: "linux", processor: elbrus}, []processor{elbrus, x86, x64}, nil}, // translates them
		{machine{}, []processor{x86, arm64}, nil},
	} {
		for _, p := range c.runs {
			require.True(t, c.m.runs(p), "%+v %s", c.m, p)
		}
		for _, p := range c.never {
			require.False(t, c.m.runs(p), "%+v %s", c.m, p)
		}
	}
	here := thisMachine()
	want := map[string]processor{"amd64": x64, "386": x86, "arm64": arm64}[runtime.GOARCH]
	require.True(t, here.runs(want), "%+v runs this test", here)
}

// goProgram builds a program for another machine, which prints that it runs.
func goProgram(t *testing.T, goos, goarch string) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not in PATH")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "setup.exe")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() { println(\"it runs\") }\n"), 0o600))
	cmd := exec.Command("go", "build", "-o", path, "main.go")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOWORK=off", "GO111MODULE=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

func processorOf(t *testing.T, path string, kind Kind) (p processor) {
	t.Helper()
	require.NoError(t, withHeaders(path, func(f headers) (err error) { p, err = f.processor(kind); return err }))
	return p
}

func TestProcessorsOfPrograms(t *testing.T) {
	for _, c := range []struct {
		goos, goarch string
		want         processor
	}{
		{"windows", "386", x86},
		{"windows", "amd64", x64},
		{"windows", "arm64", arm64},
		{"linux", "386", x86},
		{"linux", "arm", arm},
		{"linux", "riscv64", riscV},
		{"linux", "s390x", s390}, // of the other byte order
	} {
		require.Equal(t, c.want, processorOf(t, goProgram(t, c.goos, c.goarch), Plain), c)
	}
	require.Equal(t, namedProcessor(map[string]string{"amd64": "x86_64", "386": "i686", "arm64": "aarch64"}[runtime.GOARCH]), processorOf(t, self(t), Plain))
}

// What the headers say nothing about is not refused.
func TestProcessorsThatAreNotKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "setup")
	managed := fakePE{section: ".text", data: []byte("x")}.bytes()
	binary.LittleEndian.PutUint16(managed[0x84:], peX86)
	require.NoError(t, os.WriteFile(path, managed, 0o600))
	require.Equal(t, x86, processorOf(t, path, Plain))
	binary.LittleEndian.PutUint32(managed[0x98+96+8*14:], 0x1000) // .NET
	require.NoError(t, os.WriteFile(path, managed, 0o600))
	require.Empty(t, processorOf(t, path, Plain))

	for name, data := range samples() {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		for _, kind := range []Kind{Plain, Script, MSI, rpm, Inno} {
			require.Empty(t, processorOf(t, path, kind), name)
		}
	}
	broken := errors.New("the disk is broken")
	_, err := headers{failing{broken}, 100}.processor(Plain)
	require.ErrorIs(t, err, broken)
}

func TestSummaryText(t *testing.T) {
	le := binary.LittleEndian
	b := make([]byte, 48+32+20)
	le.PutUint32(b[44:], 48)
	le.PutUint32(b[52:], 2) // texts
	le.PutUint32(b[56:], 2)
	le.PutUint32(b[64:], 7)
	le.PutUint32(b[68:], 32)
	le.PutUint32(b[48+32:], 30)
	le.PutUint32(b[48+36:], 9)
	copy(b[48+40:], "x64;1033\x00")
	require.Equal(t, "x64;1033", summaryText(b, 7))
	require.Empty(t, summaryText(b, 8))
	for i := range len(b) {
		for _, value := range []byte{0, 0xff} { // whatever is damaged, it ends
			damaged := bytes.Clone(b)
			damaged[i] = value
			_ = summaryText(damaged, 7)
			_ = summaryText(damaged[:i], 7)
		}
	}
}

func TestNamesOfProcessors(t *testing.T) {
	for name, want := range map[string]processor{"x86_64": x64, "x86_64_v3": x64, "i586": x86, "i686": x86, "aarch64": arm64, "armv7hl": arm, "armh": arm, "e2kv5": elbrus, "noarch": "", "": ""} {
		require.Equal(t, want, namedProcessor(name), name)
	}
}
