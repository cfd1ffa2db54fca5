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
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
	"github.com/aspupdate/aspupdate/internal/durable"
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
	Digest string `json:"digest"` // see tree
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
	m, err := pack(ctx, s.Live, filepath.Join(dir, directoryFile))
	return m, failed("back up", s.Live, err)
}

// pack writes everything in the directory path to the new file.
func pack(ctx context.Context, path, file string) (m backup.Meta, err error) {
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
	t, err := scan(ctx, path, tw)
	if err = errors.Join(err, tw.Close(), z.Close(), out.Sync(), out.Close()); err != nil {
		return m, err
	}
	detail, err := json.Marshal(directoryDetail{Path: path, Bytes: t.bytes, Items: t.items, Digest: t.digest})
	return backup.Meta{
		Kind:   directoryKind,
		Target: path,
		Detail: detail,
		Sums:   map[string]string{directoryFile: hex.EncodeToString(sum.Sum(nil))},
	}, err
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
		return unpack(ctx, filepath.Join(dir, directoryFile), path, detail.Digest)
	}, nil
}

// unpack unpacks a backup into the new directory path, and compares the
// result.
func unpack(ctx context.Context, file, path, digest string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	z, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return err
	}
	defer z.Close()
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	if err := extract(ctx, tar.NewReader(z), path); err != nil {
		return err
	}
	if err := durable.SyncTree(path); err != nil {
		return err
	}
	t, err := scan(ctx, path, nil)
	if err == nil && t.digest != digest {
		err = fmt.Errorf("%w: the file system may not support its names, links or permissions", backup.ErrMismatch)
	}
	return err
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
	var n int64
	err = filepath.WalkDir(s.Live, func(_ string, e fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || !e.Type().IsRegular() {
			return err
		}
		fi, err := e.Info()
		if err == nil {
			n += fi.Size()
		}
		return err
	})
	return swap.Needs(s.Live, n), err
}

// slot resolves the path and finishes or undoes what a killed run left.
func (d *Directory) slot(ctx context.Context) (*swap.Slot, error) {
	s, err := swap.At(d.Path)
	if err != nil {
		return nil, err
	}
	return s, failed("recover", s.Live, s.Recover(ctx))
}
