//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"golang.org/x/sys/unix"
)

// A heldSite is a site whose commands can be held: each waits while a file with
// its name exists. The application runs while the file "running" exists; users
// are out while "closed" does.
type heldSite struct {
	*scriptSite
	step string // that is held
}

func newHeldSite(t *testing.T, step string) heldSite {
	remove := ""
	if step == "remove" { // a kind that needs it on its way back
		remove = "remove = ['/bin/sh', '${OWN}/held.sh', 'remove', '/bin/rm', '-f', '${SITE}/version']"
	}
	s := newScriptSite(t, `
close = ['/bin/sh', '${OWN}/held.sh', 'close', '/bin/touch', '${OWN}/closed']
open = ['/bin/sh', '${OWN}/held.sh', 'open', '/bin/rm', '-f', '${OWN}/closed']
stop = ['/bin/sh', '${OWN}/held.sh', 'stop', '/bin/rm', '-f', '${OWN}/running']
start = ['/bin/sh', '${OWN}/held.sh', 'start', '/bin/touch', '${OWN}/running']
[[command]]
live = '${SITE}/data'
backup = ['/bin/sh', '${OWN}/held.sh', 'backup', '/bin/cp', '{live}', '{file}']
restore = ['/bin/sh', '${OWN}/held.sh', 'restore', '/bin/cp', '{file}', '{new}']
verify = ['/bin/cp', '{file}', '{new}']`, remove+`
[[distribution.migrate]]
database = 'data'
command = ['/bin/sh', '${OWN}/held.sh', 'migrate', '/bin/sh', '${OWN}/restructure.sh']
structure = ['/bin/sh', '-c', 'head -n 1 ${SITE}/data']`)
	s.write(filepath.Join(s.own, "restructure.sh"), fmt.Sprintf(`cd '%s'
rows=$(tail -n +2 data)
printf 'half\n%%s\n' "$rows" > data
printf '%%s\n%%s\n' "$(cat version)" "$rows" > data
`, s.site))
	s.write(filepath.Join(s.own, "held.sh"), fmt.Sprintf(`cd '%s'
while [ -e held-$1 ]; do mkdir first-$1 2> /dev/null && first=yes; touch at-$1; sleep 0.02; done
[ "$first" = yes ] && [ -e late ] && sleep 2
shift
exec "$@"
`, s.own))
	old := s.publish("7.12.100", "Setup", fmt.Sprintf("sh '%s/held.sh' previous true\necho 7.12.100 > $1/version\n", s.own))
	s.write(filepath.Join(s.site, "version"), "7.12.100\n")
	code, out := s.run("archive", "import", "--distribution", "АСП", "--version", "7.12.100", old)
	require.Zero(t, code, out)
	s.write(filepath.Join(s.site, "data"), "7.12.100\nentered before\n")
	s.write(filepath.Join(s.own, "running"), "")
	h := heldSite{s, step}
	install := fmt.Sprintf("sh '%s/held.sh' install true\necho 7.12.200 > $1/version\n", s.own)
	if step == "probe" {
		install += "touch '" + s.own + "/held-probe'\n"
	}
	if onTheWayBack(step) {
		install += "echo half > $1/data\nexit 1\n"
	}
	s.publish("7.12.200", "Setup", install)
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	probe := fmt.Sprintf("command = ['/bin/cat', '%s/version']", s.site)
	require.Contains(t, string(text), probe)
	s.write(s.config(), strings.NewReplacer(
		probe, fmt.Sprintf("command = ['/bin/sh', '%s/held.sh', 'probe', '/bin/cat', '%s/version']", s.own, s.site),
		"probe = '1s'", "probe = '1m'\ndecide = '1s'",
	).Replace(string(text)))
	if step != "probe" {
		s.write(h.hold(), "")
	}
	return h
}

// onTheWayBack reports whether a step is reached only by a release that fails.
func onTheWayBack(step string) bool {
	return step == "remove" || step == "restore" || step == "previous"
}

func (h heldSite) hold() string { return filepath.Join(h.own, "held-"+h.step) }

