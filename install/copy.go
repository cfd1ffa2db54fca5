package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// privatePrefix starts the names of the folders that hold private copies.
const privatePrefix = "run-"

// privateCopy copies the installer at path, a file or a folder, into a new
// folder below state that nobody else can enter, and returns what to run of
// the copy once it has the hash sum. The hash is that of the bytes written, so nothing
// that happens to the original meanwhile can slip in. The name stays: the
// extension decides how Windows opens a file, and some installers look at
// their own name. When it fails the folder is gone again.
func privateCopy(ctx context.Context, state, id, path, entry, sum string) (copied string, err error) {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case fi.IsDir() && entry == "":
		return "", fmt.Errorf("%s is a folder; name the file to run as the entry point", path)
	case !fi.IsDir() && entry != "":
		return "", fmt.Errorf("%s is one file; leave the entry point out", path)
	}
	dir := filepath.Join(state, privatePrefix+id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	copied = filepath.Join(dir, filepath.Base(path))
	var got string
	if fi.IsDir() {
		got, err = copyTree(ctx, path, copied)
	} else {
		got, err = copyFile(ctx, path, copied)
	}
	if err != nil {
		return "", err
	}
	if got != sum {
		return "", fmt.Errorf("%w: expected %s, found %s", ErrMismatch, sum, got)
	}
	copied = filepath.Join(copied, filepath.FromSlash(entry))
	if fi, err := os.Stat(copied); err != nil || !fi.Mode().IsRegular() {
		return "", fmt.Errorf("the entry point %s is not a file of the installer's folder", entry)
	}
	return copied, nil
}

// copyFile copies one file and returns its SHA-256.
func copyFile(ctx context.Context, from, to string) (sum string, err error) {
	// Looked at before it is opened, because opening a pipe would wait.
	fi, err := os.Stat(from)
	if err != nil {
		return "", err
	}
	if !fi.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file; name the installer itself", from)
	}
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer func() { _ = src.Close() }()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(dst, hash), contextReader{ctx, src})
	if err = errors.Join(err, dst.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), os.Chmod(to, 0o500) //nolint:gosec // it is a program
}

// copyTree copies a folder and returns the SHA-256 of what sha256sum prints
// for its files, in byte order of their paths, as the archive defines it.
func copyTree(ctx context.Context, from, to string) (sum string, err error) {
	var lines []string
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Mkdir(filepath.Join(to, rel), 0o700)
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a folder; an installer's folder holds nothing else", path)
		}
		sum, err := copyFile(ctx, path, filepath.Join(to, rel))
		lines = append(lines, filepath.ToSlash(rel)+"\x00"+sum)
		return err
	})
	if err != nil {
		return "", err
	}
	slices.Sort(lines) // a path is before what is longer: NUL is the least byte
	hash := sha256.New()
	for _, line := range lines {
		rel, sum, _ := strings.Cut(line, "\x00")
		_, _ = fmt.Fprintf(hash, "%s  %s\n", sum, rel) // a hash takes everything
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// removeCopies removes private copies that a process before this one left.
// It runs under the lock and with no installer alive. What cannot be removed,
// such as a program that Windows still holds open, is tried again next time.
func removeCopies(state string) {
	entries, _ := os.ReadDir(state)
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), privatePrefix); ok && validID(id) {
			_ = os.RemoveAll(filepath.Join(state, e.Name()))
		}
	}
}

// contextReader makes a long copy end with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
