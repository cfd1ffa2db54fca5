package swap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/owner"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// stagePrefix is followed by what identifies the live path, and a mark.
const stagePrefix = ".aspupdate-build-"

// Build makes the new file name beside the live one. Programs and drivers open
// it by its path while it is made, so it is made in a directory that no other
// account can enter, rename or replace: beside the live file, or in the next
// directory above it of which that is true. There it gets its owner and its
// permissions, by its descriptor, and only then its name. From another volume, as
// where the whole volume is the application's, it is copied, by descriptors too.
//
// The companions that make leaves are dropped.
func (s *Slot) Build(name string, own *owner.Owner, make func(file string) error) (err error) {
	place, err := safePlace(filepath.Dir(s.Live))
	if err != nil {
		return err
	}
	above, err := tree.OpenExact(place)
	if err != nil {
		return err
	}
	defer func() { _ = above.Close() }()
	stage := s.stage() + newMark()
	dir, err := tree.Make(above, stage)
	if err != nil {
		return err
	}
	// Windows removes no directory that is open.
	defer func() { err = errors.Join(err, dir.Close(), tree.Remove(above, stage)) }()
	file := "new" + filepath.Ext(s.Live)
	if err := make(filepath.Join(place, stage, file)); err != nil {
		return err
	}
	made, err := finish(dir, file, own)
	if err != nil {
		return err
	}
	s.Made(made)
	beside, err := s.Open()
	if err != nil {
		return err
	}
	defer func() { _ = beside.Close() }()
	if err := tree.CopyLabel(beside, filepath.Base(s.Live), dir, file); err != nil {
		return err
	}
	err = tree.Rename(dir, file, beside, filepath.Base(name))
	if errors.Is(err, syscall.EXDEV) {
		return s.copyAcross(dir, file, beside, filepath.Base(name), own)
	}
	return err
}

// copyAcross copies the file that was made to its name on another volume. Who owns
// the directory there can exchange the name, as it can later, but neither read nor
// change the file before it is its own, nor lead the copy elsewhere.
func (s *Slot) copyAcross(dir *tree.Root, file string, beside *tree.Root, name string, own *owner.Owner) (err error) {
	from, err := dir.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := beside.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	// The label before the owner, who could exchange it through another name.
	if err := tree.CopyLabel(beside, filepath.Base(s.Live), beside, name); err != nil {
		return err
	}
	if own != nil {
		if err := own.Give(to); err != nil {
			return err
		}
	}
	fi, err := to.Stat()
	if err != nil {
		return err
	}
	s.Made(fi)
	return errors.Join(to.Sync(), tree.Sync(beside))
}

// Needs returns the space that [Slot.Build] needs for a file of that size.
func (s *Slot) Needs(bytes int64) []backup.Need {
	list := Needs(s.Live, bytes)
	parent := filepath.Dir(s.Live)
	if place, err := safePlace(parent); err == nil && !tree.SameVolume(place, parent) {
		list = append(list, backup.Need{Path: place, Bytes: bytes, For: backup.ForRestored})
	}
	return list
}

// finish gives the file its owner and syncs it.
func finish(dir *tree.Root, name string, own *owner.Owner) (fs.FileInfo, error) {
	before, err := dir.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := dir.OpenFile(name, os.O_RDWR, 0) // Windows syncs only what it may write
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(before, fi) || !tree.Alone(fi) {
		return nil, errors.New("the file that was made has other names as well")
	}
	if own != nil {
		if err := own.Give(f); err != nil {
			return nil, err
		}
	}
	return fi, f.Sync()
}

// stage returns what the names of this slot's directories begin with.
func (s *Slot) stage() string {
	sum := sha256.Sum256([]byte(s.Live))
	return stagePrefix + hex.EncodeToString(sum[:6]) + "-"
}

// dropStages drops what killed calls of Build left.
func (s *Slot) dropStages() error {
	place, err := safePlace(filepath.Dir(s.Live))
	if err != nil {
		return nil // Build has made nothing then
	}
	root, err := tree.OpenExact(place)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), ".")
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if mark, ok := strings.CutPrefix(e.Name(), s.stage()); ok && markForm.MatchString(mark) {
			if err := tree.Remove(root, e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// safePlace returns the directory in which Build makes its own: dir, or one
// above it.
func safePlace(dir string) (string, error) {
	place, err := tree.Safe(dir)
	if err == nil {
		return place, nil
	}
	return "", &backup.Error{Err: err, Next: "let root or this account own " + dir + ", and no other account write there"}
}

// TryFile is TryBegin of a file that has this owner.
func (s *Slot) TryFile(ctx context.Context, own owner.Owner) error {
	return s.TryBegin(ctx, func(name string) error {
		return s.Build(name, &own, func(file string) error { return os.WriteFile(file, nil, 0o600) })
	})
}
