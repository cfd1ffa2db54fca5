package watch

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/version"
)

// What bounds a memory: versions that are gone for long are forgotten, and a
// server with more versions than this is not the vendor's.
const (
	forgetAfter = 400 * 24 * time.Hour
	maxVersions = 2000
	maxLate     = 48 // two years of releases
)

// known is what is remembered of a distribution. That there is one means that
// the first look was.
type known struct {
	Late     []time.Time `json:"late,omitempty"` // due times that were reported as late
	Versions []record    `json:"versions"`       // the lowest number first
}

type record struct {
	Version   version.Version `json:"version"`
	FirstSeen time.Time       `json:"first_seen"`
	LastSeen  time.Time       `json:"last_seen"`
	Gone      time.Time       `json:"gone,omitzero"`
	FirstLook bool            `json:"first_look,omitempty"`
	Files     []upload        `json:"files"`

	// Owed is what is still to be reported, in order.
	Owed []SightingKind `json:"owed,omitempty"`
}

func (k *known) clone() *known {
	c := known{Late: slices.Clone(k.Late), Versions: slices.Clone(k.Versions)}
	for i, r := range c.Versions {
		c.Versions[i].Files, c.Versions[i].Owed = slices.Clone(r.Files), slices.Clone(r.Owed)
	}
	return &c
}

// find returns the record of a version, or nil.
func (k *known) find(v version.Version) *record {
	if i := slices.IndexFunc(k.Versions, func(r record) bool { return r.Version == v }); i >= 0 {
		return &k.Versions[i]
	}
	return nil
}

// seen returns what is remembered, the newest number first.
func (k *known) seen(distribution string) []Seen {
	var all []Seen
	for _, r := range slices.Backward(k.Versions) {
		all = append(all, r.seen(distribution))
	}
	return all
}

func (r record) seen(distribution string) Seen {
	s := Seen{
		Release:   fetch.Release{Distribution: distribution, Version: r.Version},
		FirstSeen: r.FirstSeen, LastSeen: r.LastSeen, Gone: r.Gone, FirstLook: r.FirstLook,
	}
	for _, u := range r.Files {
		s.Files = append(s.Files, fetch.File{Variant: u.Variant, Path: u.Path, Size: u.Size, Time: u.Time, Sidecar: u.Sidecar})
	}
	return s
}

// A glance is one released version as a look found it.
type glance struct {
	version version.Version
	files   []upload
	other   bool // one of its files is not the one remembered
	moving  bool // one of its files changed under our eyes: next time
}

// update takes a look that succeeded into account.
func (k *known) update(seen []glance, skipped []fetch.Skipped, first bool, now time.Time) {
	there := map[version.Version]bool{}
	for _, g := range seen {
		there[g.version] = true
		r := k.find(g.version)
		switch {
		case g.moving:
			continue
		case r == nil:
			k.Versions = append(k.Versions, record{Version: g.version, FirstSeen: now, FirstLook: first, Owed: []SightingKind{Released}})
			r = &k.Versions[len(k.Versions)-1]
		case g.other:
			r.rereleased()
		case !r.Gone.IsZero():
			r.returned()
		}
		r.Files, r.Gone = g.files, time.Time{}
		r.LastSeen = latest(r.FirstSeen, r.LastSeen, now) // a clock that was set back makes no nonsense
	}
	for i := range k.Versions {
		r := &k.Versions[i]
		if r.Gone.IsZero() && !there[r.Version] && !r.hidden(skipped) {
			r.Gone = latest(r.LastSeen, now)
			r.Owed = append(r.Owed, Vanished)
		}
	}
	slices.SortFunc(k.Versions, func(a, b record) int { return a.Version.Compare(b.Version) })
}

// rereleased owes a report of other files, but for one that is owed anyway
// and will show today's.
func (r *record) rereleased() {
	r.unowe(Vanished)
	if len(r.Owed) == 0 {
		r.Owed = append(r.Owed, Rereleased)
	}
}

// returned owes a report that the version is back, unless nobody was told
// that it was gone.
func (r *record) returned() {
	if !r.unowe(Vanished) {
		r.Owed = append(r.Owed, Released)
	}
}

func (r *record) unowe(k SightingKind) bool {
	i := slices.Index(r.Owed, k)
	if i >= 0 {
		r.Owed = slices.Delete(r.Owed, i, i+1)
	}
	return i >= 0
}

// hidden reports whether the version may be on the server, though not as a
// release that is offered: it is being uploaded again, refused, or its line of
// a listing was not understood. It has not vanished then.
func (r *record) hidden(skipped []fetch.Skipped) bool {
	return slices.ContainsFunc(skipped, func(s fetch.Skipped) bool {
		switch {
		case s.Why == fetch.SkipName: // a text that was left beside it
			return false
		case s.Why == fetch.SkipUnreadable && s.Version.IsZero(): // Path is the line
			return strings.Contains(s.Path, r.Version.String()) ||
				slices.ContainsFunc(r.Files, func(u upload) bool { return strings.Contains(s.Path, path.Base(u.Path)) })
		}
		return s.Version == r.Version
	})
}

// forget keeps the memory small, and reports whether it could. What is there
// or owed stays.
func (k *known) forget(now time.Time) bool {
	done := func(r record) bool { return !r.Gone.IsZero() && len(r.Owed) == 0 }
	k.Versions = slices.DeleteFunc(k.Versions, func(r record) bool { return done(r) && now.Sub(r.Gone) > forgetAfter })
	over := len(k.Versions) - maxVersions
	if over <= 0 {
		return true
	}
	var gone []time.Time
	for _, r := range k.Versions {
		if done(r) {
			gone = append(gone, r.Gone)
		}
	}
	if len(gone) < over {
		return false
	}
	slices.SortFunc(gone, time.Time.Compare)
	k.Versions = slices.DeleteFunc(k.Versions, func(r record) bool { return done(r) && !r.Gone.After(gone[over-1]) })
	return true
}

// check refuses what no Watch can have written.
func (k *known) check() error {
	if k == nil {
		return errors.New("a distribution without a memory")
	}
	var last version.Version
	for _, r := range k.Versions {
		if r.Version.Compare(last) <= 0 {
			return fmt.Errorf("%s is out of order", r.Version)
		}
		last = r.Version
		if r.FirstSeen.IsZero() || r.LastSeen.Before(r.FirstSeen) || len(r.Files) == 0 {
			return fmt.Errorf("%s is not whole", r.Version)
		}
		for _, o := range r.Owed {
			if o != Released && o != Rereleased && o != Vanished {
				return fmt.Errorf("%s is to be reported as %q", r.Version, o)
			}
		}
	}
	return nil
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
