package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/process"
)

// privatePrefix starts the names of the directories with private copies.
const privatePrefix = "run-"

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
		return "", fmt.Errorf("%s is a directory, not a regular file; name the file in it that installs as its Entry", path)
	case !fi.IsDir() && !fi.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file; name the installer itself", path)
	}
	dir := filepath.Join(state, privatePrefix+id)
	if err := mkdirPrivate(dir); err != nil {
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
		return copied, os.Chmod(copied, 0o500) //nolint:gosec // it is a program
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

// copyFile returns the hash of what it has written.
func copyFile(ctx context.Context, from, to string) (sum string, err error) {
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
	_, err = io.Copy(io.MultiWriter(dst, hash), ctxio.Reader(ctx, src))
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, dst.Close())
}

// removeLeftovers removes the private copies, and the records that were never
// completed, of this process and of those before it. It runs under the lock and
// with no installer alive. What cannot be removed, such as a program that
// Windows still holds open, is tried again next time.
func removeLeftovers(state string) {
	entries, _ := os.ReadDir(state)
	for _, e := range entries {
		id, private := strings.CutPrefix(e.Name(), privatePrefix)
		if private && process.ValidID(id) || strings.HasPrefix(e.Name(), "."+recordName+".tmp-") {
			_ = os.RemoveAll(filepath.Join(state, e.Name()))
		}
	}
}
