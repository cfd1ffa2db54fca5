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
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// At returns the slot of a file or a directory, and of the files that belong to
// it: companions are the suffixes of their names. The path need not exist. Links
// in its parents are resolved; the path itself must not be one, since renaming
// a link moves no data.
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
	parent, err = filepath.EvalSymlinks(parent)
	if err != nil {
		return nil, err
	}
	live := filepath.Join(parent, filepath.Base(abs))
	switch fi, err := os.Lstat(live); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case fi.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is a link: give the path that it points to", live)
	}
	probe := []string{live}
	for _, c := range companions {
		probe = append(probe, live+c)
	}
	return &Slot{Live: live, Place: directory{parent, probe}, companions: companions}, nil
}

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

// directory is a place whose names are paths.
type directory struct {
	path  string
	probe []string // names that the directory may spell in other letter case
}

func (d directory) List(context.Context) ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		paths = append(paths, filepath.Join(d.path, e.Name()))
	}
	for _, p := range d.probe {
		switch _, err := os.Lstat(p); {
		case err == nil:
			paths = append(paths, p)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return paths, nil
}

func (d directory) Rename(_ context.Context, from, to string) error { return durable.Publish(from, to) }

// firstForm is what follows the live path in the names that the first version
// gave to files and directories.
var firstForm = regexp.MustCompile(`^\.aspupdate-(new|old|undone)-([0-9a-f]{12})(.*)$`)

// adopt gives what the first version put aside the names of today, companions
// first, so that a crash in between leaves the rest to the next adopt.
func (s *Slot) adopt(ctx context.Context) error {
	if _, ok := s.Place.(directory); !ok {
		return nil
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

// Drop also removes a directory whose own permissions forbid that.
func (d directory) Drop(_ context.Context, path string) error {
	err := os.RemoveAll(path)
	if errors.Is(err, fs.ErrPermission) {
		_ = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.Type()&fs.ModeSymlink == 0 {
				_ = os.Chmod(p, 0o700) //nolint:gosec // about to be removed; on Windows read-only files too
			}
			return nil
		})
		err = os.RemoveAll(path)
	}
	if err != nil {
		return err
	}
	return durable.SyncDir(d.path)
}
