package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aspupdate/aspupdate/version"
)

// Joint returns one release for each distribution of a bundle, in the same order,
// with the wanted variant (R3, R4): the newest number that all have, or with [Finder.EachNewest] the newest
// release of each. If no version can be chosen, the error is [ErrIncomplete] and
// its Missing lists what is not there. A newer number that only some have is
// reported as [EventIncomplete].
func (f Finder) Joint(ctx context.Context, src Source, bundle []string, want version.Variant) ([]Release, error) {
	if len(bundle) == 0 {
		return nil, &Error{Op: "find", Err: errors.New("the bundle is empty"), Next: "name at least one distribution"}
	}
	found := make([]Found, len(bundle))
	for i, d := range bundle {
		var err error
		if found[i], err = f.Find(ctx, src, d); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(found, func(f Found) bool { return len(f.Releases) > 0 }) {
		return nil, found[0].noRelease(want)
	}
	if f.EachNewest {
		return eachNewest(found, want)
	}
	return f.sameNumber(found, want)
}

func eachNewest(found []Found, want version.Variant) ([]Release, error) {
	var out []Release
	var missing []Missing
	for i := range found {
		at := slices.IndexFunc(found[i].Releases, func(r Release) bool { return r.Has(want) })
		if at < 0 {
			missing = append(missing, Missing{found[i].Distribution, version.Version{}, want, found[i].summary(want).Error()})
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

func (f Finder) sameNumber(found []Found, want version.Variant) ([]Release, error) {
	var newest []Missing // what the newest number of all lacks
	for _, v := range numbers(found) {
		var out []Release
		var missing []Missing
		for i := range found {
			at := slices.IndexFunc(found[i].Releases, func(r Release) bool { return r.Version == v && r.Has(want) })
			if at < 0 {
				missing = append(missing, Missing{found[i].Distribution, v, want, found[i].reason(v, want)})
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
