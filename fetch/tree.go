package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/dirhash"
)

// Bounds of what a hostile server can make of one folder.
const (
	maxParts = 20_000
	maxDepth = 16
	maxPath  = 400 // bytes below the folder: what Windows leaves to an archive that lies deep
)

// An unfit folder holds something that could not be fetched, stored or run as
// it is on the server: the folder is passed over whole.
type unfit struct {
	path string
	why  Why
}

// skipEmpty is perhaps an upload that has just begun: on a server it counts as
// settling.
const skipEmpty Why = "a folder without files"

func (u *unfit) Error() string { return fmt.Sprintf("%s: %s", show(u.path), u.why) }

// readTree returns the files below dir, by path. Whatever it cannot take makes
// the whole of it unfit: half an installer is none.
func readTree(ctx context.Context, list func(context.Context, string) ([]Entry, error), dir string) ([]Part, error) {
	var parts []Part
	taken := map[string]bool{}
	var walk func(rel string, depth int) error
	walk = func(rel string, depth int) error {
		entries, err := list(ctx, path.Join(dir, rel))
		if err != nil {
			return err
		}
		for _, e := range entries {
			p := path.Join(rel, e.Name)
			if err := fits(e, path.Join(dir, rel)+"/"+e.Name, p, taken); err != nil {
				return err
			}
			if e.Kind == KindFile {
				parts = append(parts, Part{Path: p, Size: e.Size, Time: e.Time})
			} else if err := walk(p, depth+1); err != nil {
				return err
			}
			if len(parts) > maxParts || depth > maxDepth {
				return &unfit{dir, SkipTree}
			}
		}
		return nil
	}
	if err := walk("", 1); err != nil {
		return nil, err
	}
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Compare(a.Path, b.Path) })
	total := int64(0)
	for _, p := range parts {
		if p.Size > math.MaxInt64/2-total {
			return nil, &unfit{dir, SkipTree}
		}
		total += p.Size
	}
	if len(parts) == 0 {
		return nil, &unfit{dir, skipEmpty}
	}
	return parts, nil
}

// fits reports what is wrong with an entry of a tree.
func fits(e Entry, full, rel string, taken map[string]bool) error {
	// Windows takes names in either case for one and the same.
	folded := strings.ToLower(text(rel))
	switch {
	case e.Kind == KindUnreadable:
		return &unfit{e.Name, SkipUnreadable}
	case !isSafe(e.Text()) || len(folded) > maxPath || taken[folded]:
		return &unfit{full, SkipUnsafe}
	case e.Kind == KindFolder:
	case e.Kind != KindFile:
		return &unfit{full, SkipLink}
	case e.Size < 0:
		return &unfit{full, SkipNoSize}
	}
	taken[folded] = true
	return nil
}

// localTree returns the files below a folder of this machine, by path, under
// the rules for a folder on a server.
func localTree(dir string) ([]Part, error) {
	return readTree(context.Background(), func(_ context.Context, dir string) ([]Entry, error) {
		listed, err := os.ReadDir(filepath.FromSlash(dir))
		var entries []Entry
		for _, l := range listed {
			fi, err := l.Info()
			if err != nil {
				return nil, err
			}
			e := Entry{Name: l.Name(), Kind: KindOther, Size: fi.Size(), Time: fi.ModTime().UTC()}
			switch {
			case fi.IsDir():
				e.Kind = KindFolder
			case fi.Mode().IsRegular():
				e.Kind = KindFile
			}
			entries = append(entries, e)
		}
		return entries, err
	}, filepath.ToSlash(dir))
}

// whole returns the size of all parts and the time of the newest.
func whole(parts []Part) (size int64, newest time.Time) {
	for _, p := range parts {
		size += p.Size
		if p.Time.After(newest) {
			newest = p.Time
		}
	}
	return size, newest
}

// sumTree returns the hash of a folder.
func sumTree(parts []Part) string {
	sums := make(map[string]string, len(parts))
	for _, p := range parts {
		sums[p.Path] = p.SHA256
	}
	return dirhash.Sum(sums)
}

// checkTree reports whether parts can be those of a folder in the archive:
// nothing of a manifest is believed either.
func checkTree(parts []Part) error {
	taken := map[string]bool{}
	last := ""
	for _, p := range parts {
		if p.Path <= last {
			return errors.New("its files are not in order")
		}
		last = p.Path
		for name := range strings.SplitSeq(p.Path, "/") {
			if err := checkName(name); err != nil {
				return err
			}
		}
		folded := strings.ToLower(p.Path)
		if taken[folded] || p.Size < 0 || !isSum(p.SHA256) {
			return fmt.Errorf("%s is not described as a file", show(p.Path))
		}
		taken[folded] = true
	}
	return nil
}
