package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// A Service is a service of the system that an update stops and starts. Name
// and Dir are required. It may be used by one goroutine at a time, and a Dir by
// one process: the update's lock ensures that.
type Service struct {
	Name string // of the unit ("asp" is asp.service) or of the service, not the displayed name
	// Dir is a directory of the caller's own for what was found before, made
	// with mode 0700, outside of the directories that an update replaces.
	Dir string

	// Drain, if not nil, is called before a running service is stopped: to
	// announce it, and to wait until people have finished. It must return when
	// its context ends. After 5 min the service is stopped all the same.
	Drain func(ctx context.Context) error
	// Timeout bounds a stop, until all processes have ended, and a start, until the
	// service runs; zero is 5 min.
	Timeout time.Duration

	drainTimeout time.Duration // zero is 5 min
	steady       time.Duration // how long it must stay running once started; zero is 3 s
	step         func(string)  // for tests: called between any two steps
}

const (
	defaultTimeout = 5 * time.Minute
	defaultSteady  = 3 * time.Second
	pollInterval   = 100 * time.Millisecond
)

// Close closes users out by stopping the service: it records how the service
// is, turns its autostart off, and stops it. It returns nil once all of its
// processes have ended. A service that does not exist is not an error; if it exists
// at another Close, it is recorded and closed then. Close may be repeated.
func (s *Service) Close(ctx context.Context) error {
	return s.wrap(ctx, "close service", s.down(ctx, true))
}

// Stop does what Close does, for an application behind another fence.
func (s *Service) Stop(ctx context.Context) error {
	return s.wrap(ctx, "stop service", s.down(ctx, false))
}

// Open brings back what was before Close: the autostart, and whether the
// service ran. Where no service existed before, one that exists now keeps the
// autostart that its installer gave it, and is started. Without a Close before
// it, Open does nothing.
func (s *Service) Open(ctx context.Context) error {
	return s.wrap(ctx, "open service", s.up(ctx, true))
}

// Start brings back what was before Stop, as Open does. After a Close the
// service is only started, if it ran before, and its autostart stays off until
// Open. A service that was never stopped here, such as one that was just
// installed, is started.
func (s *Service) Start(ctx context.Context) error {
	return s.wrap(ctx, "start service", s.up(ctx, false))
}

// Revive turns the autostart on and starts a service that has no record here, such as one
// that was lost with its directory. It is for a person who says that users are to be let in. With
// a record it is Open.
func (s *Service) Revive(ctx context.Context) error {
	return s.wrap(ctx, "revive service", s.revive(ctx))
}

func (s *Service) revive(ctx context.Context) error {
	rec, err := s.read()
	if err != nil {
		return err
	}
	if rec.phase() != untouched {
		return s.up(ctx, true)
	}
	if err := autostartOn(ctx, s.Name); err != nil {
		return advise("turn its autostart on by hand", err)
	}
	return s.run(ctx)
}

func (s *Service) down(ctx context.Context, fence bool) error {
	old, err := s.read()
	if err != nil {
		return err
	}
	st, err := query(ctx, s.Name)
	if err != nil {
		return err
	}
	rec := old
	if p := rec.phase(); p == restored || p == untouched {
		rec = record{Format: recordFormat, Name: s.Name, Absent: !st.Exists}
	}
	if st.Exists {
		if by, err := dependents(ctx, s.Name); err != nil {
			return err
		} else if len(by) > 0 {
			return advise("put it into a Group behind these, or stop them and turn their autostart off",
				fmt.Errorf("%w: %s", ErrDependents, strings.Join(by, ", ")))
		}
	}
	if rec.Found == nil && st.Exists {
		if st.cannot != "" {
			return advise("nothing was changed", errors.New(st.cannot))
		}
		rec.Found = &found{Running: st.Running, Autostart: st.Autostart}
		if rec.Found.WantedBy, rec.Found.RequiredBy, err = links(ctx, s.Name); err != nil {
			return err
		}
	}
	rec.Closed = rec.Closed || fence
	if err := s.write(old, rec); err != nil {
		return advise("nothing was changed; make the directory writable", err)
	}
	s.at("recorded")
	if !st.Exists {
		return nil
	}
	if err := autostartOff(ctx, s.Name, st); err != nil {
		return err
	}
	s.at("autostart off")
	if by, err := starters(ctx, s.Name); err != nil {
		return err
	} else if len(by) > 0 {
		return advise("turn that off, or put those into a Group before it; Open restores what was changed",
			fmt.Errorf("%w: it would still be started by %s", ErrDependents, strings.Join(by, ", ")))
	}
	return s.halt(ctx, rec)
}

