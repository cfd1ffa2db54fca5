// Package crashfs shows what a power cut may leave of a folder, so that tests
// can start from there.
//
// The code under test runs unchanged, in a process of its own, and strace
// writes down what it asked of the kernel: [Trace] makes a [Log] of it. From
// the log, [Log.Crashes] builds what the disk may hold after a crash before
// and after every single call, with all, none and some of the unsynced data
// lost. Each [Image] is written to a fresh folder, on which the test lets the
// real recovery loose.
//
// The library has no seam for this on purpose. An interface in the place of
// the system's calls would have to be threaded through every package, would
// miss whatever bypasses it, and would be one more thing that can differ from
// the real thing. The kernel's view misses nothing: what the parser does not
// know makes the test fail.
//
// The model of a disk is what POSIX promises and a file system with a journal
// keeps, and nothing more:
//
//   - Bytes of a file, and its length, are safe once the file is synced.
//     Before that any 512 byte sector of them may be there or not, and the
//     file may have any length on the way.
//   - A name is safe once the folder that holds it is synced, and not with
//     the file that it names. Before that each change of a name may be there
//     or not, whatever their order.
//   - A rename happens whole or not at all, between two folders as well.
//   - What was synced stays. Disks that lie about it are out of reach.
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

// An Image is what a folder holds: contents by path below it, separated by
// slashes. The path of a folder ends with a slash and has no contents.
type Image map[string]string

// Load reads an image from the folder root.
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
			data, err := os.ReadFile(path) //nolint:gosec // a test's own folder
			if err != nil {
				return err
			}
			im[rel] = string(data)
		default:
			return fmt.Errorf("%s: neither a file nor a folder", path)
		}
		return nil
	})
	return im, err
}

// Write makes the folder root hold the image. What is there already stays.
func (im Image) Write(root string) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	for _, rel := range slices.Sorted(maps.Keys(im)) { // a folder before what is in it
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

// Key is equal for two images exactly when they hold the same.
func (im Image) Key() [sha256.Size]byte {
	h := sha256.New()
	for _, rel := range slices.Sorted(maps.Keys(im)) {
		_, _ = fmt.Fprintf(h, "%d %d ", len(rel), len(im[rel]))
		_, _ = h.Write([]byte(rel))
		_, _ = h.Write([]byte(im[rel]))
	}
	return [sha256.Size]byte(h.Sum(nil))
}
