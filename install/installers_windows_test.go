package install

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"

	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// real returns a command for an installer that TestUnderWine made.
func real(t *testing.T, name string, args ...string) Command {
	t.Helper()
	dir := os.Getenv(packagesVar)
	if dir == "" {
		t.Skip("no real installers were made; TestUnderWine makes them")
	}
	path := filepath.Join(dir, name)
	return Command{Path: path, SHA256: sumOf(t, path), Kind: Auto, Args: args, Deadline: time.Minute}
}

// run runs it and asserts how it ends.
func run(t *testing.T, cmd Command, want Status, code uint32) Outcome {
	t.Helper()
	r, _ := newRunner(t)
	r.busyInterval = -1
	out, err := r.Run(t.Context(), cmd)
	require.Equal(t, want, out.Status, "%v\n%s", err, out.Tail)
	require.Equal(t, code, out.Code)
	require.Equal(t, want == OK || want == RebootNeeded, err == nil)
	requireClean(t, r)
	return out
}

func requireVersion(t *testing.T, dir, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "version.txt"))
	if want == "" {
		require.ErrorIs(t, err, os.ErrNotExist)
		return
	}
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

func TestNSIS(t *testing.T) {
	const older, newer = "Установка 7.12.100.exe", "Установка 7.13.100.exe"
	dir := filepath.Join(t.TempDir(), "Опека и попечительство")
	require.Equal(t, NSIS, run(t, real(t, older, "/D="+dir), OK, 0).Kind)
	requireVersion(t, dir, "7.12.100")
	requireVersion(t, `C:\ASP default`, "")
	run(t, real(t, newer, "/D="+dir), OK, 0)
	requireVersion(t, dir, "7.13.100")
	run(t, real(t, older, "/D="+dir), OK, 0) // R15
	requireVersion(t, dir, "7.12.100")

	for code, want := range map[uint32]Status{0: OK, 1: Canceled, 2: Failed, 42: Failed, 1603: Failed, 1223: Canceled, 1618: Busy, 3010: RebootNeeded, 3011: RebootNeeded, 0xC0000005: Failed, 0x80070652: Busy, 0x8007015e: Busy} {
		run(t, real(t, newer, "/CODE="+strconv.Itoa(int(int32(code))), "/D="+dir), want, code)
	}
	run(t, real(t, newer, "/STOP", "/D="+dir), Failed, 2)

	path := filepath.Join(dir, "uninstall.exe")
	run(t, Command{Path: path, SHA256: sumOf(t, path), Kind: Auto, Args: []string{"_?=" + dir}}, OK, 0)
	requireVersion(t, dir, "")
}

// An uninstaller of NSIS copies itself and returns at once. As a command of which all
// is waited for it has ended when that returns: what is installed next stays.
func TestAnUninstallerThatReturnsEarlyIsWaitedFor(t *testing.T) {
	const older, newer = "Установка 7.12.100.exe", "Установка 7.13.100.exe"
	dir := filepath.Join(t.TempDir(), "Опека")
	for range 2 {
		run(t, real(t, newer, "/D="+dir), OK, 0)
		remove := process.Command{Argv: []string{filepath.Join(dir, "uninstall.exe"), "/S"}, Whole: true}
		require.NoError(t, process.Run(t.Context(), t.TempDir(), remove))
		requireVersion(t, dir, "")
		run(t, real(t, older, "/D="+dir), OK, 0)
		time.Sleep(10 * time.Second) // it removed what was there eight seconds later
		requireVersion(t, dir, "7.12.100")
	}
}

// The same as for Inno Setup, by an installer that runs where Wine has 64 bits alone.
func TestNSISStartsTheApplication(t *testing.T) {
	startsTheApplication(t, "Установка 7.13.100.exe", "/D=")
}

