// Package crashfs computes what a power cut may leave of a directory, so that
// tests can start from there.
//
// The code under test runs unchanged, in its own process, and strace records its
// system calls: [Trace] converts them to a [Log]. From the log, [Log.Crashes]
// builds the possible contents of the disk after a crash before and after every
// single call, with all, none and some of the unsynced data lost. The test
// writes each [Image] to a new directory and runs the real recovery there.
//
// The library has no seam for this on purpose. An interface in place of the
// system calls would be needed in every package, would miss what bypasses it,
// and could differ from the real calls. The kernel's view misses nothing: calls
// that the parser does not understand make the test fail.
//
// The model of a disk is what POSIX and a journaling file system guarantee, and
// nothing more:
//
//   - Bytes of a file, and its length, are safe once the file is synced.
//     Before that any sector of 512 bytes may be written or not, and the file
//     may have any length in between.
//   - A name is safe once its directory is synced, and not when its file is.
//     Before that each change of a name may be written or not, in any order.
//   - A rename happens completely or not at all, between two directories as well.
//   - What was synced stays. Disks that report a sync too early are not modeled.
//
// Permissions, times, links and memory maps are not modeled.
package crashfs

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An Image is the contents of a directory: the data of files by their path below
// it, with slashes. The path of a directory ends with a slash and has no data.
type Image map[string]string

// Load returns the image of the directory root.
func Load(root string) (Image, error) {
	im := Image{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir():
			im[rel+"/"] = ""
		case d.Type().IsRegular():
			data, err := os.ReadFile(path) //nolint:gosec // a test's own directory
			if err != nil {
				return err
			}
			im[rel] = string(data)
		default:
			return fmt.Errorf("%s: neither a file nor a directory", path)
		}
		return nil
	})
	return im, err
}

// Write writes the image to the directory root. What is in it stays.
func (im Image) Write(root string) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	for _, rel := range slices.Sorted(maps.Keys(im)) { // a directory before its contents
		path := filepath.Join(root, filepath.FromSlash(rel))
		if strings.HasSuffix(rel, "/") {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			continue
		}
		if err := os.WriteFile(path, []byte(im[rel]), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Key is equal for two images if and only if their contents are.
func (im Image) Key() [sha256.Size]byte {
	h := sha256.New()
	for _, rel := range slices.Sorted(maps.Keys(im)) {
		_, _ = fmt.Fprintf(h, "%d %d ", len(rel), len(im[rel]))
		_, _ = h.Write([]byte(rel))
		_, _ = h.Write([]byte(im[rel]))
	}
	return [sha256.Size]byte(h.Sum(nil))
}
