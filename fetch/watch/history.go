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

// Limits of a memory: versions that vanished long ago are forgotten, and a server
// with more versions than this is not the vendor's.
const (
	forgetAfter = 400 * 24 * time.Hour
	maxVersions = 2000
	maxLate     = 48 // two years of releases
)

// A history is what is remembered of a distribution after its first check.
type history struct {
	Late     []time.Time `json:"late,omitempty"` // due times that were reported as late
	Versions []record    `json:"versions"`       // the lowest number first
}

type record struct {
	Version    version.Version `json:"version"`
	FirstSeen  time.Time       `json:"first_seen"`
	LastSeen   time.Time       `json:"last_seen"`
	Gone       time.Time       `json:"gone,omitzero"`
	FirstCheck bool            `json:"first_look,omitempty"`
	Files      []upload        `json:"files"`

	// Pending is what is still to be reported, in order.
	Pending []SightingKind `json:"owed,omitempty"`
}

func (h *history) clone() *history {
	c := history{Late: slices.Clone(h.Late), Versions: slices.Clone(h.Versions)}
	for i, r := range c.Versions {
		c.Versions[i].Files, c.Versions[i].Pending = slices.Clone(r.Files), slices.Clone(r.Pending)
	}
	return &c
}

// find returns the record of a version, or nil.
func (h *history) find(v version.Version) *record {
	if i := slices.IndexFunc(h.Versions, func(r record) bool { return r.Version == v }); i >= 0 {
		return &h.Versions[i]
	}
	return nil
}

// seen returns what is remembered, the newest number first.
func (h *history) seen(distribution string) []Seen {
	var all []Seen
	for _, r := range slices.Backward(h.Versions) {
		all = append(all, r.seen(distribution))
	}
	return all
}

func (r record) seen(distribution string) Seen {
	s := Seen{
		Release:   fetch.Release{Distribution: distribution, Version: r.Version},
		FirstSeen: r.FirstSeen, Gone: r.Gone, FirstCheck: r.FirstCheck,
	}
	for _, u := range r.Files {
		s.Files = append(s.Files, fetch.File{Variant: u.Variant, Path: u.Path, Size: u.Size, Time: u.Time, Sidecar: u.Sidecar})
	}
	return s
}

// An observation is one released version as a check found it.
type observation struct {
	version  version.Version
	files    []upload
	differs  bool // from what is remembered
	changing bool // a file changed during the check: it is left for the next one
}

// update adds what a check that succeeded has found.
func (h *history) update(seen []observation, skipped []fetch.Skipped, first bool, now time.Time) {
	there := map[version.Version]bool{}
	for _, o := range seen {
		there[o.version] = true
		r := h.find(o.version)
		switch {
		case o.changing:
			continue
		case r == nil:
			h.Versions = append(h.Versions, record{Version: o.version, FirstSeen: now, FirstCheck: first, Pending: []SightingKind{Released}})
			r = &h.Versions[len(h.Versions)-1]
		case o.differs:
			r.rereleased()
		case !r.Gone.IsZero():
			r.returned()
		}
		r.Files, r.Gone = o.files, time.Time{}
		r.LastSeen = latest(r.FirstSeen, r.LastSeen, now) // the clock may have been set back
	}
	for i := range h.Versions {
		r := &h.Versions[i]
		if r.Gone.IsZero() && !there[r.Version] && !r.hidden(skipped) {
			r.Gone = latest(r.LastSeen, now)
			r.Pending = append(r.Pending, Vanished)
		}
	}
	slices.SortFunc(h.Versions, func(a, b record) int { return a.Version.Compare(b.Version) })
}

// rereleased adds a report of other files, unless one is pending that will show
// them anyway.
func (r *record) rereleased() {
	r.cancelReport(Vanished)
	if len(r.Pending) == 0 {
		r.Pending = append(r.Pending, Rereleased)
	}
}

// returned adds a report that the version is back, unless it was not reported as
// vanished.
func (r *record) returned() {
	if !r.cancelReport(Vanished) {
		r.Pending = append(r.Pending, Released)
	}
}

// cancelReport removes a pending report, and reports whether there was one.
func (r *record) cancelReport(kind SightingKind) bool {
	i := slices.Index(r.Pending, kind)
	if i >= 0 {
		r.Pending = slices.Delete(r.Pending, i, i+1)
	}
	return i >= 0
}

// hidden reports whether the version may be on the server, though not as a
// release that is offered: it is being uploaded again, is not accepted, or its
// line of a listing was not understood. Then it has not vanished.
func (r *record) hidden(skipped []fetch.Skipped) bool {
	return slices.ContainsFunc(skipped, func(s fetch.Skipped) bool {
		switch {
		case s.Reason == fetch.SkipName: // another file beside it
			return false
		case s.Reason == fetch.SkipUnreadable && s.Version.IsZero(): // Path is the line
			return strings.Contains(s.Path, r.Version.String()) ||
				slices.ContainsFunc(r.Files, func(u upload) bool { return strings.Contains(s.Path, path.Base(u.Path)) })
		}
		return s.Version == r.Version
	})
}

// forget keeps the memory small, and reports whether it could. What is there or
// pending stays.
func (h *history) forget(now time.Time) bool {
	done := func(r record) bool { return !r.Gone.IsZero() && len(r.Pending) == 0 }
	h.Versions = slices.DeleteFunc(h.Versions, func(r record) bool { return done(r) && now.Sub(r.Gone) > forgetAfter })
	over := len(h.Versions) - maxVersions
	if over <= 0 {
		return true
	}
	var gone []time.Time
	for _, r := range h.Versions {
		if done(r) {
			gone = append(gone, r.Gone)
		}
	}
	if len(gone) < over {
		return false
	}
	slices.SortFunc(gone, time.Time.Compare)
	h.Versions = slices.DeleteFunc(h.Versions, func(r record) bool { return done(r) && !r.Gone.After(gone[over-1]) })
	return true
}

// check returns an error if no Watch can have written the history.
func (h *history) check() error {
	if h == nil {
		return errors.New("a distribution without a history")
	}
	var last version.Version
	for _, r := range h.Versions {
		if r.Version.Compare(last) <= 0 {
			return fmt.Errorf("%s is out of order", r.Version)
		}
		last = r.Version
		if r.FirstSeen.IsZero() || r.LastSeen.Before(r.FirstSeen) || len(r.Files) == 0 {
			return fmt.Errorf("%s is incomplete", r.Version)
		}
		for _, kind := range r.Pending {
			if kind != Released && kind != Rereleased && kind != Vanished {
				return fmt.Errorf("%s has an unknown pending report %q", r.Version, kind)
			}
		}
	}
	return nil
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