func TestNSISTree(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	marks := t.TempDir()
	steps := func(name string, more string) string {
		return `"` + exe + `" pid=` + filepath.Join(marks, name) + " " + more
	}
	cmd := real(t, "Установка 7.12.100.exe", "/D="+filepath.Join(t.TempDir(), "a b"))
	cmd.Env = fakeEnv("ASP_WAIT=" + steps("child", "child=wait pid="+filepath.Join(marks, "grandchild")+" hang"))
	r, _ := newRunner(t)
	for cmd.Deadline = 3 * time.Second; ; cmd.Deadline *= 4 { // until a busy machine brings forth all of them in time
		out, err := r.Run(t.Context(), cmd)
		require.ErrorIs(t, err, ErrTimeout)
		require.Equal(t, timedOut, out.Status)
		begun, err := filepath.Glob(filepath.Join(marks, "*child"))
		require.NoError(t, err)
		for _, file := range begun {
			requireDead(t, awaitPID(t, file))
		}
		if len(begun) == 2 {
			break
		}
		require.Less(t, cmd.Deadline, time.Minute)
	}

	cmd.Deadline = time.Minute
	mark := filepath.Join(marks, "late")
	cmd.Env = fakeEnv("ASP_START=" + steps("left", "sleep=1s touch="+mark))
	run(t, cmd, OK, 0)
	require.FileExists(t, mark, "a run lasts until its last process ends")
}

