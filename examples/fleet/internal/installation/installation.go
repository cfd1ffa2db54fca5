// Package installation is a real site of the fleet: its state is what package
// site reads from the journal, its updates are those of package rollback with
// every guard. The center's hash is a hint: what is installed is vouched for by
// the site's own configuration.
package installation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// An Installation is the site of a configuration.
type Installation struct {
	Config string            // the path of its configuration, which is read again each time
	Log    func(text string) // the events of updates; may be nil
}

func (i *Installation) load() (*site.Site, error) {
	c, err := site.Load(i.Config)
	if err != nil {
		return nil, err
	}
	s := &site.Site{Config: c}
	s.Observe.Rollback = func(e rollback.Event) { i.say(e.Text) }
	s.Observe.Warn = i.say
	return s, nil
}

func (i *Installation) say(text string) {
	if i.Log != nil {
		i.Log(text)
	}
}

// Recover ends what an earlier process left pending.
func (i *Installation) Recover(ctx context.Context) error {
	s, err := i.load()
	if err != nil {
		return err
	}
	u, err := s.Pending()
	if err != nil || u == nil {
		return err
	}
	_, err = u.Recover(ctx)
	return err
}

// State returns what the journal has.
func (i *Installation) State(context.Context) (rep rollout.Report, err error) {
	s, err := i.load()
	if err != nil {
		return rep, err
	}
	rep.Zone = s.Config.Window.Local
	st, err := s.Status()
	if err != nil {
		return rep, err
	}
	for _, name := range s.Config.Names() {
		r, ok := st.Committed[name]
		if !ok {
			continue
		}
		if rel, err := release(name, r); err == nil {
			rep.Committed = append(rep.Committed, rel)
		}
	}
	for _, q := range st.Quarantined {
		if rel, err := release(q.Part, q.Release); err == nil {
			rep.Quarantined = append(rep.Quarantined, rollout.Failure{Release: rel})
		}
	}
	if st.Pending != nil {
		rep.Activity = rollout.Decision
		for _, p := range st.Pending.Plan.Parts {
			if rel, err := release(p.Name, p.To); err == nil {
				rep.Release = rel
			}
		}
		return rep, nil
	}
	now := time.Now()
	slot, err := s.Config.Slot(now)
	switch {
	case errors.Is(err, schedule.ErrNever):
		rep.Never = err.Error()
	case err != nil:
		return rep, err
	case slot.Start.IsZero(): // at any time
		rep.Activity, rep.Slot, rep.Until = rollout.Asking, now.UTC(), now.Add(rollout.GrantLife).UTC()
	default:
		rep.Slot, rep.Until = slot.Start.UTC(), slot.LatestStart.UTC()
		if !slot.Start.After(now) {
			rep.Activity = rollout.Asking
		}
	}
	return rep, nil
}

func release(distribution string, r rollback.Release) (rollout.Release, error) {
	v, err := version.Parse(string(r.Version))
	return rollout.Release{Distribution: distribution, Version: v, SHA256: r.SHA256}, err
}

// Update installs a release: exactly this one, whatever else is on the vendor's
// server. It is fetched from there unless it is in the archive.
func (i *Installation) Update(ctx context.Context, want rollout.Release) error {
	s, err := i.load()
	if err != nil {
		return err
	}
	s.Offline, s.Version = true, want.Version
	u, err := s.FetchNext(ctx)
	if err != nil { // not in the archive
		s.Offline = false
		if err := s.Fetch(ctx); err != nil {
			return err
		}
		s.Offline = true
		if u, err = s.FetchNext(ctx); err != nil {
			return err
		}
	}
	if err := permitted(want, u.Parts); err != nil {
		return err
	}
	plan, err := u.Plan(ctx)
	if err != nil {
		return err
	}
	_, err = u.Run(ctx, plan)
	return err
}

// permitted fails unless an update installs what the center permits, and nothing
// else: a distribution of a bundle that the grant does not name must stay as it is.
// Its own pins would let the site install it, but the center has not decided on it:
// neither its canaries nor its stop rules have seen that file.
func permitted(want rollout.Release, parts []rollback.Part) error {
	found := false
	for _, p := range parts {
		switch {
		case p.Name == want.Distribution:
			found = true
			if p.To.SHA256 != want.SHA256 || string(p.To.Version) != want.Version.String() {
				return fmt.Errorf("%s is not installed: the center permits the file with SHA-256 %s, and this site would install %s with SHA-256 %s", want, want.SHA256, p.To.Version, p.To.SHA256)
			}
		case p.To != p.From:
			return fmt.Errorf("%s is not installed: this site would also update %s to %s, which the center does not permit", want, p.Name, p.To.Version)
		}
	}
	if !found {
		return fmt.Errorf("%s is not installed: this site does not have the distribution %s", want, want.Distribution)
	}
	return nil
}
