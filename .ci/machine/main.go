//go:build linux

// Command machine runs a command, and fails if the machine is not as it was
// before. It compares what tests that run as root can change for others: modes
// and owners of the machine's directories, the files in /etc and of cron,
// mounts, shared memory, control groups, listening sockets; and it finds
// processes that the command left. Temporary files that it left are reported
// and do not count.
//
// The command gets a temporary directory of its own, with the mode of the
// machine's, because other programs use that one at the same time. Processes
// are recognized by their descent, whatever session or group they moved to.
//
//	go run ./.ci/machine bash .ci/run
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("machine: give the command to run")
	}
	os.Exit(run(os.Args[1:], "/", time.Minute)) // Wine's server waits some seconds for another program
}

// run runs the command and returns the exit code. The machine's files are those
// below root. Processes may take the grace to end after the command.
func run(command []string, root string, grace time.Duration) int {
	temp, err := os.MkdirTemp("", "aspupdate-ci-")
	if err == nil {
		err = os.Chmod(temp, 0o777|os.ModeSticky) // other accounts work in it, as in the machine's
	}
	if err == nil {
		err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // orphans become our children
	}
	if err != nil {
		log.Printf("machine: %v", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(temp) }()
	before := look(root, temp)

	signal.Ignore(os.Interrupt) // the command decides
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	if err = cmd.Start(); err == nil {
		stop := reapOrphans(cmd.Process.Pid)
		err = cmd.Wait()
		stop()
	}
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = max(exit.ExitCode(), 1)
	} else if err != nil {
		log.Printf("machine: %v", err)
		code = 1
	}

	left := leftProcesses(grace)
	changes := compare(before, look(root, temp))
	for _, p := range left {
		changes = append(changes, fmt.Sprintf("process %d is left: %s", p.pid, p.command))
	}
	// Its own directory is removed, so that what is left in it does not stay: it is reported only.
	for _, f := range leftFiles(temp) {
		log.Printf("machine: %s", f)
	}
	if len(changes) == 0 {
		return code
	}
	log.Printf("machine: the command left the machine changed:")
	for _, c := range changes {
		log.Printf("  %s", c)
	}
	return max(code, 1)
}

// leftProcesses returns the descendants of this process that do not end within
// the grace.
func leftProcesses(grace time.Duration) []process {
	for deadline := time.Now().Add(grace); ; time.Sleep(100 * time.Millisecond) {
		reap()
		left := descendants(os.Getpid())
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// reapOrphans takes the exit codes of orphans as they end, as init does: tests wait
// until the processes that they ended are gone. The command's own exit code is
// left to who waits for it.
func reapOrphans(command int) (stop func()) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-done:
				tick.Stop()
				return
			case <-ended:
			case <-tick.C:
			}
			for _, pid := range children() {
				if pid != command {
					_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
				}
			}
		}
	}()
	return func() {
		signal.Stop(ended)
		close(done)
		<-stopped
	}
}

// children returns the children of this process, whichever thread started them.
func children() (pids []int) {
	lists, _ := filepath.Glob("/proc/self/task/*/children") // the pattern is good
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// reap takes the exit codes of orphans that have ended.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid <= 0 {
			return
		}
	}
}

// leftFiles returns what is left in the command's temporary directory. What Go
// itself leaves when it is interrupted is not the tests'.
func leftFiles(temp string) (left []string) {
	entries, err := os.ReadDir(temp)
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		if ok, _ := filepath.Match("go-build*", e.Name()); !ok {
			left = append(left, "left in the temporary directory: "+e.Name())
		}
	}
	return left
}

// compare describes what differs between two looks at the machine.
func compare(before, after state) (changes []string) {
	for _, key := range after.keys() {
		if was, ok := before[key]; !ok && strings.HasPrefix(after[key], shared) {
			continue
		} else if !ok {
			changes = append(changes, fmt.Sprintf("new: %s (%s)", key, after[key]))
		} else if is := after[key]; is != was {
			changes = append(changes, fmt.Sprintf("%s: was %s, is %s", key, was, is))
		}
	}
	for _, key := range before.keys() {
		// The library removes the empty groups of runs that were killed.
		if _, ok := after[key]; !ok && !strings.HasPrefix(key, group) {
			changes = append(changes, fmt.Sprintf("gone: %s (%s)", key, before[key]))
		}
	}
	return changes
}

// A state has what was seen, by what it is about.
type state map[string]string

// shared begins what other programs may make meanwhile, such as caches: only a
// change or a loss counts.
const shared = "directory "

// group begins what is said of a control group.
const group = "control group "

func (s state) keys() []string {
	keys := make([]string, 0, len(s))
	for k := range s {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
