package install

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/zipfile"
)

// What is in a zip archive is known before it is unpacked, which happens once users are
// closed out: its names and sizes, and the headers of the file that runs.

const (
	// unpackLimit is how much of one archive is unpacked, at most, to read a file in it: a small
	// one can have files without end. It is more than any installer has.
	unpackLimit = 8 << 30
	// keptHead of the file stays in memory, because most headers are there.
	keptHead = 1 << 20
)

// withZipEntry calls use with the entry of a zip archive, or returns why Run could not
// unpack the archive and run the entry. It reads the entry to its end. The space is a matter of
// the plan: a version that a person accepts is not unpacked.
func withZipEntry(ctx context.Context, archive, entry string, use func(contents) error) error {
	z, err := openZip(archive)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	files, err := members(z.File)
	if err != nil {
		return err
	}
	for _, f := range z.File {
		if err := inArchive(f, z.Size); err != nil {
			return damaged(f, err)
		}
	}
	if !filepath.IsLocal(filepath.FromSlash(entry)) {
		return errOutside(entry)
	}
	f := files[memberKey(path.Clean(filepath.ToSlash(entry)))]
	if f == nil {
		return errNoEntry(entry)
	}
	e := &zipEntry{file: f, left: unpackLimit, wrap: func(r io.Reader) io.Reader { return ctxio.Reader(ctx, r) }}
	defer e.close()
	if err := e.readToEnd(); err != nil {
		if ctx.Err() != nil { // the archive is not to blame
			return context.Cause(ctx)
		}
		return damaged(f, err)
	}
	return use(contents{path: path.Join(archive, entry), zipped: true, read: func(use func(headers) error) error {
		return use(headers{e, e.size})
	}})
}

func openZip(archive string) (z zipfile.Reader, err error) {
	z, err = zipfile.Open(archive)
	if errors.Is(err, zipfile.ErrTooLarge) {
		return z, fmt.Errorf("%s: %w; unpack it and use the directory", filepath.Base(archive), err)
	}
	if err != nil {
		return z, fmt.Errorf("an Entry is set, and %s is not a zip archive, or is damaged or cut short: %w; leave Entry empty, or fetch the file again", filepath.Base(archive), err)
	}
	return z, nil
}

func damaged(f *zip.File, err error) error {
	return fmt.Errorf("%q in the archive: %w; get the archive anew, or unpack it and use the directory", f.Name, err)
}

// Bounds of a name in an archive, which no installer reaches.
const (
	maxName  = 4 << 10
	maxDepth = 100

	shownOfName = 200 // bytes, in an error
)

// members returns the files of an archive by name, and fails where Run could not write
// them all: names that lead out of the archive, of links, and of two files at one place.
func members(list []*zip.File) (map[string]*zip.File, error) {
	files, dirs := map[string]*zip.File{}, map[string]bool{".": true}
	for _, f := range list {
		name, isDir := strings.CutSuffix(f.Name, "/")
		if !validName(name) {
			return nil, fmt.Errorf("the archive has a file with the name %q, which is outside of it or not valid on every system", name[:min(len(name), shownOfName)])
		}
		if !isDir && !f.Mode().IsRegular() {
			return nil, fmt.Errorf("%q in the archive is neither a file nor a directory", f.Name)
		}
		key := memberKey(name)
		taken := files[key] != nil || !isDir && dirs[key]
		for at := key; !taken; {
			i := strings.LastIndexByte(at, '/')
			if i < 0 {
				break
			}
			at = at[:i]
			taken = files[at] != nil
			dirs[at] = true
		}
		switch {
		case len(dirs) > zipfile.MaxFiles:
			return nil, zipfile.ErrTooLarge
		case taken:
			return nil, fmt.Errorf("the archive has two files at the place of %q", f.Name)
		case isDir:
			dirs[key] = true
		default:
			files[key] = f
		}
	}
	return files, nil
}

func validName(name string) bool {
	return len(name) <= maxName && strings.Count(name, "/") <= maxDepth &&
		fs.ValidPath(name) && filepath.IsLocal(filepath.FromSlash(name)) && !strings.ContainsAny(name, `\:`)
}

// memberKey is the same for two names of one file on this system.
func memberKey(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToLower(name)
	}
	return name
}

// inArchive fails if the data of f is not in its archive of size bytes, or compressed in an
// unknown way.
func inArchive(f *zip.File, size int64) error {
	at, err := f.DataOffset()
	if err != nil {
		return err
	}
	if at > size || f.CompressedSize64 > uint64(size-at) { //nolint:gosec // not negative
		return io.ErrUnexpectedEOF
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	return r.Close()
}

// A zipEntry is a file in a zip archive that is read at any offset. Compressed data can be
// read from its beginning only: to go back is to unpack it again.
type zipEntry struct {
	file *zip.File
	size int64
	head []byte
	wrap func(io.Reader) io.Reader // of what is unpacked; nil for none
	r    io.ReadCloser
	from io.Reader // r, wrapped
	at   int64     // of r
	left int64     // of unpackLimit
}

var errTooMuch = errors.New("more than 8 GiB would be unpacked to read it")

// readToEnd keeps the beginning, and compares the checksum of all.
func (z *zipEntry) readToEnd() error {
	if z.file.UncompressedSize64 > uint64(z.left) { //nolint:gosec // not negative here
		return errTooMuch
	}
	z.size = int64(z.file.UncompressedSize64) //nolint:gosec // within the limit
	if err := z.rewind(); err != nil {
		return err
	}
	head := make([]byte, min(z.size, keptHead))
	if _, err := io.ReadFull(z, head); err != nil {
		return err
	}
	z.head = head
	_, err := io.Copy(io.Discard, z)
	return err
}

func (z *zipEntry) rewind() (err error) {
	z.close()
	z.r, err = z.file.Open()
	z.from, z.at = z.r, 0
	if z.wrap != nil {
		z.from = z.wrap(z.r)
	}
	return err
}

func (z *zipEntry) close() {
	if z.r != nil {
		_ = z.r.Close()
	}
	z.r = nil
}

// Read reads what follows, within the limit.
func (z *zipEntry) Read(b []byte) (int, error) {
	n, err := z.from.Read(b)
	z.at, z.left = z.at+int64(n), z.left-int64(n)
	if z.left < 0 {
		err = errTooMuch
	}
	return n, err
}

// ReadAt implements [io.ReaderAt]. It is for one goroutine at a time.
func (z *zipEntry) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) <= int64(len(z.head)) {
		return copy(b, z.head[off:]), nil
	}
	if z.r == nil || off < z.at {
		if err := z.rewind(); err != nil {
			return 0, err
		}
	}
	if _, err := io.CopyN(io.Discard, z, off-z.at); err != nil {
		return 0, err
	}
	return io.ReadFull(z, b)
}
