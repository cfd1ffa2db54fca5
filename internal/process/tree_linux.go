package process

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// system is how Linux knows a tree: by its control group, its root, and its secret
// in the environment of its processes. They are looked up each time. A control
// group holds every process that is born in it, whatever that does. Becoming a
// subreaper would find the orphans of a tree without one, but is a setting of
// the whole calling process.
type system struct {
	group string // the directory of the control group; "" if there is none
	root  proc   // pid 0 if not known
}

// findable returns an error where a tree cannot be listed and found again.
func findable() error {
	if _, err := readProc(os.Getpid()); err != nil {
		return fmt.Errorf("cannot read /proc, which is needed to see the processes of a program: %w", err)
	}
	return nil
}

// busyTimeout bounds the wait for a program file that is open for writing.
const busyTimeout = time.Second

// start starts cmd in a session of its own. It runs at once: until its number
// is recorded it is known by its group and its id.
func start(cmd *exec.Cmd, rec Record) (*Tree, error) {
	var group *os.File
	if rec.Group != "" {
		group, _ = makeGroup(rec.Group) // or it runs without
	}
	begun := time.Now()
	for removed := 0; ; {
		c := prepare(cmd, rec.mark()) // a command can be started once
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if group != nil {
			c.SysProcAttr.UseCgroupFD, c.SysProcAttr.CgroupFD = true, int(group.Fd())
		}
		err := startClean(c)
		if group != nil && (err == nil || !errors.Is(err, unix.ETXTBSY)) {
			_ = group.Close()
		}
		switch {
		case err == nil:
			return started(c, rec, group != nil), nil
		case errors.Is(err, unix.ETXTBSY) && time.Since(begun) < busyTimeout:
			// A program that another thread forks just now may for a moment hold
			// a file open for writing that was closed here.
			time.Sleep(5 * time.Millisecond)
		case group != nil && removed < 3 && !exists(rec.Group):
			// Another start took the group, empty as it still was, for an old one.
			removed++
			group, _ = makeGroup(rec.Group)
		case group != nil: // perhaps the kernel only refuses to let it be born there
			_ = group.Close()
			removeGroup(rec.Group)
			group = nil
		default:
			return nil, err
		}
	}
}

// childMask is the umask of what is started: files of an installer are neither
// hidden from the application nor open to everybody, no matter which user runs the update.
const childMask = 0o022

// startClean starts c with childMask, and without descriptors that this process
// was given by the one that started it. The umask is a thread's own here: the
// thread ends with the goroutine, and no other file of this process gets another
// mode.
func startClean(c *exec.Cmd) error {
	closeInExec()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and is never unlocked
		if unix.Unshare(unix.CLONE_FS) == nil {
			unix.Umask(childMask)
		}
		result <- c.Start()
	}()
	return <-result
}

