package roles_test

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/version"
)

// A world is a machine below dir: an archive, and an application whose
// installers are opened by the test binary.
type world struct {
	dir     string
	archive *archive.Archive
}

func newWorld(t *testing.T) world { return worldIn(t.TempDir()) }

func worldIn(dir string) world {
	return world{dir, &archive.Archive{Dir: filepath.Join(dir, "archive")}}
}

// installed is the file with the version that is installed.
func (w world) installed() string { return filepath.Join(w.dir, "version.txt") }

// add archives an installer that installs what it says.
func (w world) add(t *testing.T, v string, variant version.Variant, says string) archive.Item {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Setup")
	require.NoError(t, os.WriteFile(file, []byte(says), 0o600))
	key := archive.Key{Distribution: "АСП", Version: version.MustParse(v), Variant: variant}
	item, err := w.archive.Import(t.Context(), file, key, archive.Unauthenticated("a test"))
	require.NoError(t, err)
	return item
}

func (w world) installers(from, to archive.Item) roles.Installers {
	return roles.Installers{
		Archive: w.archive, Runner: &install.Runner{State: filepath.Join(w.dir, "state")},
		From: from.Key, To: to.Key,
		Command: install.Command{
			Launcher: program("setup"), Args: []string{w.installed()},
			Codes: install.Codes{3: {Status: install.RebootNeeded, Meaning: "restart first"}},
		},
	}
}

func TestInstallersOfAnUpdate(t *testing.T) {
	w := newWorld(t)
	from, to := w.add(t, "7.12.100", version.Setup, "7.12.100"), w.add(t, "7.13.100", version.Setup, "7.13.100")
	role := w.installers(from, to).Role()
	require.NotImplements(t, (*removes)(nil), role)
	for _, item := range []archive.Item{to, from} { // forward, and back
		r := roles.Release(item)
		require.Equal(t, rollback.Release{Version: rollback.Version(item.Version.String()), SHA256: item.SHA256}, r, "it is not vouched for")
		require.NoError(t, role.Ready(t.Context(), r))
		require.NoError(t, role.Install(t.Context(), r))
		require.Equal(t, item.Version.String(), content(t, w.installed()))
		reserved, err := filepath.Glob(filepath.Join(w.dir, "state", "reserve-*"))
		require.NoError(t, err)
		require.Len(t, reserved, map[bool]int{true: 1}[item.SHA256 == to.SHA256], "space is kept until a rollback needs it")
		for _, file := range reserved {
			fi, err := os.Stat(file)
			require.NoError(t, err)
			require.Greater(t, fi.Size(), int64(16<<20))
		}
	}
	item := to
	item.Vouched = archive.Vouched{By: "pinned hash", Authenticated: true}
	r := roles.Release(item)
	require.Equal(t, "pinned hash", r.VouchedBy)
	require.NoError(t, role.Ready(t.Context(), r), "what vouches for it is not compared")

	finished, err := role.Settle(t.Context())
	require.NoError(t, err)
	require.False(t, finished, "nothing is left running")

	needs, err := role.(interface {
		Needs(ctx context.Context) ([]rollback.Need, error)
	}).Needs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []rollback.Need{{Path: filepath.Join(w.dir, "state"), Bytes: int64(len("7.13.100")+len("7.12.100")) + 16<<20, For: "copies of the installers"}}, needs)
}

// R10: what the archive does not have as it was vouched for is not run.
func TestR10InstallersAreReadBack(t *testing.T) {
	w := newWorld(t)
	from, to := w.add(t, "7.12.100", version.Setup, "7.12.100"), w.add(t, "7.13.100", version.Setup, "7.13.100")
	role := w.installers(from, to).Role()

	other := roles.Release(to)
	other.SHA256 = from.SHA256
	for name, r := range map[string]rollback.Release{
		"another hash":        other,
		"no hash":             {Version: "7.13.100"},
		"another version":     {Version: "7.13.200", SHA256: to.SHA256},
		"no release":          {},
		"an unparsed version": {Version: "7.13.0100", SHA256: to.SHA256},
	} {
		require.ErrorContains(t, role.Ready(t.Context(), r), "is not among the installers", name)
		require.ErrorContains(t, role.Install(t.Context(), r), "is not among the installers", name)
	}

	// What was vouched for is not what the disk has now.
	require.NoError(t, os.Chmod(to.Path, 0o600))
	require.NoError(t, os.WriteFile(to.Path, []byte("7.13.666"), 0o600))
	require.ErrorIs(t, role.Ready(t.Context(), roles.Release(to)), archive.ErrMismatch)
	require.ErrorIs(t, role.Install(t.Context(), roles.Release(to)), install.ErrMismatch)

	// The Setup that a rollback needs is not there.
	require.NoError(t, os.RemoveAll(filepath.Dir(from.Path)))
	require.ErrorIs(t, role.Ready(t.Context(), roles.Release(from)), archive.ErrNotFound)
	require.ErrorIs(t, role.Install(t.Context(), roles.Release(from)), archive.ErrNotFound)
	needs, err := role.(interface {
		Needs(ctx context.Context) ([]rollback.Need, error)
	}).Needs(t.Context())
	require.NoError(t, err, "Ready reports it")
	require.NotZero(t, needs[0].Bytes)
	require.Empty(t, content(t, w.installed()))
}

