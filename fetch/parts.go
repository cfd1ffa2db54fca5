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

// Limits of what a hostile server can make of one directory.
const (
	maxParts = 20_000
	maxDepth = 16
	maxPath  = 400 // bytes below the directory: what Windows leaves to an archive with a long path
)

// An unfetchable is a part that causes its whole directory to be skipped:
// it could not be fetched, stored or run as it is on the server.
type unfetchable struct {
	path   string
	reason SkipReason
}

func (u *unfetchable) Error() string { return fmt.Sprintf("%s: %s", names.Show(u.path), u.reason) }

// Refresh returns the file as the server has it now. A directory that cannot be
// fetched any more is [ErrChanged].
func (f File) Refresh(ctx context.Context, src Source) (File, error) {
	if f.Parts == nil {
		e, err := stat(ctx, src, f.Path, func() (Entry, error) { return listed(ctx, src, f.Path) })
		f.Size, f.Time = e.Size, e.Time
		return f, err
	}
	dirs := 0
	parts, err := ReadParts(ctx, func(ctx context.Context, dir string) ([]Entry, error) {
		if dirs++; dirs > maxDirs {
			return nil, errTooManyDirs
		}
		return src.List(ctx, dir)
	}, f.Path)
	if u, ok := errors.AsType[*unfetchable](err); ok {
		return File{}, &Error{Op: "fetch", Subject: f.Path, Err: fmt.Errorf("%w: %w", ErrChanged, u), Next: "find the release again"}
	}
	f.Parts, f.Size, f.Time = parts, 0, time.Time{}
	for _, p := range parts {
		f.add(p)
	}
	return f, err
}

// add counts a part of the directory.
func (f *File) add(p Part) {
	f.Size += p.Size
	if p.Time.After(f.Time) {
		f.Time = p.Time
	}
}

// ReadParts returns the files below dir, by path in UTF-8. list lists one directory. A
// directory with anything that could not be stored or run as it is (see
// "Variants that are directories") is an error: half an installer is useless.
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
			if err := checkPart(e, path.Join(dir, rel)+"/"+e.Name, p, taken); err != nil {
				return err
			}
			if e.Kind == KindFile {
				parts = append(parts, Part{Path: p, Size: e.Size, Time: e.Time})
			} else if err := walk(p, depth+1); err != nil {
				return err
			}
			if len(parts) > maxParts || depth > maxDepth {
				return &unfetchable{dir, skipParts}
			}
		}
		return nil
	}
	if err := walk("", 1); err != nil {
		return nil, err
	}
	// As the archive names them: the bytes of CP1251 have another order than those
	// of UTF-8, where "ё" comes last.
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Compare(names.Text(a.Path), names.Text(b.Path)) })
	total := int64(0)
	for _, p := range parts {
		if p.Size > math.MaxInt64/2-total {
			return nil, &unfetchable{dir, skipParts}
		}
		total += p.Size
	}
	if len(parts) == 0 {
		return nil, &unfetchable{dir, skipEmpty}
	}
	return parts, nil
}

// checkPart returns why an entry makes its directory unfetchable. taken has the
// paths of the entries before it.
func checkPart(e Entry, full, rel string, taken map[string]bool) error {
	// Windows does not distinguish upper and lower case, a Mac not "й" in one
	// character and in two.
	folded := strings.ToLower(names.Fold(rel))
	switch {
	case e.Kind == KindUnreadable:
		return &unfetchable{e.Name, SkipUnreadable}
	case !names.IsSafe(e.text()) || len(folded) > maxPath || taken[folded]:
		return &unfetchable{full, skipUnsafe}
	case e.Kind == KindDir:
	case e.Kind != KindFile:
		return &unfetchable{full, skipLink}
	case e.Size < 0:
		return &unfetchable{full, skipNoSize}
	}
	taken[folded] = true
	return nil
}
