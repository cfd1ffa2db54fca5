package realtest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Wine is a temporary Windows in a directory.
type Wine struct {
	Prefix string

	program, server string
	desktop         func() // ends the desktop
}

// A Go test ends itself after TestTimeout; if it has not ended a little later,
// Wine hangs.
const (
	TestTimeout = "-test.timeout=10m"
	wineLimit   = 10*time.Minute + 20*time.Second
)

// Bits32 skips the test if Wine runs no programs for 32-bit Windows.
func (w *Wine) Bits32(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(w.Prefix, "drive_c", "windows", "syswow64", "kernel32.dll")); err != nil {
		SkipAbsent(t, "wine32", "Wine has no support of 32 bits: install wine32")
	}
}

// StartWine starts a Windows by Wine that ends with the test, without a display
// and separate from any other of this user. It skips the test if Wine is not
// installed, and needs some seconds, fewer where ASPUPDATE_WINE names a directory of Wine's that
// .ci/run has made once, to be copied.
func StartWine(t testing.TB) *Wine {
	t.Helper()
	w := &Wine{Prefix: filepath.Join(patientDir(t, memory()), "wine"), program: Program(t, "wine"), server: Program(t, "wineserver", "/usr/lib/wine")}
	t.Cleanup(w.end)
	if made := os.Getenv("ASPUPDATE_WINE"); made != "" {
		if out, err := exec.Command("cp", "-a", made, w.Prefix).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v: %s", made, err, out)
		}
	} else {
		w.Output(t, w.Command("wineboot", "-i"))
		// Windows can then be made without a display; many installers make one that is
		// never shown, and a message box waits for an answer as it does elsewhere.
		w.Output(t, w.Command("reg", "add", `HKCU\Software\Wine\Drivers`, "/v", "Graphics", "/d", "null", "/f"))
		w.ask("-k") // what runs has no windows
		w.ask("-w")
	}
	w.startDesktop(t)
	for name, wide := range map[string]bool{"system32": true, "syswow64": false} {
		dir := filepath.Join(w.Prefix, "drive_c", "windows", name)
		dll := filepath.Join(dir, "bcryptprimitives.dll")
		if _, err := os.Stat(dir); err != nil {
			continue // this Wine runs no programs of 32 bits
		}
		if _, err := os.Stat(dll); err != nil { // as in Wine 8: Go's programs need it
			if err := os.WriteFile(dll, forwarder(wide, "bcryptprimitives.dll", "ProcessPrng", "advapi32.SystemFunction036"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

// Command returns a command for a Windows program. Wine passes on only eight bits
// of its exit code.
func (w *Wine) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.program, args...)
	cmd.Env = w.env()
	return cmd
}

// Output runs a command to its end and returns its output. On a busy machine Wine
// sometimes fails without output before it starts the program, or hangs: then
// Output tries again.
func (w *Wine) Output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	const tries = 3
	for try := 1; ; try++ {
		out, err := w.output(t, cmd)
		stands := errors.Is(err, context.DeadlineExceeded)
		switch {
		case err == nil:
			return out
		case try == tries || len(out) > 0 && !stands || stands && try > 1:
			t.Fatalf("%v: %v, try %d: %s", cmd.Args[1:], err, try, out)
		case stands:
			w.end()
			w.startDesktop(t)
		}
		t.Logf("Wine failed, %s is tried again: %v: %s", cmd.Args[1], err, out)
	}
}

// output collects a command's output in a file: Wine's processes in the background
// would keep a pipe open.
func (w *Wine) output(t testing.TB, cmd *exec.Cmd) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wineLimit)
	defer cancel()
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = said.Close() }()
	fresh := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	fresh.Env, fresh.Dir, fresh.Stdout, fresh.Stderr = cmd.Env, cmd.Dir, said, said
	if err = fresh.Run(); ctx.Err() != nil {
		err = ctx.Err()
	}
	out, rerr := os.ReadFile(said.Name())
	if rerr != nil {
		t.Fatal(rerr)
	}
	return string(out), err
}

// startDesktop starts the process that the first program with a window would
// start otherwise. An installer that did would never be at its end: its process
// tree would last as long as any program runs.
func (w *Wine) startDesktop(t testing.TB) {
	cmd := w.Command("explorer", "/desktop")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	w.desktop = func() {
		_ = cmd.Process.Kill()
		<-gone
	}
}

// end ends all that runs in this prefix, and nothing in another.
func (w *Wine) end() {
	if w.desktop != nil { // which may just be starting, and would start all again
		w.desktop()
	}
	w.ask("-k")
	w.ask("-w")
}

// ask calls the prefix's server, with -k to end all and -w to wait until all has
// ended, for a minute at most.
func (w *Wine) ask(what string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.server, what)
	cmd.Env = w.env()
	_ = cmd.Run()
}

// BuildTest builds a package's tests for Windows and returns the program.
func (w *Wine) BuildTest(t testing.TB, pkg string) string {
	t.Helper()
	return w.build(t, "test.exe", pkg, "test", "-c")
}

