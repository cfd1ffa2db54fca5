package swap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// At returns the slot of a file or a directory, and of the files that belong to
// it: companions are the suffixes of their names. The path need not exist. Links
// in its parents are resolved if no other account can change them: it could have data
// restored into a directory of somebody else. The path itself must not be one, since
// renaming a link moves no data.
func At(path string, companions ...string) (*Slot, error) {
	if path == "" {
		return nil, errors.New("no path given: set Path")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	parent := filepath.Dir(abs)
	if parent == abs {
		return nil, fmt.Errorf("%s is the root of a volume and cannot be swapped", abs)
	}
	parent, err = resolve(parent)
	if err != nil {
		return nil, err
	}
	d := directory{path: parent}
	live := filepath.Join(parent, filepath.Base(abs))
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	switch fi, err := root.Lstat(filepath.Base(live)); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case fi.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is a link: give the path that it points to", live)
	}
	d.probe = []string{filepath.Base(live)}
	longest := 0
	for _, c := range companions {
		d.probe = append(d.probe, filepath.Base(live)+c)
		longest = max(longest, len(c))
	}
	s := &Slot{Live: live, Place: d, companions: companions}
	// A name beside the live one that is too long is found now, and not by the rollback.
	beside := filepath.Base(s.beside(kindUndone, newMark())) + strings.Repeat("x", longest)
	_, err = root.Lstat(beside)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if runtime.GOOS == "windows" && len(utf16.Encode([]rune(beside))) > 255 { // which it reports as not existing
		err = errors.New("more than 255 characters")
	}
	if err != nil {
		return nil, fmt.Errorf("the name %s is too long: a restore makes names beside it that are %d bytes longer: %w",
			filepath.Base(live), len(beside)-len(filepath.Base(live)), err)
	}
	return s, nil
}

// resolve returns an absolute path without its links, each of which must be in a directory
// that no other account can change.
func resolve(path string) (string, error) {
	volume := filepath.VolumeName(path) + string(filepath.Separator)
	names := func(path string) []string {
		return strings.FieldsFunc(filepath.ToSlash(path), func(r rune) bool { return r == '/' })
	}
	at, rest := volume, names(path[len(filepath.VolumeName(path)):])
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		fi, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if err := private.Check(at); err != nil {
			return "", &backup.Error{Err: fmt.Errorf("%s is a link that another account can change: %w", next, err), Next: "give the path that it leads to"}
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if links++; links > 40 {
			return "", fmt.Errorf("%s has too many links", path)
		}
		if filepath.IsAbs(to) {
			at = filepath.VolumeName(to) + string(filepath.Separator)
			to = to[len(filepath.VolumeName(to)):]
		}
		rest = append(names(to), rest...)
	}
	if runtime.GOOS == "windows" { // where a name has several forms
		return filepath.EvalSymlinks(at)
	}
	return at, nil
}

// Movable fails if the live data cannot be renamed, or if something of another
// volume would be moved with it. It fails before an update what a rollback would
// stumble over.
func (s *Slot) Movable() error {
	d, ok := s.Place.(directory)
	if !ok {
		return nil
	}
	root, err := d.open()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for _, name := range d.probe {
		if err := tree.Movable(root, name); err != nil {
			return &backup.Error{Err: err, Next: "change that, or back up what is below it on its own"}
		}
	}
	return nil
}

// Buildable fails where [Slot.Movable] or [Slot.Build] would.
func (s *Slot) Buildable() error {
	if err := s.Movable(); err != nil {
		return err
	}
	_, err := safePlace(filepath.Dir(s.Live))
	return err
}

// isMade fails if what is live is not what was made.
func (s *Slot) isMade() error {
	if s.made == nil {
		return nil
	}
	root, err := s.Open()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	fi, err := root.Lstat(filepath.Base(s.Live))
	if err == nil && !os.SameFile(fi, s.made) {
		err = fmt.Errorf("%w: another account has replaced it on its way to %s", backup.ErrMismatch, s.Live)
	}
	return err
}

