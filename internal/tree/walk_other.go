//go:build !linux

package tree

import (
	"errors"
	"io/fs"
	"os"
)

func (w walker) walk(root *Root, name string) error {
	w.found(".")
	return w.directory(root.Root, name, ".")
}

// directory visits the directory name of parent and what is in it.
func (w walker) directory(parent *os.Root, name, rel string) (err error) {
	before, err := parent.Lstat(name)
	if err != nil {
		return err
	}
	if !before.IsDir() {
		return &fs.PathError{Op: "open", Path: rel, Err: errors.New("not a directory")}
	}
	root, err := parent.OpenRoot(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err == nil && !os.SameFile(before, fi) {
		err = changed(rel)
	}
	if err != nil {
		return err
	}
	return w.each(f, fi, rel, func(name, rel string) error { return w.name(root, name, rel) })
}

// name visits one name of an open directory.
func (w walker) name(dir *os.Root, name, rel string) error {
	fi, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return changed(rel)
	}
	if err != nil {
		return err
	}
	w.found(rel)
	n := Node{Path: rel}
	n.set(fi)
	switch {
	case fi.IsDir():
		return w.directory(dir, name, rel)
	case fi.Mode()&fs.ModeSymlink != 0:
		if n.Link, err = dir.Readlink(name); err != nil {
			return err
		}
		if now, err := dir.Lstat(name); err != nil || !os.SameFile(fi, now) {
			return changed(rel)
		}
	case fi.Mode().IsRegular():
		if n.File, err = open(dir, name, fi); err != nil {
			return err
		}
		defer func() { _ = n.File.Close() }()
		if fi, err = n.File.Stat(); err != nil {
			return err
		}
		n.set(fi)
		if err := n.count(); err != nil {
			return err
		}
	}
	return w.visit(&n)
}