func (h heldSite) here(name string) bool {
	_, err := os.Lstat(filepath.Join(h.own, name))
	return err == nil
}

func (h heldSite) inOrder() error {
	version, err := os.ReadFile(filepath.Join(h.site, "version"))
	data, err2 := os.ReadFile(filepath.Join(h.site, "data"))
	switch {
	case errors.Join(err, err2) != nil:
		return errors.Join(err, err2)
	case h.here("closed"):
		return errors.New("users are out")
	case !h.here("running"):
		return errors.New("the application does not run")
	case string(version) != "7.12.100\n" && string(version) != "7.12.200\n":
		return fmt.Errorf("the version is %q", version)
	case string(data) != string(version)+"entered before\n":
		return fmt.Errorf("the version is %q, the data is %q", version, data)
	}
	return nil
}

func (h heldSite) followed() *followed {
	return &followed{inOrder: h.inOrder, run: func(args ...string) (int, string) { return h.run(args[0], args[1:]...) }}
}

// alone waits until no command of the site runs.
func (h heldSite) alone(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		all, err := filepath.Glob("/proc/[0-9]*/cmdline")
		require.NoError(t, err)
		for _, path := range all {
			if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), h.own) {
				return false
			}
		}
		return true
	}, 20*time.Second, 10*time.Millisecond)
}

// An end is what people and machines do to an updater.
type end struct {
	// start starts the update, and returns what to do once the step is reached.
	start func(t *testing.T, cmd *exec.Cmd) (strike func())
	kill  bool // it dies at once
	goes  bool // it does not stop
}

func to(pid int, s syscall.Signal) { _ = syscall.Kill(pid, s) }

var ends = map[string]end{
	"closed terminal": {start: func(t *testing.T, cmd *exec.Cmd) func() {
		terminal, user := openTerminal(t)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = user, user, user
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		require.NoError(t, cmd.Start())
		go func() { // what a person sees
			buffer := make([]byte, 4096)
			for {
				if _, err := terminal.Read(buffer); err != nil {
					return
				}
			}
		}()
		return func() {
			require.NoError(t, terminal.Close())
			// A process that is just being started may have it a moment longer.
			hung := []unix.PollFd{{Fd: int32(user.Fd())}}
			n, err := unix.Poll(hung, 30_000)
			require.NoError(t, err)
			require.Equal(t, 1, n, "the terminal is not closed")
			require.NoError(t, user.Close())
		}
	}},
	"head -1": {goes: true, start: func(t *testing.T, cmd *exec.Cmd) func() {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		cmd.Stdout, cmd.Stderr = w, w
		require.NoError(t, cmd.Start())
		require.NoError(t, w.Close())
		_, err = bufio.NewReaderSize(r, 16).ReadString('\n')
		require.NoError(t, err)
		require.NoError(t, r.Close())
		return func() {}
	}},
	"a reader that sleeps": {goes: true, start: func(t *testing.T, cmd *exec.Cmd) func() {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
		require.NoError(t, err)
		_, err = w.Write(bytes.Repeat([]byte("x"), 4096)) // nothing more fits
		require.NoError(t, err)
		cmd.Stdout, cmd.Stderr = w, w
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = r.Close() })
		return func() { _ = w.Close() }
	}},
	"closed output": {goes: true, start: func(t *testing.T, cmd *exec.Cmd) func() {
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `exec "$@" >&- 2>&-`, "-"}, cmd.Args...)
		require.NoError(t, cmd.Start())
		return func() {}
	}},
	"output that cannot be written": {goes: true, start: func(t *testing.T, cmd *exec.Cmd) func() {
		null, err := os.Open(os.DevNull) // for reading
		require.NoError(t, err)
		cmd.Stdout, cmd.Stderr = null, null
		require.NoError(t, cmd.Start())
		return func() { _ = null.Close() }
	}},
	"SIGTERM": {start: func(t *testing.T, cmd *exec.Cmd) func() {
		require.NoError(t, cmd.Start())
		return func() { to(cmd.Process.Pid, syscall.SIGTERM) }
	}},
	"SIGPIPE": {goes: true, start: func(t *testing.T, cmd *exec.Cmd) func() {
		require.NoError(t, cmd.Start())
		return func() { to(cmd.Process.Pid, syscall.SIGPIPE) }
	}},
	"SIGHUP": {start: func(t *testing.T, cmd *exec.Cmd) func() {
		require.NoError(t, cmd.Start())
		return func() { to(cmd.Process.Pid, syscall.SIGHUP) }
	}},
	"SIGHUP twice": {start: func(t *testing.T, cmd *exec.Cmd) func() {
		require.NoError(t, cmd.Start())
		return func() {
			to(cmd.Process.Pid, syscall.SIGHUP)
			time.Sleep(50 * time.Millisecond) // else they are one
			to(cmd.Process.Pid, syscall.SIGHUP)
		}
	}},
	"kill -9 of the process group": {kill: true, start: func(t *testing.T, cmd *exec.Cmd) func() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		return func() { to(-cmd.Process.Pid, syscall.SIGKILL) }
	}},
	"the control group's kill": {kill: true, start: func(t *testing.T, cmd *exec.Cmd) func() {
		require.NoError(t, cmd.Start())
		return func() { // as systemd does: SIGTERM to all, after a time SIGKILL to all
			all := descendants(t, cmd.Process.Pid)
			for _, pid := range all {
				to(pid, syscall.SIGTERM)
			}
			time.Sleep(100 * time.Millisecond)
			for _, pid := range append(all, descendants(t, cmd.Process.Pid)...) {
				to(pid, syscall.SIGKILL)
			}
		}
	}},
	"a real control group's kill": {kill: true, start: func(t *testing.T, cmd *exec.Cmd) func() {
		group := newControlGroup(t)
		dir, err := os.Open(group)
		require.NoError(t, err)
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		require.NoError(t, cmd.Start())
		require.NoError(t, dir.Close())
		return func() { // also what no longer descends from it
			all := groupedIn(t, group)
			require.Contains(t, all, cmd.Process.Pid)
			require.Greater(t, len(all), 1, "the command of the step is in it, too")
			for _, pid := range all {
				to(pid, syscall.SIGTERM)
			}
			time.Sleep(100 * time.Millisecond)
			require.NoError(t, os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0o600))
		}
	}},
}

