package service

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// worldVar is "make" in a process that is to make a world for a systemd of
// its own, and "inside" for the tests in there.
const worldVar = "SERVICE_TEST_WORLD"

const (
	unitsDir  = "/tmp/config/systemd/user"
	vendorDir = "/tmp/vendor"
)

// TestUnderSystemd runs the tests of this package against a real systemd, as
// a user's manager of services. It lives in namespaces of its own, in which
// every file of this machine is read-only, knows no units but the tests', and
// ends with them.
func TestUnderSystemd(t *testing.T) {
	t.Parallel()
	if os.Getenv(worldVar) != "" {
		t.Skip("it runs already")
	}
	realtest.Program(t, "systemctl")
	if _, err := os.Stat(systemd); err != nil {
		realtest.Skip(t, "systemd is not installed: %v", err)
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	runtime.LockOSThread() // Pdeathsig comes with the end of the thread
	defer runtime.UnlockOSThread()
	cmd := exec.Command(exe, "-test.v", "-test.timeout=4m", "-test.run=^Test")
	cmd.Env = append(os.Environ(), worldVar+"=make")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), noWorld) {
		realtest.Skip(t, "no namespaces, or no cgroup v2, for a systemd of its own here: %v %s", err, out)
	}
	require.NoError(t, err, string(out))
	t.Log(string(out))
	for _, name := range []string{"TestOpenRestoresWhatCloseFound", "TestAKilledUpdaterLosesNothing", "TestLinksAddedByHandAreRestored"} {
		require.Contains(t, string(out), "--- PASS: "+name+" (", "it ran, and was not skipped")
	}
}

const (
	systemd = "/usr/lib/systemd/systemd"
	noWorld = "no world for systemd"
)

// world runs the tests, in a world of their own where that is asked for.
func world(m *testing.M) int {
	if os.Getenv(worldVar) != "make" {
		return m.Run()
	}
	code, err := makeWorld()
	if err != nil {
		fmt.Println(noWorld+":", err)
		return 1
	}
	return code
}

func makeWorld() (code int, err error) {
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	group, err := ownGroup()
	if err != nil {
		return 0, err
	}
	// First of all nothing of the machine can be written to from here.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, err
	}
	if err := unix.MountSetattr(-1, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return 0, err
	}
	for _, m := range [][2]string{{"tmpfs", "/tmp"}, {"tmpfs", "/run"}, {"proc", "/proc"}, {"cgroup2", "/sys/fs/cgroup"}} {
		if err := unix.Mount("none", m[1], m[0], 0, ""); err != nil {
			return 0, fmt.Errorf("%s: %w", m[1], err)
		}
	}
	group = filepath.Join("/sys/fs/cgroup", group, fmt.Sprintf("aspupdate-test-%d", time.Now().UnixNano()))
	if err := os.Mkdir(group, 0o700); err != nil {
		return 0, err
	}
	defer removeGroup(group)
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0o600); err != nil {
		return 0, err
	}

	for _, dir := range []string{"/run/systemd/system", "/run/user", "/tmp/bin", unitsDir, vendorDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return 0, err
		}
	}
	real, err := exec.LookPath("systemctl")
	if err != nil {
		return 0, err
	}
	for file, text := range map[string][]byte{
		"/tmp/bin/systemctl":           []byte("#!/bin/sh\nexec " + real + " --user \"$@\"\n"),
		"/tmp/bin/service.test":        exe,
		vendorDir + "/default.target":  []byte("[Unit]\n"),
		vendorDir + "/basic.target":    []byte("[Unit]\n"),
		vendorDir + "/shutdown.target": []byte("[Unit]\nDefaultDependencies=no\n"),
	} {
		if err := os.WriteFile(file, text, 0o700); err != nil {
			return 0, err
		}
	}
	env := []string{
		"PATH=/tmp/bin:" + os.Getenv("PATH"), "HOME=/tmp", "TMPDIR=/tmp", "XDG_RUNTIME_DIR=/run/user", "XDG_CONFIG_HOME=/tmp/config",
		"SYSTEMD_UNIT_PATH=" + unitsDir + ":/run/user/systemd/user:" + vendorDir, // and no others
		"SYSTEMD_GENERATOR_PATH=/tmp/none", "SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/tmp/none", worldVar + "=inside",
	}
	manager := exec.Command(systemd, "--user", "--log-target=console", "--log-level=warning")
	manager.Env, manager.Stdout, manager.Stderr = env, os.Stdout, os.Stdout
	if err := manager.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = manager.Process.Kill() // what it started ends with this world
		_ = manager.Wait()
	}()
	ask := exec.Command("/tmp/bin/systemctl", "show", "--property=Version")
	ask.Env = env
	for i := 0; ; i++ {
		probe := *ask
		out, err := probe.CombinedOutput()
		if err == nil {
			fmt.Printf("systemd %s", out)
			break
		}
		if i == 100 {
			return 0, fmt.Errorf("systemd does not answer: %w: %s", err, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
	tests := exec.Command("/tmp/bin/service.test", os.Args[1:]...)
	tests.Env, tests.Dir, tests.Stdout, tests.Stderr = env, "/tmp", os.Stdout, os.Stdout
	if err := tests.Run(); err != nil {
		fmt.Println(err)
		return 1, nil
	}
	return 0, nil
}

// ownGroup is this process's control group of version 2.
func ownGroup() (string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path, nil
		}
	}
	return "", errors.Join(err, errors.New("no cgroup v2"))
}