// R3: FullSetup brings the database of the vendor's example.
func TestR3FullSetupIsForAFirstInstallation(t *testing.T) {
	w := newWorld(t)
	setup, full := w.add(t, "7.13.100", version.Setup, "7.13.100"), w.add(t, "7.13.100", version.FullSetup, "full 7.13.100")
	w.add(t, "7.12.100", version.Setup, "7.12.100")
	previous := w.add(t, "7.12.100", version.FullSetup, "full 7.12.100")

	first := w.installers(archive.Item{}, full)
	first.Setup = setup.Key
	role := first.Role()
	for _, item := range []archive.Item{full, setup} {
		require.NoError(t, role.Ready(t.Context(), roles.Release(item)))
	}
	require.NoError(t, role.Install(t.Context(), roles.Release(full)))
	require.Equal(t, "full 7.13.100", content(t, w.installed()))

	alone := w.installers(archive.Item{}, full).Role()
	require.ErrorContains(t, alone.Ready(t.Context(), roles.Release(full)), "R3", "a rollback would install it one day")
	back := w.installers(previous, setup).Role()
	require.ErrorContains(t, back.Ready(t.Context(), roles.Release(previous)), "R3", "a rollback installs Setup")
	require.ErrorContains(t, back.Install(t.Context(), roles.Release(previous)), "R3")
	require.Equal(t, "full 7.13.100", content(t, w.installed()))
}

// The requirements of the first version of a year are not those of the version
// before it: a rollback must not wait for them.
func TestR14BlocksNoRollback(t *testing.T) {
	w := newWorld(t)
	from, to := w.add(t, "7.36.200", version.Setup, "7.36.200"), w.add(t, "8.01.100", version.Setup, "8.01.100")
	missing := errors.New("the framework is missing")
	i := w.installers(from, to)
	i.Requirements = install.Checklist{{Name: "framework", Run: func(context.Context) error { return missing }}}
	err := i.Role().Ready(t.Context(), roles.Release(to))
	require.ErrorIs(t, err, missing)
	require.ErrorContains(t, err, "R14")
	require.NoError(t, i.Role().Ready(t.Context(), roles.Release(from)))
}

func TestInstallerThatNeedsARestart(t *testing.T) {
	w := newWorld(t)
	from, to := w.add(t, "7.12.100", version.Setup, "restart"), w.add(t, "7.13.100", version.Setup, "7.13.100")
	require.ErrorIs(t, w.installers(from, to).Role().Install(t.Context(), roles.Release(from)), rollback.ErrReboot)
}

func TestRemover(t *testing.T) {
	w := newWorld(t)
	from, to := w.add(t, "7.12.100", version.Setup, "7.12.100"), w.add(t, "7.13.100", version.Setup, "7.13.100")
	removed := filepath.Join(w.dir, "removed")
	i := w.installers(from, to)
	i.Remove.Argv = program("append", removed, "removed")
	role, ok := i.Role().(removes)
	require.True(t, ok)
	require.NoError(t, role.Remove(t.Context(), roles.Release(to)))
	require.Equal(t, "removed", content(t, removed))
	i.Remove.Argv = program("fail")
	require.Error(t, i.Role().(removes).Remove(t.Context(), roles.Release(to)))
}

// An MSI goes back to an older version only after the newer one was removed,
// which its own package does.
func TestMSIIsARemover(t *testing.T) {
	w := newWorld(t)
	from, to := w.add(t, "7.12.100", version.Setup, "#!/bin/sh\n"), w.add(t, "7.13.100", version.Setup, "#!/bin/sh\n# new\n")
	for _, c := range []struct {
		command install.Command
		remover bool
	}{
		{install.Command{Kind: install.MSI}, true},
		{install.Command{Kind: install.MSI, Launcher: []string{"msiexec", "/i"}}, false}, // how it removes is not known
		{install.Command{Kind: install.Auto}, false},
		{install.Command{Kind: install.NSIS}, false},
		{install.Command{}, false},
	} {
		i := w.installers(from, to)
		i.Command = c.command
		_, ok := i.Role().(removes)
		require.Equal(t, c.remover, ok, "%+v", c.command)
	}
	i := w.installers(from, to)
	i.Command = install.Command{Kind: install.Auto}
	i.To.SHA256 = from.SHA256
	require.NotImplements(t, (*removes)(nil), i.Role(), "what is not in the archive is of no kind")
}

