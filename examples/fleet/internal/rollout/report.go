package rollout

import (
	"slices"
	"time"
)

// Activity is what a site is doing.
type Activity string

// The activities of a site.
const (
	Idle     Activity = ""         // nothing
	Asking   Activity = "asking"   // it could start now: its slot is open, and nothing of its own is in the way
	Updating Activity = "updating" // an update or its rollback is in progress; sent before it starts
	Decision Activity = "operator" // a person must decide
)

// A Report is the whole state of a site, as its own journal has it, and not a
// change of it: the last one is enough, and the center can be rebuilt from the
// last one of each site.
type Report struct {
	Site        string    `json:"site"`
	Seq         uint64    `json:"seq"`  // grows with each report of the site
	Time        time.Time `json:"time"` // by the site's clock
	Activity    Activity  `json:"activity,omitempty"`
	Release     Release   `json:"release,omitzero"` // what it is updating to
	Rollout     string    `json:"rollout,omitempty"`
	Committed   []Release `json:"committed,omitempty"`   // one for each distribution
	Quarantined []Failure `json:"quarantined,omitempty"` // what was rolled back
	Slot        time.Time `json:"slot,omitzero"`         // when it can start next; zero if that is unknown
	Until       time.Time `json:"until,omitzero"`        // the last time at which it can start in that slot
	Never       string    `json:"never,omitempty"`       // why it can never start
	Zone        string    `json:"zone,omitempty"`        // the site's, "MSK+4"; "" is Moscow's
	Seen        uint64    `json:"seen,omitempty"`        // the highest generation of grants that it has seen
}

// A Failure is a release that a site has rolled back.
type Failure struct {
	Release Release `json:"release"`
	Code    string  `json:"code,omitempty"` // what the installer or the check ended with, "" if unknown
}

// has reports whether the site has committed the release.
func (r Report) has(rel Release) bool { return slices.Contains(r.Committed, rel) }

// failed returns the failure of the release at the site.
func (r Report) failed(rel Release) (Failure, bool) {
	i := slices.IndexFunc(r.Quarantined, func(f Failure) bool { return f.Release == rel })
	if i < 0 {
		return Failure{}, false
	}
	return r.Quarantined[i], true
}

// distributions returns the names of what is installed, in order.
func (r Report) distributions() (names []string) {
	for _, c := range r.Committed {
		names = append(names, c.Distribution)
	}
	slices.Sort(names)
	return names
}

// Heard is the last report of a site, and when the center received it, by the
// center's clock.
type Heard struct {
	Report
	At time.Time // when this report was received
	On time.Time // when the site was last known to be connected
}

// Known returns what the center last heard of a site, false if it never did.
type Known func(site string) (Heard, bool)

// Connected reports whether the site has shown a sign of life lately.
func (h Heard) Connected(now time.Time) bool { return now.Sub(h.On) <= connected }

// Skew returns how far the site's clock is ahead of the center's.
func (h Heard) Skew() time.Duration { return h.Time.Sub(h.At) }
