// Package durable writes files so that they survive a power cut.
//
// A file is on the disk once its bytes are synced and once the folder that
// names it is synced; a rename is the only step that readers see. Every
// package that must not lose a file (the archive of versions, sealed
// snapshots, the journal) goes through the few functions here, so that the
// order of write, sync, rename and sync is decided in one place.
//
// Unless said otherwise the functions are safe for concurrent use on
// different paths.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// WriteFile replaces the file at path by one that holds data: it writes a
// temporary file beside it, syncs it, renames it over path and syncs the
// folder. After a crash path holds the old bytes or the new ones, never a
// mixture. The temporary file is removed when anything fails.
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

// Replace renames oldpath to newpath, replacing a file that is there, and
// syncs both folders. The caller has synced oldpath's contents.
func Replace(oldpath, newpath string) error {
	if err := rename(oldpath, newpath); err != nil {
		return err
	}
	return syncParents(oldpath, newpath)
}

// Publish renames oldpath (a file or a folder) to newpath unless newpath
// exists, in which case the error wraps [fs.ErrExist] and nothing has
// changed; then it syncs both folders. The caller has synced oldpath's
// contents, see [SyncTree].
func Publish(oldpath, newpath string) error {
	if err := renameNoReplace(oldpath, newpath); err != nil {
		return err
	}
	return syncParents(oldpath, newpath)
}

func syncParents(a, b string) error {
	da, db := filepath.Dir(a), filepath.Dir(b)
	if err := SyncDir(db); err != nil {
		return err
	}
	if da == db {
		return nil
	}
	return SyncDir(da)
}

// Open is [os.Open] for what other processes rename and remove meanwhile: on
// Windows it waits up to a second for them.
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

// SyncFile syncs the contents of the file at path.
func SyncFile(path string) error {
	// Windows flushes only handles that may write.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// SyncTree syncs every regular file and every folder below root, root
// included.
func SyncTree(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return SyncDir(path)
		case d.Type().IsRegular():
			return syncReadOnlyToo(path)
		}
		return nil
	})
}

// syncReadOnlyToo syncs a file that may have been written without the right
// to write it again, as the files of a copied tree can be.
func syncReadOnlyToo(path string) error {
	err := SyncFile(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	serr := f.Sync()
	if errors.Is(serr, fs.ErrPermission) {
		serr = nil // Windows: a read-only handle cannot be flushed; the file system writes it back by itself
	}
	return errors.Join(serr, f.Close())
}

// MkdirAll makes the folder path and its missing parents with perm, and
// syncs each folder that got a new entry. The folder that holds one which is
// there already is synced too: whoever made it may have been killed before.
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	switch fi, err := os.Stat(path); {
	case err == nil && fi.IsDir():
		err := SyncDir(filepath.Dir(path))
		if errors.Is(err, fs.ErrPermission) {
			return nil // it is not ours to look into, and so not ours to have made anything in
		}
		return err
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: path, Err: errors.New("a file is in the way")}
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

// Within reports whether path is root or lies below it, once both are
// absolute and the links in the parts that exist are resolved. It serves
// the rule that archive, backups and state never lie inside the folders
// that an update may replace.
func Within(path, root string) (bool, error) {
	p, err := resolve(path)
	if err != nil {
		return false, err
	}
	r, err := resolve(root)
	if err != nil {
		return false, err
	}
	// Compared by identity too: bind mounts, short names and letter case
	// give one folder several spellings.
	for dir := p; ; dir = filepath.Dir(dir) {
		if dir == r || sameFile(dir, r) {
			return true, nil
		}
		if dir == filepath.Dir(dir) {
			return false, nil
		}
	}
}

func sameFile(a, b string) bool {
	fa, err := os.Stat(a)
	if err != nil {
		return false
	}
	fb, err := os.Stat(b)
	return err == nil && os.SameFile(fa, fb)
}

// resolve makes path absolute and resolves the links of its longest part
// that exists.
func resolve(path string) (string, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("bad path %q", path)
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
	ID   string // equal for two paths exactly when they are on one volume
	Free int64  // bytes that the calling user may still write
}

// VolumeOf tells the volume of path, or of its nearest parent that exists.
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
