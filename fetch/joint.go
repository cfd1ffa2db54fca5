package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aspupdate/aspupdate/version"
)

// Wanted is one member of a bundle: which variant of which distribution. A
// first installation wants FullSetup, every later update Setup (R3).
type Wanted struct {
	Distribution string
	Variant      version.Variant
}

// Choice says which versions of a bundle belong together; the regulation
// leaves it open (R4).
type Choice uint8

// The choices.
const (
	// SameNumber is the newest number that all distributions have whole.
	SameNumber Choice = iota
	// EachNewest is the newest release of each distribution by itself.
	EachNewest
)

// Joint returns one release for each member of a bundle, in the same order
// (R4). If there is none that all of them have whole, the error is
// [ErrIncomplete] and its Missing says what is not there; a newer number that
// only some have is told as an [EventIncomplete].
func (f Finder) Joint(ctx context.Context, src Source, bundle []Wanted, choice Choice) ([]Release, error) {
	if len(bundle) == 0 {
		return nil, &Error{Op: "find", Err: errors.New("a bundle without distributions"), Hint: "name at least one"}
	}
	found := make([]Found, len(bundle))
	for i, w := range bundle {
		var err error
		if found[i], err = f.Find(ctx, src, w.Distribution); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(found, func(f Found) bool { return len(f.Releases) > 0 }) {
		return nil, &Error{Op: "find", Name: bundle[0].Distribution, Reason: ErrNothing, Err: found[0].summary(bundle[0].Variant),
			Hint: "look again later, or ask the vendor's support when the release is due"}
	}
	if choice == EachNewest {
		return eachNewest(bundle, found)
	}
	return f.sameNumber(bundle, found)
}

func eachNewest(bundle []Wanted, found []Found) ([]Release, error) {
	var out []Release
	var missing []Missing
	for i, w := range bundle {
		at := slices.IndexFunc(found[i].Releases, func(r Release) bool { return r.Has(w.Variant) })
		if at < 0 {
			missing = append(missing, Missing{w.Distribution, version.Version{}, w.Variant, found[i].summary(w.Variant).Error()})
			continue
		}
		out = append(out, found[i].Releases[at])
	}
	if len(missing) > 0 {
		return nil, &Error{Op: "find", Reason: ErrIncomplete, Missing: missing, Hint: "look again later"}
	}
	return out, nil
}

func (f Finder) sameNumber(bundle []Wanted, found []Found) ([]Release, error) {
	var newest []Missing // what the newest number of all lacks
	for _, v := range numbers(found) {
		var out []Release
		var missing []Missing
		for i, w := range bundle {
			at := slices.IndexFunc(found[i].Releases, func(r Release) bool { return r.Version == v && r.Has(w.Variant) })
			if at < 0 {
				missing = append(missing, Missing{w.Distribution, v, w.Variant, found[i].why(v, w.Variant)})
				continue
			}
			out = append(out, found[i].Releases[at])
		}
		if newest == nil {
			newest = missing
		}
		if len(missing) > 0 {
			continue
		}
		if len(newest) > 0 {
			f.observe(Event{Kind: EventIncomplete, Version: newest[0].Version, Missing: newest})
		}
		return out, nil
	}
	return nil, &Error{Op: "find", Reason: ErrIncomplete, Missing: newest, Hint: "look again later"}
}

// numbers returns every version that any distribution shows, settled or not,
// newest first.
func numbers(found []Found) []version.Version {
	var all []version.Version
	for _, f := range found {
		for _, r := range f.Releases {
			all = append(all, r.Version)
		}
		for _, s := range f.Skipped {
			if s.Why == SkipSettling {
				all = append(all, s.Version)
			}
		}
	}
	slices.SortFunc(all, func(a, b version.Version) int { return b.Compare(a) })
	return slices.Compact(all)
}

// why says why a version cannot be had.
func (f Found) why(v version.Version, want version.Variant) string {
	for _, s := range f.Skipped {
		if s.Version == v && !v.IsZero() {
			return string(s.Why)
		}
	}
	for _, r := range f.Releases {
		if _, ok := r.File(want); ok && r.Version == v {
			return fmt.Sprintf("%s is not beside it", version.Setup)
		}
	}
	return "not on the server"
}
