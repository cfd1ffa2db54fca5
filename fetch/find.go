package fetch

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/version"
)

// A Finder finds releases on a server. The zero value is ready to use: the
// usual layouts, no betas, ten minutes of settling.
type Finder struct {
	Layout Layout

	// Betas includes beta versions (R7).
	Betas bool

	// Accept, if set, is called for every version: false skips it
	// (R7: versions for another region).
	Accept func(distribution string, v version.Version) bool

	// EachNewest makes [Finder.Joint] choose the newest release of each
	// distribution by itself, whatever the others have: the regulation leaves
	// open whether a joint release has one number (R4).
	EachNewest bool

	// Settle is how long size and time of everything in a release must not
	// have changed, so that an unfinished upload is not offered. Zero means
	// ten minutes, negative means no waiting.
	Settle time.Duration
	// Sightings is a file that remembers since when each release has been as it
	// is, such as the one that Archive.Sightings of package archive names: Settle
	// is then counted from the first sighting on, by this machine's clock.
	// Without it, Settle is counted from the time that the server shows, which is
	// right only as far as its clock and its time zone are; so it is where the
	// file cannot be written. An archive asks for two sightings all the same.
	Sightings string
	// Vouched reports whether a pinned hash or a publisher's signature will
	// authenticate a file: half of it would be refused, so that the server's
	// own time is enough. Nil means that nothing will.
	Vouched func(distribution string, v version.Version, variant version.Variant) bool

	Now     func() time.Time // nil means time.Now
	Observe func(Event)      // may be nil
}

// Found is the result of [Finder.Find].
type Found struct {
	Distribution string
	Releases     []Release // newest number first; a listing's date plays no part in the order
	Skipped      []Skipped
	// Clock is how far the server's clock is from this machine's, for people,
	// as far as [Finder.Sightings] show it; empty if that is not known.
	Clock string
}

// Find returns every release of a distribution that may be offered, and what
// it skipped. A distribution without any release is not an error here; one
// that is not on the server is [ErrUnknownDistribution].
func (f Finder) Find(ctx context.Context, src Source, distribution string) (Found, error) {
	src, done := Keep(src)
	defer done()
	s := search{f: f, now: clock.Now(f.Now), src: src, found: Found{Distribution: distribution}}
	patterns, err := f.Layout.compile()
	if err != nil {
		return Found{}, err
	}
	dir, err := f.Layout.directory(distribution)
	if err != nil {
		return Found{}, err
	}
	var trails []trail
	for _, p := range patterns {
		trails = append(trails, trail{rest: p})
	}
	err = s.directory(ctx, dir, trails)
	if errors.Is(err, ErrNotFound) {
		if dir, err = respell(ctx, src, dir, err); err == nil {
			err = s.directory(ctx, dir, trails)
		}
	}
	if errors.Is(err, ErrNotFound) {
		return Found{}, f.unknown(ctx, src, distribution, err)
	}
	if err != nil {
		return Found{}, err
	}
	if err := s.finish(ctx, dir); err != nil {
		return Found{}, err
	}
	for _, skipped := range s.found.Skipped {
		f.observe(Event{Kind: eventSkipped, Distribution: distribution, Version: skipped.Version, Skipped: skipped})
	}
	return s.found, nil
}

// Latest returns the newest release of a distribution that has the wanted
// variant (R3, R8); for FullSetup, Setup too. If there is none, the error is
// [ErrNoRelease].
func (f Finder) Latest(ctx context.Context, src Source, distribution string, want version.Variant) (Release, error) {
	found, err := f.Find(ctx, src, distribution)
	if err != nil {
		return Release{}, err
	}
	for _, r := range found.Releases {
		if r.Has(want) {
			return r, nil
		}
		f.observe(Event{Kind: eventSkipped, Distribution: r.Distribution, Version: r.Version,
			Skipped: Skipped{Path: r.Files[0].Path, Reason: skipVariant, Version: r.Version}})
	}
	return Release{}, found.noRelease(want)
}

func (f Found) noRelease(want version.Variant) error {
	return &Error{Op: "find", Subject: f.Distribution, Err: fmt.Errorf("%w: %w", ErrNoRelease, f.summary(want)),
		Next: "check again later, or ask the vendor's support when the release is due"}
}

// summary says in a few words why nothing is offered.
func (f Found) summary(want version.Variant) error {
	var parts []string
	for _, r := range f.Releases {
		parts = append(parts, fmt.Sprintf("%s has no %s", r.Version, want))
	}
	for _, s := range f.Skipped {
		parts = append(parts, s.String())
	}
	const enough = 4
	if len(parts) == 0 {
		return errors.New("the directory is empty")
	}
	if more := len(parts) - enough; more > 0 {
		parts = append(parts[:enough], fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(parts, "; "))
}

// respell returns a path in the server's own bytes, where the server has it in
// an encoding other than UTF-8, or with letters that are made of several
// characters, as from a Mac; else it returns missing.
func respell(ctx context.Context, src Source, name string, missing error) (string, error) {
	ascii := func(s string) bool {
		return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
	}
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if !ascii(part) {
			entries, err := src.List(ctx, at)
			if err != nil {
				return "", err
			}
			i := slices.IndexFunc(entries, func(e Entry) bool { return e.Kind == KindDir && e.Name != part && names.Spells(e.Name, part) })
			if i < 0 {
				return "", missing
			}
			part = entries[i].Name
		}
		at = path.Join(at, part)
	}
	if at == name {
		return "", missing
	}
	return at, nil
}

// unknown names the distributions that are there, so that a typo is
// seen at once.
func (f Finder) unknown(ctx context.Context, src Source, distribution string, cause error) error {
	e := &Error{Op: "find", Subject: distribution, Err: ErrUnknownDistribution, Next: "check its spelling"}
	if c, ok := errors.AsType[*Error](cause); ok {
		e.Code = c.Code
	}
	entries, err := src.List(ctx, path.Join("/", f.Layout.Root))
	if err != nil {
		return e // it says enough without the names
	}
	var there []string
	for _, entry := range entries {
		if entry.Kind == KindDir && names.IsSafe(entry.text()) {
			there = append(there, entry.text())
		}
	}
	slices.Sort(there)
	if isSystemRoot(there) {
		e.Next = "the account starts at the root of the server's file system: set Root to the directory of the distributions"
		return e
	}
	const enough = 10
	if len(there) > enough {
		there = append(there[:enough], "…")
	}
	if len(there) > 0 {
		e.Next = "the server has " + strings.Join(there, ", ")
	}
	return e
}

// isSystemRoot reports whether directories are those at the root of Unix.
func isSystemRoot(dirs []string) bool {
	n := 0
	for _, d := range []string{"bin", "dev", "etc", "proc", "sbin", "sys", "usr", "var"} {
		if slices.Contains(dirs, d) {
			n++
		}
	}
	return n >= 4
}
