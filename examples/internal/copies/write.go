package copies

import (
	"archive/tar"
	"bufio"
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

	"filippo.io/age"
)

// Put copies a source, and returns the copy once it was read back from the place.
func (p *Place) Put(ctx context.Context, s Source) (Copy, error) {
	c := s.Copy
	sum := sha256.Sum256([]byte(c.Kind + "\x00" + c.ID))
	c.File = c.Kind + "-" + c.Of.UTC().Format("20060102-150405") + "-" + hex.EncodeToString(sum[:6]) + ".tar.age"
	temp := filepath.Join(p.Dir, tempPrefix+c.File)
	err := p.write(ctx, temp, s, &c)
	if err == nil {
		err = matches(ctx, temp, c) // as it is on the disk
	}
	if err == nil {
		if err = os.Rename(temp, filepath.Join(p.Dir, c.File)); err == nil {
			err = syncDir(p.Dir)
		}
	}
	if err != nil {
		_ = os.Remove(temp)
		return Copy{}, fmt.Errorf("copy %s %s: %w", c.Kind, c.Name, err)
	}
	c.Copied = p.now()
	known, err := p.Known()
	if err != nil {
		return Copy{}, err
	}
	known.Copies = slices.DeleteFunc(known.Copies, func(old Copy) bool { return old.Kind == c.Kind && old.ID == c.ID })
	known.Copies = append(known.Copies, c)
	return c, p.publish(known)
}

func (p *Place) write(ctx context.Context, temp string, s Source, c *Copy) error {
	out, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	sum := sha256.New()
	counted := &counter{w: io.MultiWriter(out, sum)}
	buffered := bufio.NewWriterSize(counted, 1<<20)
	sealed, err := age.Encrypt(buffered, p.Recipients...)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(sealed)
	for _, name := range sorted(s.Files) {
		if err := pack(ctx, tw, name, s.Files[name]); err != nil {
			return err
		}
	}
	for name, data := range s.Data {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(data)), ModTime: c.Of, Format: tar.FormatPAX}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(data); err != nil {
			return err
		}
	}
	if err := errors.Join(tw.Close(), sealed.Close(), buffered.Flush(), out.Sync(), out.Close()); err != nil {
		return err
	}
	c.Bytes, c.SHA256 = counted.n, hex.EncodeToString(sum.Sum(nil))
	return nil
}

// pack adds a file, or a directory with all in it. Anything but files and
// directories is an error: snapshots and archived installers have no others.
func pack(ctx context.Context, tw *tar.Writer, name, path string) error {
	return filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(path, at)
		if err != nil {
			return err
		}
		to := filepath.ToSlash(filepath.Join(name, rel))
		fi, err := d.Info()
		if err != nil {
			return err
		}
		h := &tar.Header{Name: to, Mode: int64(fi.Mode().Perm()), ModTime: fi.ModTime(), Format: tar.FormatPAX}
		switch {
		case d.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, to+"/"
			return tw.WriteHeader(h)
		case !fi.Mode().IsRegular():
			return fmt.Errorf("%s is neither a file nor a directory", at)
		}
		in, err := os.Open(at) //nolint:gosec // archive and backups are this account's alone
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		h.Typeflag, h.Size = tar.TypeReg, fi.Size()
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err = io.Copy(tw, reader{ctx, in})
		return err
	})
}

// matches compares a file with what was written.
func matches(ctx context.Context, path string, c Copy) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing", ErrDamaged, filepath.Base(path))
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	dropCache(f)
	sum := sha256.New()
	n, err := io.Copy(sum, reader{ctx, f})
	switch {
	case err != nil:
		return err
	case n != c.Bytes:
		return fmt.Errorf("%w: %s has %d bytes, and %d were written", ErrDamaged, c.File, n, c.Bytes)
	case hex.EncodeToString(sum.Sum(nil)) != c.SHA256:
		return fmt.Errorf("%w: the bytes of %s are not those that were written", ErrDamaged, c.File)
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

// A reader ends when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}
