package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/install/service"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// ErrClosed means that users are kept out although no update is pending, which
// nothing ends by itself. [Site.Open] lets them in.
var ErrClosed = errors.New("users are kept out, and no update is pending")

// Fence returns what each part of the fence reports. The error wraps [ErrClosed]
// if users are kept out although nothing is pending and no process is running.
func (s *Site) Fence(ctx context.Context) ([]rollback.FencePart, error) {
	if s.Config.Application.NoFence != "" {
		return nil, nil
	}
	st, err := s.Status()
	if err != nil {
		return nil, err
	}
	parts := s.fence(ctx).FenceState(ctx)
	holder, err := rollback.LockHolder(s.Config.State)
	if err != nil || holder != nil || st.Pending != nil {
		return parts, err
	}
	var closed []string
	for _, p := range parts {
		if p.State == "closed" {
			closed = append(closed, p.Name)
		}
	}
	if len(closed) > 0 {
		err = fmt.Errorf("%w: closed: %s", ErrClosed, strings.Join(closed, ", "))
	}
	return parts, err
}

// Open lets users in if nothing is pending. It returns what each part of the
// fence reported before and reports now. The reason is recorded.
func (s *Site) Open(ctx context.Context, reason string) (before, now []rollback.FencePart, err error) {
	u := s.fence(ctx)
	before, err = u.Open(ctx, reason)
	return before, u.FenceState(ctx), err
}

// fence returns an update with only what its fence needs. The application behind
// it is its innermost part: users who are let in to what is stopped are still out.
func (s *Site) fence(ctx context.Context) *rollback.Update {
	s, unknown := s.known(ctx)
	opening := *s
	s, opening.opening = &opening, true
	u := &rollback.Update{Dir: s.Config.State, Kept: s.Config.kept(), Deadlines: s.Config.Deadlines.deadlines(), Observe: s.Observe.Rollback}
	s.protect(u)
	app := s.Config.Application
	if app.NoFence != "" {
		return u
	}
	parts := []rollback.Fence{u.Fence}
	if unknown != nil {
		parts = append(parts, unresolved{unknown})
	}
	if len(app.Services) > 0 {
		group := s.reviving(app.Services)
		parts = append(parts, whenStopped{group, "services " + strings.Join(app.Services, ", "), s.servicesClosed(app.Services)})
	}
	if len(app.Status) > 0 {
		commands := s.commands(app.Stop, app.Start, app.Status)
		parts = append(parts, whenStopped{commands, commandsName("application.stop", app.Stop), commands.Closed})
	}
	if cut := (cutShort{s}); cut.is() {
		parts = append(parts, cut)
	}
	u.Fence = roles.Fence(parts...)
	return u
}

// A reviving group brings services back also where their records went with the state directory: one
// that is stopped with its autostart off, and was never closed as far as is known, gets its
// autostart and is started.
type reviving struct {
	service.Group
	site  *Site
	names []string
}

func (s *Site) reviving(names []string) reviving { return reviving{s.services(names), s, names} }

// group returns the services of the fence: a person who opens it brings them back without a record,
// an update does not, since it may never have closed them.
func (s *Site) group(names []string) rollback.Fence {
	if s.opening {
		return s.reviving(names)
	}
	return s.services(names)
}

func (r reviving) Open(ctx context.Context) error {
	return errors.Join(r.Group.Open(ctx), r.revive(ctx))
}

func (r reviving) Start(ctx context.Context) error {
	return errors.Join(r.revive(ctx), r.Group.Start(ctx))
}

func (r reviving) revive(ctx context.Context) error {
	var errs []error
	for i, one := range r.Group {
		st, err := service.Query(ctx, r.names[i])
		if err == nil && st.Exists && !st.Running && autostartOff(st) && !r.site.wasOff(r.names[i]) {
			err = one.Revive(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// autostartOff reports whether a service cannot start with the machine.
func autostartOff(st service.Status) bool {
	return st.Autostart == "disabled" || strings.HasPrefix(st.Autostart, "masked")
}

// known returns the site with the databases of the pending update, or without one
// those that the servers have now.
func (s *Site) known(ctx context.Context) (*Site, error) {
	if st, err := s.Status(); err == nil && st.Pending != nil {
		return s.planned(st.Pending.Plan.Data), nil
	}
	return s.resolved(ctx)
}

// unresolved is the fence of databases that are not known.
type unresolved struct{ err error }

func (unresolved) String() string                         { return "databases" }
func (u unresolved) Close(context.Context) error          { return u.err }
func (u unresolved) Open(context.Context) error           { return u.err }
func (u unresolved) Closed(context.Context) (bool, error) { return false, u.err }

// whenStopped is an application that is started only if it reports that it is
// stopped.
type whenStopped struct {
	rollback.Application
	name   string
	closed func(context.Context) (bool, error)
}

func (w whenStopped) String() string                           { return w.name }
func (w whenStopped) Close(ctx context.Context) error          { return w.Stop(ctx) }
func (w whenStopped) Closed(ctx context.Context) (bool, error) { return w.closed(ctx) }

func (w whenStopped) Open(ctx context.Context) error {
	if stopped, err := w.closed(ctx); err == nil && stopped {
		return w.Start(ctx)
	}
	return nil // it runs, or cannot be asked
}

// A named fence is a part of the fence that people know by its name.
type named struct {
	rollback.Fence
	name   string
	closed func(context.Context) (bool, error)
}

func (n named) String() string { return n.name }

// Closed reports whether the part keeps users out.
func (n named) Closed(ctx context.Context) (bool, error) { return n.closed(ctx) }

// Settle settles what the part left running.
func (n named) Settle(ctx context.Context) (finished bool, err error) {
	if s, ok := n.Fence.(interface {
		Settle(ctx context.Context) (bool, error)
	}); ok {
		return s.Settle(ctx)
	}
	return false, nil
}

// servicesClosed reports whether services are stopped with their autostart off. A
// service that was so before an update, or that does not exist, says nothing: the
// error is [errors.ErrUnsupported] if none says more.
func (s *Site) servicesClosed(names []string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		running := false
		for _, name := range names {
			st, err := service.Query(ctx, name)
			switch {
			case err != nil:
				return false, err
			case st.Running:
				running = true
			case st.Exists && autostartOff(st) && !s.wasOff(name):
				return true, nil
			}
		}
		if !running {
			return false, errors.ErrUnsupported
		}
		return false, nil
	}
}

// wasOff reports whether a service is stopped because the last update found it so.
func (s *Site) wasOff(name string) bool {
	var rec struct {
		Found    struct{ Running bool }
		Restored bool
	}
	text, err := readFile(filepath.Join(s.Config.State, "services", url.QueryEscape(name)+".service.json"))
	return err == nil && json.Unmarshal(text, &rec) == nil && rec.Restored && !rec.Found.Running
}

// commandsName names the commands of a part for people.
func commandsName(key string, argv []string) string {
	return key + " (" + strings.Join(slices.Clone(argv[:min(1, len(argv))]), " ") + ")"
}
