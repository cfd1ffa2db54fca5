package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/version"
)

type checkDoc struct {
	Schema string `json:"schema"` // aspupdate.check/1
	site.Check
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
			p.line("  %s since %s: %s was expected on %s", c.State, p.Time(c.Since), c.Missing.Version, p.Time(c.Missing.Due))
		case c.State != "":
			p.line("  the vendor is on time: every release that the calendar expects by now was seen")
		}
	}
	if d.Update {
		p.line("%s may be installed: aspupdate fetch, then aspupdate plan", d.waiting())
	}
	if d.Next != nil {
		p.line("next expected: %s on %s", d.Next.Version, p.Time(d.Next.Due))
	}
	if d.FirstOfYear {
		p.line("%s", firstOfYear)
	}
	for _, w := range d.Warnings {
		p.line("%s", w)
	}
}

// waiting names what is newer than what is installed.
func (d checkDoc) waiting() string {
	var names []string
	for _, c := range d.Distributions {
		if c.Newest.Compare(c.Installed) > 0 {
			names = append(names, c.Name+" "+c.Newest.String())
		}
	}
	return strings.Join(names, ", ")
}

func orUnknown(v version.Version) string {
	if v.IsZero() {
		return "unknown"
	}
	return v.String()
}

// check answers with whatever is known; the error says what is not, or that
// there is nothing to do.
func check(ctx context.Context, j *job) error {
	c, err := j.Check(ctx, time.Now())
	if c == nil {
		return err
	}
	if err == nil && !c.Update {
		err = fmt.Errorf("%w: the server has no newer release that may be installed", site.ErrNothing)
	}
	return errors.Join(j.show.answer(checkDoc{"aspupdate.check/1", *c}), err)
}

// A doctorDoc is what doctor found, in the order of its looking.
type doctorDoc struct {
	Schema   string         `json:"schema"` // aspupdate.doctor/1
	Findings []site.Finding `json:"findings"`
}

func (d doctorDoc) print(p *printer) {
	for _, f := range d.Findings {
		p.line("%s %s%s: %s", p.state(f.State), f.What, after(" ", f.Name), strings.ReplaceAll(f.Text, "\n", "; ")) // a line each
	}
}

// findings end doctor. Their exit code is that of the gravest: the one that
// an update would end with.
type findings []error

func (f findings) Error() string {
	return fmt.Sprintf("%d to fix before an update; each line that begins with fix says how", len(f))
}

func (f findings) Unwrap() []error { return f }

// gravest is the finding with which an update would end: the one that it comes
// to first.
func (f findings) gravest() error {
	order := []int{
		exitUsage, exitJournal, exitOperator, exitPrevious, exitServer, exitCredentials, exitUnknown, exitIncomplete,
		exitFolders, exitUnvouched, exitRefused, exitSpace, exitOther,
	}
	rank := func(err error) int {
		code := exitCode(err)
		if code == exitPrevious && !errors.Is(err, site.ErrPrevious) {
			code = exitRefused // the plan's, which comes later
		}
		return (slices.Index(order, code) + len(order) + 1) % (len(order) + 1) // what is in no order comes last
	}
	return slices.MinFunc(f, func(a, b error) int { return cmp.Compare(rank(a), rank(b)) })
}

func doctor(ctx context.Context, j *job) error {
	found := j.Doctor(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var bad findings
	for _, f := range found {
		if f.Err != nil {
			bad = append(bad, f.Err)
		}
	}
	err := j.show.answer(doctorDoc{"aspupdate.doctor/1", found})
	if len(bad) > 0 {
		return errors.Join(bad, err)
	}
	return err
}

// watchServer looks until it is told to stop, which is how it ends well.
func watchServer(ctx context.Context, j *job) error {
	return j.Watch(ctx, func(e site.Event) error {
		j.show.line("%s  %s", j.show.Second(time.Now()), e.Text)
		if j.show.json == nil {
			return nil
		}
		j.show.answered = true
		return j.show.encode(e, "")
	})
}
