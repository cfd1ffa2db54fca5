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

// An upload is what tells one upload of a variant from another.
//
// A listing's time is hard to compare: a LIST shows the server's local time
// to the minute, and after six months to the day alone, so that the same file
// seems to have changed. A time to the second is exact. So two times are kept:
// the listing's, by which most looks see at once that nothing changed, and the
// most exact one that is known.
type upload struct {
	Variant version.Variant `json:"variant"`
	Path    string          `json:"path"` // in UTF-8
	Size    int64           `json:"size"`
	Parts   string          `json:"parts,omitempty"` // of a folder: a hash of its files' paths and sizes
	Listed  time.Time       `json:"listed,omitzero"`
	Time    time.Time       `json:"time,omitzero"`
	Sidecar string          `json:"sidecar,omitempty"`
}

// signature makes an upload of a file as a [fetch.Finder] found it. single reports
// whether it is one file, which a [fetch.Stater] can be asked about.
func signature(f fetch.File) (u upload, single bool) {
	t := f.Time.UTC().Truncate(time.Second)
	if t.Year() < 1 || t.Year() > 9999 {
		t = time.Time{} // no time that could be written
	}
	u = upload{Variant: f.Variant, Path: names.Text(f.Path), Size: f.Size, Listed: t, Time: t, Sidecar: names.Text(f.Sidecar)}
	if f.Parts == nil {
		return u, true
	}
	h := sha256.New()
	for _, p := range f.Parts {
		_, _ = fmt.Fprintf(h, "%d %q\n", p.Size, p.Path) // a hash takes everything
	}
	u.Parts = hex.EncodeToString(h.Sum(nil))
	return u, false
}

// blur is the most by which two times of one file can differ if one of them
// is a listing's: a day, and half a day of time zones.
const blur = 36 * time.Hour

// exact reports whether a time is known to the second. One file in sixty
// is taken for inexact though it is not, and then asked about once more.
func exact(t time.Time) bool { return t.Second() != 0 }

// sameTime reports whether two times may be those of one upload.
func sameTime(a, b time.Time) bool {
	if exact(a) && exact(b) {
		return a.Equal(b)
	}
	return a.IsZero() || b.IsZero() || a.Sub(b).Abs() <= blur
}

var errMoving = errors.New("changed since it was listed")

// compareUpload compares a file as it was found with what is remembered of
// it, which is nil for a file that is new. It returns what to remember from
// now on.
func compareUpload(ctx context.Context, src fetch.Source, f fetch.File, old *upload, now time.Time) (u upload, same bool, err error) {
	u, single := signature(f)
	same = old == nil || u.Path == old.Path && u.Size == old.Size && u.Parts == old.Parts
	known := old != nil && same
	if known && u.Listed.Equal(old.Listed) {
		u.Time = old.Time
		return u, true, nil
	}
	// Of an upload that was days old when it was first seen, the listing's
	// time is enough: another upload is days away from it.
	if single && !exact(u.Listed) && (known || now.Sub(u.Listed) < 2*blur) {
		if u.Time, err = askTime(ctx, src, f.Path, u); err != nil {
			return u, false, err
		}
	}
	if !known {
		return u, same, nil
	}
	same = sameTime(u.Time, old.Time)
	if same && !old.Time.IsZero() && (exact(old.Time) || !exact(u.Time)) {
		u.Time = old.Time // or else many small steps would never be seen
	}
	return u, same, nil
}

// askTime returns the most exact time that the source has for an upload.
// errMoving says that it is not there any more as it was listed.
func askTime(ctx context.Context, src fetch.Source, path string, u upload) (time.Time, error) {
	s, ok := src.(fetch.Stater)
	if !ok {
		return u.Listed, nil
	}
	e, err := s.Stat(ctx, path)
	switch {
	case errors.Is(err, fetch.ErrNotFound) || err == nil && e.Size >= 0 && e.Size != u.Size:
		return u.Listed, errMoving
	case err != nil:
		return u.Listed, err
	case e.Time.IsZero():
		return u.Listed, nil
	}
	asked, _ := signature(fetch.File{Time: e.Time})
	return asked.Time, nil
}
