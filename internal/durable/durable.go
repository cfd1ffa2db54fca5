// Package durable writes files so that they survive a power cut.
//
// A file is on the disk once its bytes and its directory are synced; a rename is
// the only step that readers see. This package exists so that one place decides
// the order of write, sync, rename and sync, for every package that must not
// lose a file: the archive, the snapshots, the journal.
//
// The functions are safe for concurrent use on different paths.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// WriteFile replaces the contents of the file at path: it writes a temporary file
// beside it, syncs it, renames it to path and syncs the directory. After a crash
// path has the old bytes or the new ones, never a mixture. On an error the
// temporary file is removed.
func WriteFile(path string, data []byte, perm fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = f.Chmod(perm); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return Replace(f.Name(), path)
}

// Replace renames oldpath to newpath, which it replaces, and syncs both
// directories. The caller has synced the contents of oldpath.
func Replace(oldpath, newpath string) error {
	if err := rename(oldpath, newpath); err != nil {
		return err
	}
	return syncParents(oldpath, newpath)
}

// Publish renames oldpath, a file or a directory, to newpath and syncs both
// directories. If newpath exists, nothing changes and the error wraps
// [fs.ErrExist]. The caller has synced the contents of oldpath, see [SyncTree].
func Publish(oldpath, newpath string) error {
	if err := renameNoReplace(oldpath, newpath); err != nil {
		return err
	}
	return syncParents(oldpath, newpath)
}

func syncParents(a, b string) error {
	for _, dir := range slices.Compact([]string{filepath.Dir(b), filepath.Dir(a)}) {
		if err := SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// Open is [os.Open] for files that other processes rename and remove: on Windows
// it waits up to a second for them.
func Open(path string) (f *os.File, err error) {
	err = whileInUse(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

// ReadDir is [os.ReadDir], and waits as [Open] does.
func ReadDir(dir string) (entries []fs.DirEntry, err error) {
	err = whileInUse(func() error {
		entries, err = os.ReadDir(dir)
		return err
	})
	return entries, err
}

// SyncTree syncs root and every regular file and directory below it.
func SyncTree(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return SyncDir(path)
		case d.Type().IsRegular():
			return syncFile(path)
		}
		return nil
	})
}

// syncFile syncs the contents of a file, which may be read-only, as in a copied
// tree.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // Windows flushes only handles with the right to write
	readOnly := errors.Is(err, fs.ErrPermission)
	if readOnly {
		f, err = os.Open(path)
	}
	if err != nil {
		return err
	}
	err = f.Sync()
	if readOnly && errors.Is(err, fs.ErrPermission) {
		err = nil // Windows cannot flush a read-only handle; the file system writes it back by itself
	}
	return errors.Join(err, f.Close())
}

// MkdirAll creates the directory path and its missing parents with perm, and
// syncs each directory that has a new entry. The parent of an existing directory
// is synced as well: the process that created it may have been killed before.
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	switch fi, err := os.Stat(path); {
	case err == nil && fi.IsDir():
		err := SyncDir(filepath.Dir(path))
		if errors.Is(err, fs.ErrPermission) {
			return nil // we cannot read the parent, so we have not created anything in it
		}
		return err
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: path, Err: errors.New("a file of this name exists")}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncDir(parent)
}

// Within reports whether path is root or below it, after making both absolute
// and resolving the links in the parts that exist. Archive, backups and state
// must not be inside a directory that an update may replace.
func Within(path, root string) (bool, error) {
	p, err := resolve(path)
	if err != nil {
		return false, err
	}
	r, err := resolve(root)
	if err != nil {
		return false, err
	}
	there, _ := os.Stat(r) // nil, which is the same as no file, if it does not exist
	// Compare identities as well: because of bind mounts, short names and letter
	// case a directory can have several paths.
	for dir := p; ; dir = filepath.Dir(dir) {
		if here, _ := os.Stat(dir); dir == r || os.SameFile(here, there) {
			return true, nil
		}
		if dir == filepath.Dir(dir) {
			return false, nil
		}
	}
}

// resolve makes path absolute and resolves the links of its longest part
// that exists.
func resolve(path string) (string, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("invalid path %q", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for dir := abs; ; dir = filepath.Dir(dir) {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", err
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// A Volume is a mounted file system or a drive.
type Volume struct {
	ID   string // equal for two paths if and only if they are on one volume
	Free int64  // bytes available to this user
}

// VolumeOf returns the volume of path, or of its nearest existing parent.
func VolumeOf(path string) (Volume, error) {
	p, err := resolve(path)
	if err != nil {
		return Volume{}, err
	}
	for {
		_, err := os.Stat(p)
		if err == nil {
			return volumeOf(p)
		}
		parent := filepath.Dir(p)
		if !errors.Is(err, fs.ErrNotExist) || parent == p {
			return Volume{}, err
		}
		p = parent
	}
}
