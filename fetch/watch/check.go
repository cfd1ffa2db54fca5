package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/version"
)

// A check is one call of Check.
type check struct {
	*Watch
	src      fetch.Source
	memory   memory
	failures []failure
	reached  bool // any distribution could be checked
	refused  bool // the login was
}

// A failure is something that went wrong in a check. Failures with the same key
// are reported once.
type failure struct {
	distribution string
	key          string
	err          error
}

func (c *check) fail(distribution, what string, err error) {
	key := what + " " + distribution
	for _, state := range []error{fetch.ErrUnreachable, fetch.ErrCredentials} {
		if what == "find" && errors.Is(err, state) {
			key = state.Error() // it is about the server
		}
	}
	c.failures = append(c.failures, failure{distribution, key, err})
}

var errNoFile = errors.New("the watch has no file: set Watch.File")

func (w *Watch) validate() error {
	err := w.Finder.Layout.Check()
	if err != nil {
		return err
	}
	switch {
	case w.File == "":
		err = errNoFile
	case w.Report == nil:
		err = errors.New("the watch has no function to report to: set Watch.Report")
	case len(w.Distributions) == 0:
		err = errors.New("the watch has no distribution: set Watch.Distributions")
	}
	for _, d := range w.Distributions {
		err = errors.Join(err, names.Check(d))
	}
	if err != nil {
		return fetch.Wrap("watch", "", err)
	}
	return nil
}

// check is Check. It reports whether any distribution could be checked.
func (w *Watch) check(ctx context.Context, src fetch.Source) (failures []failure, reached bool) {
	c := check{Watch: w, src: src}
	if err := c.all(ctx); err != nil {
		c.fail("", "check", err)
	}
	return c.failures, c.reached
}

// all returns an error that ends the check, and is not about one distribution.
func (c *check) all(ctx context.Context) error {
	if err := c.validate(); err != nil {
		return err
	}
	unlock, err := lockMemory(ctx, c.File)
	if err != nil {
		return err
	}
	defer unlock()
	if c.memory, err = readMemory(c.File); err != nil {
		return err
	}
	for _, d := range c.Distributions {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := c.distribution(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// distribution checks one distribution, and reports what is pending even if it
// cannot be checked.
func (c *check) distribution(ctx context.Context, name string) error {
	var found fetch.Found
	checked := false
	if !c.refused {
		var err error
		switch found, err = c.find(ctx, name); {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			c.fail(name, "find", err)
		default:
			checked = true
			if err = c.memory.write(c.File); err != nil {
				return err // what cannot be remembered is not reported
			}
		}
	}
	if err := c.reportPending(ctx, name, found); err != nil || !checked {
		return err
	}
	return c.reportLate(ctx, name)
}

// find finds the releases of one distribution, and updates the memory if all of
// them could be compared.
func (c *check) find(ctx context.Context, distribution string) (fetch.Found, error) {
	finder := c.Finder
	if finder.Now == nil {
		finder.Now = c.Now
	}
	found, err := finder.Find(ctx, c.src, distribution)
	c.refused = errors.Is(err, fetch.ErrCredentials)
	if err != nil {
		return fetch.Found{}, err
	}
	if len(found.Releases) > maxVersions {
		return fetch.Found{}, tooMany(distribution, len(found.Releases))
	}
	now := c.clock().UTC().Truncate(time.Second)
	before := c.memory.Distributions[distribution]
	after := &history{}
	if before != nil {
		after = before.clone()
	}
	var seen []observation
	for _, r := range found.Releases {
		if !r.Has(version.Setup) {
			continue
		}
		o, err := c.observeRelease(ctx, r, after.find(r.Version), now)
		if err != nil {
			return fetch.Found{}, err
		}
		seen = append(seen, o)
	}
	after.update(seen, found.Skipped, before == nil, now)
	if !after.forget(now) {
		return fetch.Found{}, tooMany(distribution, len(after.Versions))
	}
	c.memory.Distributions[distribution] = after
	c.reached = true
	return found, nil
}

func tooMany(distribution string, n int) error {
	return &fetch.Error{Op: "watch", Subject: distribution, Err: fmt.Errorf("%d versions, more than any vendor has", n),
		Next: "set Finder.Layout or Finder.Accept to what the vendor uses"}
}

// observeRelease compares one release with what is remembered of it, if
// anything is.
func (c *check) observeRelease(ctx context.Context, r fetch.Release, old *record, now time.Time) (observation, error) {
	o := observation{version: r.Version}
	for _, f := range r.Files {
		var was *upload
		if old != nil {
			if i := slices.IndexFunc(old.Files, func(u upload) bool { return u.Variant == f.Variant }); i >= 0 {
				was = &old.Files[i]
			}
		}
		u, same, err := compareUpload(ctx, c.src, f, was, now)
		switch {
		case errors.Is(err, errChanging):
			o.changing = true
			return o, nil
		case err != nil:
			return o, err
		}
		o.differs = o.differs || !same
		o.files = append(o.files, u)
	}
	return o, nil
}

// reportPending reports the pending sightings of a distribution. Its error ends
// the check.
func (c *check) reportPending(ctx context.Context, distribution string, found fetch.Found) error {
	h := c.memory.Distributions[distribution]
	if h == nil {
		return nil
	}
	for i := range h.Versions {
		r := &h.Versions[i]
		for len(r.Pending) > 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s := Sighting{Kind: r.Pending[0], Seen: r.seen(distribution)}
			at := slices.IndexFunc(found.Releases, func(f fetch.Release) bool { return f.Version == r.Version })
			if at >= 0 && r.Gone.IsZero() {
				s.Release = found.Releases[at]
			}
			if !c.report(ctx, s) {
				break // the next one must not overtake it
			}
			r.Pending = r.Pending[1:]
			if err := c.memory.write(c.File); err != nil {
				return err
			}
		}
	}
	return nil
}

// reportLate calls Late, and reports a late release once for each due time. Its
// error ends the check.
func (c *check) reportLate(ctx context.Context, distribution string) error {
	if c.Late == nil {
		return nil
	}
	h := c.memory.Distributions[distribution]
	due, err := c.Late(distribution, h.seen(distribution), c.clock())
	if err != nil {
		c.fail(distribution, "late", &fetch.Error{Op: "check for a late release", Subject: distribution, Err: err})
		due = time.Time{}
	}
	if due.IsZero() || slices.ContainsFunc(h.Late, due.Equal) {
		return nil
	}
	if !c.report(ctx, Sighting{Kind: Late, Seen: Seen{Release: fetch.Release{Distribution: distribution}}, Due: due}) {
		return nil
	}
	h.Late = append(h.Late, due.UTC())
	h.Late = h.Late[max(len(h.Late)-maxLate, 0):]
	return c.memory.write(c.File)
}

// report calls Report, and reports whether it succeeded.
func (c *check) report(ctx context.Context, s Sighting) bool {
	err := c.Report(ctx, s)
	if err != nil {
		c.fail(s.Distribution, fmt.Sprintf("report %s %s", s.Kind, s.Version),
			&fetch.Error{Op: "report", Subject: s.String(), Err: err, Next: "the next check reports it again"})
	}
	return err == nil
}