func TestMSI(t *testing.T) {
	const older, newer = "Пакет 7.12.100.msi", "Пакет 7.13.100.msi"
	dir := filepath.Join(t.TempDir(), "Опека и попечительство")
	at := "INSTALLDIR=" + dir + `\`
	out := run(t, real(t, older, at), OK, 0)
	require.Equal(t, MSI, out.Kind)
	requireVersion(t, dir, "7.12.100")
	t.Logf("own log %q\n%s", out.OwnLog, out.Tail)
	run(t, real(t, newer, at), OK, 0)
	requireVersion(t, dir, "7.13.100")

	// R15: an MSI refuses to go back before the newer one is off.
	run(t, real(t, older, at), Failed, 1603)
	requireVersion(t, dir, "7.13.100")
	off := real(t, newer, at) // Windows knows where it is; Wine needs the path
	off.Uninstall = true
	run(t, off, OK, 0)
	requireVersion(t, dir, "")
	run(t, real(t, older, at), OK, 0)
	requireVersion(t, dir, "7.12.100")
	off = real(t, older, at)
	off.Uninstall = true
	run(t, off, OK, 0)
	requireVersion(t, dir, "")
}

// A message box that no silent option suppresses is reported with its title, long
// before the deadline.
func TestAMessageBoxIsToldAbout(t *testing.T) {
	cmd := real(t, "Установка 7.13.100.exe", "/ASK", "/D="+filepath.Join(t.TempDir(), "a b"))
	r, events := newRunner(t)
	r.silence = func(s *silence) { s.every, s.scale = 200*time.Millisecond, 20 }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	observe := r.Observe
	r.Observe = func(e Event) {
		if observe(e); e.Kind == eventWaiting && strings.Contains(e.Text, "window") {
			cancel()
		}
	}
	_, err := r.Run(ctx, cmd)
	require.ErrorIs(t, err, context.Canceled)
	require.Contains(t, strings.Join(eventsOf(events, eventWaiting), "\n"), `the installer shows a window and does nothing since, "ASP Setup": it may be waiting for an answer`)
}

// What is for processors that this Windows surely does not run is refused before it is started,
// and what it may run is not.
func TestOtherProcessorsOnWindows(t *testing.T) {
	here := thisMachine()
	require.Equal(t, x64, here.processor)
	r, _ := newRunner(t)
	for _, name := range []string{"ARM64.exe", "ARM64.msi", "Itanium.msi"} {
		cmd := real(t, name, "/x")
		of, _, _ := strings.Cut(name, ".")
		want := "an installer for " + of + " cannot run on this machine, which is x86-64"
		require.ErrorContains(t, r.Ready(t.Context(), cmd), want)
		out, err := r.Run(t.Context(), cmd)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, want)
		require.Equal(t, notRun, out.Status)
	}
	require.NoError(t, r.Ready(t.Context(), real(t, "x86-64.exe", "/x")))
	require.NoError(t, r.Ready(t.Context(), real(t, "x86.msi")), "Windows Installer reads it, whatever the processor")

	cmd := real(t, "x86.exe", "/x")
	said, _ := exec.Command(cmd.Path).CombinedOutput() // it succeeds under Wine also where nothing ran
	if !here.only64 {
		require.Contains(t, string(said), "it runs")
		require.NoError(t, r.Ready(t.Context(), cmd))
		return
	}
	require.NotContains(t, string(said), "it runs", "the system's word counts")
	require.ErrorContains(t, r.Ready(t.Context(), cmd), "the installer is a program of 32 bits, and this Windows runs none")
}

// A bundle of Burn's kind is made here: this program, with the name that marks one.
// What is run is how a bundle is started, how its codes are read, and how its log is
// searched; the makers' own engine was not run.
func TestABundleMadeHere(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	b, err := os.ReadFile(exe)
	require.NoError(t, err)
	name := bytes.Index(b[:4096], []byte(".symtab\x00"))
	require.Positive(t, name)
	copy(b[name:], ".wixburn")
	path := filepath.Join(t.TempDir(), "Комплект.exe")
	require.NoError(t, os.WriteFile(path, b, 0o700))
	kind, err := Detect(path)
	require.NoError(t, err)
	require.Equal(t, Burn, kind)
	for _, c := range []struct {
		result string
		code   uint32
		want   Status
		warned bool
	}{
		{"0x0", 0, OK, false},
		{"0x80070643", 0, Failed, true}, // the log knows better
		{"0x80070643", 1603, Failed, false},
		{"0x0", 0x80070bc2, RebootNeeded, false},
		{"0x80070652", 1618, Busy, false},
	} {
		r, events := newRunner(t)
		r.busyInterval = -1
		out, err := r.Run(t.Context(), Command{Path: path, SHA256: sumOf(t, path), Kind: Auto, Env: fakeEnv(), Deadline: time.Minute, Args: []string{"burn=" + c.result, "exit=" + strconv.FormatUint(uint64(c.code), 10)}})
		require.Equal(t, Burn, out.Kind, "%v", err)
		require.Equal(t, c.want, out.Status, "%+v: %v", c, err)
		require.Equal(t, c.code, out.Code)
		require.Contains(t, out.Tail, "Apply complete, result: "+c.result)
		require.Equal(t, c.warned, len(eventsOf(events, eventWarning)) == 1, "%+v", c)
	}
}

// A virus scanner has the fresh copy to itself for seconds.
func TestAScannerHoldsTheFreshCopy(t *testing.T) {
	for range 20 { // until it was quick enough
		if heldFresh(t) {
			return
		}
	}
	t.Fatal("no copy was held before it was started")
}

// heldFresh runs an installer and reports whether its copy was held between being written and
// being started.
func heldFresh(t *testing.T) bool {
	t.Helper()
	r, _ := newRunner(t)
	const scan = 3 * time.Second
	held, done := make(chan error, 1), make(chan struct{})
	go func() {
		for {
			copies, _ := filepath.Glob(filepath.Join(escaped(r.State), privatePrefix+"*", "*.exe"))
			for _, path := range copies {
				name, _ := windows.UTF16PtrFromString(path)
				h, err := windows.CreateFile(name, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, 0, 0)
				if err == nil { // it has been written
					time.Sleep(scan)
					held <- windows.CloseHandle(h)
					return
				}
			}
			select {
			case <-done:
				close(held)
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	cmd := fake(t, "print=done")
	cmd.Kind = Auto
	begun := time.Now()
	_, err := r.Run(t.Context(), cmd)
	took := time.Since(begun)
	close(done)
	require.NoError(t, err)
	closed, ok := <-held
	require.NoError(t, closed)
	return ok && took >= scan // otherwise it was held once it had run
}

func TestCodesOfMSI(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	for code, want := range map[uint32]Status{0: OK, 2: Failed, 42: Failed, 1602: Canceled, 1603: Failed, 1618: Busy, 1641: RebootNeeded, 3010: RebootNeeded, 0xC0000005: Failed} {
		cmd := fake(t)
		cmd.Kind, cmd.Launcher = MSI, []string{exe, "exit=" + strconv.Itoa(int(code))}
		run(t, cmd, want, code)
	}
}

// hold takes the mutex of Windows Installer until the function is called.
func hold(t *testing.T) (release func()) {
	t.Helper()
	held, end := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		name, _ := windows.UTF16PtrFromString(serviceMutex)
		h, err := windows.CreateMutex(nil, true, name)
		held <- err
		<-end
		_ = windows.ReleaseMutex(h)
		_ = windows.CloseHandle(h)
		close(held)
	}()
	require.NoError(t, <-held)
	return func() { close(end); <-held }
}

// The service of Windows Installer does not belong to the job: while it works,
// a package that was ended at its deadline is not settled.
func TestServiceOutlastsTheInstaller(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := fake(t)
	cmd.Kind, cmd.Launcher, cmd.Deadline = MSI, []string{exe, "hang"}, 300*time.Millisecond
	r, _ := newRunner(t)
	r.serviceTimeout = 300 * time.Millisecond

	release := hold(t)
	out, err := r.Run(t.Context(), cmd)
	require.ErrorIs(t, err, ErrTimeout)
	require.ErrorIs(t, err, errService)
	require.Equal(t, Unknown, out.Status)
	require.Equal(t, nextService, out.Next)
	_, err = r.Run(t.Context(), fake(t))
	require.ErrorIs(t, err, ErrUnsettled, "nothing is started beside it")
	s, err := r.Settle(t.Context())
	require.ErrorIs(t, err, errService)
	require.Equal(t, foundRunning, s.Found)
	release()
	s, err = r.Settle(t.Context())
	require.NoError(t, err)
	require.Equal(t, foundGone, s.Found)
	require.Equal(t, Unknown, s.Outcome.Status)
	requireClean(t, r)

	release = hold(t)
	r.serviceTimeout = time.Minute
	time.AfterFunc(time.Second, release)
	out, err = r.Run(t.Context(), cmd)
	require.ErrorIs(t, err, ErrTimeout)
	require.Equal(t, timedOut, out.Status, "it came to its end in time")
	requireClean(t, r)
}

func TestRealInstallerOutlivesItsRunner(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	marks := t.TempDir()
	mark := filepath.Join(marks, "done")
	dir := filepath.Join(t.TempDir(), "a b")
	on := filepath.Join(marks, "on")
	setup := real(t, "Установка 7.12.100.exe")
	r, events := newRunner(t)
	cmd := exec.Command(exe, r.State, setup.Path, setup.SHA256, "/S", "/D="+dir)
	cmd.Env = append(BaseEnv(), fakeRole+"=runner", "ASP_WAIT=\""+exe+"\" pid="+filepath.Join(marks, "child")+" until="+on+" touch="+mark)
	require.NoError(t, realtest.Start(cmd))
	awaitPID(t, filepath.Join(marks, "child"))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	_, err = r.Run(t.Context(), fake(t))
	require.ErrorIs(t, err, ErrUnsettled)
	require.NoFileExists(t, mark)
	r.Observe = whenSettling(r.Observe, func() { put(t, on) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := r.Settle(ctx)
	require.NoError(t, err)
	require.Equal(t, Finished, s.Found)
	require.Equal(t, eventSettling, (*events)[0].Kind)
	require.FileExists(t, mark)
	requireClean(t, r)
}