// halt stops the service and waits until its processes have ended.
func (s *Service) halt(ctx context.Context, rec record) error {
	st, err := query(ctx, s.Name)
	if err != nil {
		return err
	}
	if err := s.drain(ctx, st); err != nil {
		return err
	}
	old := rec
	for _, m := range members(st) {
		if !slices.Contains(rec.Members, m) {
			rec.Members = append(slices.Clip(rec.Members), m)
		}
	}
	if err := s.write(old, rec); err != nil {
		return err
	}
	timeout := orDefault(s.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w within %s", ErrNotStopped, timeout))
	defer cancel()
	if err := stop(ctx, s.Name); err != nil {
		return late(ctx, "see in its log what it waits for and stop it by hand, then close again", err)
	}
	s.at("stopped")
	for {
		left, err := alive(rec.Members)
		if err == nil {
			var now Status
			if now, err = query(ctx, s.Name); err == nil {
				st = now
			}
		}
		switch {
		case err == nil && len(left) == 0 && !st.Running && !st.changing:
			s.at("ended")
			return nil
		case err != nil && ctx.Err() == nil:
			return err
		case !pause(ctx):
			return advise("see in its log what it waits for, or end by hand what is left; then close again",
				fmt.Errorf("%w: %s", context.Cause(ctx), strings.Join(append(left, "the service is "+st.State), ", ")))
		}
	}
}

// drain lets people finish before a running service is stopped.
func (s *Service) drain(ctx context.Context, st Status) error {
	if !st.Running || s.Drain == nil {
		return nil
	}
	draining, cancel := context.WithTimeout(ctx, orDefault(s.drainTimeout, defaultTimeout))
	defer cancel()
	err := s.Drain(draining)
	if late := draining.Err() != nil && ctx.Err() == nil; err != nil && !late {
		return advise("the service goes on; correct that and close again", fmt.Errorf("cannot drain: %w", err))
	}
	s.at("drained")
	return nil
}

// up is Open, or else Start.
func (s *Service) up(ctx context.Context, open bool) error {
	rec, err := s.read()
	if err != nil {
		return err
	}
	st, err := query(ctx, s.Name)
	if err != nil {
		return err
	}
	switch p := rec.phase(); {
	case p == untouched && open:
		return nil
	case !st.Exists && rec.Absent: // as before
		if p == closed && !open {
			return nil
		}
		return s.restored(rec)
	case !st.Exists:
		return advise("install the application again, or see why its installer made none", errNotFound)
	case p == untouched:
		return s.run(ctx)
	case p == restored, p == closed && !open:
		if !rec.runs() {
			return nil
		}
		return s.run(ctx)
	}
	return s.restore(ctx, rec)
}

// restore brings back what was found.
func (s *Service) restore(ctx context.Context, rec record) error {
	if rec.Found != nil {
		if err := autostartAs(ctx, s.Name, *rec.Found); err != nil {
			return advise("its autostart was "+rec.Found.Autostart+": set that by hand if opening again does not help", err)
		}
	}
	s.at("autostart as before")
	back := s.run
	if !rec.runs() {
		back = func(ctx context.Context) error { return s.halt(ctx, rec) }
	}
	if err := back(ctx); err != nil {
		return err
	}
	s.at("running as before")
	return s.restored(rec)
}

func (s *Service) restored(rec record) error {
	old := rec
	rec.Restored, rec.Members = true, nil
	return s.write(old, rec)
}

// run starts the service, and returns once it has stayed running for a while.
func (s *Service) run(ctx context.Context) error {
	timeout := orDefault(s.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w: it did not start within %s", ErrNotRunning, timeout))
	defer cancel()
	const next = "see its log, correct that, and start again"
	if err := start(ctx, s.Name); err != nil {
		return late(ctx, next, err)
	}
	s.at("started")
	var since time.Time
	var first Status
	for {
		st, err := query(ctx, s.Name)
		switch {
		case err != nil:
			return late(ctx, next, err)
		case st.Running && !st.changing && since.IsZero():
			since, first = time.Now(), st
		case st.Running && !st.changing && st.run == first.run:
			if time.Since(since) >= orDefault(s.steady, defaultSteady) {
				return nil
			}
		case !st.Running && !st.changing, !since.IsZero():
			return advise(next, fmt.Errorf("%w: %s", ErrNotRunning, st.exit))
		}
		if !pause(ctx) {
			return advise(next, context.Cause(ctx))
		}
	}
}

func (s *Service) at(step string) {
	if s.step != nil {
		s.step(step)
	}
}

// wrap returns err as an *Error.
func (s *Service) wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Subject: s.Name, Err: err}
	if a, ok := errors.AsType[advised](err); ok {
		e.Err, e.Next = a.error, a.next
	}
	if e.Next == "" && errors.Is(err, fs.ErrPermission) {
		e.Next = "run as an administrator"
	}
	if st, queryErr := query(context.WithoutCancel(ctx), s.Name); queryErr == nil {
		e.state = st.State
	}
	return e
}

// late returns err, or the cause of ctx if that has ended.
func late(ctx context.Context, next string, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return advise(next, err)
}

// pause waits for the next query; it returns false if ctx has ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pollInterval):
		return true
	}
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// A Group is services that are closed one after the other and opened in the
// opposite order: a service that depends on another comes before it.
type Group []*Service

// Close closes all services, and stops at the first error.
func (g Group) Close(ctx context.Context) error { return g.each(ctx, (*Service).Close) }

// Stop stops all services, and stops at the first error.
func (g Group) Stop(ctx context.Context) error { return g.each(ctx, (*Service).Stop) }

// Open opens all services, the last first, and stops at the first error.
func (g Group) Open(ctx context.Context) error { return g.reversed().each(ctx, (*Service).Open) }

// Start starts all services, the last first, and stops at the first error.
func (g Group) Start(ctx context.Context) error { return g.reversed().each(ctx, (*Service).Start) }

func (g Group) each(ctx context.Context, do func(*Service, context.Context) error) error {
	for _, s := range g {
		if err := do(s, ctx); err != nil {
			return err
		}
	}
	return nil
}

func (g Group) reversed() Group {
	g = slices.Clone(g)
	slices.Reverse(g)
	return g
}
