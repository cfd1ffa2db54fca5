package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/version"
)

// An upload is what distinguishes one upload of a variant from another.
//
// A listing's time is hard to compare: LIST shows the server's local time to the
// minute, and after six months to the day, so that the same file seems to have
// changed. A time to the second is exact. So two times are kept: the listing's,
// by which most checks see at once that nothing changed, and the most exact one
// that is known.
type upload struct {
	Variant version.Variant `json:"variant"`
	Path    string          `json:"path"` // in UTF-8
	Size    int64           `json:"size"`
	Parts   string          `json:"parts,omitempty"` // of a directory: a hash of its files' paths and sizes
	Listed  time.Time       `json:"listed,omitzero"`
	Time    time.Time       `json:"time,omitzero"`
	Sidecar string          `json:"sidecar,omitempty"`
}

// signature makes an upload of a file as a [fetch.Finder] found it. single reports
// whether it is one file, whose time a [fetch.Stater] has.
func signature(f fetch.File) (u upload, single bool) {
	t := f.Time.UTC().Truncate(time.Second)
	if t.Year() < 1 || t.Year() > 9999 {
		t = time.Time{} // cannot be written as JSON
	}
	u = upload{Variant: f.Variant, Path: names.Text(f.Path), Size: f.Size, Listed: t, Time: t, Sidecar: names.Text(f.Sidecar)}
	if f.Parts == nil {
		return u, true
	}
	h := sha256.New()
	for _, p := range f.Parts {
		_, _ = fmt.Fprintf(h, "%d %q\n", p.Size, p.Path) // a hash has no errors
	}
	u.Parts = hex.EncodeToString(h.Sum(nil))
	return u, false
}

// blur is the most by which two times of one file can differ if one of them
// is a listing's: a day, and half a day of time zones.
const blur = 36 * time.Hour

// exact reports whether a time is known to the second. One exact time in sixty is
// not recognized, and then requested once more.
func exact(t time.Time) bool { return t.Second() != 0 }

// sameTime reports whether two times can be those of one upload.
func sameTime(a, b time.Time) bool {
	if exact(a) && exact(b) {
		return a.Equal(b)
	}
	return a.IsZero() || b.IsZero() || a.Sub(b).Abs() <= blur
}

var errChanging = errors.New("the file changed after it was listed")

// compareUpload compares a file as it was found with what is remembered of it,
// which is nil for a new file. It returns what to remember from now on.
func compareUpload(ctx context.Context, src fetch.Source, f fetch.File, old *upload, now time.Time) (u upload, same bool, err error) {
	u, single := signature(f)
	inexact := single && !exact(u.Listed)
	if old == nil || u.Path != old.Path || u.Size != old.Size || u.Parts != old.Parts {
		// For an upload that is days old when it is first seen, the listing's
		// time is enough: the next upload is days away from it.
		if inexact && now.Sub(u.Listed) < 2*blur {
			u.Time, err = exactTime(ctx, src, f.Path, u)
		}
		return u, old == nil, err
	}
	if u.Listed.Equal(old.Listed) {
		u.Time = old.Time
		return u, true, nil
	}
	if inexact {
		if u.Time, err = exactTime(ctx, src, f.Path, u); err != nil {
			return u, false, err
		}
	}
	same = sameTime(u.Time, old.Time)
	if same && !old.Time.IsZero() && (exact(old.Time) || !exact(u.Time)) {
		u.Time = old.Time // or many small steps would never be noticed
	}
	return u, same, nil
}

// exactTime returns the most exact time that the source has for an upload. The
// error is errChanging if the file is no longer as it was listed.
func exactTime(ctx context.Context, src fetch.Source, path string, u upload) (time.Time, error) {
	s, ok := src.(fetch.Stater)
	if !ok {
		return u.Listed, nil
	}
	e, err := s.Stat(ctx, path)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil // e has a part
	}
	switch {
	case errors.Is(err, fetch.ErrNotFound) || err == nil && e.Size >= 0 && e.Size != u.Size:
		return u.Listed, errChanging
	case err != nil:
		return u.Listed, err
	case e.Time.IsZero():
		return u.Listed, nil
	}
	asked, _ := signature(fetch.File{Time: e.Time})
	return asked.Time, nil
}
