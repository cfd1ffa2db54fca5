// Package dirhash hashes directories. It exists because the archive records
// this hash and the installer's runner compares it: both must agree on every
// byte.
package dirhash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// Of hashes a directory while it hands each file to each: f is open, and what
// each reads from r is what is hashed. It follows no link below dir, and fails at
// what is neither a file nor a directory, see package tree.
func Of(ctx context.Context, dir string, each func(path string, f *os.File, r io.Reader) error) (sum string, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	sums := map[string]string{}
	err = tree.WalkPath(ctx, dir, func(n *tree.Node) error {
		switch {
		case n.Mode.IsDir():
			return nil
		case !n.Mode.IsRegular():
			return fmt.Errorf("%s in the directory is neither a file nor a directory; remove it", n.Path)
		}
		h := sha256.New()
		r := io.TeeReader(ctxio.Reader(ctx, n.File), h)
		err := each(n.Path, n.File, r)
		if err == nil {
			_, err = io.Copy(io.Discard, r) // what each has left
		}
		sums[n.Path] = hex.EncodeToString(h.Sum(nil))
		return errors.Join(err, n.Changed())
	})
	if err != nil {
		return "", err
	}
	return Sum(sums), nil
}

// Sum returns the hash of a directory in lower-case hex: the SHA-256 of what
// sha256sum prints for its files in byte order of their paths, so that it can
// be computed by hand. The map has the SHA-256 of each file, in lower-case
// hex, by its path below the directory, with slashes.
func Sum(files map[string]string) string {
	h := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		_, _ = fmt.Fprintf(h, "%s  %s\n", files[path], path) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}
