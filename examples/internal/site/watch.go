package site

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/fetch/watch"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// An Event is what the watch reports. Times are UTC.
type Event struct {
	Schema       string             `json:"schema"` // aspupdate.event/1
	Kind         watch.SightingKind `json:"kind"`   // released, re-released, vanished or late
	Text         string             `json:"text"`   // everything in one line, for people
	Distribution string             `json:"distribution"`
	Version      version.Version    `json:"version,omitzero"`    // not with late
	FirstSeen    time.Time          `json:"first_seen,omitzero"` // not with late
	FirstCheck   bool               `json:"first_look"`          // it was on the server when the watch checked for the first time
	Gone         time.Time          `json:"gone,omitzero"`       // with vanished: when it was first missed
	Due          time.Time          `json:"due,omitzero"`        // with late: since when it has been expected
	Files        []EventFile        `json:"files,omitempty"`
}

// An EventFile is one variant of a release on the server.
type EventFile struct {
	Variant version.Variant `json:"variant"`
	Path    string          `json:"path"`
	Bytes   int64           `json:"bytes"`
	Time    time.Time       `json:"time,omitzero"`
}

func newEvent(c Clock, e watch.Sighting) Event {
	d := Event{
		Schema: "aspupdate.event/1", Kind: e.Kind, Distribution: e.Distribution, Version: e.Version,
		FirstSeen: e.FirstSeen, FirstCheck: e.FirstCheck, Due: e.Due.UTC(),
	}
	for _, f := range e.Files {
		d.Files = append(d.Files, EventFile{f.Variant, f.Path, f.Size, f.Time})
	}
	switch {
	case e.Kind == watch.Late:
		d.Text = fmt.Sprintf("%s: late: expected since %s; the testers have not passed it (R5)", e.Distribution, c.Time(e.Due))
	case e.Kind == watch.Vanished:
		d.Gone = e.Gone.UTC()
		d.Text = fmt.Sprintf("%s %s: vanished, first missed %s", e.Distribution, e.Version, c.Time(e.Gone))
	case e.FirstCheck:
		d.Text = fmt.Sprintf("%s %s: %s, on the server at the first check at %s", e.Distribution, e.Version, e.Kind, c.Time(e.FirstSeen))
	default:
		d.Text = fmt.Sprintf("%s %s: %s, first seen %s", e.Distribution, e.Version, e.Kind, c.Time(e.FirstSeen))
	}
	return d
}

// Watch watches for releases until ctx is done, and then returns nil. Each event
// goes to report; after an error the same event comes again at the next check.
func (s *Site) Watch(ctx context.Context, report func(Event) error) error {
	s.insecure()
	w := s.watch()
	w.Report = s.reports(report)
	if err := w.Run(ctx, s.Source()); ctx.Err() == nil {
		return err
	}
	return nil
}

func (s *Site) reports(report func(Event) error) func(context.Context, watch.Sighting) error {
	return func(_ context.Context, e watch.Sighting) error { return report(newEvent(s.Config.Clock(), e)) }
}

func (s *Site) watch() *watch.Watch {
	w := &watch.Watch{
		Finder: s.finder(), File: filepath.Join(s.Config.State, "watch.json"),
		Observe: s.Observe.Watch, Late: s.late,
		Spread: -1, // Next spreads the checks, so that the first comes at once
	}
	for _, d := range s.Config.Distributions {
		w.Distributions = append(w.Distributions, d.Name)
	}
	w.Next = func(now time.Time) time.Time {
		seen, _ := w.Seen()                                                     // the check reports what is wrong with the file
		return s.nextCheck(now, w.Distributions, seen).Add(rand.N(time.Minute)) //nolint:gosec // nothing here is secret
	}
	return w
}

// late returns since when a late release has been due, the zero time for none.
func (s *Site) late(distribution string, seen []watch.Seen, now time.Time) (time.Time, error) {
	st, err := s.Config.Calendar.releases().Status(now, sightings(distribution, seen)...)
	if err != nil || st.State != schedule.Late {
		return time.Time{}, err
	}
	return st.Missing.Due, nil
}

// nextCheck returns the next time to check one of the distributions.
func (s *Site) nextCheck(now time.Time, distributions []string, seen []watch.Seen) time.Time {
	var next time.Time
	for _, d := range distributions {
		if check := s.Config.Calendar.releases().NextCheck(now, sightings(d, seen)...); next.IsZero() || check.Before(next) {
			next = check
		}
	}
	return next
}

func sightings(distribution string, seen []watch.Seen) (list []schedule.Sighting) {
	for _, s := range seen {
		if s.Distribution == distribution {
			list = append(list, schedule.Sighting{Version: s.Version, Seen: s.Appeared()})
		}
	}
	return list
}
