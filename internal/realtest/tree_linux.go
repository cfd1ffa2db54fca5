package realtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is an entry of /proc.
type process struct{ pid, parent, group int }

// living returns all processes but those that have ended and were not waited for.
func living() []process {
	var all []process
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent group …, where a name may hold anything.
		text := string(b)
		var p process
		var state string
		if _, err := fmt.Sscan(text[strings.LastIndexByte(text, ')')+1:], &state, &p.parent, &p.group); err != nil || state == "Z" {
			continue
		}
		p.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(name))) // digits
		all = append(all, p)
	}
	return all
}

// family returns the living processes that come from the one with the id
// root: its descendants, and the members of its and their process groups, in
// which sessions remain whose parent has ended. root leads a group of its own.
func family(root int) []int {
	all := living()
	ids := []int{root}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !slices.Contains(ids, p.pid) && (slices.Contains(ids, p.parent) || slices.Contains(ids, p.group)) {
				ids = append(ids, p.pid)
				grown = true
			}
		}
	}
	return slices.DeleteFunc(ids, func(id int) bool {
		return !slices.ContainsFunc(all, func(p process) bool { return p.pid == id })
	})
}

// stopFamily stops a family, and the processes that it starts meanwhile.
func stopFamily(root int) (stopped []int) {
	for grown := true; grown; {
		grown = false
		for _, pid := range family(root) {
			if !slices.Contains(stopped, pid) {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				stopped = append(stopped, pid)
				grown = true
			}
		}
	}
	return stopped
}

// killFamily ends a family and returns when it is gone. It stops them first,
// so that none starts another unseen.
func killFamily(root int) {
	for _, pid := range stopFamily(root) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for deadline := time.Now().Add(5 * time.Second); len(family(root)) > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

func continueFamily(root int) {
	for _, pid := range family(root) {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}
