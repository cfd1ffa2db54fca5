package install

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/dirhash"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// Installers of more than one file are a directory or a zip archive. The file
// in it that the command names runs.

// copyTree copies the directory at src into dst and returns its hash.
func copyTree(ctx context.Context, src, dst string) (sum string, err error) {
	to, err := os.OpenRoot(dst)
	if err != nil {
		return "", err
	}
	defer func() { _ = to.Close() }()
	return dirhash.Of(ctx, src, func(name string, f *os.File, r io.Reader) error { return writeInto(to, name, r, f) })
}

// unpack unpacks the files and directories of a zip archive into dst.
func unpack(ctx context.Context, archive, dst string) error {
	z, err := openZip(archive)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	if _, err := members(z.File); err != nil {
		return err
	}
	to, err := os.OpenRoot(dst)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	if err := checkSpace(z.File, dst); err != nil {
		return err
	}
	for _, f := range z.File {
		name, isDir := strings.CutSuffix(f.Name, "/")
		if isDir {
			if err := to.MkdirAll(name, 0o700); err != nil {
				return err
			}
			continue
		}
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("%q in the archive: %w", f.Name, err)
		}
		err = writeInto(to, name, ctxio.Reader(ctx, r), nil)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%q in the archive: %w", f.Name, err)
		}
	}
	return nil
}

// checkSpace returns an error if the volume of dst has too little space for
// the files, which do not grow beyond the sizes in the archive.
func checkSpace(files []*zip.File, dst string) error {
	volume, err := durable.VolumeOf(dst)
	if err != nil {
		return err
	}
	left := uint64(max(volume.Free, 0))
	for _, f := range files {
		if f.UncompressedSize64 > left {
			return fmt.Errorf("the unpacked archive is larger than the %d bytes that are free for %s; free some space", volume.Free, dst)
		}
		left -= f.UncompressedSize64
	}
	return nil
}

// writeInto creates a file below root, executable because it may be a program,
// with the extended attributes of like, which may be nil.
func writeInto(root *os.Root, name string, r io.Reader, like *os.File) error {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil && like != nil {
		err = copyAttributes(f, like)
	}
	return errors.Join(err, f.Close())
}

// entryIn returns the path of the file to run in dir.
func entryIn(dir, entry string) (string, error) {
	local := filepath.FromSlash(entry)
	if !filepath.IsLocal(local) {
		return "", errOutside(entry)
	}
	file := filepath.Join(dir, local)
	if fi, err := os.Lstat(file); err != nil || !fi.Mode().IsRegular() {
		return "", errNoEntry(entry)
	}
	return file, nil
}

func errOutside(entry string) error {
	return fmt.Errorf("the entry %q is outside of the installer; name a file in it, separated by slashes", entry)
}

func errNoEntry(entry string) error {
	return fmt.Errorf("the installer has no file %q; set Entry to a file in it, separated by slashes", entry)
}
