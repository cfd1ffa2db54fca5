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
	"syscall"

	"github.com/aspupdate/aspupdate/internal/private"
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

// Open is [os.Open] for regular files that other processes rename, remove and scan: on
// Windows it waits for them, as [WhileInUse] does. It follows no link in the last part
// of the path, and waits for no pipe that has taken the file's place.
func Open(path string) (f *os.File, err error) {
	err = WhileInUse(func() error {
		f, err = os.OpenFile(path, os.O_RDONLY|noFollow, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ReadFile is [os.ReadFile], and waits as [Open] does.
func ReadFile(path string) (b []byte, err error) {
	err = WhileInUse(func() error {
		b, err = os.ReadFile(path)
		return err
	})
	return b, err
}

// ReadDir is [os.ReadDir], and waits as [Open] does.
func ReadDir(dir string) (entries []fs.DirEntry, err error) {
	err = WhileInUse(func() error {
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
	var f *os.File
	readOnly := false
	err := WhileInUse(func() (err error) {
		f, err = os.OpenFile(path, os.O_RDWR, 0) // Windows flushes only handles with the right to write
		if readOnly = errors.Is(err, fs.ErrPermission); readOnly {
			f, err = os.Open(path)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = f.Sync()
	if readOnly && errors.Is(err, fs.ErrPermission) {
		err = nil // Windows cannot flush a read-only handle; the file system writes it back by itself
	}
	return errors.Join(err, f.Close())
}

// MkdirAll creates the directory path and its missing parents with perm, which on
// Windows is an access list for 0700 and means nothing else, and
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
	mkdir := func(path string) error { return os.Mkdir(path, perm) }
	if perm == 0o700 {
		mkdir = private.Mkdir
	}
	if err := mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
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

// Rewrite replaces the file at path by a new one with these contents, without
// making them durable. It never writes to what has the name now, such as a
// link that another account has put there.
func Rewrite(path string, data []byte, perm fs.FileMode) error {
	if err := Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Remove removes the file at path, on Windows once no other process uses it.
func Remove(path string) error { return WhileInUse(func() error { return os.Remove(path) }) }

// RemoveAll removes path and all in it, on Windows once no other process uses a
// file in it.
func RemoveAll(path string) error { return WhileInUse(func() error { return os.RemoveAll(path) }) }

// Writable fails if a directory that exists cannot be written, or its volume has
// less free space than bytes. It writes nothing, so that nil is no promise.
func Writable(dir string, bytes int64) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return &os.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	if err := writable(dir); err != nil {
		return &os.PathError{Op: "access", Path: dir, Err: err}
	}
	v, err := volumeOf(dir)
	if err == nil && v.Free < bytes {
		err = &os.PathError{Op: "access", Path: dir, Err: syscall.ENOSPC}
	}
	return err
}
