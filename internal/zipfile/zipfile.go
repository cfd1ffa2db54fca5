// Package zipfile opens zip archives of installers within bounds, so that an archive costs no
// memory without end before anything in it is read.
package zipfile

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// MaxFiles is how many files and directories an archive has at most: more than any installer.
	MaxFiles = 100_000

	maxDirectory = 16 << 20 // bytes that are read to list them
)

// ErrTooLarge means that an archive has more files than an installer.
var ErrTooLarge = errors.New("the archive lists too many files, or with too long names")

// A Reader is an open archive.
type Reader struct {
	*zip.Reader
	io.Closer
	Size int64 // of the archive
}

// Open opens the archive and lists what is in it. An archive that lists too much is
// [ErrTooLarge], and other errors are those of [zip.NewReader].
func Open(path string) (r Reader, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	fi, err := f.Stat()
	if err != nil {
		return r, err
	}
	// What the archive states of its own list is not believed.
	listing := &limited{of: f, left: maxDirectory}
	z, err := zip.NewReader(listing, fi.Size())
	switch {
	case listing.left < 0:
		return r, ErrTooLarge
	case err != nil:
		return r, err
	case len(z.File) > MaxFiles:
		return r, fmt.Errorf("%w: %d", ErrTooLarge, len(z.File))
	}
	listing.done = true
	return Reader{z, f, fi.Size()}, nil
}

// limited reads so many bytes, until it is done.
type limited struct {
	of   io.ReaderAt
	left int64
	done bool
}

func (l *limited) ReadAt(b []byte, off int64) (int, error) {
	if !l.done {
		if l.left -= int64(len(b)); l.left < 0 {
			return 0, ErrTooLarge
		}
	}
	return l.of.ReadAt(b, off)
}