// newControlGroup makes a control group of the test's own, below the one that the test is in.
func newControlGroup(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	at := regexp.MustCompile(`(?m)^\d+ \d+ \S+ / (\S+) .* - cgroup2 `).FindSubmatch(mounts)
	own, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	in := regexp.MustCompile(`(?m)^0::(/.*)$`).FindSubmatch(own)
	if at == nil || in == nil {
		realtest.Skip(t, "control groups of version 2 are not mounted")
	}
	group, err := os.MkdirTemp(filepath.Join(string(at[1]), string(in[1])), "test-of-aspupdate-")
	if err != nil {
		t.Skipf("no control group can be made here: %v", err)
	}
	t.Cleanup(func() { // once its last process is gone
		require.Eventually(t, func() bool {
			for _, below := range slices.Backward(groups(t, group)) { // an updater makes one for each command
				_ = os.Remove(below)
			}
			_, err := os.Stat(group)
			return os.IsNotExist(err)
		}, 20*time.Second, 10*time.Millisecond)
	})
	if _, err := os.Stat(filepath.Join(group, "cgroup.kill")); err != nil {
		t.Skipf("this kernel does not kill control groups: %v", err)
	}
	return group
}

// groups returns a control group and all below it, each after the one that it is in.
func groups(t *testing.T, group string) (all []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err):
			return nil // it has ended
		case err == nil && d.IsDir():
			all = append(all, path)
		}
		return err
	}))
	return all
}

// groupedIn returns the processes of a control group and of all below it.
func groupedIn(t *testing.T, group string) (all []int) {
	t.Helper()
	for _, dir := range groups(t, group) {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue // it has ended
		}
		for _, pid := range strings.Fields(string(text)) {
			n, err := strconv.Atoi(pid)
			require.NoError(t, err)
			all = append(all, n)
		}
	}
	return all
}

