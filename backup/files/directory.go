package files

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// Directory is a directory with everything in it, a [backup.Target].
type Directory struct {
	// Path is neither a link nor the root of a volume, and the store is
	// outside it. Its parent directory must be writable.
	Path string
}

var (
	_ backup.Target = (*Directory)(nil)
	_ backup.Tidier = (*Directory)(nil)
	_ backup.Sizer  = (*Directory)(nil)
	_ backup.Prover = (*Directory)(nil)
)

const (
	directoryKind = "folder" // the first name of the kind, which stays on disk
	directoryFile = "tree.tar.zst"
)

type directoryDetail struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	Items  int    `json:"items"`
	Digest string `json:"digest"` // see contents
	Attrs  bool   `json:"attrs"`  // attributes and hard links were recorded; earlier versions did not
	Stamp  string `json:"stamp"`  // see contents; earlier versions have none
}

// Backup implements [backup.Target]. A file that changes while it is read is
// an error: the application has to be stopped.
func (d *Directory) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	s, err := d.slot(ctx)
	if err != nil {
		return backup.Meta{}, err
	}
	if in, err := durable.Within(dir, s.Live); err != nil {
		return backup.Meta{}, err
	} else if in {
		return backup.Meta{}, &backup.Error{Op: "back up", Subject: s.Live, Err: errors.New("the store is inside it"), Next: "move it elsewhere"}
	}
	m, err := pack(ctx, s, filepath.Join(dir, directoryFile))
	return m, failed("back up", s.Live, err)
}

// pack writes everything in the directory of the slot to the new file.
func pack(ctx context.Context, s *swap.Slot, file string) (m backup.Meta, err error) {
	if err := s.Movable(); err != nil {
		return m, err
	}
	root, err := s.Open()
	if err != nil {
		return m, err
	}
	defer func() { _ = root.Close() }()
	if err := tryEmpty(ctx, s, root); err != nil {
		return m, err
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return m, err
	}
	defer func() { _ = out.Close() }()
	sum := sha256.New()
	z, err := zstd.NewWriter(io.MultiWriter(out, sum))
	if err != nil {
		return m, err
	}
	tw := tar.NewWriter(z)
	found, err := scan{tw: tw}.read(ctx, root, filepath.Base(s.Live))
	if err = errors.Join(err, tw.Close(), z.Close(), out.Sync(), out.Close()); err != nil {
		return m, err
	}
	detail, err := json.Marshal(directoryDetail{Path: s.Live, Bytes: found.bytes, Items: found.items, Digest: found.digest, Attrs: true, Stamp: found.stamp})
	return backup.Meta{
		Kind:   directoryKind,
		Target: s.Live,
		Detail: detail,
		Sums:   map[string]string{directoryFile: hex.EncodeToString(sum.Sum(nil))},
	}, err
}

// tryEmpty makes what a restore begins with, and drops it.
func tryEmpty(ctx context.Context, s *swap.Slot, parent *tree.Root) error {
	return s.TryBegin(ctx, func(name string) error {
		name = filepath.Base(name)
		dir, err := tree.Make(parent, name)
		if err != nil {
			return err
		}
		return errors.Join(tree.CopyLabel(parent, filepath.Base(s.Live), parent, name), dir.Close())
	})
}

// Restore implements [backup.Target]. A backup of another directory is restored
// only if nothing exists at Path.
func (d *Directory) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	s, from, build, err := d.builder(ctx, dir, m)
	if err != nil {
		return nil, err
	}
	return restore(ctx, s, from, build)
}

// Prove implements [backup.Prover]. The copy is made beside the directory, as
// by a restore.
func (d *Directory) Prove(ctx context.Context, dir string, m backup.Meta) error {
	s, _, build, err := d.builder(ctx, dir, m)
	if err != nil {
		return err
	}
	return failed("prove a backup of", s.Live, s.Try(ctx, build))
}

