package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// member is a process as /proc shows it. Number and start together are never
// used again until the machine restarts.
type member struct {
	pid   int
	start string // in clock ticks since the machine's start
}

// Kill ends every process of the tree: those of its session, whatever carries
// its mark, and their descendants. It is called before the root has been
// waited for. Processes are stopped first and looked for until no new one turns
// up, so that none can start another unseen.
func (t *Tree) Kill() error {
	seen := map[member]bool{}
	none := 0
	for begun := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		members, err := t.members()
		if err != nil { // no /proc: then the group has to do
			return errors.Join(err, syscall.Kill(-t.root, syscall.SIGKILL))
		}
		// A process that is just loading its program has no environment for
		// a moment: none is believed the second time.
		if len(members) > 0 {
			none = 0
		} else if none++; none == 2 {
			return nil
		}
		late := time.Since(begun)
		fresh := false
		for _, m := range members {
			if !seen[m] {
				seen[m], fresh = true, true
				_ = syscall.Kill(m.pid, syscall.SIGSTOP)
			}
		}
		for _, m := range members {
			if !fresh || late > endLimit/2 {
				_ = syscall.Kill(m.pid, syscall.SIGKILL)
			}
		}
		if late > endLimit {
			return fmt.Errorf("processes %v do not end: end them by hand", members)
		}
	}
}

// members lists the living processes of the tree.
func (t *Tree) members() ([]member, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	all := map[int]member{}
	parent := map[int]int{}
	in := map[int]bool{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended
		}
		// The second field is the program's name in parentheses, and may hold
		// blanks and parentheses itself.
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(f) < 20 || strings.ContainsAny(f[0], "ZXx") {
			continue // it has ended, and waits to be noticed
		}
		all[pid] = member{pid, f[19]}
		parent[pid], _ = strconv.Atoi(f[1])
		in[pid] = pid == t.root || f[3] == strconv.Itoa(t.root) || t.marked(name)
	}
	var members []member
	for pid, m := range all {
		for p := pid; p > 1; p = parent[p] {
			if in[p] {
				members = append(members, m)
				break
			}
			if _, ok := all[p]; !ok {
				break
			}
		}
	}
	return members, nil
}

// marked reports whether a process has the mark in its environment. What may
// not be read belongs to another user.
func (t *Tree) marked(pid string) bool {
	env, err := os.ReadFile("/proc/" + pid + "/environ")
	return err == nil && bytes.Contains(append([]byte{0}, env...), []byte("\x00"+treeMark+"="+t.mark+"\x00"))
}
