package install

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// lockPackages takes the lock of a system of packages, as unattended upgrades do,
// until the function is called.
func lockPackages(t *testing.T, root string) (unlock func()) {
	t.Helper()
	return lockFile(t, filepath.Join(root, "var/lib/dpkg/lock-frontend"))
}

func lockFile(t *testing.T, path string) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	require.NoError(t, err)
	require.NoError(t, syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK}))
	return func() { _ = f.Close() }
}

// The lock of dpkg that another program holds for minutes is waited for, also where
// a script calls dpkg.
func TestALockOfPackagesIsWaitedFor(t *testing.T) {
	realtest.Program(t, "dpkg")
	if os.Geteuid() != 0 {
		realtest.Skip(t, "dpkg installs for root only")
	}
	held, interval := 2*time.Second, 500*time.Millisecond
	if os.Getenv("ASPUPDATE_SOAK") != "" {
		held, interval = time.Minute, 0
	}
	realtest.Program(t, "apt-get")
	machine := newLinuxRoot(t) // for apt
	root := machine.dir
	deb := buildDeb(t, "7.12.100", "exit 0")
	script := filepath.Join(t.TempDir(), "setup.sh")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\ndpkg --root='"+root+"' --force-script-chrootless --log=/dev/null -i '"+deb+"' || exit 1\n"), 0o600))
	for _, cmd := range []Command{
		{Path: deb, SHA256: sumOf(t, deb), Kind: Auto, Args: []string{"--root=" + root, "--force-script-chrootless", "--log=/dev/null"}},
		{Path: script, SHA256: sumOf(t, script), Kind: Auto},
		{Path: deb, SHA256: sumOf(t, deb), Kind: apt, Env: machine.apt(t)},
	} {
		unlock := lockPackages(t, root)
		timer := time.AfterFunc(held, unlock)
		defer timer.Stop()
		r, events := newRunner(t)
		r.busyInterval = interval
		begun := time.Now()
		out, err := r.Run(t.Context(), cmd)
		require.NoError(t, err, out.Tail)
		require.GreaterOrEqual(t, time.Since(begun), held)
		require.Greater(t, out.attempts, 1)
		require.Contains(t, eventsOf(events, eventBusy)[0], "another program holds the lock of the package manager: trying again in ")

		unlock = lockPackages(t, root)
		r.busyInterval = -1
		out, err = r.Run(t.Context(), cmd)
		unlock()
		require.ErrorIs(t, err, ErrFailed)
		require.Equal(t, Busy, out.Status, out.Tail)
		require.Equal(t, nextBusy, out.Next)
	}
}

// As long as unattended upgrades hold it, by the times of the program.
func TestALockOfPackagesIsHeldForAMinute(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes more than a minute")
	}
	realtest.Program(t, "dpkg")
	if os.Geteuid() != 0 {
		realtest.Skip(t, "dpkg installs for root only")
	}
	t.Parallel() // it waits
	root := debRoot(t)
	deb := buildDeb(t, "7.12.100", "exit 0")
	begun := time.Now()
	timer := time.AfterFunc(time.Minute, lockPackages(t, root))
	defer timer.Stop()
	r, events := newRunner(t)
	out, err := r.Run(t.Context(), Command{Path: deb, SHA256: sumOf(t, deb), Kind: Auto, Args: []string{"--root=" + root, "--force-script-chrootless", "--log=/dev/null"}})
	require.NoError(t, err, out.Tail)
	require.GreaterOrEqual(t, time.Since(begun), time.Minute)
	require.Greater(t, out.attempts, 1)
	require.Len(t, eventsOf(events, eventBusy), out.attempts-1)
}

// rpm waits for its lock by itself.
func TestALockOfRPMIsWaitedFor(t *testing.T) {
	root := newLinuxRoot(t)
	realtest.Program(t, "rpm")
	held := 2 * time.Second
	if os.Getenv("ASPUPDATE_SOAK") != "" {
		held = time.Minute
	}
	run := func(version string) (Outcome, error) {
		path := buildRPM(t, version, "", "")
		r, _ := newRunner(t)
		r.busyInterval = 500 * time.Millisecond
		return r.Run(t.Context(), Command{Path: path, SHA256: sumOf(t, path), Kind: Auto, Args: []string{"--root=" + root.dir}})
	}
	out, err := run("7.12.100") // it makes the database
	require.NoError(t, err, out.Tail)
	lock := strings.TrimSpace(output(t, "rpm", "--root="+root.dir, "--eval", "%{_dbpath}")) + "/.rpm.lock"
	require.FileExists(t, filepath.Join(root.dir, lock))

	unlock := lockFile(t, filepath.Join(root.dir, lock))
	begun := time.Now()
	timer := time.AfterFunc(held, unlock)
	defer timer.Stop()
	out, err = run("7.13.100")
	require.NoError(t, err, out.Tail)
	require.GreaterOrEqual(t, time.Since(begun), held)
	root.has(t, "opt/asp/version.txt", "7.13.100")
}

func TestLocksOfPackageManagersAreRecognized(t *testing.T) {
	for _, text := range []string{
		"dpkg: error: dpkg frontend lock was locked by another process with pid 12\nNote: removing the lock file is always wrong",
		"dpkg: error: dpkg database lock was locked by another process with pid 12",
		"dpkg: error: dpkg status database is locked by another process",
		"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 12 (apt)\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?",
		"E: Could not get lock /var/lib/apt/lists/lock - open (11: Resource temporarily unavailable)",
		"E: Unable to lock the administration directory (/var/lib/dpkg/), is another process using it?",
		"error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)",
		"Another app is currently holding the yum lock; waiting for it to exit...",
		"System management is locked by the application with pid 12 (/usr/bin/zypper).",
		"dpkg: ошибка: внешний интерфейс dpkg заблокирован другим процессом с pid 12",
		"E: Не удалось получить доступ к файлу блокировки /var/lib/dpkg/lock-frontend",
	} {
		v := Command{}.verdictOf(2, "Preparing\n"+text+"\n")
		require.Equal(t, Busy, v.Status, text)
		require.Equal(t, OK, Command{}.verdictOf(0, text).Status, "a success is one")
	}
	for _, text := range []string{
		"dpkg: error processing package asp (--install):\n dependency problems - leaving unconfigured",
		"ERROR: the database is locked by user 5; its rows are locked",
		"E: Unable to locate package asp",
		strings.Repeat("locked ", 100),
	} {
		require.Equal(t, Failed, Command{}.verdictOf(2, text).Status, text)
	}
}
