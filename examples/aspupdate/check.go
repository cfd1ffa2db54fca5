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
		where, newest := "on the server", c.Newest
		if d.Offline {
			where = "in the archive"
		}
		if newest.IsZero() {
			newest = c.Alone
		}
		p.line("%s: installed %s, newest %s %s", c.Name, orUnknown(c.Installed), where, orUnknown(newest))
		if c.Unfit != "" {
			p.line("  it has no release to install: %s", c.Unfit)
		}
		switch {
		case c.Problem != "":
			p.line("  the application does not answer: %s", c.Problem)
		case c.Answers != c.Installed.String():
			p.line("  the application reports version %q", c.Answers)
		}
		switch {
		case c.Missing != nil:
			p.line("  %s since %s: %s was expected on %s", c.State, p.Time(c.Since), c.Missing.Version, p.Time(c.Missing.Due))
		case c.State != "":
			p.line("  the vendor is on time: every release expected by now was seen")
		}
	}
	switch {
	case d.Update && d.Offline:
		p.line("%s may be installed: run aspupdate plan --offline", d.waiting())
	case d.Update:
		p.line("%s may be installed: run aspupdate fetch, then aspupdate plan", d.waiting())
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

// waiting lists the releases that are newer than the installed versions.
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

// check prints what is known. Its error says what is unknown, or that there is
// nothing to do.
func check(ctx context.Context, j *job) error {
	c, err := j.Check(ctx, time.Now())
	if c == nil {
		return err
	}
	if err == nil && !c.Update && c.Offline {
		err = fmt.Errorf("%w: the archive has no newer release that may be installed", site.ErrNothing)
	}
	if err == nil && !c.Update {
		err = fmt.Errorf("%w: the server has no newer release that may be installed", site.ErrNothing)
	}
	return errors.Join(j.show.answer(checkDoc{"aspupdate.check/1", *c}), err)
}

// A doctorDoc holds doctor's findings, in the order of its checks.
type doctorDoc struct {
	Schema   string         `json:"schema"` // aspupdate.doctor/1
	Findings []site.Finding `json:"findings"`
}

func (d doctorDoc) print(p *printer) {
	for _, f := range d.Findings {
		printed, text := p.colored, strings.ReplaceAll(f.Text, "\n", "; ")
		switch f.What {
		case "databases":
			printed = p.list
		case "space":
			text = f.Text
		}
		printed(p.color(f.State), p.state(f.State), " %s%s: %s", f.What, after(" ", f.Name), text)
	}
}

// findings is doctor's error. Its exit code is the one with which an update
// would end.
type findings []error

func (f findings) Error() string {
	return fmt.Sprintf("problems to fix before an update: %d; see the lines that begin with fix", len(f))
}

func (f findings) Unwrap() []error { return f }

// gravest returns the finding with which an update would end: the one that it
// would meet first.
func (f findings) gravest() error {
	order := []int{
		exitUsage, exitJournal, exitStale, exitNewer, exitOperator, exitClosed, exitPrevious, exitServer, exitCredentials, exitUnknown, exitIncomplete,
		exitDirectories, exitUnvouched, exitRefused, exitSpace, exitOther,
	}
	rank := func(err error) int {
		code := exitCode(err)
		if code == exitPrevious && !errors.Is(err, site.ErrPrevious) {
			code = exitRefused // found when the update plans, which is later
		}
		return (slices.Index(order, code) + len(order) + 1) % (len(order) + 1) // an unlisted code comes last
	}
	return slices.MinFunc(f, func(a, b error) int { return cmp.Compare(rank(a), rank(b)) })
}

func doctor(ctx context.Context, j *job) error {
	found := j.Doctor(ctx)
	bad := problems(found)
	if j.cmd.Bool("rehearse") && ctx.Err() == nil {
		if len(bad) == 0 {
			found = append(found, j.Rehearse(ctx)...)
			bad = problems(found)
		} else {
			found = append(found, site.Finding{State: "warning", What: "rehearsal", Text: "nothing was rehearsed: fix the above first"})
		}
	}
	found = append(found, j.notifyFindings(ctx)...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := j.show.answer(doctorDoc{"aspupdate.doctor/1", found})
	switch {
	case len(bad) > 0 && slices.ContainsFunc(found, func(f site.Finding) bool { return f.Err != nil && f.What == "application" }):
		return errors.Join(unhealthy{bad}, err)
	case len(bad) > 0:
		return errors.Join(bad, err)
	}
	return err
}

// An unhealthy site has an application that must be put in order before users are let in.
type unhealthy struct{ findings }

func (u unhealthy) Unwrap() error { return u.findings }

func problems(found []site.Finding) (bad findings) {
	for _, f := range found {
		if f.Err != nil {
			bad = append(bad, f.Err)
		}
	}
	return bad
}

// watchServer notifies people of releases until it is stopped, which is not an error.
func watchServer(ctx context.Context, j *job) error {
	if j.Config.Notify.On() {
		ctx, end := context.WithCancel(ctx)
		defer j.keepNotifying(ctx)()
		defer end()
	}
	return j.Watch(ctx, func(e site.Event) error {
		if err := j.put(j.releaseMessage(e)); err != nil { // the next check brings the event again
			return err
		}
		if j.Config.Notify.On() {
			if err := j.deliver(ctx); err != nil && ctx.Err() == nil {
				j.unsent(err)
			}
		}
		j.show.line("%s  %s", j.show.Second(time.Now()), e.Text)
		if j.show.json == nil {
			return nil
		}
		j.show.answered = true
		return j.show.encode(e, "")
	})
}
