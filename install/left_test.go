package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// program copies the test binary to dir and returns its path: a program of the
// application.
func program(t *testing.T, dir, name string) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	b, err := os.ReadFile(exe)
	require.NoError(t, err)
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, b, 0o700))
	return path
}

func eventsOf(events *[]Event, kind EventKind) (texts []string) {
	for _, e := range *events {
		if e.Kind == kind {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// An installer may start the application, which is no reason to end it after
// three hours and to go back: the run ends soon after the installer, and says what
// lives on.
func TestTheApplicationOutlivesItsInstaller(t *testing.T) {
	live, dir := t.TempDir(), t.TempDir()
	app := program(t, live, "asp-server")
	r, events := newRunner(t)
	r.applicationTimeout = 3 * time.Second
	cmd := fake(t, "start="+app, "pid="+filepath.Join(dir, "app"), "env", "hang")
	cmd.Application = []string{t.TempDir(), live}
	begun := time.Now()
	out, err := r.Run(t.Context(), cmd)
	require.NoError(t, err)
	require.Less(t, time.Since(begun), 30*time.Second)
	require.Equal(t, OK, out.Status)
	pid := awaitPID(t, filepath.Join(dir, "app"))
	require.True(t, alive(pid))
	require.Contains(t, strings.Join(eventsOf(events, eventLingering), "\n"), filepath.Base(app), "what is waited for is named")
	require.Contains(t, strings.Join(eventsOf(events, eventLeft), "\n"), filepath.Base(app))

	// What it was given stays as long as it runs.
	temp, err := filepath.Glob(filepath.Join(escaped(r.State), tempPrefix+"*"))
	require.NoError(t, err)
	require.Len(t, temp, 1)
	_, err = r.Run(t.Context(), fake(t))
	require.NoError(t, err)
	require.DirExists(t, temp[0])
	p, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, p.Kill())
	require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		_, err = r.Settle(t.Context())
		left, _ := filepath.Glob(filepath.Join(escaped(r.State), "*-*"))
		for _, name := range left {
			if filepath.Ext(name) != ".log" {
				return false
			}
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

func escaped(path string) string { return strings.NewReplacer("[", "[[]").Replace(path) }

// An application may be a script: what runs is an interpreter of the system's.
func TestAScriptOfTheApplicationOutlivesItsInstaller(t *testing.T) {
	live, pid := t.TempDir(), filepath.Join(t.TempDir(), "pid")
	script := filepath.Join(live, "serve.py")
	require.NoError(t, os.WriteFile(script, []byte("import os, time\np = os.environ['ASP_PID']\nopen(p + '.tmp', 'w').write(str(os.getpid()))\nos.rename(p + '.tmp', p)\ntime.sleep(300)\n"), 0o600))
	r, events := newRunner(t)
	r.applicationTimeout = 3 * time.Second
	cmd := fake(t, "start="+realtest.Program(t, "python3"), "-u", script, "/etc/hosts")
	cmd.Env = fakeEnv("ASP_PID=" + pid)
	cmd.Dir, cmd.Application, cmd.Deadline = live, []string{live}, time.Minute
	out, err := r.Run(t.Context(), cmd)
	require.NoError(t, err)
	require.Equal(t, OK, out.Status)
	require.Contains(t, strings.Join(eventsOf(events, eventLingering), "\n"), "leaves_running", "the key is named")
	require.Contains(t, strings.Join(eventsOf(events, eventLeft), "\n"), "python")
	require.True(t, alive(awaitPID(t, pid)))
}

// An interpreter that runs another script, which a file of the application is given to, does a
// part of the installer's work.
func TestAScriptOfTheInstallerIsWaitedFor(t *testing.T) {
	python := realtest.Program(t, "python3")
	live, dir := t.TempDir(), t.TempDir()
	mark, script, data := filepath.Join(dir, "done"), filepath.Join(dir, "migrate.py"), filepath.Join(live, "rows")
	require.NoError(t, os.WriteFile(script, []byte("import sys, time\ntime.sleep(4)\nopen(sys.argv[2], 'w')\n"), 0o600))
	require.NoError(t, os.WriteFile(data, nil, 0o600))
	r, events := newRunner(t)
	r.applicationTimeout = 100 * time.Millisecond
	cmd := fake(t, "start="+python, script, data, mark)
	cmd.Application = []string{live}
	_, err := r.Run(t.Context(), cmd)
	require.NoError(t, err)
	require.FileExists(t, mark)
	require.Empty(t, eventsOf(events, eventLeft))
}

func TestFilesThatAnInterpreterRuns(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the arguments are those of a program that runs here, whose name is chosen")
	}
	dir := t.TempDir()
	jar, lib := filepath.Join(dir, "asp.jar"), filepath.Join(dir, "lib")
	require.NoError(t, os.WriteFile(jar, nil, 0o600))
	require.NoError(t, os.Mkdir(lib, 0o700))
	exe, err := os.Executable()
	require.NoError(t, err)
	for _, c := range []struct {
		name string
		args []string
		want bool
	}{
		{"java", []string{"-Xmx1g", "-jar", jar}, true},
		{"java", []string{"-jar", "asp.jar", "--port", "80"}, true},
		{"java", []string{"-cp", "/usr/share/none.jar:" + jar, "ru.asp.Main"}, true},
		{"java", []string{"-cp", filepath.Join(lib, "*"), "ru.asp.Main"}, true},
		{"javaw.exe", []string{"-jar", jar}, true},
		{"python3.11", []string{jar}, true},
		{"sh", []string{jar}, false},
		{"cmd.exe", []string{"/c", jar}, false},
		{"java", []string{"-jar", exe, jar}, false},
		{"java", []string{"-version"}, false},
		{"java", []string{dir}, false},
		{"tar", []string{"-xf", jar}, false},
		{"psql", []string{"-f", jar}, false},
		{"publish", []string{jar}, false},
	} {
		child := exec.Command(exe, c.args...)
		child.Env, child.Dir = append(fakeEnv(), fakeRole+"=application", "ASP_PID="+filepath.Join(t.TempDir(), "pid")), dir
		require.NoError(t, realtest.Start(child))
		m, ok := process.Lookup(child.Process.Pid)
		require.True(t, ok)
		m.Name = c.name
		rec := record{Application: []string{dir}}
		require.Equal(t, c.want, rec.isApplication([]process.Member{m}), "%s %v", c.name, c.args)
		require.True(t, rec.isApplication([]process.Member{m, {PID: 1 << 30, Parent: m.PID}}) == c.want, "what it has started is like it")
		require.NoError(t, child.Process.Kill())
		_ = child.Wait()
	}
}

// A program elsewhere that goes on does a part of the installer's work.
func TestWhatIsNotTheApplicationIsWaitedFor(t *testing.T) {
	live, dir := t.TempDir(), t.TempDir()
	mark := filepath.Join(dir, "done")
	app := program(t, live, "asp-server")
	r, events := newRunner(t)
	r.applicationTimeout = 100 * time.Millisecond
	cmd := fake(t, "start="+app, "start="+program(t, t.TempDir(), "helper"), "sleep=4s", "touch="+mark)
	cmd.Application = []string{live}
	_, err := r.Run(t.Context(), cmd)
	require.NoError(t, err)
	require.FileExists(t, mark)
	require.Contains(t, strings.Join(eventsOf(events, eventLingering), "\n"), "helper")
	require.Empty(t, eventsOf(events, eventLeft))
}

// An updater that died leaves an installer that has started the application: it is
// settled as it would have been.
func TestSettleLeavesTheApplicationAlone(t *testing.T) {
	live, dir := t.TempDir(), t.TempDir()
	app := program(t, live, "asp-server")
	r, events := orphan(t, "pid="+filepath.Join(dir, "a"), "start="+app, "pid="+filepath.Join(dir, "b"), "hang")
	rec, _, err := r.readRecord()
	require.NoError(t, err)
	rec.Application = []string{live}
	require.NoError(t, r.writeRecord(rec))
	r.applicationTimeout = time.Second
	_, err = r.Settle(t.Context())
	require.NoError(t, err)
	require.True(t, alive(awaitPID(t, filepath.Join(dir, "b"))))
	require.NotEmpty(t, eventsOf(events, eventLeft))
}

// A question that gets no answer, and one that is asked again and again, are reported
// about long before the deadline.
func TestAnInstallerThatAsksIsToldAbout(t *testing.T) {
	run := func(steps ...string) string {
		r, events := newRunner(t)
		r.silence = func(s *silence) { s.every, s.scale = 50*time.Millisecond, 100 }
		cmd := fake(t, steps...)
		cmd.Deadline = 4 * time.Second
		_, err := r.Run(t.Context(), cmd)
		require.ErrorIs(t, err, ErrTimeout)
		return strings.Join(eventsOf(events, eventWaiting), "\n")
	}
	require.Contains(t, run("ask=Replace the configuration? [y/N] ", "hang"), `"Replace the configuration? [y/N]" and does nothing since`)
	require.Contains(t, run("loop=Please answer yes or no: "), `the same without end, "Please answer yes or no`)
	quiet := run("print=Copying the files", "hang")
	require.NotContains(t, quiet, "Copying")
	require.NotContains(t, quiet, "without end")
	require.Empty(t, run("print=Restructuring the database", "work"), "an installer that works is left alone")
}

func TestRepetition(t *testing.T) {
	for in, want := range map[string]string{
		"Continue? [y/n] ":      "Continue? [y/n]",
		"one line\nand more\n":  "one line\nand more",
		".":                     "",
		"12345 rows are done\n": "12345 rows are done",
	} {
		text := strings.Repeat(in, 1+repeatPart/len(in))
		unit, ok := repetition([]byte(text[len(text)-repeatPart:]), "")
		require.Equal(t, want != "", ok, in)
		require.Equal(t, len(want), len(unit), "%q", unit)
	}
	var progress strings.Builder
	for n := range 1000 {
		progress.WriteString("row " + string(rune('a'+n%26)) + strings.Repeat("x", n%97) + "\n")
	}
	_, ok := repetition([]byte(progress.String()[:repeatPart]), "")
	require.False(t, ok)
	_, ok = repetition([]byte("Continue? Continue? "), "")
	require.False(t, ok, "twice is not without end")
}
