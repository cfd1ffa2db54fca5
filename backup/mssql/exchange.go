package mssql

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/owner"
	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// backupFile is the file of a snapshot.
const backupFile = "database.bak"

// An exchanged file is a backup on its way between the store and the server. The
// server's account can replace it, and so can any other that can write to the
// directory. What goes into the store was checked by the server before it was
// copied, and what is restored is compared with the manifest.
type exchanged struct {
	dir, name string
	path      string // as the server sees it
}

// newFile returns a name in the exchange directory that nothing has.
func (s *session) newFile() (exchanged, error) {
	if s.d.Dir == "" {
		return exchanged{}, advise(errors.New("no exchange directory given"), "set Dir to a directory in which the server's account can write")
	}
	dir, err := filepath.Abs(s.d.Dir)
	if err != nil {
		return exchanged{}, err
	}
	if _, err := os.Stat(dir); err != nil {
		return exchanged{}, err
	}
	var mark [6]byte
	_, _ = rand.Read(mark[:]) // never fails, see crypto/rand
	e := exchanged{dir: dir, name: s.filePrefix() + hex.EncodeToString(mark[:]) + ".bak"}
	at, separator := s.d.ServerDir, "/"
	if at == "" {
		at = dir
	}
	if strings.Contains(at, `\`) {
		separator = `\`
	}
	e.path = strings.TrimRight(at, `\/`) + separator + e.name
	return e, nil
}

// filePrefix begins the names of the files of this database.
func (s *session) filePrefix() string {
	sum := sha256.Sum256([]byte(s.server.name + "\x00" + s.name))
	return "aspupdate-" + hex.EncodeToString(sum[:6]) + "-"
}

var fileForm = regexp.MustCompile(`^[0-9a-f]{12}\.bak$`)

// cleanDir removes files that killed runs left.
func (s *session) cleanDir() error {
	if s.d.Dir == "" {
		return nil
	}
	root, err := os.OpenRoot(s.d.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), ".")
	for _, e := range entries {
		if mark, ok := strings.CutPrefix(e.Name(), s.filePrefix()); ok && fileForm.MatchString(mark) {
			err = errors.Join(err, durable.WhileInUse(func() error { return root.Remove(e.Name()) }))
		}
	}
	return err
}

// remove removes the file. What cannot be removed now, the next call removes.
func (e exchanged) remove() { _ = durable.Remove(filepath.Join(e.dir, e.name)) }

// fetch copies a backup that the server has written to dir, and returns its sum.
func (s *session) fetch(ctx context.Context, e exchanged, dir string) (sum string, err error) {
	s.begins(eventCopy)
	root, err := os.OpenRoot(e.dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }()
	in, err := tree.OpenFile(root, e.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", advise(fmt.Errorf("%w: the server has written %s, which is not in %s", backup.ErrIncompatible, e.path, e.dir),
			"set ServerDir to the path by which the server sees Dir")
	case errors.Is(err, fs.ErrPermission):
		return "", advise(fmt.Errorf("%w: %w", backup.ErrPermission, err), "let this account read what the server's account writes in "+e.dir)
	case err != nil:
		return "", err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(filepath.Join(dir, backupFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Close() }()
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), ctxio.Reader(ctx, in))
	if err = errors.Join(err, out.Close()); err != nil { // the store syncs
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// put copies the backup in dir to where the server can read it. The copy has that
// sum, unless sum is "".
func (s *session) put(ctx context.Context, dir string, e exchanged, sum string) error {
	s.begins(eventCopy)
	from, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	in, err := tree.OpenFile(from, backupFile)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	to, err := os.OpenRoot(e.dir)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	out, err := to.OpenFile(e.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, h), ctxio.Reader(ctx, in)); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); sum != "" && got != sum {
		return fmt.Errorf("%s: %w: SHA-256 is %s, backed up with %s", backupFile, backup.ErrDamaged, got, sum)
	}
	return errors.Join(show(to, out), out.Close())
}

// show lets the account or the group that the directory belongs to read the file: the
// server's. On Windows the file inherits that from the directory.
func show(dir *os.Root, f *os.File) error {
	fi, err := dir.Stat(".")
	if err != nil {
		return err
	}
	o := owner.Of(fi)
	o.Mode = 0o640
	if err := o.Give(f); errors.Is(err, fs.ErrPermission) { // only root gives files away; the group can be inherited
		return f.Chmod(o.Mode)
	} else if err != nil {
		return err
	}
	return nil
}
