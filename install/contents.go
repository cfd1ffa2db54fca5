package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// contents is where the headers of the file that would run are read: of a file, or of one
// in a zip archive that is not unpacked yet. The zero value has none.
type contents struct {
	path   string // for people, and for the extension
	zipped bool
	read   func(use func(headers) error) error
}

func fileAt(path string) contents {
	return contents{path: path, read: func(use func(headers) error) error { return withHeaders(path, use) }}
}

// withHeaders calls use with a regular file only: opening a pipe would wait.
func withHeaders(path string, use func(headers) error) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return errors.New("not a regular file; name the file itself")
	}
	f, err := open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return use(headers{f, fi.Size()})
}

// detect returns the kind of what is there.
func (c contents) detect() (kind Kind, err error) {
	err = c.read(func(f headers) error { kind, err = detect(f.r, f.size); return err })
	if errors.Is(err, ErrUnknownKind) {
		err = withLauncher(err, c.path)
	}
	return kind, err
}

// head returns the beginning, enough for an interpreter line.
func (c contents) head() (head []byte, err error) {
	err = c.read(func(f headers) error { head, err = f.read(0, min(f.size, interpreterLimit)); return err })
	return head, err
}

// withEntry calls use with the file that Run would run, or returns why there is none.
func (c Command) withEntry(ctx context.Context, use func(contents) error) error {
	if c.Path == "" {
		return use(contents{})
	}
	fi, err := os.Stat(c.Path)
	switch {
	case err != nil:
		return err
	case c.Entry == "" && fi.IsDir():
		return errDirectory(c.Path)
	case c.Entry == "":
		return use(fileAt(c.Path))
	case !fi.IsDir():
		return withZipEntry(ctx, c.Path, c.Entry, use)
	}
	file, err := entryIn(c.Path, c.Entry)
	if err != nil {
		return err
	}
	return use(fileAt(file))
}

// subject is the file that runs, for people.
func (c Command) subject() string { return filepath.Join(c.Path, filepath.FromSlash(c.Entry)) }