// Open opens the directory that holds the live data. The slot is one of files.
func (s *Slot) Open() (*tree.Root, error) { return tree.OpenExact(filepath.Dir(s.Live)) }

// Needs returns the space that a backup of a file or directory of that size
// needs, and a restore of it.
func Needs(live string, bytes int64) []backup.Need {
	parent := filepath.Dir(live)
	return []backup.Need{
		{Bytes: bytes, For: backup.ForSnapshot},
		{Path: parent, Bytes: bytes, For: backup.ForRestored},
		{Path: parent, Bytes: bytes, For: backup.ForOld},
	}
}

// directory is a place whose names are paths. Its methods open it each time, and
// then use no path: others may rename what is in it meanwhile.
type directory struct {
	path  string
	probe []string // names that the directory may spell in other letter case
}

func (d directory) open() (*tree.Root, error) { return tree.OpenExact(d.path) }

// with calls use with the directory and the names that paths of it end with.
func (d directory) with(use func(root *tree.Root, names []string) error, paths ...string) error {
	names := make([]string, len(paths))
	for i, p := range paths {
		if filepath.Dir(p) != d.path {
			return fmt.Errorf("%s is not in %s", p, d.path)
		}
		names[i] = filepath.Base(p)
	}
	root, err := d.open()
	if err != nil {
		return err
	}
	return errors.Join(use(root, names), root.Close())
}

func (d directory) List(context.Context) (paths []string, err error) {
	err = d.with(func(root *tree.Root, _ []string) error {
		entries, err := fs.ReadDir(root.FS(), ".")
		for _, e := range entries {
			paths = append(paths, filepath.Join(d.path, e.Name()))
		}
		for _, name := range d.probe {
			switch _, lerr := root.Lstat(name); {
			case lerr == nil:
				paths = append(paths, filepath.Join(d.path, name))
			case !errors.Is(lerr, fs.ErrNotExist):
				err = errors.Join(err, lerr)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return paths, nil
}

func (d directory) Rename(_ context.Context, from, to string) error {
	return d.with(func(root *tree.Root, names []string) error {
		return tree.Rename(root, names[0], root, names[1])
	}, from, to)
}

// Drop also removes a directory whose own permissions forbid that. It never
// enters another volume. What it does not know it leaves, with an error that is [errStray].
func (d directory) Drop(_ context.Context, path string) error {
	return d.with(func(root *tree.Root, names []string) error {
		switch known, err := tree.RemoveOurs(root, names[0]); {
		case err != nil:
			return err
		case !known:
			return fmt.Errorf("%w: %s has the name of a copy of ours, which another account may have given to it: remove it yourself, or rename it", errStray, path)
		}
		return tree.Sync(root)
	}, path)
}

// claim marks the directory under the live name, so that it can be dropped when it is no longer
// live. It does so if the directory belongs to the owner of what takes its place: who may rename
// there can give the live name to a directory of somebody else.
func (s *Slot) claim(like string) {
	if d, ok := s.Place.(directory); ok {
		_ = d.with(func(root *tree.Root, names []string) error {
			tree.Claim(root, names[0], names[1])
			return nil
		}, s.Live, like) // what cannot be marked is left later
	}
}

// firstForm is what follows the live path in the names that the first version
// gave to files and directories.
var firstForm = regexp.MustCompile(`^\.aspupdate-(new|old|undone)-([0-9a-f]{12})(.*)$`)

// adopt gives what the first version put aside the names of today, companions
// first, so that a crash in between leaves the rest to the next adopt. It drops
// what a killed Build left.
func (s *Slot) adopt(ctx context.Context) error {
	if _, ok := s.Place.(directory); !ok {
		return nil
	}
	if err := s.dropStages(); err != nil {
		return err
	}
	n, err := s.names(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(n.all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, name := range n.all {
		rest, _ := strings.CutPrefix(name, s.Live)
		m := firstForm.FindStringSubmatch(rest)
		if m == nil || m[3] != "" && !slices.Contains(s.companions, m[3]) {
			continue
		}
		if err := s.Place.Rename(ctx, name, s.beside(m[1], m[2])+m[3]); err != nil {
			return err
		}
	}
	return nil
}
