package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// marker is the variable by which a process is known to belong to a tree
	// even after it has left its parent and its session. Its value is secret.
	marker = "ASPUPDATE_RUN"
	// endTimeout bounds the ending of a tree. Only a process that the kernel or
	// another user's rights protect lasts longer than a few milliseconds.
	endTimeout = 10 * time.Second
	// outputTimeout bounds the wait for output after the root has ended: a
	// process that it left behind may keep the pipe open for ever.
	outputTimeout = 2 * time.Second
)

// A Tree is a command that was started, together with everything that it
// starts. Its methods are safe for concurrent use, except Close, which comes
// last.
type Tree struct {
	system // what the operating system knows the tree by

	rec   Record
	ended chan struct{}    // closed once the root has been waited for; nil after Find
	state *os.ProcessState // how the root ended, once ended is closed
	err   error            // what exec.Cmd.Wait returns, once ended is closed
}

// Start starts cmd in a tree of its own, without a terminal and out of reach
// of its Ctrl-C. It calls save with rec before cmd is started, and again with
// the root's PID; nil means that the tree need not be found again. Start
// returns a tree exactly if something was started. If the second save fails,
// the tree is ended, and the error says so if that failed as well: End may be
// called again.
//
// It uses only Path, Args, Env, Dir, the standard files, ExtraFiles, WaitDelay, and
// on Windows SysProcAttr.CmdLine of cmd. A nil Env is [BaseEnv], not this
// process's environment, which may hold passwords. cmd itself is not started: its
// context is ignored, and it must not be waited for.
//
// On Linux the command gets the umask 022, whatever this process's is, and no
// descriptor that this process itself inherited: those are marked to be closed.
func Start(cmd *exec.Cmd, rec Record, save func(Record) error) (*Tree, error) {
	if slices.ContainsFunc(cmd.Env, func(kv string) bool { return strings.Contains(kv, "\x00") }) {
		return nil, fmt.Errorf("start %s: an environment variable contains a zero byte", cmd.Path)
	}
	if save == nil {
		save = func(Record) error { return nil }
	} else if err := findable(); err != nil {
		return nil, err
	}
	if err := save(rec); err != nil {
		return nil, err
	}
	t, err := start(cmd, rec)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(save(t.rec), t.release()); err != nil {
		return t, errors.Join(err, t.End())
	}
	return t, nil
}

// Find returns the tree of a record that another process saved. If no process
// of it is left, the tree has no members. Close it after use.
func Find(rec Record) (*Tree, error) {
	if err := findable(); err != nil {
		return nil, err
	}
	return find(rec)
}

// Record returns the record by which the tree can be found.
func (t *Tree) Record() Record { return t.rec }

// Exited returns a channel that is closed once the root of a started tree has
// ended and its output was delivered. Other processes of the tree may live on.
func (t *Tree) Exited() <-chan struct{} { return t.ended }

// An Exit is how a root ended.
type Exit struct {
	Code     uint32 // 128 + the signal's number if Signaled
	Signaled bool   // it was killed by a signal
}

// Exit returns how the root ended. It returns false as long as the root has
// not ended, and always for a tree that was found on Linux: there only a
// parent learns it.
func (t *Tree) Exit() (Exit, bool) {
	if t.ended == nil {
		return t.foundExit()
	}
	select {
	case <-t.ended:
		if t.state != nil {
			return exitOf(t.state), true
		}
	default:
	}
	return Exit{}, false
}

// Alive reports whether any process of the tree lives.
func (t *Tree) Alive() (bool, error) {
	n, err := t.count()
	return n > 0, err
}

// Wait waits until no process of the tree is left. It returns the cause of ctx
// if that ends first.
func (t *Tree) Wait(ctx context.Context) error {
	cause, err := Poll(ctx, t.Alive)
	return errors.Join(cause, err)
}

// Poll calls alive, at growing intervals of at most 250 ms, until it returns
// false. cause is that of ctx if it ended first; err is an error of alive.
func Poll(ctx context.Context, alive func() (bool, error)) (cause, err error) {
	for interval := 5 * time.Millisecond; ; interval = min(2*interval, 250*time.Millisecond) {
		if yes, err := alive(); err != nil || !yes {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx), nil
		case <-time.After(interval):
		}
	}
}

// ended returns an error that wraps both ctx.Err and the cause of ctx.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// survivors is the error of a tree that could not be ended.
func survivors(members []Member) error {
	var list []string
	for _, m := range members {
		list = append(list, strings.TrimSpace(strconv.Itoa(m.PID)+" "+m.Name))
	}
	return fmt.Errorf("processes have not ended %s after they were killed: %s", endTimeout, strings.Join(list, ", "))
}
