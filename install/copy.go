package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/process"
)

// Prefixes of what belongs to one run; the ID of the run follows.
const (
	privatePrefix = "run-"  // the directory with the private copy
	tempPrefix    = "tmp-"  // the directory for temporary files
	leftPrefix    = "left-" // the record of a run whose processes live on
)

// privateCopy copies the installer at path into a new directory below state
// that no other user can enter, and compares its hash with sum. It returns the
// file of the copy that is to run: the copy itself, or the entry in the
// directory or zip archive. The hash is that of the bytes written, so that a
// change of the original meanwhile is found. The name stays: the extension
// decides how Windows opens a file, and some installers read their own name.
// After an error no directory is left.
func privateCopy(ctx context.Context, state, id, path, sum, entry string) (copied string, err error) {
	// Before it is opened, because opening a pipe would wait.
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	switch {
	case fi.IsDir() && entry == "":
		return "", errDirectory(path)
	case !fi.IsDir() && !fi.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file; name the installer itself", path)
	}
	dir := filepath.Join(state, privatePrefix+id)
	if err := private.Mkdir(dir); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = durable.RemoveAll(dir)
		}
	}()
	copied = filepath.Join(dir, filepath.Base(path))
	var got string
	if fi.IsDir() {
		if err := os.Mkdir(copied, 0o700); err != nil {
			return "", err
		}
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
	if entry == "" {
		return copied, durable.WhileInUse(func() error { return os.Chmod(copied, 0o500) }) //nolint:gosec // it is a program
	}
	if !fi.IsDir() {
		archive := copied
		copied = filepath.Join(dir, "unpacked")
		if err := os.Mkdir(copied, 0o700); err != nil {
			return "", err
		}
		if err := unpack(ctx, archive, copied); err != nil {
			return "", err
		}
	}
	return entryIn(copied, entry)
}

func errDirectory(path string) error {
	return fmt.Errorf("%s is a directory, not a regular file; name the file in it that installs as its Entry", path)
}

// copyFile returns the hash of what it has written.
func copyFile(ctx context.Context, from, to string) (sum string, err error) {
	real, err := filepath.EvalSymlinks(from) // the caller may name a link
	if err != nil {
		return "", err
	}
	src, err := durable.Open(real)
	if err != nil {
		return "", err
	}
	defer func() { _ = src.Close() }()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(dst, hash), ctxio.Reader(ctx, src))
	if err == nil {
		err = copyAttributes(dst, src)
	}
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, dst.Close())
}

// removeLeftovers removes the private copies, the directories for temporary
// files, and the records that were never completed, of this process and of those
// before it. It runs under the lock and with no installer alive. What an application
// that an installer started may still use stays as long as it runs. What cannot be
// removed, such as a program that Windows still holds open, is tried again next time.
func removeLeftovers(state string) {
	entries, _ := os.ReadDir(state)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+recordName+".tmp-") {
			_ = durable.RemoveAll(filepath.Join(state, e.Name()))
		}
		for _, prefix := range []string{privatePrefix, tempPrefix, leftPrefix} {
			id, ours := strings.CutPrefix(e.Name(), prefix)
			if ours && process.ValidID(id) && !leftAlive(filepath.Join(state, leftPrefix+id)) {
				_ = durable.RemoveAll(filepath.Join(state, e.Name()))
			}
		}
	}
}

// writeLeft notes that processes of a run live on.
func writeLeft(state string, rec process.Record) error {
	b, err := json.Marshal(rec) //nolint:gosec // the file is for this user alone
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(state, leftPrefix+rec.ID), b, 0o600)
}

// leftAlive reports whether a process lives of the run that was noted in the file.
func leftAlive(path string) bool {
	b, err := durable.ReadFile(path)
	if err != nil {
		return false
	}
	var rec process.Record
	if json.Unmarshal(b, &rec) != nil || !process.ValidID(rec.ID) {
		return false
	}
	t, err := process.Find(rec)
	if err != nil {
		return true
	}
	defer t.Close()
	alive, err := t.Alive()
	return alive || err != nil
}
