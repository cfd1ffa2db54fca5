// Package private decides whether another account can change a file or a
// directory, and makes directories that no other account can enter. It exists
// so that one rule decides what an update may trust: configuration, secrets,
// state, archive, backups and programs.
//
// The functions are safe for concurrent use.
package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// An Error says who can change a path, or read a secret, and what to do.
type Error struct {
	Path string // that was asked about
	Why  string // what is wrong, with the path at fault
	Next string
}

func (e *Error) Error() string {
	text := "others can change " + e.Path + ": " + e.Why
	if e.Next != "" {
		text += "; " + e.Next
	}
	return text
}

// Check returns an [*Error] if another account than this process's, root's, or
// on Windows the system's and the administrators', can change what path names:
// the file or directory itself, or by renaming one of its parents or a link on
// the way. Links are followed one by one.
//
// In a parent with the sticky bit, such as /tmp, only the owner of an entry can
// rename it, so that the owner of the entry decides. Below a directory of ours
// that no other account can enter, modes do not matter. If path does not exist, the
// parents that exist are checked: make it with [Mkdir], which never takes what is
// there already, and check it again.
func Check(path string) error { return check(path, use{}) }

// CheckSystem is [Check] for what root or the system will run: an account that runs this
// process now counts as another one.
func CheckSystem(path string) error { return check(path, use{system: true}) }

// CheckSecret is [Check], and an [*Error] too if another account can read the
// file: its mode must be 0600 or less. What systemd puts into the directory of a
// unit's credentials (LoadCredential=) may be readable by its group.
func CheckSecret(path string) error { return check(path, use{secret: true}) }

// maxLinks is how many links a path may have; Linux allows 40.
const maxLinks = 40

// A level is a directory on the way to a path.
type level struct {
	path   string
	closed bool // no other account can enter it, or one above it
}

// check walks along path as the system does.
func check(path string, asked use) error {
	bad := func(why, next string) error { return &Error{path, why, next} }
	abs, err := filepath.Abs(path)
	if err != nil || strings.ContainsRune(path, 0) {
		return bad(fmt.Sprintf("invalid path %q", path), "")
	}
	root := filepath.VolumeName(abs) + string(filepath.Separator)
	way, names, links := []level(nil), split(abs[len(root)-1:]), 0
	for next := root; ; {
		fi, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // its parents are ours
		}
		if err != nil {
			return bad(err.Error(), "")
		}
		above := len(way) > 0 && way[len(way)-1].closed
		to, link, err := target(next, fi)
		if err != nil {
			return bad(err.Error(), "")
		}
		last := len(names) == 0 && !link
		v, err := judge(next, fi, use{last: last, secret: asked.secret && last, closed: above, system: asked.system})
		if err != nil {
			return bad(err.Error(), "")
		}
		if v.why != "" {
			return bad(v.why, v.next)
		}
		if last {
			return nil
		}
		if link {
			if links++; links > maxLinks {
				return bad("too many links", "")
			}
			if filepath.IsAbs(to) {
				root = filepath.VolumeName(to) + string(filepath.Separator)
				way, to = nil, to[len(root)-1:]
				names, next = append(split(to), names...), root
				continue
			}
			names = append(split(to), names...)
		} else {
			way = append(way, level{next, above || v.closed})
		}
		for len(names) > 0 && (names[0] == ".." || names[0] == ".") {
			if names[0] == ".." && len(way) > 1 {
				way = way[:len(way)-1]
			}
			names = names[1:]
		}
		if len(names) == 0 { // a link to a parent, which was checked as such
			next, way = way[len(way)-1].path, way[:len(way)-1]
			continue
		}
		next, names = filepath.Join(way[len(way)-1].path, names[0]), names[1:]
	}
}

// split returns the names in a path, "." and ".." included.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == filepath.Separator })
}

// target returns where a link leads.
func target(path string, fi fs.FileInfo) (to string, link bool, err error) {
	if fi.Mode()&(fs.ModeSymlink|fs.ModeIrregular) == 0 {
		return "", false, nil
	}
	to, err = os.Readlink(path)
	if err != nil && fi.Mode()&fs.ModeSymlink == 0 {
		return "", false, nil // irregular, and no junction of Windows
	}
	return to, err == nil, err
}

// A use is what a path is checked for.
type use struct {
	last   bool // it is what was asked about, not a directory or link on the way
	secret bool // no other account may read it
	closed bool // no other account can reach it
	system bool // root or the system uses it, not this account
}

// A verdict is what [judge] found.
type verdict struct {
	why, next string // "" if no other account can change it
	closed    bool   // no other account can enter it
}