// removeGroup leaves the group, and removes it and those below it.
func removeGroup(group string) {
	_ = os.WriteFile(filepath.Join(filepath.Dir(group), "cgroup.procs"), []byte("0"), 0o600)
	_ = os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0o600)
	var dirs []string
	_ = filepath.WalkDir(group, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for range 100 {
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = os.Remove(dirs[i])
		}
		if _, err := os.Stat(group); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func requireManager(t *testing.T) {
	t.Helper()
	if os.Getenv(worldVar) != "inside" {
		t.Skip("TestUnderSystemd runs it")
	}
}

// serve is a service's process.
func serve(dir string) int {
	what := mode(dir)
	note(filepath.Join(dir, "pid"))
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTERM)
	switch {
	case what == "die":
		return 3
	case what == "die later":
		time.Sleep(100 * time.Millisecond)
		return 3
	case strings.HasPrefix(what, "child="):
		d, _ := time.ParseDuration(what[6:])
		child(dir, d)
	}
	<-stopped
	for mode(dir) == "stay" {
		time.Sleep(20 * time.Millisecond)
	}
	return 0
}

func requireDependents(*testing.T, string) {}

func create(t *testing.T, name, home string, needs ...string) {
	t.Helper()
	text := "[Unit]\nDefaultDependencies=no\n"
	for _, n := range needs {
		text += "Requires=" + n + ".service\nAfter=" + n + ".service\n"
	}
	text += "[Service]\nKillMode=process\nTimeoutStopSec=60\nExecStart=/tmp/bin/service.test as-service " + home + "\n[Install]\nWantedBy=default.target\n"
	writeUnit(t, vendorDir, name+".service", text)
}

func writeUnit(t *testing.T, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	ctl(t, "daemon-reload")
}

func ctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	require.NoError(t, err, "%s: %s", args, out)
	return string(out)
}

func remove(t *testing.T, name string) {
	t.Helper()
	for _, args := range [][]string{{"stop", name}, {"unmask", name}, {"unmask", "--runtime", name}, {"disable", name}, {"disable", "--runtime", name}} {
		_ = exec.Command("systemctl", args...).Run()
	}
	_ = os.Remove(filepath.Join(vendorDir, name+".service"))
	ctl(t, "daemon-reload")
	_ = exec.Command("systemctl", "reset-failed").Run()
}

func autostarts(t *testing.T) []string {
	t.Helper()
	requireManager(t)
	return []string{"enabled", "enabled-runtime", "disabled", "masked"}
}

func off(autostart string) string {
	if strings.HasPrefix(autostart, "enabled") {
		return "disabled"
	}
	return autostart
}

func setAutostartTo(t *testing.T, name, autostart string) {
	t.Helper()
	switch autostart {
	case "enabled":
		ctl(t, "enable", name)
	case "enabled-runtime":
		ctl(t, "enable", "--runtime", name)
	case "masked":
		ctl(t, "mask", name)
	}
}

func autostartOf(t *testing.T, name string) string {
	t.Helper()
	out, _ := exec.Command("systemctl", "is-enabled", name).Output() // its exit code is not 0 for disabled units
	return strings.TrimSpace(string(out))
}

