package files

import (
	"archive/tar"
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

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/owner"
	"github.com/aspupdate/aspupdate/internal/ctxio"
)

// A tree is what scan found. The digest covers the names, kinds, permissions,
// links, sizes and contents of everything, in the order of a walk: two trees
// with the same digest are the same to an application.
type tree struct {
	items  int
	bytes  int64
	digest string
}

// scan reads a whole tree and, if tw is not nil, writes it to tw.
func scan(ctx context.Context, root string, tw *tar.Writer) (tree, error) {
	var t tree
	sum := sha256.New()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if rel == "." && !fi.IsDir() {
			return fmt.Errorf("%s is not a directory", root)
		}
		if fi.Mode()&fs.ModeSocket != 0 {
			return nil
		}
		t.items++
		n, err := scanItem(ctx, path, filepath.ToSlash(rel), fi, sum, tw)
		t.bytes += n
		return err
	})
	t.digest = hex.EncodeToString(sum.Sum(nil))
	return t, err
}

func scanItem(ctx context.Context, path, rel string, fi fs.FileInfo, sum hash.Hash, tw *tar.Writer) (int64, error) {
	link := ""
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		var err error
		if link, err = os.Readlink(path); err != nil {
			return 0, err
		}
		_, _ = fmt.Fprintf(sum, "link %q %q\n", rel, link)
	case fi.IsDir():
		_, _ = fmt.Fprintf(sum, "folder %q %v\n", rel, fi.Mode()) // the word stays, as digests are kept on disk
	case fi.Mode().IsRegular():
		_, _ = fmt.Fprintf(sum, "file %q %v %d\n", rel, fi.Mode(), fi.Size())
	default:
		return 0, &backup.Error{Err: fmt.Errorf("%s is neither a file, a directory nor a link", path), Next: "remove it or move it elsewhere"}
	}
	if tw != nil {
		h, err := tar.FileInfoHeader(fi, link)
		if err != nil {
			return 0, err
		}
		// PAX keeps any name, size and time. User names are left out: on
		// one machine only the number matters.
		h.Name, h.Format, h.Uname, h.Gname = rel, tar.FormatPAX, "", ""
		if err := tw.WriteHeader(h); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
	}
	if !fi.Mode().IsRegular() {
		return 0, nil
	}
	return copyFile(ctx, path, fi, sum, tw)
}

// copyFile hashes a file and writes it to tw. A file that changes meanwhile is
// an error.
func copyFile(ctx context.Context, path string, fi fs.FileInfo, sum hash.Hash, tw *tar.Writer) (int64, error) {
	in, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }()
	var out io.Writer = sum
	if tw != nil {
		out = io.MultiWriter(sum, tw)
	}
	n, err := io.CopyN(out, ctxio.Reader(ctx, in), fi.Size())
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	now, err := in.Stat()
	if err != nil {
		return n, err
	}
	if n != fi.Size() || now.Size() != n || !now.ModTime().Equal(fi.ModTime()) {
		return n, &backup.Error{Err: fmt.Errorf("%s changed while it was read", path), Next: "stop the application first"}
	}
	return n, nil
}

// extract unpacks into the directory dest and never outside it: neither through
// ".." nor through a link that was unpacked before.
func extract(ctx context.Context, tr *tar.Reader, dest string) error {
	root, err := os.OpenRoot(dest)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	var dirs []*tar.Header
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name := filepath.FromSlash(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			// Permissions and times come last: a directory may forbid what is
			// still to be written into it.
			dirs = append(dirs, h)
			if h.Name != "." && h.Name != "./" {
				err = root.Mkdir(name, 0o700)
			}
		case tar.TypeSymlink:
			if err = root.Symlink(h.Linkname, name); err == nil {
				err = owner.Chown(root, name, h.Uid, h.Gid)
			}
		case tar.TypeReg:
			err = extractFile(ctx, root, name, h, tr)
		default:
			err = fmt.Errorf("unknown kind %q", h.Typeflag)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	for _, h := range slices.Backward(dirs) {
		if err := finish(root, filepath.FromSlash(filepath.Clean(h.Name)), h); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	return nil
}

func extractFile(ctx context.Context, root *os.Root, name string, h *tar.Header, r io.Reader) error {
	out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, ctxio.Reader(ctx, r))
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return finish(root, name, h)
}

// finish sets owner, permissions and times of a file or a directory, in this
// order: a change of the owner clears the set-uid bit.
func finish(root *os.Root, name string, h *tar.Header) error {
	if err := owner.Chown(root, name, h.Uid, h.Gid); err != nil {
		return err
	}
	if err := root.Chmod(name, h.FileInfo().Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	return root.Chtimes(name, h.ModTime, h.ModTime)
}
