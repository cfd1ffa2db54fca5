// Package tree reads, makes and removes directories in which other accounts may
// rename, replace and link at the same time.
//
// It exists because a path is resolved again by each call: between the check of a
// file and a read of it, its owner can put a link to another file there, or a
// pipe that never ends. So there is one walk for all that back up, hash and
// remove such directories, with these rules:
//
//   - each name is looked up once, in the directory that is open, and a link is
//     never followed;
//   - everything that is reported of a file is what its descriptor says, which
//     its bytes are read from as well;
//   - a pipe or a device is not opened, and a file that becomes one is not read;
//   - what is mounted inside the directory is never entered, since it belongs to
//     another volume.
//
// What is made is made in a new directory that only this account may enter, and
// gets its owner and its rights by descriptors.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// ErrChanged means that a name was replaced while it was read.
var ErrChanged = errors.New("changed while it was read")

// A Node is one name in a tree.
type Node struct {
	Path    string      // slash-separated, "." for the directory itself
	Mode    fs.FileMode // of the descriptor, like all that follows
	Size    int64
	ModTime time.Time
	UID     int // 0 on Windows, as GID is
	GID     int
	Link    string // what a link points to
	// File is open for reading during the visit. It is nil unless Mode is that of
	// a regular file or a directory.
	File *os.File

	id     id
	links  uint64
	status time.Time // when anything of it was last changed, which no program can set; zero if not known
	blocks int64     // of 512 bytes; -1 if not known
}

// An id is equal for two names of one file, and for no others.
type id struct{ volume, file uint64 }

// Touched is when anything of it was last changed, its rights and attributes included, which
// no program can set. It is the zero time if the system does not say.
func (n *Node) Touched() time.Time { return n.status }

// Sparse reports whether the file occupies less than its size, because it has holes.
func (n *Node) Sparse() bool { return n.blocks >= 0 && n.blocks*512 < n.Size }

// Links are the names of files that have more than one.
type Links map[id]string

// First returns the name under which the file was seen before, or "" and
// remembers this one.
func (l Links) First(n *Node) string {
	if n.links < 2 || !n.Mode.IsRegular() {
		return ""
	}
	first, ok := l[n.id]
	if !ok {
		l[n.id] = n.Path
	}
	return first
}

// A State is what is known of an open file without its bytes. Two of one file are equal unless
// it was written in between, or one that may set the clock or the disk itself has undone what
// shows that. On Windows an owner may set the times, too.
type State struct {
	size             int64
	mode             fs.FileMode
	uid, gid         int
	modified, status int64
	id               id
}

// StateOf returns the state of an open file.
func StateOf(f *os.File) (State, error) {
	fi, err := f.Stat()
	if err != nil {
		return State{}, err
	}
	var n Node
	n.set(fi)
	return State{n.Size, n.Mode, n.UID, n.GID, n.ModTime.UnixNano(), n.status.UnixNano(), n.id}, nil
}

// Changed returns an error that wraps [ErrChanged] if the open file is no longer
// as it was when it was opened.
func (n *Node) Changed() error {
	fi, err := n.File.Stat()
	if err != nil {
		return err
	}
	now := Node{Path: n.Path}
	now.set(fi)
	if now.Size != n.Size || !now.ModTime.Equal(n.ModTime) || !now.status.Equal(n.status) || now.Mode != n.Mode || now.UID != n.UID || now.GID != n.GID {
		return changed(n.Path)
	}
	return nil
}

func changed(path string) error { return fmt.Errorf("%s %w", path, ErrChanged) }

// Walk visits the directory name of root and all that is in it, each directory
// before what it contains, in the byte order of the names of each directory. It
// fails if a name vanishes, is replaced, or is on another volume.
func Walk(ctx context.Context, root *Root, name string, visit func(*Node) error) error {
	return walker{ctx: ctx, visit: visit}.walk(root, name)
}

// WalkPath is [Walk] for a path. Links in its parents are followed.
func WalkPath(ctx context.Context, dir string, visit func(*Node) error) error {
	root, err := openRoot(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return Walk(ctx, root, filepath.Base(dir), visit)
}

// A Root is an open directory, with the path by which it was opened.
type Root struct {
	*os.Root
	path string
}

// Name returns the path by which the directory was opened.
func (r *Root) Name() string { return r.path }

type walker struct {
	ctx   context.Context //nolint:containedctx // of one call
	visit func(*Node) error
	hook  func(path string) // a test changes a name that was found and not yet opened
}

func (w walker) found(path string) {
	if w.hook != nil {
		w.hook(path)
	}
}

// each visits an open directory, and calls name for each name in it.
func (w walker) each(f *os.File, fi fs.FileInfo, rel string, name func(name, rel string) error) error {
	n := Node{Path: rel, File: f}
	n.set(fi)
	if err := w.visit(&n); err != nil {
		return err
	}
	list, err := names(f)
	if err != nil {
		return err
	}
	for _, at := range list {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := name(at, path.Join(rel, at)); err != nil {
			return err
		}
	}
	return nil
}

// names returns the names in an open directory, sorted.
func names(dir *os.File) ([]string, error) {
	list, err := dir.Readdirnames(-1)
	slices.Sort(list)
	return list, err
}

// OpenFile opens the regular file name of root for reading. It follows no link
// and waits for no pipe. The error wraps [ErrChanged] if the name is
// replaced meanwhile.
func OpenFile(root *os.Root, name string) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	return open(root, name, before)
}

// open opens what before describes.
func open(root *os.Root, name string, before fs.FileInfo) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|noWait, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && (!os.SameFile(before, fi) || fi.Mode().Type() != before.Mode().Type()) {
		err = changed(name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Make makes the new directory name in root, which only this account may
// enter, and opens it. Its owner and rights are set last, see [Give]. It is marked, see [RemoveOurs].
func Make(root *Root, name string) (*Root, error) {
	if err := root.Mkdir(name, 0o700); err != nil {
		return nil, err
	}
	dir, err := root.enter(name)
	if err != nil {
		return nil, err
	}
	if err := ours(dir); err != nil {
		err = fmt.Errorf("the new directory %s is not this account's alone: %w", dir.Name(), err)
		_ = root.Remove(name) // unless something is in it
		return nil, errors.Join(err, dir.Close())
	}
	if err := dir.mark(root); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// rights are the bits of a mode that [Give] sets.
const rights = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