func lives(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// A person's own link beside those of the [Install] section comes back, too.
func TestLinksAddedByHandAreRestored(t *testing.T) {
	requireManager(t)
	writeUnit(t, vendorDir, "asp-by-hand.target", "[Unit]\n")
	s := newSubject(t, "asp-links", "enabled", true)
	ctl(t, "add-wants", "asp-by-hand.target", s.Name)
	ctl(t, "add-requires", "basic.target", s.Name)
	ctl(t, "start", "asp-by-hand.target", "basic.target") // systemctl show leaves out what is not loaded
	// What requires it while it runs would be stopped with it.
	require.ErrorIs(t, s.Close(t.Context()), ErrDependents)
	ctl(t, "stop", "basic.target")
	require.NoError(t, s.Close(t.Context()))
	s.mustBe(t, false, "disabled")
	require.NotContains(t, ctl(t, "show", "--property=WantedBy,RequiredBy", s.Name), ".target")
	require.NoError(t, s.Open(t.Context()))
	s.mustBe(t, true, "enabled")
	wanted, required, err := links(t.Context(), s.Name)
	require.NoError(t, err)
	require.Equal(t, []string{"asp-by-hand.target", "default.target"}, wanted)
	require.Equal(t, []string{"basic.target"}, required)
	ctl(t, "stop", "asp-by-hand.target", "basic.target")
}

func TestUnrestorableStatesAreRefused(t *testing.T) {
	requireManager(t)
	refused := func(s subject, err error, want string) {
		t.Helper()
		require.ErrorContains(t, s.Close(t.Context()), want)
		if err != nil {
			require.ErrorIs(t, s.Close(t.Context()), err)
		}
		require.NoError(t, s.Open(t.Context()))
		st, queryErr := Query(t.Context(), s.Name)
		require.NoError(t, queryErr)
		require.True(t, st.Running, "%s: it goes on", want)
	}
	s := newSubject(t, "asp-masked", "disabled", true)
	ctl(t, "mask", s.Name)
	refused(s, nil, "unmask it")

	s = newSubject(t, "asp-linked", "disabled", false)
	require.NoError(t, os.Rename(filepath.Join(vendorDir, "asp-linked.service"), "/tmp/asp-linked.service"))
	ctl(t, "daemon-reload")
	ctl(t, "enable", "/tmp/asp-linked.service")
	ctl(t, "start", s.Name)
	refused(s, nil, "put the unit's file itself there")

	s = newSubject(t, "asp-real", "disabled", true)
	require.NoError(t, os.Symlink("asp-real.service", filepath.Join(vendorDir, "asp-alias.service")))
	ctl(t, "daemon-reload")
	alias := s
	alias.Service = &Service{Name: "asp-alias", Dir: s.Dir, steady: s.steady}
	refused(alias, nil, "alias of asp-real.service")

	s = newSubject(t, "asp-called", "disabled", true)
	writeUnit(t, vendorDir, "asp-called.timer", "[Unit]\nDefaultDependencies=no\n[Timer]\nOnActiveSec=1h\n")
	ctl(t, "start", "asp-called.timer")
	refused(s, ErrDependents, "asp-called.timer")
	ctl(t, "stop", "asp-called.timer")

	// A unit that is wanted by a file of the vendor's cannot be disabled.
	s = newSubject(t, "asp-static", "disabled", true)
	writeUnit(t, vendorDir, "asp-wants.target", "[Unit]\nWants=asp-static.service\n")
	ctl(t, "start", "asp-wants.target")
	refused(s, ErrDependents, "asp-wants.target")
	ctl(t, "stop", "asp-wants.target")

	for _, name := range []string{"", "-H", "a*", "../x", "a b"} {
		require.ErrorContains(t, (&Service{Name: name, Dir: t.TempDir()}).Close(t.Context()), "not the name of a unit")
	}
}

func TestParseShow(t *testing.T) {
	require.Equal(t, []map[string]string{{"A": "1", "B": "x=y z"}, {"A": "", "B": ""}}, parseShow("A=1\nB=x=y z\n\nA=\nB=\n"))
}

func TestWithoutSystemdItIsUnsupported(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs here")
	}
	require.ErrorIs(t, (&Service{Name: "asp", Dir: t.TempDir()}).Close(t.Context()), errors.ErrUnsupported)
}
