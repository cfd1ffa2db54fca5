package process

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/boot"
)

// proc is what /proc shows of a process. pid and start together are never used
// again until the machine restarts.
type proc struct {
	pid, parent, session int
	start                uint64 // clock ticks since the machine's start
	work                 uint64 // clock ticks of the processors, those of children that have ended included
}

func (p proc) is(q proc) bool { return p.pid == q.pid && p.start == q.start }

func (p proc) birth() string { return bootID() + "/" + strconv.FormatUint(p.start, 10) }

// member returns p with its name. Reading the path of a program needs rights
// over the process; what it calls itself does not.
func (p proc) member() Member {
	dir := "/proc/" + strconv.Itoa(p.pid)
	path, err := os.Readlink(dir + "/exe")
	path = strings.TrimSuffix(path, " (deleted)")
	name := path
	if err != nil {
		b, _ := os.ReadFile(dir + "/comm")
		name = strings.TrimSpace(string(b))
	}
	// The kernel runs a script by its interpreter, with the script's path second.
	if script := argument(p.pid, 1); filepath.IsAbs(script) && isScript(script) {
		path, name = script, script
	}
	return Member{PID: p.pid, Birth: p.birth(), Name: strings.TrimPrefix(filepath.Base("/"+name), "/"), Path: path, Parent: p.parent}
}

// argument returns an argument of a process, "" if it has none or may not be read.
func argument(pid, n int) string {
	if args := procStrings(pid, "cmdline"); len(args) > n {
		return args[n]
	}
	return ""
}

// Arguments returns what follows the program in m's command line, and the directory it works
// in. Both are empty if m has ended or belongs to another user.
func (m Member) Arguments() (args []string, dir string) {
	args = procStrings(m.PID, "cmdline")
	dir, _ = os.Readlink("/proc/" + strconv.Itoa(m.PID) + "/cwd")
	if len(args) < 2 || !m.Alive() { // the number may be another's now
		return nil, ""
	}
	return args[1 : len(args)-1], dir // a zero ends the last one, too
}

func isScript(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // it may be a pipe
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	var head [2]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:]) == "#!"
}

// Lookup returns the living process with that PID, or false.
func Lookup(pid int) (Member, bool) {
	p, err := readProc(pid)
	if err != nil {
		return Member{}, false
	}
	return p.member(), true
}

// signal sends sig to p, and to no later process with its number.
func (p proc) signal(sig syscall.Signal) {
	h, err := os.FindProcess(p.pid) // holds on to the process, not the number
	if err != nil {
		return
	}
	defer func() { _ = h.Release() }()
	if q, err := readProc(p.pid); err == nil && q.is(p) {
		_ = h.Signal(sig) // the caller finds a process that cannot be signaled again
	}
}

// procs lists the living processes except this one. A process may start
// another and end while the list is read, so it is read again until it has no
// new number (or ten times, where processes multiply): new numbers come after
// old ones, so one of any such chain was seen alive.
func procs() ([]proc, error) {
	var all []proc
	seen := map[string]bool{strconv.Itoa(os.Getpid()): true}
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
			if err != nil || seen[name] {
				continue
			}
			seen[name], fresh = true, true
			if p, err := readProc(pid); err == nil {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// errDead marks a process that has ended and waits for its parent to notice.
var errDead = errors.New("the process has ended")

// readProc reads what is known of a process. It returns errDead, with the
// process's data, for one that has ended and was not waited for yet.
func readProc(pid int) (proc, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return proc{}, err
	}
	return parseStat(pid, b)
}

func parseStat(pid int, b []byte) (proc, error) {
	// The second field is the program's name in parentheses, and may hold
	// spaces and parentheses itself.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return proc{}, errors.New("unexpected format of /proc/PID/stat")
	}
	parent, err1 := strconv.Atoi(fields[1])
	session, err2 := strconv.Atoi(fields[3])
	start, err3 := strconv.ParseUint(fields[19], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return proc{}, err
	}
	p := proc{pid: pid, parent: parent, session: session, start: start}
	for _, ticks := range fields[11:15] {
		n, _ := strconv.ParseUint(ticks, 10, 64) // a child's may be negative for an instant
		p.work += n
	}
	if strings.ContainsAny(fields[0], "ZXx") {
		return p, errDead
	}
	return p, nil
}

// procStrings returns the zero-terminated strings of a file in /proc, or nil
// if it may not be read: the process then belongs to another user.
func procStrings(pid int, file string) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	if err != nil {
		return nil
	}
	return strings.Split(string(b), "\x00")
}

// bootID returns the ID of the machine's boot, so that a process number and
// start from before a restart match nothing.
func bootID() string {
	id, _ := boot.ID() // it can always be read where /proc can
	return id
}

// Work returns how long the processors worked for the tree so far. It may fall as
// processes end.
func (t *Tree) Work() (time.Duration, error) {
	ps, err := t.living()
	ticks := uint64(0)
	for _, p := range ps {
		ticks += p.work
	}
	return time.Duration(ticks) * (time.Second / userHertz), err
}

// userHertz is how many clock ticks /proc counts in a second, on every architecture
// that Go knows.
const userHertz = 100
