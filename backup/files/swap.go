package files

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A slot is a name in a folder whose contents are swapped as a whole: a
// folder, or a file with companions (an SQLite database and its -wal).
//
// The main name leaves first and arrives last. A swap that was cut short is
// known by the main name being free while <name>.aspupdate-old-<mark> and one of
// the two others with the same mark exist.
type slot struct {
	path       string   // absolute; links in its parents are resolved
	companions []string // endings of the names that go along with the main one
}

// What a name beside the slot is for, as a part of it.
const (
	isNew    = "new"    // being built, or to take the place
	isOld    = "old"    // was live, kept aside
	isUndone = "undone" // was restored, then given up by Undo
)

var markForm = regexp.MustCompile(`^[0-9a-f]{12}$`)

func newMark() string {
	var r [6]byte
	_, _ = rand.Read(r[:])
	return hex.EncodeToString(r[:])
}

// resolveSlot turns a caller's path into a slot's. The last part may be
// missing; it may not be a link, since renaming a link moves no data.
func resolveSlot(path string, companions ...string) (slot, error) {
	if path == "" {
		return slot{}, errors.New("no path given: set Path")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return slot{}, err
	}
	parent, base := filepath.Dir(abs), filepath.Base(abs)
	if parent == abs {
		return slot{}, fmt.Errorf("%s is the root of a volume: it cannot be swapped", abs)
	}
	parent, err = filepath.EvalSymlinks(parent)
	if err != nil {
		return slot{}, err
	}
	s := slot{filepath.Join(parent, base), companions}
	fi, err := os.Lstat(s.path)
	if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		return slot{}, fmt.Errorf("%s is a link: give the path that it points to", s.path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return slot{}, err
	}
	return s, nil
}

func (s slot) beside(kind, mark string) string {
	return s.path + ".aspupdate-" + kind + "-" + mark
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// move renames from to to with the companions that there are. The main name
// goes first when it leaves the slot and last when it takes it.
func (s slot) move(from, to string, mainFirst bool) error {
	names := append([]string{""}, s.companions...)
	if !mainFirst {
		slices.Reverse(names)
	}
	for _, c := range names {
		if c != "" {
			if ok, err := exists(from + c); err != nil || !ok {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := durable.Publish(from+c, to+c); err != nil {
			return err
		}
	}
	return nil
}

func (s slot) leave(to string) error    { return s.move(s.path, to, true) }
func (s slot) arrive(from string) error { return s.move(from, s.path, false) }

// swap keeps what is live aside under the name out, and lets the new data at
// in, which has no companions, take its place. After an error recover brings
// back what was live.
func (s slot) swap(out, in string) error {
	if err := s.leave(out); err != nil {
		return err
	}
	return s.arrive(in)
}

// unswap lets what is live go and old take its place again. Once nothing of
// it is under the live name it is renamed from undone to fresh: a companion under
// the live name belongs to it before that, and to old from then on.
func (s slot) unswap(undone, fresh, old string) error {
	if err := s.leave(undone); err != nil {
		return err
	}
	if err := s.move(undone, fresh, false); err != nil {
		return err
	}
	return s.arrive(old)
}

// marks returns the marks of the names of one kind, also where only a
// companion is left.
func (s slot) marks(kind string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(s.path))
	if err != nil {
		return nil, err
	}
	prefix := filepath.Base(s.beside(kind, ""))
	var marks []string
	for _, e := range entries {
		mark, ok := strings.CutPrefix(e.Name(), prefix)
		for _, c := range s.companions {
			mark = strings.TrimSuffix(mark, c)
		}
		if ok && markForm.MatchString(mark) && !slices.Contains(marks, mark) {
			marks = append(marks, mark)
		}
	}
	return marks, nil
}

// recover finishes what a killed run left: a swap cut short gives the name
// back to the old; what was half built or given up is removed. What is kept
// aside stays.
func (s slot) recover() error {
	live, err := exists(s.path)
	if err != nil {
		return err
	}
	if !live {
		if err := s.recoverSwap(); err != nil {
			return err
		}
	}
	return errors.Join(s.removeAll(isNew), s.removeAll(isUndone))
}

func (s slot) recoverSwap() error {
	olds, err := s.marks(isOld)
	if err != nil {
		return err
	}
	for _, mark := range olds {
		undone, err := exists(s.beside(isUndone, mark))
		if err != nil {
			return err
		}
		fresh, err := exists(s.beside(isNew, mark))
		if err != nil {
			return err
		}
		switch {
		case undone:
			// See unswap: these were to go with what was undone.
			if err := s.dropCompanions(s.path); err != nil {
				return err
			}
		case !fresh:
			continue // nothing was cut short: somebody removed the live data
		}
		return s.arrive(s.beside(isOld, mark))
	}
	return nil
}

// removeAll removes everything of a kind. The main name goes last: while it
// is there the companions are known for ours.
func (s slot) removeAll(kind string) error {
	marks, err := s.marks(kind)
	if err != nil {
		return err
	}
	for _, mark := range marks {
		if err := s.remove(s.beside(kind, mark)); err != nil {
			return err
		}
	}
	return nil
}

func (s slot) remove(path string) error {
	if err := s.dropCompanions(path); err != nil {
		return err
	}
	if err := removeTree(path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

func (s slot) dropCompanions(path string) error {
	for _, c := range s.companions {
		if err := os.RemoveAll(path + c); err != nil {
			return err
		}
	}
	return nil
}

// tidy removes what restores kept aside, unless that is all there is.
func (s slot) tidy() error {
	live, err := exists(s.path)
	if err != nil {
		return err
	}
	olds, err := s.marks(isOld)
	if err != nil {
		return err
	}
	if !live && len(olds) > 0 {
		return fmt.Errorf("nothing is at %s and %s is all that is left: rename it, or remove it by hand",
			s.path, s.beside(isOld, olds[0]))
	}
	return s.removeAll(isOld)
}

// removeTree removes a folder even if its own permissions forbid that.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSymlink == 0 {
			_ = os.Chmod(p, 0o700) //nolint:gosec // about to be removed; on Windows read-only files too
		}
		return nil
	})
	return os.RemoveAll(path)
}
