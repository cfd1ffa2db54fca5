package install

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// compilers are the versions of Inno Setup for which TestUnderWine made installers.
func compilers(t *testing.T) []string {
	t.Helper()
	real(t, "Установка 7.13.100.exe") // skips the test outside of TestUnderWine
	found, err := filepath.Glob(filepath.Join(os.Getenv(packagesVar), "Inno *"))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}

func TestInno(t *testing.T) {
	for _, packages := range compilers(t) {
		t.Run(filepath.Base(packages), func(t *testing.T) {
			older, newer := filepath.Base(packages)+"/Сетап 7.12.100.exe", filepath.Base(packages)+"/Сетап 7.13.100.exe"
			dir := filepath.Join(t.TempDir(), "Опека и попечительство")
			out := run(t, real(t, older, "/DIR="+dir), OK, 0)
			require.Equal(t, Inno, out.Kind)
			require.Contains(t, out.Tail, "Installation process succeeded")
			requireVersion(t, dir, "7.12.100")
			run(t, real(t, newer, "/DIR="+dir), OK, 0)
			requireVersion(t, dir, "7.13.100")
			run(t, real(t, older, "/DIR="+dir), OK, 0) // R15
			requireVersion(t, dir, "7.12.100")

			run(t, real(t, newer, "/STOP=1", "/DIR="+dir), Failed, 1)
			requireVersion(t, dir, "7.12.100")
			run(t, real(t, newer, "/REBOOT=1", "/DIR="+dir), RebootNeeded, 3010)
			requireVersion(t, dir, "7.13.100")

			// The uninstaller needs the files beside it, and goes on in a copy of itself.
			said, err := exec.Command(filepath.Join(dir, "unins000.exe"), "/VERYSILENT", "/SUPPRESSMSGBOXES", "/NORESTART").CombinedOutput()
			require.NoError(t, err, "%s", said)
			require.Eventually(t, func() bool { _, err := os.Stat(dir); return errors.Is(err, os.ErrNotExist) }, time.Minute, 100*time.Millisecond)
		})
	}
}

// A setup starts the application and ends: so does the run, without any setting, in
// less than two minutes. With ASPUPDATE_SOAK=1 by the times of the program.
func TestInnoStartsTheApplication(t *testing.T) {
	for _, packages := range compilers(t)[:1] {
		startsTheApplication(t, filepath.Base(packages)+"/Сетап 7.13.100.exe", "/DIR=")
	}
}

// startsTheApplication runs an installer into a directory, which it gets by the option.
func startsTheApplication(t *testing.T, name, option string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "Опека")
	require.NoError(t, os.Mkdir(dir, 0o700))
	app := program(t, dir, "asp-server")
	cmd := real(t, name, option+dir)
	pid := filepath.Join(t.TempDir(), "pid")
	cmd.Env, cmd.Application = append(BaseEnv(), "ASP_START="+app, "ASP_PID="+pid, fakeRole+"=application"), []string{dir}
	cmd.Deadline = 10 * time.Minute
	r, events := newRunner(t)
	if os.Getenv("ASPUPDATE_SOAK") != "1" {
		r.applicationTimeout = 3 * time.Second
	}
	begun := time.Now()
	out, err := r.Run(t.Context(), cmd)
	require.NoError(t, err)
	require.Equal(t, OK, out.Status)
	require.Less(t, time.Since(begun), 2*time.Minute)
	requireVersion(t, dir, "7.13.100")
	process := awaitPID(t, pid)
	require.True(t, alive(process), "the application runs")
	require.Contains(t, strings.Join(eventsOf(events, eventLingering), "\n"), "asp-server.exe", "what is waited for is named")
	require.Contains(t, strings.Join(eventsOf(events, eventLeft), "\n"), "asp-server.exe")
	t.Logf("the run took %s", time.Since(begun))
	p, err := os.FindProcess(process)
	require.NoError(t, err)
	require.NoError(t, p.Kill())
}

// Inno Setup reports success although a step after the installation has failed; its
// log knows better.
func TestInnoTellsOfAFailedStep(t *testing.T) {
	for _, packages := range compilers(t) {
		cmd := real(t, filepath.Base(packages)+"/Сетап 7.13.100.exe", "/BAD=1", "/DIR="+filepath.Join(t.TempDir(), "a b"))
		r, events := newRunner(t)
		out, err := r.Run(t.Context(), cmd)
		t.Logf("%v %+v", err, out)
		if out.Code == 0 {
			require.NotEmpty(t, eventsOf(events, eventWarning))
			require.Regexp(t, `exception|Runtime error`, eventsOf(events, eventWarning)[0])
		}
	}
}

// All installers that NSIS can make install, and remove what they installed.
func TestEveryNSIS(t *testing.T) {
	real(t, "Установка 7.13.100.exe")
	found, err := filepath.Glob(filepath.Join(os.Getenv(packagesVar), "NSIS *.exe"))
	require.NoError(t, err)
	require.Len(t, found, 18)
	for _, file := range found {
		t.Run(filepath.Base(file), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a b")
			require.Equal(t, NSIS, run(t, real(t, filepath.Base(file), "/D="+dir), OK, 0).Kind)
			requireVersion(t, dir, "7.13.100")
			path := filepath.Join(dir, "uninstall.exe")
			run(t, Command{Path: path, SHA256: sumOf(t, path), Kind: Auto, Args: []string{"_?=" + dir}}, OK, 0)
			requireVersion(t, dir, "")
		})
	}
}
