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
// and Dir are required. A value may be used by one goroutine at a time, and a
// service with its Dir by one process: the update's lock sees to that.
type Service struct {
	Name string // of the unit ("asp" is asp.service) or of the service, not the name displayed
	// Dir is a folder of the caller's own for what was found before, made
	// with mode 0700, outside of the folders that an update replaces.
	Dir string

	// Drain, if not nil, is called before a running service is stopped: to
	// announce it, and to wait until people have finished. It must come back
	// when its context ends. That DrainLimit has passed is no failure: the
	// service is stopped then.
	Drain      func(ctx context.Context) error
	DrainLimit time.Duration // zero is 5 min
	StopLimit  time.Duration // until all its processes have ended; zero is 5 min
	StartLimit time.Duration // until it runs; zero is 5 min
	// Steady is how long a started service must stay running to count as
	// started. Zero is 3 s.
	Steady time.Duration

	step func(string) // for tests: called between any two steps
}

const (
	defaultLimit  = 5 * time.Minute
	defaultSteady = 3 * time.Second
	pollPause     = 100 * time.Millisecond
)

// Close keeps users out by the service: it remembers how the service is,
// turns its autostart off, and stops it. It returns nil once none of its
// processes is left. A service that is not there is no error; if there is one
// by the time of another Close, that is remembered and closed.
func (s Service) Close(ctx context.Context) error {
	return s.wrap(ctx, "close", s.down(ctx, true))
}

// Stop does what Close does, for an application behind another fence.
func (s Service) Stop(ctx context.Context) error {
	return s.wrap(ctx, "stop", s.down(ctx, false))
}

// Open brings back what was before Close: the autostart, and whether the
// service ran. Where there was no service before, one that is there now keeps
// the autostart that its installer gave it, and is started. Without a Close
// before it nothing happens.
func (s Service) Open(ctx context.Context) error {
	return s.wrap(ctx, "open", s.up(ctx, true))
}

// Start brings back what was before Stop, as Open does. After a Close the
// service is only started, if it ran before, and its autostart stays off until
// Open. A service that was never stopped here, such as one that was just
// installed, is started.
func (s Service) Start(ctx context.Context) error {
	return s.wrap(ctx, "start", s.up(ctx, false))
}

func (s Service) down(ctx context.Context, fence bool) error {
	old, err := s.read()
	if err != nil {
		return err
	}
	st, err := look(ctx, s.Name)
	if err != nil {
		return err
	}
	rec := old
	if rec.Restored || rec.Format == 0 {
		rec = record{Format: recordFormat, Name: s.Name, Absent: !st.exists}
	}
	if st.exists {
		if by, err := dependents(ctx, s.Name); err != nil {
			return err
		} else if len(by) > 0 {
			return advise("put it into a Group behind these, or stop them and turn their autostart off",
				fmt.Errorf("%w: %s", ErrDependents, strings.Join(by, ", ")))
		}
	}
	if rec.Found == nil && st.exists {
		if err := st.restorable(); err != nil {
			return err
		}
		rec.Found = &found{Running: st.running, Autostart: st.autostart}
		if rec.Found.WantedBy, rec.Found.RequiredBy, err = links(ctx, s.Name); err != nil {
			return err
		}
	}
	rec.Closed = rec.Closed || fence
	if err := s.write(old, rec); err != nil {
		return advise("nothing was changed; make the folder writable", err)
	}
	s.at("remembered")
	if !st.exists {
		return nil
	}
	if err := autostartOff(ctx, s.Name, st); err != nil {
		return err
	}
	s.at("autostart off")
	if by, err := starters(ctx, s.Name); err != nil {
		return err
	} else if len(by) > 0 {
		return advise("turn that off, or put those into a Group before it; Open takes back what was changed",
			fmt.Errorf("%w: it would still be started by %s", ErrDependents, strings.Join(by, ", ")))
	}
	return s.halt(ctx, rec)
}

