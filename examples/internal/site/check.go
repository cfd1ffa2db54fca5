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

// A Check says how things stand between the installation, the server and the
// vendor's calendar. Times are UTC.
type Check struct {
	Distributions []Checked `json:"distributions"`
	Update        bool      `json:"update"`         // a newer release may be installed
	FirstOfYear   bool      `json:"first_of_year"`  // R14: it leads into another year
	Next          *Expected `json:"next,omitempty"` // the next expected release; none beyond the calendar's data
	Warnings      []string  `json:"warnings,omitempty"`
}

// Checked is how one distribution stands.
type Checked struct {
	Name      string          `json:"name"`
	Installed version.Version `json:"installed,omitzero"` // by the journal, or by the probe where that has nothing
	Answers   string          `json:"answers,omitempty"`  // what the probe answers
	Problem   string          `json:"problem,omitempty"`  // why it does not
	Newest    version.Version `json:"newest,omitzero"`    // what may be installed now
	State     string          `json:"state,omitempty"`    // up to date, due or late; none where the server could not be looked at
	Since     time.Time       `json:"since,omitzero"`     // it is due or late
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

// Check answers with whatever can be known; the error says what is not, or
// that an update is pending. Only with a damaged journal there is no answer.
func (s *Site) Check(ctx context.Context, now time.Time) (*Check, error) {
	st, err := s.Status()
	if err != nil {
		return nil, err
	}
	found, lookErr := s.newest(ctx)
	seen, err := s.watch().Seen()
	errs := []error{lookErr, err}
	c, held := &Check{}, false
	if w := s.Config.Days().Warning(now); w != "" {
		c.Warnings = append(c.Warnings, w)
	}
	for i, d := range s.Config.Distributions {
		one := Checked{Name: d.Name}
		errs = append(errs, one.look(ctx, d, st.Committed[d.Name]))
		known, offered := []version.Version{one.Installed}, fetch.Release{}
		if lookErr == nil {
			one.Newest, offered = found[i].Version, found[i]
			known = append(known, one.Newest)
		}
		if lookErr == nil || errors.Is(lookErr, fetch.ErrIncomplete) || errors.Is(lookErr, fetch.ErrNoRelease) {
			next, err := one.compare(s.Config.Calendar.releases(), now, add(seen, d.Name, known))
			errs = append(errs, err)
			c.Next = newExpected(next)
		}
		number, file := s.quarantined(one, offered, st)
		held = held || file && one.Newest.Compare(one.Installed) > 0
		c.weigh(one, number)
		c.Distributions = append(c.Distributions, one)
	}
	c.Update = c.Update && !held // which holds a bundle as a whole (R4)
	return c, errors.Join(append(errs, st.Blocked())...)
}

// look asks the journal and the application.
func (c *Checked) look(ctx context.Context, d distributionConfig, committed rollback.Release) error {
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
			return fmt.Errorf("%s: which version is installed? %w", d.Name, err)
		}
		return nil
	}
	if c.Installed.IsZero() {
		c.Installed, err = parseOrZero(answers)
	}
	return err
}

// compare compares what was seen with the calendar, and returns what it
// expects next.
func (c *Checked) compare(cal schedule.Calendar, now time.Time, seen []watch.Seen) (schedule.Release, error) {
	st, err := cal.Status(now, sightings(c.Name, seen)...)
	if err == nil {
		c.State, c.Since, c.Missing = st.State.String(), st.Since.UTC(), newExpected(st.Missing)
	}
	return st.Next, err
}

// quarantined says of the newest release whether one of its number was rolled
// back here, and whether it is that file: the one in the archive, as far as
// size and time tell.
func (s *Site) quarantined(one Checked, offered fetch.Release, st rollback.Status) (number, file bool) {
	if _, number = st.QuarantineOf(one.Name, rollback.Release{Version: rollback.Version(one.Newest.String())}); !number {
		return false, false
	}
	item, err := s.Archive().Get(archive.Key{Distribution: one.Name, Version: one.Newest, Variant: s.variant()})
	there, ok := offered.File(s.variant())
	if err != nil || !ok || there.Size != item.Size || !sameMinute(there.Time, item.Modified) {
		return true, false
	}
	_, file = st.QuarantineOf(one.Name, archived(item).Release)
	return true, file
}

// sameMinute compares times as listings tell them, if they do.
func sameMinute(a, b time.Time) bool {
	return a.IsZero() || b.IsZero() || a.Truncate(time.Minute).Equal(b.Truncate(time.Minute))
}

// weigh says what the newest release means for the installed one.
func (c *Check) weigh(one Checked, quarantined bool) {
	if one.Newest.Compare(one.Installed) <= 0 {
		return
	}
	c.Update = true
	if crosses, err := (schedule.Numbering{}).CrossesYear(one.Installed, one.Newest); crosses {
		c.FirstOfYear = true
	} else if err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("R14: whether %s to %s leads into another year is not known: %v", one.Installed, one.Newest, err))
	}
	if quarantined {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s %s was rolled back here: that file is not installed again until aspupdate lift", one.Name, one.Newest))
	}
}

// add adds versions that the watch has not seen: nobody knows since when they
// have been there.
func add(seen []watch.Seen, distribution string, versions []version.Version) []watch.Seen {
	for _, v := range versions {
		r := fetch.Release{Distribution: distribution, Version: v}
		if !v.IsZero() && !slices.ContainsFunc(seen, func(s watch.Seen) bool { return s.Distribution == distribution && s.Version == v }) {
			seen = append(seen, watch.Seen{Release: r, FirstCheck: true})
		}
	}
	return seen
}