// closeInExec marks all descriptors but the standard files to be closed in what
// is started. Go does so with those that it opens itself; what c passes on
// is duplicated in the child.
func closeInExec() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	list, _ := os.ReadDir("/proc/self/fd") // a kernel before 5.11
	for _, e := range list {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func started(cmd *exec.Cmd, rec Record, grouped bool) *Tree {
	t := &Tree{rec: rec, ended: make(chan struct{})}
	if grouped {
		t.group = rec.Group
	}
	// It was not waited for yet, so it is still listed, dead or alive.
	t.root, _ = readProc(cmd.Process.Pid)
	t.root.pid = cmd.Process.Pid
	t.rec.PID, t.rec.Birth = t.root.pid, t.root.birth()
	go t.wait(cmd)
	return t
}

func (t *Tree) release() error { return nil }

func find(rec Record) (*Tree, error) {
	t := &Tree{rec: rec, system: system{group: groupOf(rec)}}
	boot, ticks, _ := strings.Cut(rec.Birth, "/")
	if boot == bootID() {
		if n, err := strconv.ParseUint(ticks, 10, 64); err == nil {
			t.root = proc{pid: rec.PID, start: n}
		}
	}
	return t, nil
}

// Suspended reports whether the root of a tree that was found never ran,
// because the process that started it died too early. It is false on Linux.
func (t *Tree) Suspended() bool { return false }

// Close frees what the system holds for the tree. Processes of it live on.
func (t *Tree) Close() {
	if t.group != "" {
		removeGroup(t.group)
	}
}

func (t *Tree) foundExit() (Exit, bool) { return Exit{}, false }

func (t *Tree) count() (int, error) {
	ps, err := t.living()
	return len(ps), err
}

// Members lists the living processes of the tree.
func (t *Tree) Members() ([]Member, error) {
	ps, err := t.living()
	var list []Member
	for _, p := range ps {
		list = append(list, p.member())
	}
	return list, err
}

// RootAlive reports whether the root lives.
func (t *Tree) RootAlive() (bool, error) {
	ps, err := t.living()
	return slices.ContainsFunc(ps, func(p proc) bool {
		return p.is(t.root) || t.root.pid == 0 && t.rec.isRoot(procStrings(p.pid, "cmdline"), p.pid == p.session)
	}), err
}

// isRoot reports whether a command line is that of the root, which is the first of a session. That of
// a script begins with the program that reads it.
func (r Record) isRoot(argv []string, first bool) bool {
	if r.Program != "" && slices.Contains(argv, r.Program) {
		return true
	}
	if n := len(argv) - 1; n > 0 && argv[n] == "" { // after the last zero byte
		argv = argv[:n]
	}
	for i := range argv {
		if first && r.Line != "" && r.line(argv[i:]) == r.Line {
			return true
		}
	}
	return false
}

// living lists the living processes of the tree. An empty list counts only the
// second time: a process that is just loading its program has no environment.
// Where there is a control group, the kernel's count of it must be zero, too.
func (t *Tree) living() ([]proc, error) {
	const passes = 100
	for n := 1; ; n++ {
		ps, err := t.list()
		if err != nil || len(ps) > 0 || n > 1 && !groupAlive(t.group) || n == passes {
			return ps, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// list lists the processes of the tree once.
func (t *Tree) list() ([]proc, error) {
	all, err := procs()
	if err != nil {
		return nil, err
	}
	// The session's number is sure to be the tree's only for the process that
	// started it, and only until another process has it as its own.
	session := 0
	if t.ended != nil && !slices.ContainsFunc(all, func(p proc) bool { return p.pid == t.root.pid && !p.is(t.root) }) {
		session = t.root.pid
	}
	in := map[int]bool{}
	var members []proc
	for _, pid := range groupPIDs(t.group) {
		if p, err := readProc(pid); err == nil && pid != os.Getpid() {
			in[pid] = true
			members = append(members, p)
		}
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !in[p.pid] && (in[p.parent] || t.owns(p, session)) {
				in[p.pid], grown = true, true
				members = append(members, p)
			}
		}
	}
	return members, nil
}

// owns reports whether p by itself shows that it belongs to the tree.
func (t *Tree) owns(p proc, session int) bool {
	if p.start < t.root.start {
		return false
	}
	return p.is(t.root) || session != 0 && p.session == session ||
		slices.Contains(procStrings(p.pid, "environ"), marker+"="+t.rec.mark())
}

// End kills all processes of the tree, and returns once they have ended. They
// are stopped first, and listed until no new one turns up, so that none can
// start another unseen. End may be called again.
func (t *Tree) End() error {
	begun := time.Now()
	killGroup(t.group)
	seen := map[proc]bool{}
	for interval := 2 * time.Millisecond; ; interval = min(2*interval, 50*time.Millisecond) {
		ps, err := t.living()
		if err != nil {
			t.killSession()
			return fmt.Errorf("cannot list the processes of the program, some may be left: %w", err)
		}
		if ps = withSeen(ps, seen); len(ps) == 0 {
			return nil
		}
		late := time.Since(begun) > endTimeout/2
		fresh := false
		for _, p := range ps {
			if !seen[p] {
				seen[p], fresh = true, true
				p.signal(unix.SIGSTOP)
			}
		}
		for _, p := range ps {
			if !fresh || late {
				p.signal(unix.SIGKILL)
			}
		}
		if time.Since(begun) > endTimeout {
			var left []Member
			for _, p := range ps {
				left = append(left, p.member())
			}
			return survivors(left)
		}
		time.Sleep(interval)
	}
}

// killSession kills the root's process group where it cannot be listed. Its number is
// the tree's as long as the root was not waited for.
func (t *Tree) killSession() {
	select {
	case <-t.ended:
	default:
		if t.ended != nil {
			_ = unix.Kill(-t.root.pid, unix.SIGKILL)
		}
	}
}

// withSeen returns the processes, only by what does not change, and those that
// were seen before and still live: a process that was known by its parent alone
// could not be recognized after the parent has died.
func withSeen(ps []proc, seen map[proc]bool) []proc {
	all := map[proc]bool{}
	for _, p := range ps {
		all[proc{pid: p.pid, start: p.start}] = true
	}
	for p := range seen {
		if q, err := readProc(p.pid); err == nil && q.is(p) {
			all[p] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}
