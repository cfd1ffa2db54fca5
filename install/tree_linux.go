package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tree is the processes of one run: the root that was started, whatever is in
// the run's control group or carries the run's id in its environment, and all
// their descendants. It is looked up each time. A control group holds every
// process that is born in it, whatever that does; where none can be made, an
// orphan that forgot its id is lost. Becoming a subreaper would catch that
// one, too, but is a setting of the whole calling process.
type tree struct {
	group string // the control group's folder; "" if there is none
	id    string
	root  process // pid 0 if not known
	copy  string  // find: the path by which a root without a number is known
	cmd   *exec.Cmd
	ended chan struct{} // closed once cmd has been waited for; nil after find
}

// launch starts p in a session of its own, out of reach of this process's
// terminal. It returns a tree exactly if something was started.
func launch(ctx context.Context, p program) (*tree, error) {
	if _, err := readProcess(os.Getpid()); err != nil {
		return nil, fmt.Errorf("/proc cannot be read, and without it the installer's processes cannot be seen: %w", err)
	}
	var cmd *exec.Cmd
	var group *os.File
	if p.group != "" {
		group, _ = makeGroup(p.group) // or it runs without
	}
	drop := func() {
		if group != nil {
			_ = group.Close()
			removeGroup(p.group)
			group = nil
		}
	}
	for {
		cmd = p.command()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if group != nil {
			cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
		}
		err := cmd.Start()
		if err == nil {
			break
		}
		if group != nil && !errors.Is(err, unix.ETXTBSY) {
			drop() // perhaps it is only that the kernel does not let it be born there
			continue
		}
		// A program that another thread forks just now may for a moment hold
		// the copy open for writing, from before it was closed here.
		if !errors.Is(err, unix.ETXTBSY) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			drop()
			return nil, errors.Join(err, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
	t := &tree{id: p.id, cmd: cmd, ended: make(chan struct{})}
	if group != nil {
		t.group = p.group
		_ = group.Close()
	}
	// Not waited for yet, so it is still listed, dead or alive.
	t.root, _ = readProcess(cmd.Process.Pid)
	t.root.pid = cmd.Process.Pid
	go func() {
		defer close(t.ended)
		_ = cmd.Wait() // its result is in cmd.ProcessState
	}()
	return t, nil
}

// find returns the tree of a run that another process started.
func find(rec record) (*tree, error) {
	t := &tree{id: rec.ID, copy: rec.Copy, group: groupOf(rec)}
	boot, start, _ := strings.Cut(rec.Birth, "/")
	if boot == bootID() {
		if n, err := strconv.ParseUint(start, 10, 64); err == nil {
			t.root = process{pid: rec.PID, start: n}
		}
	}
	return t, nil
}

func (t *tree) pid() int                { return t.root.pid }
func (t *tree) birth() string           { return fmt.Sprintf("%s/%d", bootID(), t.root.start) }
func (t *tree) release() error          { return nil }
func (t *tree) frozen() bool            { return false }
func (t *tree) exited() <-chan struct{} { return t.ended }

// close removes the control group, unless something lives in it.
func (t *tree) close() {
	if t.group != "" {
		removeGroup(t.group)
	}
}

// result tells how the root ended; ok is false while it has not.
func (t *tree) result() (code uint32, signaled, ok bool) {
	select {
	case <-t.ended:
	default:
		return 0, false, false
	}
	ws, ok := t.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return 0, false, false
	}
	if ws.Signaled() {
		return 128 + uint32(ws.Signal()), true, true //nolint:gosec // signals are small
	}
	return uint32(ws.ExitStatus()), false, true //nolint:gosec // 0 to 255
}

// foundCode is not known: Linux tells an exit code to the parent alone.
func (t *tree) foundCode() (code uint32, ok bool) { return 0, false }

// count tells how many processes of the tree are alive.
func (t *tree) count() (int, error) {
	ps, err := t.members()
	return len(ps), err
}

// countRoot is 1 while the installer itself is alive.
func (t *tree) countRoot() (int, error) {
	ps, err := t.members()
	n := 0
	for _, p := range ps {
		// Without a number: what carries the id and was started from the copy.
		if p.is(t.root) || t.root.pid == 0 && t.copy != "" && slices.Contains(procStrings(p.pid, "cmdline"), t.copy) {
			n = 1
		}
	}
	return n, err
}

// members lists the living processes of the tree. None is believed only the
// second time: a process that is just loading its program has no environment.
// Where there is a control group, its own word is asked for as well.
func (t *tree) members() ([]process, error) {
	const looks = 100
	for n := 1; ; n++ {
		ps, err := t.look()
		if err != nil || len(ps) > 0 || n > 1 && !groupLives(t.group) || n == looks {
			return ps, err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// look takes one look for members.
func (t *tree) look() ([]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	// The session's number is sure to be ours only for the process that
	// started it, and only until another process has it as its own.
	session := 0
	if t.cmd != nil && !slices.ContainsFunc(all, func(p process) bool { return p.pid == t.root.pid && !p.is(t.root) }) {
		session = t.root.pid
	}
	in := map[int]bool{}
	var members []process
	for _, pid := range groupPIDs(t.group) {
		if p, err := readProcess(pid); err == nil && pid != os.Getpid() {
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

// owns reports whether p shows by itself that it belongs to the run.
func (t *tree) owns(p process, session int) bool {
	if p.start < t.root.start {
		return false
	}
	return p.is(t.root) || session != 0 && p.session == session ||
		slices.Contains(procStrings(p.pid, "environ"), marker+"="+t.id)
}

// end kills the tree. Its processes are stopped first, and looked for until
// no new one turns up, so that none can start another unseen.
func (t *tree) end() error {
	begun := time.Now()
	killGroup(t.group)
	seen := map[process]bool{}
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		ps, err := t.members()
		if err != nil {
			if t.cmd != nil {
				_ = unix.Kill(-t.root.pid, unix.SIGKILL)
			}
			return fmt.Errorf("the installer's processes could not be listed, some may be left: %w", err)
		}
		if ps = withSeen(ps, seen); len(ps) == 0 {
			return nil
		}
		late := time.Since(begun) > endLimit/2
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
		if time.Since(begun) > endLimit {
			pids := make([]int, len(ps))
			for i, p := range ps {
				pids[i] = p.pid
			}
			return fmt.Errorf("processes %v of the installer do not end", pids)
		}
		time.Sleep(pause)
	}
}

// withSeen returns the processes, of each what does not change, and those that
// were seen before and still live: one that was known by its parent alone is
// known by nothing once that has died before it.
func withSeen(ps []process, seen map[process]bool) []process {
	all := map[process]bool{}
	for _, p := range ps {
		all[process{pid: p.pid, start: p.start}] = true
	}
	for p := range seen {
		if q, err := readProcess(p.pid); err == nil && q.is(p) {
			all[p] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}

// process is what /proc tells of one. The number and the start together are
// never used again until the machine restarts.
type process struct {
	pid, parent, session int
	start                uint64 // clock ticks since the machine's start
}

func (p process) is(q process) bool { return p.pid == q.pid && p.start == q.start }

// signal sends sig to p, and to no later process with its number.
func (p process) signal(sig syscall.Signal) {
	h, err := os.FindProcess(p.pid) // holds on to the process, not the number
	if err != nil {
		return
	}
	defer func() { _ = h.Release() }()
	if q, err := readProcess(p.pid); err == nil && q.is(p) {
		_ = h.Signal(sig) // what cannot be signaled is found again by the caller
	}
}

// processes lists the living processes but this one. A process may start
// another and end while the list is read, so it is read again until it has no
// name that was not looked at (or ten times, where processes multiply): since
// new numbers come after old ones, one of any such chain was seen alive.
func processes() ([]process, error) {
	var all []process
	looked := map[string]bool{strconv.Itoa(os.Getpid()): true}
	for pass, fresh := 0, true; fresh && pass < 10; pass++ {
		dir, err := os.Open("/proc")
		if err != nil {
			return nil, err
		}
		names, err := dir.Readdirnames(-1)
		if err = errors.Join(err, dir.Close()); err != nil {
			return nil, err
		}
		fresh = false
		for _, name := range names {
			pid, err := strconv.Atoi(name)
			if err != nil || looked[name] {
				continue
			}
			looked[name], fresh = true, true
			if p, err := readProcess(pid); err == nil {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// errDead marks a process that has ended and waits to be noticed.
var errDead = errors.New("dead")

// readProcess reads what is known of a process. One that is dead and only
// waits for its parent to notice is an errDead, with the process's data.
func readProcess(pid int) (process, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	return parseStat(pid, b)
}

func parseStat(pid int, b []byte) (process, error) {
	// The second field is the program's name in parentheses, and may hold
	// blanks and parentheses itself.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return process{}, errors.New("unexpected format of /proc/PID/stat")
	}
	parent, err1 := strconv.Atoi(fields[1])
	session, err2 := strconv.Atoi(fields[3])
	start, err3 := strconv.ParseUint(fields[19], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return process{}, err
	}
	p := process{pid: pid, parent: parent, session: session, start: start}
	if strings.ContainsAny(fields[0], "ZXx") {
		return p, errDead
	}
	return p, nil
}

// procStrings returns the zero-terminated strings of a file in /proc. What
// may not be read belongs to someone else.
func procStrings(pid int, file string) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	if err != nil {
		return nil
	}
	return strings.Split(string(b), "\x00")
}

// bootID changes with every start of the machine, so that a process number
// and start from before it match nothing.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
