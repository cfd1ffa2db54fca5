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

// Folder is a folder with everything in it, a [backup.Target].
type Folder struct {
	// Path is the folder. It is neither a link nor the root of a volume, and
	// the store lies outside it. The folder that holds it can be written to.
	Path string
}

var (
	_ backup.Target = (*Folder)(nil)
	_ backup.Tidier = (*Folder)(nil)
	_ backup.Sizer  = (*Folder)(nil)
	_ backup.Prover = (*Folder)(nil)
)

const (
	folderKind = "folder"
	folderFile = "tree.tar.zst"
)

type folderDetail struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	Items  int    `json:"items"`
	Digest string `json:"digest"` // see digest
}

// Backup implements [backup.Target]. A file that changes while it is read is
// an error: the application has to be stopped.
func (f *Folder) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	s, err := f.ready(ctx)
	if err != nil {
		return backup.Meta{}, err
	}
	if in, err := durable.Within(dir, s.Live); err != nil {
		return backup.Meta{}, err
	} else if in {
		return backup.Meta{}, fmt.Errorf("the store lies inside %s: move it elsewhere", s.Live)
	}
	out, err := os.OpenFile(filepath.Join(dir, folderFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return backup.Meta{}, err
	}
	defer func() { _ = out.Close() }()
	sum := sha256.New()
	pack, err := zstd.NewWriter(io.MultiWriter(out, sum))
	if err != nil {
		return backup.Meta{}, err
	}
	tw := tar.NewWriter(pack)
	t, err := scan(ctx, s.Live, tw)
	if err = errors.Join(err, tw.Close(), pack.Close(), out.Sync(), out.Close()); err != nil {
		return backup.Meta{}, fmt.Errorf("backing up %s: %w", s.Live, err)
	}
	detail, err := json.Marshal(folderDetail{Path: s.Live, Bytes: t.bytes, Items: t.items, Digest: t.digest})
	if err != nil {
		return backup.Meta{}, err
	}
	return backup.Meta{
		Kind:   folderKind,
		Target: s.Live,
		Detail: detail,
		Sums:   map[string]string{folderFile: hex.EncodeToString(sum.Sum(nil))},
	}, nil
}

// Restore implements [backup.Target]. A backup of another folder is restored
// only where nothing is under Path.
func (f *Folder) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	s, err := f.ready(ctx)
	if err != nil {
		return nil, err
	}
	var d folderDetail
	if err := fits(m, folderKind, &d); err != nil {
		return nil, err
	}
	return restore(ctx, s, d.Path, func(fresh string) error {
		return f.build(ctx, filepath.Join(dir, folderFile), fresh, d)
	})
}

// Prove implements [backup.Prover]. The copy is made beside the folder, where a
// restore would make it.
func (f *Folder) Prove(ctx context.Context, dir string, m backup.Meta) error {
	s, err := f.ready(ctx)
	if err != nil {
		return err
	}
	var d folderDetail
	if err := fits(m, folderKind, &d); err != nil {
		return err
	}
	return prove(ctx, s, func(fresh string) error {
		return f.build(ctx, filepath.Join(dir, folderFile), fresh, d)
	})
}

// build unpacks into the new folder fresh and compares what is there then.
func (f *Folder) build(ctx context.Context, pack, fresh string, d folderDetail) error {
	in, err := os.Open(pack)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	unpack, err := zstd.NewReader(in, zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return err
	}
	defer unpack.Close()
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return err
	}
	if err := extract(ctx, tar.NewReader(unpack), fresh); err != nil {
		return err
	}
	if err := durable.SyncTree(fresh); err != nil {
		return err
	}
	t, err := scan(ctx, fresh, nil)
	if err != nil {
		return err
	}
	if t.digest != d.Digest {
		return errors.New("what was restored is not what was backed up: look for a file system that cannot hold its names, links or permissions")
	}
	return nil
}

// Tidy implements [backup.Tidier]: what restores kept aside is removed.
func (f *Folder) Tidy(ctx context.Context) error {
	s, err := f.ready(ctx)
	if err != nil {
		return err
	}
	return s.Tidy(ctx)
}

// Needs implements [backup.Sizer].
func (f *Folder) Needs(ctx context.Context) ([]backup.Need, error) {
	s, err := swap.At(f.Path)
	if err != nil {
		return nil, err
	}
	var n int64
	err = filepath.WalkDir(s.Live, func(_ string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			n += fi.Size()
		}
		return err
	})
	return swap.Needs(s.Live, n), err
}

// ready resolves the path and puts in order what a killed run left.
func (f *Folder) ready(ctx context.Context) (*swap.Slot, error) {
	s, err := swap.At(f.Path)
	if err != nil {
		return nil, err
	}
	return s, s.Recover(ctx)
}
