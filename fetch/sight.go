package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/fetch/internal/sighting"
)

// maxSighted is how many installers of a distribution are checked and remembered, of
// the newest versions: to ask the server about each of 100,000 would take hours.
const maxSighted = 200

func (s *search) settle() time.Duration { return cmp.Or(s.f.Settle, sighting.Settle) }

// remembers reports whether releases settle by our own sightings.
func (s *search) remembers() bool { return s.f.Sightings != "" && s.settle() >= 0 }

// sight remembers what was found, and decides what has settled. The pieces are
// sorted by version.
func (s *search) sight(ctx context.Context, dir string) error {
	memory := sighting.Memory{Path: s.f.Sightings}
	known := memory.Read()
	var at []int
	var seen []sighting.File
	looked := 0
	for i := range slices.Backward(s.pieces) {
		p := &s.pieces[i]
		if p.is != isInstaller {
			continue
		}
		if looked++; looked > maxSighted {
			s.byListing(p)
			continue
		}
		now, exact, err := s.exact(ctx, p.file, known)
		switch {
		case err != nil:
			return err
		case !exact:
			p.is, p.file.Time = isSettling, time.Time{}
			continue
		case now.Size < 0:
			s.skip(p.file.Path, skipNoSize, p.version)
			p.is = isNothing
			continue
		}
		p.file.Size, p.file.Time = now.Size, now.Time
		at, seen = append(at, i), append(seen, now)
	}
	seen, ahead, err := memory.See(ctx, Locate(s.src, dir)+"/", seen, s.now)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.found.Clock = ahead.String()
	for _, f := range seen {
		const tolerance = 5 * time.Minute // and it was not this upload that kept another machine's time
		if most := f.Time.Sub(s.now); s.found.Clock == "" && most > tolerance {
			s.found.Clock = fmt.Sprintf("at least %v ahead of this machine's clock", most.Round(time.Minute))
		}
	}
	waited := time.Duration(0)
	for n, i := range at {
		p := &s.pieces[i]
		left := s.settle() - s.now.Sub(seen[n].Since)
		if wait := left - waited; left > 0 && left <= sighting.Brief && wait > 0 {
			if err := clock.Sleep(ctx, wait); err != nil {
				return err
			}
			waited = left
		}
		vouched := s.f.Vouched != nil && s.f.Vouched(s.found.Distribution, p.version, p.file.Variant)
		switch {
		case left <= 0, (vouched || err != nil) && s.byServer(seen[n]):
			// What cannot be remembered would never settle: an account that only
			// watches may not write. The archive asks for two sightings itself.
		case left <= sighting.Brief && s.still(ctx, p.file):
		default:
			p.is, p.file.Time = isSettling, seen[n].Since.Add(s.settle())
		}
	}
	s.pieces = slices.DeleteFunc(s.pieces, func(p piece) bool { return p.is == isNothing })
	return ctx.Err()
}

// byListing decides about a file that is not checked by its line in the listing
// alone, whose time may be in any zone.
func (s *search) byListing(p *piece) {
	switch {
	case p.file.Size < 0:
		s.skip(p.file.Path, skipNoSize, p.version)
		p.is = isNothing
	case p.file.Time.IsZero() || s.now.Sub(p.file.Time) <= zones+s.settle():
		p.is, p.file.Time = isSettling, time.Time{}
	}
}

// exact returns a file as it is seen now, with the most exact time that there is.
// It reports false if the file is changing.
func (s *search) exact(ctx context.Context, f File, known map[string]sighting.File) (sighting.File, bool, error) {
	seen := sight(s.src, f)
	was := known[seen.Key]
	if f.Parts != nil {
		return seen, true, nil
	}
	if was.Size == f.Size && was.Listed.Equal(f.Time) && !was.Time.IsZero() {
		seen.Time = was.Time // the listing has not changed
		return seen, true, nil
	}
	now, err := stat(ctx, s.src, f.Path, func() (Entry, error) { return Entry{Size: f.Size, Time: f.Time.UTC()}, nil })
	switch {
	case errors.Is(err, ErrNotFound): // removed after it was listed
		return seen, false, nil
	case err != nil:
		return seen, false, err
	case f.Size >= 0 && now.Size != f.Size:
		return seen, false, nil
	}
	seen.Size, seen.Time = now.Size, now.Time
	return seen, true, nil
}

// sight returns a file as a sighting.
func sight(src Source, f File) sighting.File {
	seen := sighting.File{Key: Locate(src, f.Path), Size: f.Size, Time: f.Time.UTC(), Listed: f.Time.UTC()}
	if f.Parts != nil {
		seen.Parts = sighting.Parts(func(add func(string, int64, time.Time)) {
			for _, p := range f.Parts {
				add(p.Path, p.Size, p.Time)
			}
		})
	}
	return seen
}

// byServer reports whether a file has settled by the server's time. One from the
// future shows that the server's clock, or zone, is another.
func (s *search) byServer(f sighting.File) bool {
	return !f.Time.IsZero() && s.now.Sub(f.Time) >= s.settle()
}

// still reports whether a file is as it was.
func (s *search) still(ctx context.Context, f File) bool {
	now, err := f.Refresh(ctx, s.src)
	return err == nil && now.Size == f.Size && now.Time.Equal(f.Time)
}
