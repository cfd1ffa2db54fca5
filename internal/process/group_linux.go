package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// groupPrefix starts the names of the control groups, each of which holds one
// tree.
const groupPrefix = "aspupdate-"

// groupPath returns the path of a control group (version 2) for the tree with
// the id, below this process's own, or "" where there are none. Whether it can
// be made shows when it is made.
func groupPath(id string) string {
	own, err1 := os.ReadFile("/proc/self/cgroup")
	mounts, err2 := os.ReadFile("/proc/self/mountinfo")
	if err1 != nil || err2 != nil {
		return ""
	}
	dir := groupDir(string(own), string(mounts))
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, groupPrefix+id)
}

// groupDir returns the directory of the group that the text of
// /proc/self/cgroup names, according to the mounts.
func groupDir(own, mounts string) string {
	for line := range strings.Lines(own) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/")
		if !ok || path != "" && !filepath.IsLocal(path) { // outside of what this process can see
			continue
		}
		for mount := range strings.Lines(mounts) {
			// number parent device root mountpoint options… - type …
			f := strings.Fields(mount)
			dash := slices.Index(f, "-")
			if dash < 6 || len(f) <= dash+1 || f[dash+1] != "cgroup2" || strings.Contains(f[4], `\`) {
				continue
			}
			if rel, err := filepath.Rel(f[3], "/"+path); err == nil && filepath.IsLocal(rel) {
				return filepath.Join(f[4], rel)
			}
		}
	}
	return ""
}

// makeGroup makes the group and opens it for a process to be created in. It fails
// where this process has no right to make one. It also removes the groups of
// trees that have ended since.
func makeGroup(dir string) (*os.File, error) {
	old, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), groupPrefix+"*")) // the pattern is valid
	for _, d := range old {
		if d != dir && ValidID(strings.TrimPrefix(filepath.Base(d), groupPrefix)) {
			removeGroup(d)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // like the other groups
		return nil, err
	}
	return os.Open(dir)
}

// removeGroup removes a group and those below it, if no process is in them.
func removeGroup(dir string) {
	below, _ := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
	for _, file := range below {
		removeGroup(filepath.Dir(file))
	}
	_ = unix.Rmdir(dir)
}

// groupOf returns the group that a record names, or "" if it is not the group
// of a tree, or is gone.
func groupOf(rec Record) string {
	var st unix.Statfs_t
	if filepath.Base(rec.Group) != groupPrefix+rec.ID || unix.Statfs(rec.Group, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return ""
	}
	return rec.Group
}

// groupPIDs lists the processes in a group and those below it.
func groupPIDs(dir string) (pids []int) {
	if dir == "" {
		return nil
	}
	b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for _, word := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	below, _ := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
	for _, file := range below {
		pids = append(pids, groupPIDs(filepath.Dir(file))...)
	}
	return pids
}

// groupAlive reports whether the kernel counts a living process in the group,
// listed or not: during the listing one may have started another and ended.
func groupAlive(dir string) bool {
	if dir == "" {
		return false
	}
	b, _ := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	return strings.Contains(string(b), "populated 1")
}

// killGroup kills all processes of a group at once, including those created
// meanwhile. A kernel before 5.14 cannot.
func killGroup(dir string) {
	if dir != "" {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0o600)
	}
}
