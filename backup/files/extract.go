package files

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// extract unpacks into root, a new directory that only this account may enter,
// and never outside it: neither through ".." nor through a link that was
// unpacked before. It returns what root itself is to get, last of all: until
// then no other account can reach what has its owner and rights already.
func extract(ctx context.Context, tr *tar.Reader, root *os.Root) (top *tar.Header, err error) {
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
			return nil, err
		}
		name := filepath.FromSlash(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			// Permissions and times come last: a directory may forbid what is
			// still to be written into it.
			if filepath.Clean(name) == "." {
				top = h
				continue
			}
			dirs = append(dirs, h)
			err = root.Mkdir(name, 0o700)
		case tar.TypeSymlink:
			if err = root.Symlink(h.Linkname, name); err == nil {
				err = tree.GiveLink(root, name, h.Uid, h.Gid)
			}
		case tar.TypeLink:
			err = root.Link(filepath.FromSlash(h.Linkname), name)
		case tar.TypeReg:
			err = extractFile(ctx, root, name, h, tr)
		default:
			err = fmt.Errorf("unknown kind %q", h.Typeflag)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	if top == nil {
		return nil, errors.New("the backup does not describe the directory itself")
	}
	for _, h := range slices.Backward(dirs) {
		if err := finish(root, filepath.FromSlash(filepath.Clean(h.Name)), h); err != nil {
			return nil, fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	return top, nil
}

// extractFile writes one file. Owner, permissions and attributes are set by the
// descriptor that its bytes were written to.
func extractFile(ctx context.Context, root *os.Root, name string, h *tar.Header, r io.Reader) error {
	out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	r = ctxio.Reader(ctx, r)
	if h.PAXRecords[sparseRecord] != "" {
		err = copySparse(out, r)
	} else {
		_, err = io.Copy(out, r)
	}
	if err == nil {
		err = tree.Give(out, h.Uid, h.Gid, h.FileInfo().Mode())
	}
	if err == nil {
		err = tree.SetAttrs(out, attrsOf(h))
	}
	if err == nil && runtime.GOOS == "windows" { // elsewhere it is synced when all is set
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return root.Chtimes(name, h.ModTime, h.ModTime)
}

// finish sets owner, permissions, attributes and times of a directory.
func finish(root *os.Root, name string, h *tar.Header) error {
	if err := tree.GiveDir(root, name, h.Uid, h.Gid, h.FileInfo().Mode(), attrsOf(h)); err != nil {
		return err
	}
	return root.Chtimes(name, h.ModTime, h.ModTime)
}

func attrsOf(h *tar.Header) map[string]string {
	attrs := map[string]string{}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, attrRecord); ok {
			attrs[name] = value
		}
	}
	return attrs
}

// copySparse copies r to f, and leaves holes for blocks of zeros.
func copySparse(f *os.File, r io.Reader) error {
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	var size int64
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 && !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := f.WriteAt(buf[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return f.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}
