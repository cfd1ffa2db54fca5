package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aspupdate/aspupdate/version"
)

// Wanted is one member of a bundle: a variant of a distribution. A first
// installation needs FullSetup, every later update Setup (R3).
type Wanted struct {
	Distribution string
	Variant      version.Variant
}

// Choice is which versions of a bundle belong together; the regulation leaves
// it open (R4).
type Choice uint8

// The choices.
const (
	// SameNumber is the newest number that all distributions have.
	SameNumber Choice = iota
	// EachNewest is the newest release of each distribution by itself.
	EachNewest
)

// Joint returns one release for each member of a bundle, in the same order
// (R4). If no version can be chosen, the error is [ErrIncomplete] and its
// Missing lists what is not there. A newer number that only some have is
// reported as [EventIncomplete].
func (f Finder) Joint(ctx context.Context, src Source, bundle []Wanted, choice Choice) ([]Release, error) {
	if len(bundle) == 0 {
		return nil, &Error{Op: "find", Err: errors.New("the bundle is empty"), Next: "name at least one distribution"}
	}
	found := make([]Found, len(bundle))
	for i, w := range bundle {
		var err error
		if found[i], err = f.Find(ctx, src, w.Distribution); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(found, func(f Found) bool { return len(f.Releases) > 0 }) {
		return nil, found[0].noRelease(bundle[0].Variant)
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
		return nil, incomplete(missing)
	}
	return out, nil
}

func incomplete(missing []Missing) error {
	return &Error{Op: "find", Err: ErrIncomplete, Missing: missing, Next: "check again later"}
}

func (f Finder) sameNumber(bundle []Wanted, found []Found) ([]Release, error) {
	var newest []Missing // what the newest number of all lacks
	for _, v := range numbers(found) {
		var out []Release
		var missing []Missing
		for i, w := range bundle {
			at := slices.IndexFunc(found[i].Releases, func(r Release) bool { return r.Version == v && r.Has(w.Variant) })
			if at < 0 {
				missing = append(missing, Missing{w.Distribution, v, w.Variant, found[i].reason(v, w.Variant)})
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
	return nil, incomplete(newest)
}

// numbers returns every version that any distribution has, settled or not,
// newest first.
func numbers(found []Found) []version.Version {
	var all []version.Version
	for _, f := range found {
		for _, r := range f.Releases {
			all = append(all, r.Version)
		}
		for _, s := range f.Skipped {
			if s.Reason == skipSettling {
				all = append(all, s.Version)
			}
		}
	}
	slices.SortFunc(all, func(a, b version.Version) int { return b.Compare(a) })
	return slices.Compact(all)
}

// reason returns why a version is not offered.
func (f Found) reason(v version.Version, want version.Variant) string {
	for _, s := range f.Skipped {
		if s.Version == v && !v.IsZero() {
			return string(s.Reason)
		}
	}
	for _, r := range f.Releases {
		if _, ok := r.File(want); ok && r.Version == v {
			return fmt.Sprintf("%s is missing", version.Setup)
		}
	}
	return "not on the server"
}
