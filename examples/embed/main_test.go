package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// A site is an application that the program updates.
type site struct {
	t          *testing.T
	dir, embed string
}

// newSite copies the program into another module, builds it there without a network, and
// installs an application.
func newSite(t *testing.T) site {
	src, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.LessOrEqual(t, bytes.Count(src, []byte("\n")), 60)
	sums, err := os.ReadFile("../../go.sum")
	require.NoError(t, err)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	module := t.TempDir()
	for name, text := range map[string]string{
		"main.go": string(src),
		"go.sum":  string(sums),
		"go.mod":  "module example.org/foreign\n\ngo 1.26.0\n\nrequire github.com/aspupdate/aspupdate v0.0.0\n\nreplace github.com/aspupdate/aspupdate => " + root + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(module, name), []byte(text), 0o600))
	}
	exe := ""
	if runtime.GOOS == "windows" {
		exe = ".exe"
	}
	s := site{t, t.TempDir(), filepath.Join(module, "embed"+exe)}
	build(t, module, s.embed, "-mod=mod")
	for _, name := range []string{"app", "data", "bin"} {
		require.NoError(t, os.Mkdir(s.in(name), 0o700))
	}
	require.NoError(t, os.WriteFile(s.in("app/version.txt"), []byte("7.12.100"), 0o600))
	require.NoError(t, os.WriteFile(s.in("data/rows"), []byte("children and wards"), 0o600))
	for _, name := range []string{"close", "open", "version"} {
		build(t, "testdata/asp", s.in("bin/"+name+exe))
	}
	versions := &archive.Archive{Dir: s.in("archive")}
	for v, flags := range map[string]string{"7.12.100": "", "7.13.100": "", "7.13.200": " -X main.broken=yes"} {
		setup := filepath.Join(t.TempDir(), "Setup"+exe)
		build(t, "testdata/asp", setup, "-ldflags=-X main.version="+v+flags)
		key := archive.Key{Distribution: "ASP", Version: version.MustParse(v), Variant: version.Setup}
		_, err := versions.Import(t.Context(), setup, key, archive.Unauthenticated("a test"))
		require.NoError(t, err)
	}
	return s
}

func (s site) in(path string) string { return filepath.Join(s.dir, path) }

// command is the program between two versions.
func (s site) command(from, to string) *exec.Cmd {
	return exec.Command(s.embed, "-any-time", "a test", "-steady", "100ms", "-from", from, "-to", to, s.dir)
}

func (s site) update(from, to string) (string, error) {
	out, err := s.command(from, to).CombinedOutput()
	return string(out), err
}

// is fails unless the version is installed and committed, with all rows and with its users.
func (s site) is(v string) {
	s.t.Helper()
	for file, want := range map[string]string{"app/version.txt": v, "data/rows": "children and wards"} {
		got, err := os.ReadFile(s.in(file))
		require.NoError(s.t, err)
		require.Equal(s.t, want, string(got))
	}
	require.NoFileExists(s.t, s.in("closed"), "users are let in")
	st, err := rollback.ReadStatus(s.in("state"))
	require.NoError(s.t, err)
	require.Nil(s.t, st.Pending)
	require.Equal(s.t, v, string(st.Committed["ASP"].Version))
}

// TestEmbedInAForeignModule updates an application.
func TestEmbedInAForeignModule(t *testing.T) {
	s := newSite(t)
	out, err := s.update("7.12.100", "7.13.100")
	require.NoError(t, err, out)
	require.Contains(t, out, " commit\n")
	s.is("7.13.100")
	out, err = s.update("7.13.100", "7.13.200")
	require.Error(t, err, out)
	require.Contains(t, out, "rolled back")
	s.is("7.13.100")
	snapshots, err := (&backup.Store{Dir: s.in("backups")}).List()
	require.NoError(t, err)
	require.Len(t, snapshots, 2)

	out, err = s.update("7.13.100", "7.14.100")
	require.Error(t, err)
	require.Contains(t, out, "not in the archive")
	out, err = s.update("7.13.100", "seven")
	require.Error(t, err)
	require.Contains(t, out, "-to")
	s.is("7.13.100")
}

// TestEmbedIsKilled kills the program in the middle of an update and runs it again, as a
// service does that is started again: it recovers first, whatever it was called with.
func TestEmbedIsKilled(t *testing.T) {
	s := newSite(t)
	killed := func(step, from, to string) (waiting *os.Process) {
		t.Helper()
		require.NoError(t, os.WriteFile(s.in("hold-"+step), nil, 0o600))
		cmd := s.command(from, to)
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { _, err := os.Stat(s.in("at-" + step)); return err == nil }, time.Minute, 10*time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		text, err := os.ReadFile(s.in("at-" + step))
		require.NoError(t, err)
		pid, err := strconv.Atoi(string(text))
		require.NoError(t, err)
		waiting, err = os.FindProcess(pid)
		require.NoError(t, err)
		return waiting
	}
	release := func(step string) {
		t.Helper()
		require.NoError(t, os.Remove(s.in("hold-"+step)))
		require.NoError(t, os.Remove(s.in("at-"+step)))
	}

	// The Setup dies with it: nothing is installed, and the previous version is back.
	setup := killed("Setup", "7.12.100", "7.13.200")
	_ = setup.Kill()
	release("Setup")
	out, err := s.update("7.12.100", "7.13.200")
	require.Error(t, err, out)
	require.Contains(t, out, "recover")
	require.Contains(t, out, "quarantine", "the release of the update that was cut short is not tried again")
	s.is("7.12.100")

	// Before anything is installed: the update is given up, and made anew in the same run.
	_ = killed("close", "7.12.100", "7.13.100")
	release("close") // it goes on, and is waited for
	out, err = s.update("7.12.100", "7.13.100")
	require.NoError(t, err, out)
	require.Contains(t, out, " abandoned\n")
	require.Contains(t, out, " commit\n")
	s.is("7.13.100")

	if runtime.GOOS == "windows" { // where the Setup dies with its updater
		return
	}
	// The Setup lives on and ends well: so does the update.
	s = newSite(t)
	_ = killed("Setup", "7.12.100", "7.13.100")
	release("Setup")
	out, err = s.update("7.12.100", "7.13.100")
	require.Error(t, err, "there is nothing to update from 7.12.100 any more")
	require.Contains(t, out, " commit\n")
	s.is("7.13.100")
}

// build builds the program in dir, in a module of its own or in this one.
func build(t *testing.T, dir, output string, flags ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-o", output}, append(flags, ".")...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
