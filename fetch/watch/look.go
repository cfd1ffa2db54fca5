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

// watching is one run of Look.
type watching struct {
	*Watch
	src      fetch.Source
	memory   memory
	failures []failure
	reached  bool // any distribution could be looked at
	refused  bool // the login was
}

// A failure is something that went wrong in a look. What has the same key is
// told once.
type failure struct {
	distribution string
	key          string
	err          error
}

func (x *watching) fail(distribution, what string, err error) {
	key := what + " " + distribution
	for _, r := range []error{fetch.ErrUnreachable, fetch.ErrCredentials} {
		if what == "find" && errors.Is(err, r) {
			key = r.Error() // the server's, whatever it was asked for
		}
	}
	x.failures = append(x.failures, failure{distribution, key, err})
}

var errNoFile = errors.New("the watch has no file: set Watch.File")

func (w *Watch) check() error {
	err := w.Finder.Layout.Check()
	if err != nil {
		return err
	}
	switch {
	case w.File == "":
		err = errNoFile
	case w.Report == nil:
		err = errors.New("the watch has nobody to report to: set Watch.Report")
	case len(w.Distributions) == 0:
		err = errors.New("the watch has no distribution: set Watch.Distributions")
	}
	for _, d := range w.Distributions {
		err = errors.Join(err, names.Check(d))
	}
	if err != nil {
		return fetch.Wrap("look", "", err)
	}
	return nil
}

// look is Look. It reports whether any distribution could be looked at.
func (w *Watch) look(ctx context.Context, src fetch.Source) (failures []failure, reached bool) {
	x := watching{Watch: w, src: src}
	if err := x.all(ctx); err != nil {
		x.fail("", "look", err)
	}
	return x.failures, x.reached
}

// all returns what ends the look, rather than what concerns one distribution.
func (x *watching) all(ctx context.Context) error {
	if err := x.check(); err != nil {
		return err
	}
	unlock, err := lockMemory(ctx, x.File)
	if err != nil {
		return err
	}
	defer unlock()
	if x.memory, err = readMemory(x.File); err != nil {
		return err
	}
	for _, d := range x.Distributions {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := x.distribution(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// distribution looks at one of them, and reports what is owed even if it
// cannot be looked at.
func (x *watching) distribution(ctx context.Context, name string) error {
	var found fetch.Found
	looked := false
	if !x.refused {
		var err error
		switch found, err = x.find(ctx, name); {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			x.fail(name, "find", err)
		default:
			looked = true
			if err = x.memory.write(x.File); err != nil {
				return err // what cannot be remembered is not reported
			}
		}
	}
	if err := x.report(ctx, name, found); err != nil || !looked {
		return err
	}
	return x.late(ctx, name)
}

// find looks at one distribution, and takes what it sees into the memory, if
// all of it could be seen.
func (x *watching) find(ctx context.Context, distribution string) (fetch.Found, error) {
	finder := x.Finder
	if finder.Now == nil {
		finder.Now = x.Now
	}
	found, err := finder.Find(ctx, x.src, distribution)
	x.refused = errors.Is(err, fetch.ErrCredentials)
	if err != nil {
		return fetch.Found{}, err
	}
	if len(found.Releases) > maxVersions {
		return fetch.Found{}, tooMany(distribution, len(found.Releases))
	}
	now := x.clock().UTC().Truncate(time.Second)
	before := x.memory.Distributions[distribution]
	after := &known{}
	if before != nil {
		after = before.clone()
	}
	var seen []glance
	for _, r := range found.Releases {
		if !r.Has(version.Setup) {
			continue
		}
		g, err := x.glance(ctx, r, after.find(r.Version), now)
		if err != nil {
			return fetch.Found{}, err
		}
		seen = append(seen, g)
	}
	after.update(seen, found.Skipped, before == nil, now)
	if !after.forget(now) {
		return fetch.Found{}, tooMany(distribution, len(after.Versions))
	}
	x.memory.Distributions[distribution] = after
	x.reached = true
	return found, nil
}

func tooMany(distribution string, n int) error {
	return &fetch.Error{Op: "look", Name: distribution, Err: fmt.Errorf("%d versions, more than any vendor has", n),
		Hint: "set Finder.Layout or Finder.Accept to what the vendor uses"}
}

// glance compares one release with what is remembered of it, if anything is.
func (x *watching) glance(ctx context.Context, r fetch.Release, old *record, now time.Time) (glance, error) {
	g := glance{version: r.Version}
	for _, f := range r.Files {
		var was *upload
		if old != nil {
			if i := slices.IndexFunc(old.Files, func(u upload) bool { return u.Variant == f.Variant }); i >= 0 {
				was = &old.Files[i]
			}
		}
		u, same, err := compareUpload(ctx, x.src, f, was, now)
		switch {
		case errors.Is(err, errMoving):
			g.moving = true
			return g, nil
		case err != nil:
			return g, err
		}
		g.other = g.other || !same
		g.files = append(g.files, u)
	}
	return g, nil
}

// report reports what is owed. What it returns ends the look.
func (x *watching) report(ctx context.Context, distribution string, found fetch.Found) error {
	k := x.memory.Distributions[distribution]
	if k == nil {
		return nil
	}
	for i := range k.Versions {
		r := &k.Versions[i]
		for len(r.Owed) > 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s := Sighting{Kind: r.Owed[0], Seen: r.seen(distribution)}
			at := slices.IndexFunc(found.Releases, func(f fetch.Release) bool { return f.Version == r.Version })
			if at >= 0 && r.Gone.IsZero() {
				s.Release = found.Releases[at]
			}
			if !x.told(ctx, s) {
				break // what follows must not overtake it
			}
			r.Owed = r.Owed[1:]
			if err := x.memory.write(x.File); err != nil {
				return err
			}
		}
	}
	return nil
}

// late asks whether a release is late, and reports it once for each due time.
// What it returns ends the look.
func (x *watching) late(ctx context.Context, distribution string) error {
	if x.Late == nil {
		return nil
	}
	k := x.memory.Distributions[distribution]
	due, err := x.Late(distribution, k.seen(distribution), x.clock())
	if err != nil {
		x.fail(distribution, "late", &fetch.Error{Op: "look for a late release", Name: distribution, Err: err})
		due = time.Time{}
	}
	if due.IsZero() || slices.ContainsFunc(k.Late, due.Equal) {
		return nil
	}
	if !x.told(ctx, Sighting{Kind: Late, Seen: Seen{Release: fetch.Release{Distribution: distribution}}, Due: due}) {
		return nil
	}
	k.Late = append(k.Late, due.UTC())
	k.Late = k.Late[max(len(k.Late)-maxLate, 0):]
	return x.memory.write(x.File)
}

// told reports a sighting, and whether that went well.
func (x *watching) told(ctx context.Context, s Sighting) bool {
	err := x.Report(ctx, s)
	if err != nil {
		x.fail(s.Distribution, fmt.Sprintf("report %s %s", s.Kind, s.Version), &fetch.Error{Op: "report", Name: s.String(), Err: err, Hint: "it is reported again at the next look"})
	}
	return err == nil
}
