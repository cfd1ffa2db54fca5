//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A place is a directory of the machine that is looked at.
type place struct {
	dir      string
	depth    int  // 0 is the directory alone
	contents bool // compare files, and find new ones
}

var places = []place{
	{"/", 1, false},
	{"/etc", 9, true}, // accounts, cron, units, what servers read
	{"/var", 2, false},
	{"/var/spool/cron", 2, true},
	{"/var/lib/dpkg/status", 0, true},
	{"/run", 1, false},
	{"/run/systemd/system", 3, true},
	{"/usr", 2, false},
	{"/usr/local/bin", 1, true},
	{"/usr/local/lib/systemd", 3, true},
	{"/opt", 1, true},
	{"/srv", 1, true},
	{"/home", 1, true},
	{"/root", 1, false},
	{"/dev/shm", 0, false},
	{"/tmp", 0, false},
}

// look returns the state of the machine whose files are below root, and the mode
// of the directories in the list.
func look(root string, directories ...string) state {
	s := state{}
	for _, p := range places {
		s.files(root, p)
	}
	for _, dir := range append(directories, os.TempDir()) {
		if fi, err := os.Lstat(dir); err == nil {
			s[dir] = mode(fi)
		}
	}
	s.mounts()
	s.groups()
	s.sockets()
	for _, kind := range []string{"shm", "sem", "msg"} { // of System V
		b, _ := os.ReadFile("/proc/sysvipc/" + kind)
		for i, line := range strings.Split(string(b), "\n") {
			if f := strings.Fields(line); i > 0 && len(f) > 1 {
				s["System V "+kind+" "+f[1]] = "key " + f[0]
			}
		}
	}
	return s
}

// files adds modes, owners and, where they count, contents.
func (s state) files(root string, p place) {
	top := filepath.Join(root, p.dir)
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it is gone, or this account may not read it
		}
		key := "/" + strings.TrimPrefix(strings.TrimPrefix(path, filepath.Clean(root)), "/")
		fi, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		is := mode(fi)
		switch {
		case p.contents && fi.Mode().IsRegular():
			b, _ := os.ReadFile(path)
			is += fmt.Sprintf(" SHA-256 %.8x", sha256.Sum256(b))
			if name := filepath.Base(path); key == "/etc/"+name && (name == "passwd" || name == "group") {
				s.accounts(name, b)
			}
		case p.contents && fi.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			is += " to " + to
		}
		switch old := s[key]; {
		case p.contents:
			s[key] = is
		case d.IsDir() && old == "":
			s[key] = shared + is
		}
		depth := 0
		if path != top {
			depth = strings.Count(strings.TrimPrefix(path, strings.TrimSuffix(top, "/")+"/"), "/") + 1
		}
		if d.IsDir() && depth >= p.depth || p.dir == "/" && path == filepath.Join(root, "proc") {
			return fs.SkipDir
		}
		return nil
	})
}

// accounts adds the users or groups by name, so that a change is named.
func (s state) accounts(file string, contents []byte) {
	for line := range strings.Lines(string(contents)) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			s[file+" "+name] = strings.TrimSpace(line)
		}
	}
}

func mode(fi fs.FileInfo) string {
	st := fi.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%s of %d:%d", fi.Mode(), st.Uid, st.Gid)
}

func (s state) mounts() {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 {
			continue
		}
		s["mount "+fields[4]] += fields[3] + " " + fields[5] + "; " // some have several, one above the other
	}
}

// groups adds the control groups that the library makes. Those of others come
// and go.
func (s state) groups() {
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(d.Name(), "aspupdate") {
			s[group+path] = "there"
		}
		return nil
	})
}

// sockets adds what listens and has no process outside of the command: a socket
// that another program opened in the meantime is not the command's.
func (s state) sockets() {
	foreign := foreignSockets(os.Getpid())
	for file, listens := range map[string]string{"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"} {
		b, _ := os.ReadFile("/proc/net/" + file)
		for i, line := range strings.Split(string(b), "\n") {
			f := strings.Fields(line)
			if i == 0 || len(f) < 10 || f[3] != listens || foreign[f[9]] {
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			port, _ := strconv.ParseUint(hex, 16, 16)
			s[fmt.Sprintf("%s port %d", file, port)] = "is listened to"
		}
	}
}

// A process is one that runs.
type process struct {
	pid, parent int
	command     string
}

func processes() (all []process) {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, dir := range dirs {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		end := bytes.LastIndexByte(stat, ')') // the name before it may hold anything
		if err != nil || end < 0 {
			continue
		}
		fields := strings.Fields(string(stat[end+1:]))
		if len(fields) < 2 {
			continue
		}
		p := process{command: string(stat[bytes.IndexByte(stat, '(')+1 : end])}
		p.pid, _ = strconv.Atoi(filepath.Base(dir))
		p.parent, _ = strconv.Atoi(fields[1])
		if line, _ := os.ReadFile(filepath.Join(dir, "cmdline")); len(line) > 0 {
			p.command = strings.Join(strings.FieldsFunc(string(line), func(r rune) bool { return r < ' ' }), " ")
		}
		all = append(all, p)
	}
	return all
}

// descendants returns the processes below pid.
func descendants(pid int) (below []process) {
	all, family := processes(), map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if family[p.parent] && !family[p.pid] {
				family[p.pid], grown = true, true
				below = append(below, p)
			}
		}
	}
	return below
}

// foreignSockets returns the inodes of the sockets of all processes but those
// below pid.
func foreignSockets(pid int) map[string]bool {
	own, foreign := map[int]bool{pid: true}, map[string]bool{}
	for _, p := range descendants(pid) {
		own[p.pid] = true
	}
	for _, p := range processes() {
		if own[p.pid] {
			continue
		}
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid)) // the pattern is good
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil {
				if inode, ok := strings.CutPrefix(to, "socket:["); ok {
					foreign[strings.TrimSuffix(inode, "]")] = true
				}
			}
		}
	}
	return foreign
}
