package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch/internal/names"
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

func (u *unfit) Error() string { return fmt.Sprintf("%s: %s", names.Show(u.path), u.why) }

// Refresh returns the file as the server has it now. A folder that cannot be
// fetched any more is [ErrChanged].
func (f File) Refresh(ctx context.Context, src Source) (File, error) {
	if f.Parts == nil {
		e, err := Stat(ctx, src, f.Path)
		f.Size, f.Time = e.Size, e.Time
		return f, err
	}
	folders := 0
	parts, err := ReadParts(ctx, func(ctx context.Context, dir string) ([]Entry, error) {
		if folders++; folders > maxFolders {
			return nil, errTooManyFolders
		}
		return src.List(ctx, dir)
	}, f.Path)
	if u, ok := errors.AsType[*unfit](err); ok {
		return File{}, &Error{Op: "fetch", Name: f.Path, Reason: ErrChanged, Err: u, Hint: "look for releases again"}
	}
	f.Parts, f.Size, f.Time = parts, 0, time.Time{}
	for _, p := range parts {
		f.add(p)
	}
	return f, err
}

// add counts a part of the folder.
func (f *File) add(p Part) {
	f.Size += p.Size
	if p.Time.After(f.Time) {
		f.Time = p.Time
	}
}

// ReadParts returns the files below dir, by path. list lists one folder. A
// folder with anything that could not be stored or run as it is (see "Variants
// that are folders") is an error: half an installer is none.
func ReadParts(ctx context.Context, list func(context.Context, string) ([]Entry, error), dir string) ([]Part, error) {
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
	folded := strings.ToLower(names.Text(rel))
	switch {
	case e.Kind == KindUnreadable:
		return &unfit{e.Name, SkipUnreadable}
	case !names.IsSafe(e.Text()) || len(folded) > maxPath || taken[folded]:
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
