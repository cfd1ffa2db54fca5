package install

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
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

	for code, want := range map[uint32]Status{0: OK, 1: Canceled, 2: Failed, 42: Failed, 1603: Failed, 1618: Failed, 3010: RebootNeeded, 0xC0000005: Failed, 0x80070652: Failed} {
		run(t, real(t, newer, "/CODE="+strconv.Itoa(int(int32(code))), "/D="+dir), want, code)
	}
	run(t, real(t, newer, "/STOP", "/D="+dir), Failed, 2)

	path := filepath.Join(dir, "uninstall.exe")
	run(t, Command{Path: path, SHA256: sumOf(t, path), Kind: Auto, Args: []string{"_?=" + dir}}, OK, 0)
	requireVersion(t, dir, "")
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
	require.NoError(t, cmd.Start())
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