// builder returns the function that unpacks the backup, and the path that was backed up.
func (d *Directory) builder(ctx context.Context, dir string, m backup.Meta) (s *swap.Slot, from string, build builder, err error) {
	if s, err = d.slot(ctx); err != nil {
		return nil, "", nil, err
	}
	var detail directoryDetail
	if err := m.Decode(directoryKind, &detail); err != nil {
		return nil, "", nil, err
	}
	return s, detail.Path, func(path string) error {
		return unpack(ctx, s, filepath.Join(dir, directoryFile), m.Sums[directoryFile], filepath.Base(path), detail)
	}, nil
}

// unpack unpacks the file, whose SHA-256 is sum unless that is empty, into the
// new directory name beside the live one, and compares the result.
func unpack(ctx context.Context, s *swap.Slot, file, sum, name string, d directoryDetail) error {
	if err := s.Movable(); err != nil { // before it takes long
		return err
	}
	parent, err := s.Open()
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	root, err := tree.Make(parent, name)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	made, err := root.Stat(".")
	if err != nil {
		return err
	}
	s.Made(made)
	if err := tree.CopyLabel(parent, filepath.Base(s.Live), parent, name); err != nil {
		return err // what is made in it gets the same
	}
	top, err := extractArchive(ctx, file, sum, root.Root)
	if err != nil {
		return err
	}
	mode := top.FileInfo().Mode()
	found, err := scan{plain: !d.Attrs, made: &mode}.read(ctx, root, ".")
	if err != nil {
		return err
	}
	if found.digest != d.Digest {
		return fmt.Errorf("%w: the file system may not support its names, links, permissions or attributes", backup.ErrMismatch)
	}
	if err := errors.Join(finish(root.Root, ".", top), tree.Sync(root)); err != nil {
		return err
	}
	return s.Movable()
}

// extractArchive unpacks the file into root, and fails if its SHA-256 is not
// sum: since it was verified, another account may have replaced it.
func extractArchive(ctx context.Context, file, sum string, root *os.Root) (top *tar.Header, err error) {
	in, err := durable.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	read := sha256.New()
	raw := io.TeeReader(in, read)
	z, err := zstd.NewReader(raw, zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	if top, err = extract(ctx, tar.NewReader(z), root); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, z); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(read.Sum(nil)); sum != "" && got != sum {
		return nil, fmt.Errorf("%w: SHA-256 is %s, verified with %s", backup.ErrDamaged, got, sum)
	}
	return top, nil
}

// Tidy implements [backup.Tidier]: it removes what restores kept aside.
func (d *Directory) Tidy(ctx context.Context) error {
	s, err := d.slot(ctx)
	if err != nil {
		return err
	}
	return failed("tidy", s.Live, s.Tidy(ctx))
}

// Needs implements [backup.Sizer].
func (d *Directory) Needs(ctx context.Context) ([]backup.Need, error) {
	s, err := swap.At(d.Path)
	if err != nil {
		return nil, err
	}
	n, err := size(ctx, s)
	return swap.Needs(s.Live, n), failed("prepare a restore of", s.Live, err)
}

// size returns the size of all files. It fails if there is something that cannot
// be backed up, restored, or removed afterwards.
func size(ctx context.Context, s *swap.Slot) (n int64, err error) {
	if err := s.Movable(); err != nil {
		return 0, err
	}
	root, err := s.Open()
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }()
	err = tree.Walk(ctx, root, filepath.Base(s.Live), func(item *tree.Node) error {
		if item.Mode.IsRegular() {
			n += item.Size
		}
		return kept(item)
	})
	if err == nil && durable.MayTry(ctx) {
		err = tryEmpty(ctx, s, root)
	}
	return n, err
}

// slot resolves the path and finishes or undoes what a killed run left.
func (d *Directory) slot(ctx context.Context) (*swap.Slot, error) {
	s, err := swap.At(d.Path)
	if err != nil {
		return nil, err
	}
	return s, failed("recover", s.Live, s.Recover(ctx))
}
