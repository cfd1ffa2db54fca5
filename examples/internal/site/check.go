package site

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/watch"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// A Check compares the installation, the server and the vendor's calendar. Times
// are UTC.
type Check struct {
	Distributions []Checked `json:"distributions"`
	Update        bool      `json:"update"`         // a newer release may be installed
	Offline       bool      `json:"offline"`        // the server was not asked: newest is what the archive has
	FirstOfYear   bool      `json:"first_of_year"`  // R14: it crosses a new year
	Next          *Expected `json:"next,omitempty"` // the next expected release; nil beyond the data of the calendar
	Warnings      []string  `json:"warnings,omitempty"`
}

// Checked is the part of a [Check] for one distribution.
type Checked struct {
	Name      string          `json:"name"`
	Installed version.Version `json:"installed,omitzero"` // by the journal, or without an entry by the probe
	Answers   string          `json:"answers,omitempty"`  // what the probe reports
	Problem   string          `json:"problem,omitempty"`  // why the probe fails
	Newest    version.Version `json:"newest,omitzero"`    // what may be installed now, with the rest of a bundle
	Alone     version.Version `json:"alone,omitzero"`     // of a bundle without a release in common: the newest of this distribution
	Unfit     string          `json:"unfit,omitempty"`    // of a bundle: why this distribution has none
	State     string          `json:"state,omitempty"`    // up to date, due or late; empty if the server could not be listed
	Since     time.Time       `json:"since,omitzero"`     // since when it is due or late
	Missing   *Expected       `json:"missing,omitempty"`  // what is due or late
}

// Expected is a release that the calendar expects.
type Expected struct {
	Version version.Version `json:"version"`
	Due     time.Time       `json:"due"`
}

func newExpected(r schedule.Release) *Expected {
	if r.IsZero() {
		return nil
	}
	return &Expected{r.Version, r.Due.UTC()}
}

// Check returns what is known, and an error for what is not known or for a
// pending update. It returns nil only if the journal is damaged.
func (s *Site) Check(ctx context.Context, now time.Time) (*Check, error) {
	st, err := s.Status()
	if err != nil {
		return nil, err
	}
	watching, missing := s.watchingJoint()
	settling := watching.watchSettling()
	newest, listErr := watching.newest(ctx, watching.finder())
	seen, err := s.watch().Seen()
	errs := []error{listErr, err}
	c, held := &Check{Offline: s.Offline}, false
	if w := s.Config.Days().Warning(now); w != "" {
		c.Warnings = append(c.Warnings, w)
	}
	for i, d := range s.Config.Distributions {
		one := Checked{Name: d.Name}
		errs = append(errs, one.probe(ctx, d, st.Committed[d.Name]))
		known, offer := []version.Version{one.Installed}, fetch.Release{}
		if listErr == nil {
			one.Newest, offer = newest[i].Version, newest[i]
			known = append(known, one.Newest)
		}
		if s.apart(listErr) {
			one.alone(ctx, s, d.Name)
			known = append(known, one.Alone)
		}
		known = append(known, settling[d.Name]...)
		listed := listErr == nil || one.Unfit == "" && s.apart(listErr)
		if listed || errors.Is(listErr, fetch.ErrIncomplete) || errors.Is(listErr, fetch.ErrNoRelease) {
			next, err := one.compare(s.Config.Calendar.releases(), now, add(seen, d.Name, known, now))
			errs = append(errs, err)
			c.Next = newExpected(next)
		}
		number, file := s.quarantined(one, offer, st)
		held = held || file && one.Newest.Compare(one.Installed) > 0
		c.weigh(one, number, s.Config.Calendar.numbering)
		c.Distributions = append(c.Distributions, one)
	}
	_, fenceErr := s.Fence(ctx)
	errs = append(errs, fenceErr)
	c.Update = c.Update && !held // a quarantine blocks a whole bundle (R4)
	if !c.Update && listErr == nil {
		var installed []release
		for _, d := range c.Distributions {
			installed = append(installed, release{version: d.Installed})
		}
		errs = append(errs, incomplete(*missing, installed))
	}
	return c, errors.Join(append(errs, s.blocked(st))...)
}

// watchSettling returns the versions, by distribution, that a search by the site
// finds and that are still settling: they are on the server all the same.
func (s *Site) watchSettling() map[string][]version.Version {
	settling, observe := map[string][]version.Version{}, s.Observe.Find
	s.Observe.Find = func(e fetch.Event) {
		if !e.Skipped.Until.IsZero() {
			settling[e.Distribution] = append(settling[e.Distribution], e.Skipped.Version)
		}
		if observe != nil {
			observe(e)
		}
	}
	return settling
}

