package site

import (
	"errors"
	"os"
	"path/filepath"
)

// The files of this package's own that a later process reads. All of them go through these functions, which wait for a
// file that another process uses: the library's own are not for a copy of this package.

// readFile is [os.ReadFile].
func readFile(path string) (text []byte, err error) {
	err = whileInUse(func() error {
		text, err = os.ReadFile(path)
		return err
	})
	return text, err
}

// removeFile is [os.Remove].
func removeFile(path string) error {
	return whileInUse(func() error { return os.Remove(path) })
}

// replaceFile replaces a file, whose directory it makes. After a crash the file has the old text or the new one.
func replaceFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = whileInUse(func() error { return os.Rename(f.Name(), path) })
	}
	if err != nil {
		_ = removeFile(f.Name())
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil { // so that the name survives a power cut, where a directory can be synced
		_, _ = dir.Sync(), dir.Close()
	}
	return nil
}
