package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// A checkDoc says how things stand between the installation, the server and
// the vendor's calendar.
type checkDoc struct {
	Schema        string       `json:"schema"` // aspupdate.check/1
	Distributions []checkedDoc `json:"distributions"`
	Update        bool         `json:"update"`         // a newer release may be installed
	FirstOfYear   bool         `json:"first_of_year"`  // R14: it leads into another year
	Next          *expectedDoc `json:"next,omitempty"` // the next expected release; none beyond the calendar's data
	Warnings      []string     `json:"warnings,omitempty"`
}

type checkedDoc struct {
	Name      string          `json:"name"`
	Installed version.Version `json:"installed,omitzero"` // by the journal, or by the probe where that has nothing
	Answers   string          `json:"answers,omitempty"`  // what the probe answers
	Problem   string          `json:"problem,omitempty"`  // why it does not
	Newest    version.Version `json:"newest,omitzero"`    // what may be installed now
	State     string          `json:"state,omitempty"`    // up to date, due or late; none where the server could not be looked at
	Since     time.Time       `json:"since,omitzero"`     // it is due or late
	Missing   *expectedDoc    `json:"missing,omitempty"`  // what is due or late
}

type expectedDoc struct {
	Version version.Version `json:"version"`
	Due     time.Time       `json:"due"`
}

func newExpectedDoc(r schedule.Release) *expectedDoc {
	if r.IsZero() {
		return nil
	}
	return &expectedDoc{r.Version, r.Due.UTC()}
}

func (d checkDoc) print(p *printer) {
	for _, c := range d.Distributions {
		p.line("%s: installed %s, newest on the server %s", c.Name, orUnknown(c.Installed), orUnknown(c.Newest))
		switch {
		case c.Problem != "":
			p.line("  the application does not answer: %s", c.Problem)
		case c.Answers != c.Installed.String():
			p.line("  the application answers that it is %q", c.Answers)
		}
		switch {
		case c.Missing != nil:
			p.line("  %s since %s: %s was expected on %s", c.State, p.time(c.Since), c.Missing.Version, p.time(c.Missing.Due))
		case c.State != "":
			p.line("  %s by the calendar", c.State)
		}
	}
	if d.Next != nil {
		p.line("next expected: %s on %s", d.Next.Version, p.time(d.Next.Due))
	}
	if d.FirstOfYear {
		p.line("%s", firstOfYear)
	}
	for _, w := range d.Warnings {
		p.line("%s", w)
	}
}

func orUnknown(v version.Version) string {
	if v.IsZero() {
		return "unknown"
	}
	return v.String()
}

// runCheck answers with whatever it knows; the error says what it does not,
// or that there is nothing to do.
func runCheck(ctx context.Context, s *site, _ *cli.Command) error {
	st, err := rollback.ReadStatus(s.conf.State)
	if err != nil {
		return err
	}
	now := time.Now()
	found, lookErr := s.newest(ctx)
	seen, err := s.watch().Seen()
	errs := []error{lookErr, err}
	d := checkDoc{Schema: "aspupdate.check/1"}
	if w := s.conf.Calendar.days.Warning(now); w != "" {
		d.Warnings = append(d.Warnings, w)
	}
	for i, dist := range s.conf.Distributions {
		c := checkedDoc{Name: dist.Name}
		errs = append(errs, c.look(ctx, dist, st.Committed[dist.Name]))
		known := []version.Version{c.Installed}
		if lookErr == nil {
			c.Newest = found[i].Version
			known = append(known, c.Newest)
		}
		if lookErr == nil || errors.Is(lookErr, fetch.ErrIncomplete) || errors.Is(lookErr, fetch.ErrNothing) {
			next, err := c.compare(s.conf.Calendar.releases(), now, add(seen, dist.Name, known))
			errs = append(errs, err)
			d.Next = newExpectedDoc(next)
		}
		d.weigh(c, st)
		d.Distributions = append(d.Distributions, c)
	}
	if err := errors.Join(append(errs, st.Blocked())...); err != nil || d.Update {
		return errors.Join(s.show.answer(d), err)
	}
	return errors.Join(s.show.answer(d), fmt.Errorf("%w: no newer release is on the server", errNothing))
}

// look asks the journal and the application.
func (c *checkedDoc) look(ctx context.Context, d distributionConfig, committed rollback.Release) (err error) {
	if c.Installed, err = parseOrZero(committed.Version); err != nil {
		return err
	}
	if c.Answers, err = newProbe(d.Probe, nil).Version(ctx); err != nil {
		c.Problem = err.Error()
		if c.Installed.IsZero() {
			return fmt.Errorf("%s: which version is installed? %w", d.Name, err)
		}
		return nil
	}
	if c.Installed.IsZero() {
		c.Installed, err = parseOrZero(c.Answers)
	}
	return err
}

// compare compares what was seen with the calendar, and returns what it
// expects next.
func (c *checkedDoc) compare(cal schedule.Calendar, now time.Time, seen []fetch.Seen) (schedule.Release, error) {
	st, err := cal.Status(now, sightings(c.Name, seen)...)
	if err == nil {
		c.State, c.Since, c.Missing = st.State.String(), st.Since.UTC(), newExpectedDoc(st.Missing)
	}
	return st.Next, err
}

// weigh says what the newest release means for the installed one.
func (d *checkDoc) weigh(c checkedDoc, st rollback.Status) {
	if c.Newest.Compare(c.Installed) <= 0 {
		return
	}
	d.Update = true
	if crosses, err := (schedule.Numbering{}).CrossesYear(c.Installed, c.Newest); crosses {
		d.FirstOfYear = true
	} else if err != nil {
		d.Warnings = append(d.Warnings, fmt.Sprintf("R14: whether %s to %s leads into another year is not known: %v", c.Installed, c.Newest, err))
	}
	for _, q := range st.Quarantined {
		if q.Part == c.Name && q.Release.Version == c.Newest.String() {
			d.Warnings = append(d.Warnings, fmt.Sprintf("%s %s was rolled back here: it is not installed again until aspupdate lift", c.Name, c.Newest))
		}
	}
}

// add adds versions that the watch has not seen: nobody knows since when they
// have been there.
func add(seen []fetch.Seen, distribution string, versions []version.Version) []fetch.Seen {
	for _, v := range versions {
		r := fetch.Release{Distribution: distribution, Version: v}
		if !v.IsZero() && !slices.ContainsFunc(seen, func(s fetch.Seen) bool { return s.Distribution == distribution && s.Version == v }) {
			seen = append(seen, fetch.Seen{Release: r, FirstLook: true})
		}
	}
	return seen
}