// halt stops the service and waits until its processes have ended.
func (s Service) halt(ctx context.Context, rec record) error {
	st, err := look(ctx, s.Name)
	if err != nil {
		return err
	}
	if st.running && s.Drain != nil {
		limit := orDefault(s.DrainLimit, defaultLimit)
		drain, cancel := context.WithTimeout(ctx, limit)
		err := s.Drain(drain)
		late := drain.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && !late {
			return advise("the service goes on; mend that and close again", fmt.Errorf("draining failed: %w", err))
		}
		s.at("drained")
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
	limit := orDefault(s.StopLimit, defaultLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w within %s", ErrStays, limit))
	defer cancel()
	if err := stop(ctx, s.Name); err != nil {
		return late(ctx, "see in its log what it waits for and stop it by hand, then close again", err)
	}
	s.at("stopped")
	for {
		left, err := alive(rec.Members)
		if err == nil {
			var now state
			if now, err = look(ctx, s.Name); err == nil {
				st = now
			}
		}
		switch {
		case err == nil && len(left) == 0 && !st.running && !st.moving:
			s.at("ended")
			return nil
		case err != nil && ctx.Err() == nil:
			return err
		case !pause(ctx):
			return advise("see in its log what it waits for, or end by hand what is left; then close again",
				fmt.Errorf("%w: %s", context.Cause(ctx), strings.Join(append(left, "the service is "+st.word), ", ")))
		}
	}
}

func (s Service) up(ctx context.Context, open bool) error {
	old, err := s.read()
	if err != nil {
		return err
	}
	rec := old
	st, err := look(ctx, s.Name)
	if err != nil {
		return err
	}
	never := rec.Format == 0
	run := never && !open || rec.Absent || rec.Found != nil && rec.Found.Running
	switch {
	case never && open:
		return nil
	case !st.exists && rec.Absent:
		rec.Restored = rec.Restored || open || !rec.Closed
		return s.write(old, rec)
	case !st.exists:
		return advise("install the application again, or see why its installer made none", ErrMissing)
	case rec.Restored || never, rec.Closed && !open:
		if !run {
			return nil
		}
		return s.run(ctx)
	}
	if rec.Found != nil {
		if err := autostartAs(ctx, s.Name, *rec.Found); err != nil {
			return advise("its autostart was "+rec.Found.Autostart+": set that by hand if opening again does not help", err)
		}
	}
	s.at("autostart as before")
	if run {
		err = s.run(ctx)
	} else {
		err = s.halt(ctx, rec)
	}
	if err != nil {
		return err
	}
	s.at("running as before")
	rec.Restored, rec.Members = true, nil
	return s.write(old, rec)
}

// run starts the service, and returns once it has stayed running for a while.
func (s Service) run(ctx context.Context) error {
	limit := orDefault(s.StartLimit, defaultLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: it did not get to run within %s", ErrDied, limit))
	defer cancel()
	const next = "see its log, mend that, and start again"
	if err := start(ctx, s.Name); err != nil {
		return late(ctx, next, err)
	}
	s.at("started")
	var since time.Time
	var first state
	for {
		st, err := look(ctx, s.Name)
		switch {
		case err != nil:
			return late(ctx, next, err)
		case st.running && !st.moving && since.IsZero():
			since, first = time.Now(), st
		case st.running && !st.moving && st.run == first.run:
			if time.Since(since) >= orDefault(s.Steady, defaultSteady) {
				return nil
			}
		case !st.running && !st.moving, !since.IsZero():
			return advise(next, fmt.Errorf("%w: %s", ErrDied, st.last))
		}
		if !pause(ctx) {
			return advise(next, context.Cause(ctx))
		}
	}
}

func (s Service) at(step string) {
	if s.step != nil {
		s.step(step)
	}
}

// wrap makes an Error of err.
func (s Service) wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Name: s.Name, Err: err}
	if a, ok := errors.AsType[advised](err); ok {
		e.Err, e.Next = a.error, a.next
	}
	if e.Next == "" && errors.Is(err, fs.ErrPermission) {
		e.Next = "run as an administrator"
	}
	if st, lookErr := look(context.WithoutCancel(ctx), s.Name); lookErr == nil {
		e.State = st.word
	}
	return e
}

// late is err, or why ctx ended where that is the reason of err.
func late(ctx context.Context, next string, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return advise(next, err)
}

// pause waits until it is worth looking again; false means that ctx ended.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pollPause):
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
// opposite order: those that depend on another come before it.
type Group []Service

// Close closes all; the first that does not close ends it.
func (g Group) Close(ctx context.Context) error { return g.each(ctx, Service.Close) }

// Stop stops all; the first that does not stop ends it.
func (g Group) Stop(ctx context.Context) error { return g.each(ctx, Service.Stop) }

// Open opens all, the last first; the first that does not open ends it.
func (g Group) Open(ctx context.Context) error { return g.reversed().each(ctx, Service.Open) }

// Start starts all, the last first; the first that does not start ends it.
func (g Group) Start(ctx context.Context) error { return g.reversed().each(ctx, Service.Start) }

func (g Group) each(ctx context.Context, do func(Service, context.Context) error) error {
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