// TestNothingEndsAnUpdateInAnyStep strikes an update in each of its steps. What
// only takes the output away is no reason to stop. What asks to stop is obeyed
// before the first damage, and ignored after it. After a kill the lines that the
// program prints lead to a healthy site with its users.
func TestNothingEndsAnUpdateInAnyStep(t *testing.T) {
	t.Parallel()
	hangUp()
	early := map[string]bool{"close": true, "stop": true, "backup": true}
	steps := []string{"close", "stop", "backup", "install", "start", "migrate", "probe", "open", "remove", "restore", "previous"}
	i := 0
	for name, end := range ends {
		for _, step := range steps {
			if i++; soaking(1, 0) == 0 && !chosen(name, step) {
				continue
			}
			t.Run(name+" at "+step, func(t *testing.T) {
				h := newHeldSite(t, step)
				cmd := exec.Command(program, "update", "--yes", "--config", h.config())
				cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+h.server.Password)
				strike := end.start(t, cmd)
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				require.Eventually(t, func() bool { return h.here("at-" + step) }, 30*time.Second, 5*time.Millisecond)
				strike()
				if end.kill {
					<-ended
					// What it left running goes on while others follow, and acts after the same
					// command of a recovery that does not wait for it.
					h.write(filepath.Join(h.own, "late"), "")
					time.AfterFunc(time.Second, func() { _ = os.Remove(h.hold()) })
					h.followed().follow(t, h.output("status"))
					h.alone(t)
					require.NoError(t, h.inOrder())
					return
				}
				stops := !end.goes && early[step]
				if stops { // the signal is seen before the step ends
					select {
					case err := <-ended:
						ended <- err
					case <-time.After(30 * time.Second):
					}
				} else {
					time.Sleep(200 * time.Millisecond)
				}
				require.NoError(t, os.Remove(h.hold()))
				var err error
				select {
				case err = <-ended:
				case <-time.After(time.Minute):
					_ = cmd.Process.Kill()
					t.Fatal("the update waits for its reader")
				}
				want := exitDone
				switch {
				case stops:
					want = exitAbandoned
				case onTheWayBack(step):
					want = exitRolledBack
				}
				require.Equal(t, want, cmd.ProcessState.ExitCode(), "%v", err)
				require.NoError(t, h.inOrder())
				code, out := h.run("status")
				require.Zero(t, code, out)
			})
		}
	}
}

// hangUp lets the programs that are started from now on receive SIGHUP, though the tests
// were started by nohup, which updates respect.
func hangUp() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}

// chosen picks some of the strikes for each run; a soak has all.
func chosen(name, step string) bool {
	switch name {
	case "closed terminal", "kill -9 of the process group":
		return step == "close" || step == "install" || step == "migrate" || step == "open" || step == "remove" || step == "restore"
	case "the control group's kill":
		return step == "backup" || step == "install" || step == "start" || step == "migrate" || step == "previous"
	case "a real control group's kill":
		return step == "close" || step == "install" || step == "remove"
	case "SIGHUP twice":
		return step == "start"
	case "SIGTERM", "SIGHUP":
		return step == "migrate" || step == "remove" || step == "previous"
	}
	return step == "install"
}

// openTerminal returns both ends of a new pseudo terminal: what the person has
// and what the program has.
func openTerminal(t *testing.T) (terminal, user *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	conn, err := terminal.SyscallConn() // Fd would make Close wait for the next output
	require.NoError(t, err)
	n := 0
	require.NoError(t, conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	require.NoError(t, err)
	user, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return terminal, user
}

// descendants returns a process and everything that descends from it.
func descendants(t *testing.T, root int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	children := map[int][]int{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		var pid, parent int
		var state byte
		_, after, _ := strings.Cut(string(text), ") ")
		if _, err := fmt.Sscanf(string(text), "%d", &pid); err != nil {
			continue
		}
		if _, err := fmt.Sscanf(after, "%c %d", &state, &parent); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}
