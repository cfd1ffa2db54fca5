package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/aspupdate/aspupdate/internal/progress"
)

// Verify reads every byte of the snapshot from the disk and compares it with
// what was sealed. The error wraps ErrDamaged where anything differs: a bit,
// a size, a missing file, one too many, the manifest itself.
func (s *Store) Verify(ctx context.Context, id string) error {
	release, err := s.reading(ctx)
	if err != nil {
		return wrap("verify", id, err)
	}
	defer release()
	root, err := s.open(id)
	if err != nil {
		return wrap("verify", id, err)
	}
	defer func() { _ = root.Close() }()
	_, err = s.verify(ctx, root, id)
	return wrap("verify", id, err)
}

func (s *Store) verify(ctx context.Context, root *os.Root, id string) (Snapshot, error) {
	snap, err := readManifest(root, id)
	if err != nil {
		return snap, err
	}
	s.tell(StageVerify, snap)
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return snap, err
	}
	for _, e := range entries {
		if !slices.Contains([]string{dataFolder, manifestFile, sealFile, proofFile}, e.Name()) {
			return snap, damaged(e.Name(), "it was not there when the snapshot was sealed")
		}
	}
	found, err := inventory(root)
	if err != nil {
		return snap, damaged("", "%w", err)
	}
	for _, f := range found {
		if _, ok := slices.BinarySearchFunc(snap.Files, f.Path, byPath); !ok {
			return snap, damaged(f.Path, "it was not there when the snapshot was sealed")
		}
	}
	meter := s.meter(StageVerify, snap, snap.Bytes())
	for _, f := range snap.Files {
		sum, n, err := hashFile(ctx, root, f.Path, meter)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return snap, damaged(f.Path, "it is missing")
		case err != nil:
			return snap, err
		case n != f.Bytes:
			return snap, damaged(f.Path, "it has %d bytes, sealed were %d", n, f.Bytes)
		case sum != f.SHA256:
			return snap, damaged(f.Path, "its SHA-256 is %s, sealed was %s", sum, f.SHA256)
		}
	}
	return snap, nil
}

func byPath(f File, p string) int {
	switch {
	case f.Path < p:
		return -1
	case f.Path > p:
		return 1
	}
	return 0
}

// Restore verifies the snapshot, every byte of it, and has t restore it
// (R15). What was live is kept aside until the Restored is discarded.
func (s *Store) Restore(ctx context.Context, id string, t Target) (Restored, error) {
	release, err := s.reading(ctx)
	if err != nil {
		return nil, wrap("restore", id, err)
	}
	defer release()
	root, err := s.open(id)
	if err != nil {
		return nil, wrap("restore", id, err)
	}
	defer func() { _ = root.Close() }()
	snap, err := s.verify(ctx, root, id)
	if err != nil {
		return nil, wrap("restore", id, err)
	}
	dir, err := s.Path(id)
	if err != nil {
		return nil, wrap("restore", id, err)
	}
	s.tell(StageRestore, snap)
	restored, err := t.Restore(ctx, dir, snap.Meta)
	if err != nil {
		return nil, wrap("restore", id, err)
	}
	return restored, nil
}

// hashFile reads one data file from the disk, not from the memory that still
// holds what was just written, as far as the system lets us.
func hashFile(ctx context.Context, root *os.Root, name string, meter *progress.Meter) (sum string, n int64, err error) {
	f, err := root.Open(path.Join(dataFolder, name))
	if err != nil {
		return "", 0, &Error{File: name, Err: err}
	}
	defer func() { _ = f.Close() }()
	dropCache(f)
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", n, err
		}
		k, err := f.Read(buf)
		n += int64(k)
		_, _ = h.Write(buf[:k])
		meter.Add(k)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), n, nil
		}
		if err != nil {
			return "", n, &Error{File: name, Err: err}
		}
	}
}

// restrict takes the rights of everyone else from what the target wrote.
func restrict(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return root.Chmod(p, 0o700)
		case d.Type().IsRegular():
			return root.Chmod(p, 0o600)
		}
		return fmt.Errorf("%s is neither a file nor a folder", p)
	})
}
