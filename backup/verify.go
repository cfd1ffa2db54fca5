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
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/internal/progress"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// Every byte of a snapshot is read back by readBack alone. Take calls it before
// the snapshot gets its name; all others come through verified: Verify, Restore
// and Prove before they hand the snapshot on, Prune before it removes older ones.
//
// Recheck alone goes by what the file system says of files that this Store has read back.

// Verify reads every byte of the snapshot from disk and compares it with what
// was sealed. The error wraps [ErrDamaged] if anything differs: a bit, a size, a
// missing or an additional file, the manifest itself. Given a reference, see
// [Snapshot.Ref], it is not deceived by a manifest and a seal that were replaced as well.
func (s *Store) Verify(ctx context.Context, ref string) error {
	return wrap("verify", ID(ref), s.verified(ctx, ref, false, s.readBack, func(Snapshot, string) error { return nil }))
}

// Recheck is Verify for a snapshot that this Store has taken or verified: its manifest is
// read again, and of its files those whose identity, size, times, owner or mode are not what they were
// when they were read back. Nothing could have written the others: the store is closed to every
// other account, and on Linux even root would have to set the machine's clock to hide it.
// That the disk has lost something since is found by Verify.
func (s *Store) Recheck(ctx context.Context, ref string) error {
	return wrap("verify", ID(ref), s.verified(ctx, ref, false, s.recheck, func(Snapshot, string) error { return nil }))
}

// Restore verifies the snapshot, as Verify does, and has t restore it (R15). What
// was live is kept aside until the Restored is discarded.
func (s *Store) Restore(ctx context.Context, ref string, t Target) (restored Restored, err error) {
	err = s.verified(ctx, ref, false, s.readBack, func(snap Snapshot, dir string) error {
		s.observe(eventRestore, snap, progress.Point{})
		restored, err = t.Restore(ctx, dir, snap.Meta)
		return err
	})
	if err != nil {
		return nil, wrap("restore", ID(ref), err)
	}
	return restored, nil
}

// verified reads the snapshot back and hands it, with the directory of its
// files, to use. It keeps the snapshot from being removed meanwhile, unless the
// store cannot be locked and need not be: a restore from a read-only disk works
// all the same.
func (s *Store) verified(ctx context.Context, ref string, locked bool, read reader, use func(snap Snapshot, dir string) error) error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	if unlock, err := lockShared(ctx, dir); err == nil {
		defer unlock()
	} else if locked || ctx.Err() != nil {
		return err
	}
	root, err := s.open(ref)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	snap, err := read(ctx, root, ref)
	if err != nil {
		return err
	}
	// The target reads the files once more: it can find out that one was replaced.
	snap.Meta.Sums = map[string]string{}
	for _, f := range snap.Files {
		snap.Meta.Sums[f.Path] = f.SHA256
	}
	return use(snap, filepath.Join(dir, snap.ID, dataDir))
}

// A reader returns the snapshot in root once it has found everything as it was sealed.
type reader func(ctx context.Context, root *os.Root, ref string) (Snapshot, error)

// recheck reads back only what may have changed since this Store read it.
func (s *Store) recheck(ctx context.Context, root *os.Root, ref string) (Snapshot, error) {
	snap, err := readManifest(root, ref)
	if err != nil {
		return snap, err
	}
	s.mu.Lock()
	read := s.read[snap.Ref()]
	s.mu.Unlock()
	if len(read) != len(snap.Files) || checkNames(root, snap) != nil {
		return s.readBack(ctx, root, ref)
	}
	for i, f := range snap.Files {
		if now, err := stateOf(root, f.Path); err != nil || now != read[i] {
			return s.readBack(ctx, root, ref)
		}
	}
	return snap, nil
}

func stateOf(root *os.Root, name string) (tree.State, error) {
	f, err := tree.OpenFile(root, path.Join(dataDir, name))
	if err != nil {
		return tree.State{}, err
	}
	defer func() { _ = f.Close() }()
	return tree.StateOf(f)
}

// readBack compares everything in the directory of a snapshot with its manifest.
func (s *Store) readBack(ctx context.Context, root *os.Root, ref string) (Snapshot, error) {
	snap, err := readManifest(root, ref)
	if err != nil {
		return snap, err
	}
	s.observe(eventVerify, snap, progress.Point{})
	if err := checkNames(root, snap); err != nil {
		return snap, err
	}
	meter := s.meter(eventVerify, snap, snap.Bytes())
	var read []tree.State
	for _, f := range snap.Files {
		before, err := stateOf(root, f.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return snap, err
		}
		read = append(read, before)
		sum, n, err := hashFile(ctx, root, f.Path, meter)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return snap, damaged(f.Path, "missing")
		case err != nil:
			return snap, err
		case n != f.Bytes:
			return snap, damaged(f.Path, "%d bytes, sealed with %d", n, f.Bytes)
		case sum != f.SHA256:
			return snap, damaged(f.Path, "SHA-256 is %s, sealed with %s", sum, f.SHA256)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read == nil {
		s.read = map[string][]tree.State{}
	}
	s.read[snap.Ref()] = read
	return snap, nil
}

// checkNames refuses what was not there when the snapshot was sealed.
func checkNames(root *os.Root, snap Snapshot) error {
	const added = "added after the snapshot was sealed"
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains([]string{dataDir, manifestFile, sealFile, proofFile}, e.Name()) {
			return damaged(e.Name(), added)
		}
	}
	found, err := inventory(root)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for _, f := range found {
		if _, ok := slices.BinarySearchFunc(snap.Files, f.Path, func(f file, p string) int { return strings.Compare(f.Path, p) }); !ok {
			return damaged(f.Path, added)
		}
	}
	return nil
}

// hashFile reads a data file from disk, not from the cache that still holds what
// was just written, as far as the system allows that.
func hashFile(ctx context.Context, root *os.Root, name string, meter *progress.Meter) (sum string, n int64, err error) {
	f, err := tree.OpenFile(root, path.Join(dataDir, name))
	if err != nil {
		return "", 0, err
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
			return "", n, fmt.Errorf("%s: %w", name, err)
		}
	}
}