// apart reports whether each distribution of a bundle has to be asked for by
// itself, because one of them spoilt the search for all.
func (s *Site) apart(err error) bool {
	return err != nil && !s.Offline && len(s.Config.Distributions) > 1 && !errors.Is(err, fetch.ErrUnreachable) && !errors.Is(err, fetch.ErrCredentials)
}

// alone finds the newest release of one distribution of a bundle.
func (c *Checked) alone(ctx context.Context, s *Site, distribution string) {
	quiet := *s
	quiet.Observe.Find = nil // the search for all has reported it
	r, err := quiet.finder().Latest(ctx, s.Source(), distribution, s.variant())
	if err != nil {
		c.Unfit = err.Error()
	}
	c.Alone = r.Version
}

// probe fills in the installed version, by the journal and by the probe.
func (c *Checked) probe(ctx context.Context, d distributionConfig, committed rollback.Release) error {
	r, err := journaled(committed)
	if err != nil {
		return err
	}
	c.Installed = r.version
	answers, err := newProbe(d.Probe, nil).Version(ctx)
	c.Answers = string(answers)
	if err != nil {
		c.Problem = err.Error()
		if c.Installed.IsZero() {
			return fmt.Errorf("%s: the installed version is unknown: %w", d.Name, err)
		}
		return nil
	}
	if c.Installed.IsZero() {
		c.Installed, err = parseOrZero(answers)
	}
	return err
}

// compare compares the releases that were seen with the calendar, and returns
// the next expected one.
func (c *Checked) compare(cal schedule.Calendar, now time.Time, seen []watch.Seen) (schedule.Release, error) {
	st, err := cal.Status(now, sightings(c.Name, seen)...)
	if err == nil {
		c.State, c.Since, c.Missing = st.State.String(), st.Since.UTC(), newExpected(st.Missing)
	}
	return st.Next, err
}

// quarantined reports whether a release of the newest number was rolled back
// here, and whether the server offers the same file: the one in the archive, by
// its size and time.
func (s *Site) quarantined(one Checked, offer fetch.Release, st rollback.Status) (number, file bool) {
	if _, number = st.QuarantineOf(one.Name, rollback.Release{Version: rollback.Version(one.Newest.String())}); !number {
		return false, false
	}
	item, err := s.Archive().Get(archive.Key{Distribution: one.Name, Version: one.Newest, Variant: s.variant()})
	there, ok := offer.File(s.variant())
	if err != nil || !ok || there.Size != item.Size || !sameMinute(there.Time, item.Modified) {
		return true, false
	}
	_, file = st.QuarantineOf(one.Name, archived(item).Release)
	return true, file
}

// sameMinute compares the times of listings, if they are known.
func sameMinute(a, b time.Time) bool {
	return a.IsZero() || b.IsZero() || a.Truncate(time.Minute).Equal(b.Truncate(time.Minute))
}

// weigh decides whether the newest release is an update of the installed one.
func (c *Check) weigh(one Checked, quarantined bool, n schedule.Numbering) {
	if one.Newest.Compare(one.Installed) <= 0 {
		return
	}
	c.Update = true
	if crosses, err := n.CrossesYear(one.Installed, one.Newest); crosses {
		c.FirstOfYear = true
	} else if err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("R14: cannot find out whether %s to %s crosses a new year: %v", one.Installed, one.Newest, err))
	}
	if quarantined {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s %s was rolled back here: this file is not installed again before aspupdate lift", one.Name, one.Newest))
	}
}

// add adds versions that the watch has not seen. When they appeared is unknown,
// unless the watch has seen others: then since its last check.
func add(seen []watch.Seen, distribution string, versions []version.Version, now time.Time) []watch.Seen {
	watched := slices.ContainsFunc(seen, func(s watch.Seen) bool { return s.Distribution == distribution })
	for i, v := range versions {
		r := fetch.Release{Distribution: distribution, Version: v}
		if !v.IsZero() && !slices.ContainsFunc(seen, func(s watch.Seen) bool { return s.Distribution == distribution && s.Version == v }) {
			installed := i == 0 // which may be older than what the watch saw first
			seen = append(seen, watch.Seen{Release: r, FirstSeen: now, FirstCheck: installed || !watched})
		}
	}
	return seen
}