func TestInstallersOfADirectory(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "Setup")
	for name, text := range map[string]string{"bin/setup": "7.13.100", "readme.txt": "read me"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	key := archive.Key{Distribution: "АСП", Version: version.MustParse("7.13.100"), Variant: version.Setup}
	to, err := w.archive.Import(t.Context(), dir, key, archive.Unauthenticated("a test"))
	require.NoError(t, err)
	i := w.installers(archive.Item{}, to)
	require.Error(t, i.Role().Ready(t.Context(), roles.Release(to)), "which of the two?")
	i.Command.Entry = "bin/setup"
	require.NoError(t, i.Role().Ready(t.Context(), roles.Release(to)))
	require.NoError(t, i.Role().Install(t.Context(), roles.Release(to)))
	require.Equal(t, "7.13.100", content(t, w.installed()))
}

// Of a zip archive both it and the files in it are on the volume while its installer runs: before
// users are put out that is asked for, and it is reserved for a rollback.
func TestInstallersOfAZip(t *testing.T) {
	w := newWorld(t)
	const padding = 5 << 20
	add := func(v string) archive.Item {
		file := filepath.Join(t.TempDir(), "Setup.zip")
		f, err := os.Create(file)
		require.NoError(t, err)
		z := zip.NewWriter(f)
		for name, text := range map[string]string{"bin/setup": v, "zeros": string(make([]byte, padding))} {
			e, err := z.Create(name)
			require.NoError(t, err)
			_, err = e.Write([]byte(text))
			require.NoError(t, err)
		}
		require.NoError(t, errors.Join(z.Close(), f.Close()))
		item, err := w.archive.Import(t.Context(), file, archive.Key{Distribution: "АСП", Version: version.MustParse(v), Variant: version.Setup}, archive.Unauthenticated("a test"))
		require.NoError(t, err)
		return item
	}
	from, to := add("7.12.100"), add("7.13.100")
	i := w.installers(from, to)
	i.Command.Entry = "bin/other"
	require.ErrorContains(t, i.Role().Ready(t.Context(), roles.Release(to)), "has no file")
	i.Command.Entry = "bin/setup"
	role := i.Role()
	needs, err := role.(interface {
		Needs(ctx context.Context) ([]rollback.Need, error)
	}).Needs(t.Context())
	require.NoError(t, err)
	require.Equal(t, to.Size+from.Size+2*(padding+int64(len("7.12.100")))+16<<20, needs[0].Bytes)
	require.NoError(t, role.Ready(t.Context(), roles.Release(to)))
	require.NoError(t, role.Install(t.Context(), roles.Release(to)))
	require.Equal(t, "7.13.100", content(t, w.installed()))
	reserved, err := filepath.Glob(filepath.Join(w.dir, "state", "reserve-*"))
	require.NoError(t, err)
	require.Len(t, reserved, 1)
	fi, err := os.Stat(reserved[0])
	require.NoError(t, err)
	require.Equal(t, from.Size+padding+int64(len("7.12.100"))+16<<20, fi.Size())
	require.NoError(t, role.Install(t.Context(), roles.Release(from))) // R15
	require.Equal(t, "7.12.100", content(t, w.installed()))
}

func TestInstallersDoNotPrintTheEnvironment(t *testing.T) {
	w := newWorld(t)
	to := w.add(t, "7.13.100", version.Setup, "7.13.100")
	i := w.installers(archive.Item{}, to)
	i.Command.Env = []string{"PASSWORD=correct horse"}
	part := rollback.Part{Installer: i.Role()}
	i.Remove.Argv = []string{"remove"}
	remover := rollback.Part{Installer: i.Role()}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(format, part), "horse", format)
		require.NotContains(t, fmt.Sprintf(format, remover), "horse", format)
	}
}

// The process that runs the installer is killed. The installer goes on, and
// the next process waits for it.
func TestSettleWaitsForTheInstallerOfADeadProcess(t *testing.T) {
	w := newWorld(t)
	to := w.add(t, "7.13.100", version.Setup, "slow")
	argv := program("update", w.dir, to.SHA256)
	cmd := exec.Command(argv[0], argv[1:]...)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return content(t, w.installed()) == "begun" }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())

	finished, err := w.installers(archive.Item{}, to).Role().Settle(t.Context())
	require.NoError(t, err)
	require.True(t, finished)
	require.Equal(t, "slow", content(t, w.installed()), "it came to its end")
}

// removes is the method that an installer which can remove has.
type removes interface {
	Remove(ctx context.Context, r rollback.Release) error
}
