//go:build !linux && !windows

package process

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// system is the root's process group. A process that has left it is not found:
// there is no portable way.
type system struct{ root int }

func findable() error {
	return fmt.Errorf("finding the processes of a program on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func groupPath(string) string { return "" }

func start(cmd *exec.Cmd, rec Record) (*Tree, error) {
	cmd = prepare(cmd, rec.mark())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t := &Tree{rec: rec, ended: make(chan struct{}), system: system{cmd.Process.Pid}}
	go t.wait(cmd)
	return t, nil
}

func find(Record) (*Tree, error) { return nil, findable() }

// Lookup returns the living process with that PID, or false.
func Lookup(int) (Member, bool) { return Member{}, false }

// Arguments returns what follows the program in m's command line, which is not known here.
func (m Member) Arguments() (args []string, dir string) { return nil, "" }

// Work returns how long the processors worked for the tree so far.
func (t *Tree) Work() (time.Duration, error) { return 0, findable() }

// Members lists the living processes of the tree.
func (t *Tree) Members() ([]Member, error) { return nil, findable() }

// RootAlive reports whether the root lives.
func (t *Tree) RootAlive() (bool, error) { return false, findable() }

// Suspended reports whether the root of a tree that was found never ran.
func (t *Tree) Suspended() bool { return false }

// End kills the root's process group.
func (t *Tree) End() error {
	if err := syscall.Kill(-t.root, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// Close frees what the system holds for the tree. Processes of it live on.
func (t *Tree) Close() {}

func (t *Tree) release() error          { return nil }
func (t *Tree) count() (int, error)     { return 0, findable() }
func (t *Tree) foundExit() (Exit, bool) { return Exit{}, false }