// Build builds a package's program for Windows and returns it.
func (w *Wine) Build(t testing.TB, pkg string) string {
	t.Helper()
	return w.build(t, "program.exe", pkg, "build")
}

func (w *Wine) build(t testing.TB, name, pkg string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	exe := filepath.Join(dir, name)
	args = append(args, "-o", exe)
	if overlay := w.overlay(t, dir); overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	build := exec.Command("go", append(args, pkg)...)
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go %s %s: %v: %s", args[0], pkg, err, out)
	}
	return exe
}

// overlay returns an overlay of Go's standard library that removes files in the
// old way on Wine 8, which lacks the new way and returns another error than any
// Windows that lacks it. Without the overlay os.RemoveAll always fails there.
func (w *Wine) overlay(t testing.TB, dir string) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	file := filepath.Join(strings.TrimSpace(string(out)), "src", "internal", "syscall", "windows", "at_windows.go")
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	patched := strings.Replace(string(source), "case STATUS_INVALID_INFO_CLASS,", "case NTStatus(0xC0000002), STATUS_INVALID_INFO_CLASS,", 1)
	if patched == string(source) {
		return "" // another Go: see whether it is needed
	}
	replaced := filepath.Join(dir, "at_windows.go")
	paths, err := json.Marshal(map[string]map[string]string{"Replace": {file: replaced}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, replaced, patched)
	return writeFile(t, filepath.Join(dir, "overlay.json"), string(paths))
}

// env returns our environment without Wine's variables, and without
// ASPUPDATE_REQUIRE_REAL: the servers of Linux are missing there.
func (w *Wine) env() []string {
	var env []string
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !strings.HasPrefix(name, "WINE") && name != "DISPLAY" && name != "WAYLAND_DISPLAY" && name != "LC_ALL" && name != "ASPUPDATE_REQUIRE_REAL" {
			env = append(env, kv)
		}
	}
	// Without mscoree and mshtml it does not offer to install Mono and Gecko. In a
	// locale without Cyrillic it would lose such names.
	return append(env, "LC_ALL=C.UTF-8", "WINEPREFIX="+w.Prefix, "WINEARCH=win64", "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=", "DISPLAY=")
}

// forwarder returns a library of 64 or 32 bits with one function that is in another library.
func forwarder(wide bool, name, function, to string) []byte {
	le := binary.LittleEndian
	const rva, raw, align = 0x1000, 0x400, 0x200
	b := make([]byte, raw+align)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	file := b[0x84:]
	le.PutUint16(file, 0x8664)
	le.PutUint16(file[2:], 1)       // section
	le.PutUint16(file[16:], 240)    // size of what follows
	le.PutUint16(file[18:], 0x2022) // a linked library that can be above 2 GiB
	opt := b[0x98:]
	le.PutUint16(opt, 0x20b)
	le.PutUint64(opt[24:], 0x180000000)
	directories, section := opt[112:], opt[240:]
	if !wide {
		le.PutUint16(file, 0x14c)
		le.PutUint16(file[16:], 224)
		le.PutUint16(file[18:], 0x2102)
		le.PutUint16(opt, 0x10b)
		le.PutUint64(opt[24:], 0x6f000000<<32) // the field before it is of no use here
		directories, section = opt[96:], opt[224:]
	}
	le.PutUint32(opt[32:], 0x1000)
	le.PutUint32(opt[36:], align)
	le.PutUint16(opt[40:], 6)
	le.PutUint16(opt[48:], 6)
	le.PutUint32(opt[56:], 0x2000) // in memory
	le.PutUint32(opt[60:], raw)
	le.PutUint16(opt[68:], 3)
	le.PutUint16(opt[70:], 0x100) // no relocation is needed
	for i := range 4 {            // sizes of stack and heap
		if wide {
			le.PutUint64(opt[72+8*i:], 0x10000)
		} else {
			le.PutUint32(opt[72+4*i:], 0x10000)
		}
	}
	count := 108
	if !wide {
		count = 92
	}
	le.PutUint32(opt[count:], 16)
	copy(section, ".edata")
	le.PutUint32(section[8:], align)
	le.PutUint32(section[12:], rva)
	le.PutUint32(section[16:], align)
	le.PutUint32(section[20:], raw)
	le.PutUint32(section[36:], 0x40000040)

	exports := b[raw:]
	at := uint32(40 + 10) // the directory, and tables of one entry each
	put := func(s string) uint32 {
		copy(exports[at:], s)
		at += uint32(len(s)) + 1
		return rva + at - uint32(len(s)) - 1
	}
	le.PutUint32(exports[12:], put(name))
	le.PutUint32(exports[16:], 1) // first ordinal
	le.PutUint32(exports[20:], 1)
	le.PutUint32(exports[24:], 1)
	le.PutUint32(exports[28:], rva+40)
	le.PutUint32(exports[32:], rva+44)
	le.PutUint32(exports[36:], rva+48)
	le.PutUint32(exports[44:], put(function))
	le.PutUint32(exports[40:], put(to)) // an address in here is a forward
	le.PutUint32(directories, rva)
	le.PutUint32(directories[4:], at)
	return b
}
