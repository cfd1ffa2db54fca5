package copies

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
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
	if err := p.put(ctx, s, &c); err != nil {
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

func (p *Place) put(ctx context.Context, s Source, c *Copy) error {
	place, err := os.OpenRoot(p.Dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPlace, err)
	}
	defer func() { _ = place.Close() }()
	out, temp, err := create(place)
	if err != nil {
		return err
	}
	err = p.write(ctx, out, s, c)
	if err = errors.Join(err, out.Close()); err == nil {
		err = matches(ctx, place, temp, *c) // as it is on the disk
	}
	if err == nil {
		err = place.Rename(temp, c.File)
	}
	if err != nil {
		_ = place.Remove(temp)
		return err
	}
	return syncDir(place)
}

func (p *Place) write(ctx context.Context, out *os.File, s Source, c *Copy) error {
	sum := sha256.New()
	c.Bytes = 0
	buffered := bufio.NewWriterSize(&counter{w: io.MultiWriter(out, sum), n: &c.Bytes}, 1<<20)
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
	if err := errors.Join(tw.Close(), sealed.Close(), buffered.Flush(), out.Sync()); err != nil {
		return err
	}
	c.SHA256 = hex.EncodeToString(sum.Sum(nil))
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

// matches compares the file name of the place with what was written.
func matches(ctx context.Context, place *os.Root, name string, c Copy) error {
	f, err := openCopy(place, name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	dropCache(f)
	r := newChecked(ctx, f, c)
	return r.check()
}

// openCopy opens a copy, which may have been removed.
func openCopy(place *os.Root, name string) (*os.File, error) {
	f, err := open(place, name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %s is missing", ErrDamaged, name)
	}
	return f, err
}

// A checked reader hashes what is read of a copy, and reads one byte more than was written
// at most.
type checked struct {
	io.Reader
	copy Copy
	sum  hash.Hash
	read int64
}

func newChecked(ctx context.Context, f *os.File, c Copy) *checked {
	r := &checked{copy: c, sum: sha256.New()}
	r.Reader = io.TeeReader(reader{ctx, io.LimitReader(f, c.Bytes+1)}, &counter{w: r.sum, n: &r.read})
	return r
}

// check reads the rest and fails unless the bytes that were read, from the first one on, are
// those that were written.
func (r *checked) check() error {
	_, err := io.Copy(io.Discard, r.Reader)
	switch {
	case err != nil:
		return err
	case r.read > r.copy.Bytes:
		return fmt.Errorf("%w: %s has more than the %d bytes that were written", ErrDamaged, r.copy.File, r.copy.Bytes)
	case r.read < r.copy.Bytes:
		return fmt.Errorf("%w: %s has %d bytes, and %d were written", ErrDamaged, r.copy.File, r.read, r.copy.Bytes)
	case hex.EncodeToString(r.sum.Sum(nil)) != r.copy.SHA256:
		return fmt.Errorf("%w: the bytes of %s are not those that were written", ErrDamaged, r.copy.File)
	}
	return nil
}

type counter struct {
	w io.Writer
	n *int64
}

// A reader ends when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}
