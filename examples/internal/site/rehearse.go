package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// Rehearse does what an update does around its installer, and undoes all of it but the
// snapshots, which stay with their proofs:
// it closes the fence, stops the application, takes and proves a snapshot of all
// data, starts the application, probes, and opens the fence. Each command runs
// twice, as after a crash. Users are kept out meanwhile. The findings name what
// fails, and what cannot be done twice.
//
// If its process dies, the fence stays closed and the application stopped with nothing pending;
// [Site.Fence] reports that, and [Site.Open] brings both back.
func (s *Site) Rehearse(ctx context.Context) []Finding {
	quiet := *s
	quiet.Observe = Observe{}
	r := &rehearsal{doctor: doctor{Site: &quiet}}
	lock, err := rollback.Acquire(s.Config.State, "rehearsing", time.Now())
	if err == nil {
		defer func() { _ = lock.Release() }()
		r.st, err = r.Status()
		err = errors.Join(err, r.st.Blocked())
	}
	err = errors.Join(err, r.resolve(ctx))
	for _, c := range servers(r.Config.MSSQL) {
		if testErr := r.selfTest(ctx, c); testErr != nil { // while users are in
			err = errors.Join(err, fmt.Errorf("%s: %w", c.names().block(), testErr))
		}
	}
	u, sampleErr := r.sample()
	if err = errors.Join(err, sampleErr); err != nil {
		r.fix("rehearsal", "", err)
		return r.findings
	}
	r.u = u
	r.rehearse(ctx)
	return r.findings
}

// rehearsalMark is the file that is there while a rehearsal has anything to undo.
func (s *Site) rehearsalMark() string { return filepath.Join(s.Config.State, "rehearsing") }

// A cutShort is what a rehearsal that died has left: neither the fence nor the application need
// have a command that reports it.
type cutShort struct{ *Site }

func (cutShort) String() string              { return "a rehearsal that was cut short" }
func (cutShort) Close(context.Context) error { return nil }

func (c cutShort) is() bool {
	_, err := os.Lstat(c.rehearsalMark())
	return err == nil
}

func (c cutShort) Closed(context.Context) (bool, error) { return c.is(), nil }

// Open starts the application. Where that fails because there is nothing to do, the probes know.
func (c cutShort) Open(ctx context.Context) error {
	if app := c.application(false); app != nil {
		if err := app.Start(ctx); err != nil {
			for _, d := range c.Config.Distributions {
				if _, perr := newProbe(d.Probe, nil).Version(ctx); perr != nil {
					return errors.Join(err, perr)
				}
			}
		}
	}
	return removeFile(c.rehearsalMark())
}

// A followed is the mark in an update, which ends with users in and the application running.
type followed struct{ cutShort }

func (followed) Closed(context.Context) (bool, error) { return false, errors.ErrUnsupported }
func (f followed) Open(context.Context) error         { return removeFile(f.rehearsalMark()) }

type rehearsal struct {
	doctor
	u *Update
}

// rehearse stops at the first failure, and brings back what was before in any case.
func (r *rehearsal) rehearse(ctx context.Context) {
	if !r.healthy(ctx) {
		return
	}
	undo := context.WithoutCancel(ctx)
	mark := r.rehearsalMark()
	if err := replaceFile(mark, nil); err != nil {
		r.fix("rehearsal", "", fmt.Errorf("nothing was closed: %w", err))
		return
	}
	undone := true
	defer func() { // last of all
		if undone {
			if err := removeFile(mark); err != nil {
				r.fix("rehearsal", "", err)
			}
		}
	}()
	defer func() {
		parts := fenceParts(r.u.Fence)
		for i := len(parts) - 1; i >= 0; i-- {
			undone = r.twice(undo, "open", fmt.Sprint(parts[i]), "application.fence_status", parts[i].Open) && undone
			r.reports(undo, parts[i], false)
		}
	}()
	for _, part := range fenceParts(r.u.Fence) {
		if !r.twice(ctx, "close", fmt.Sprint(part), "application.fence_status", part.Close) {
			return
		}
		r.reports(ctx, part, true)
	}
	if r.u.App != nil {
		defer func() {
			if r.twice(undo, "start", "the application", "application.status", r.u.App.Start) {
				r.healthy(undo)
				r.application(undo, false)
			} else {
				undone = false
			}
		}()
		if !r.twice(ctx, "stop", "the application", "application.status", r.u.App.Stop) {
			return
		}
		r.application(ctx, true)
	} else {
		defer r.healthy(undo)
	}
	r.snapshots(ctx)
}

// fenceParts returns the parts of the fence, the outermost first.
func fenceParts(f rollback.Fence) []rollback.Fence {
	if several, ok := f.(interface{ Unwrap() []rollback.Fence }); ok {
		return several.Unwrap()
	}
	return nil // an update without a fence
}

// twice does the same twice, and reports whether it was done.
func (r *rehearsal) twice(ctx context.Context, what, name, key string, do func(context.Context) error) bool {
	begun := time.Now()
	if err := r.within(ctx, 0, do); err != nil {
		r.fix("rehearsal", what, fmt.Errorf("%s: %w", name, err))
		return false
	}
	took := time.Since(begun)
	if err := r.within(ctx, 0, do); err != nil {
		r.fix("rehearsal", what, fmt.Errorf("%s cannot be done twice, as after a crash: %w; let the command succeed when there is nothing to do, or give %s", name, err, key))
		return true
	}
	r.ok("rehearsal", what, "%s, twice, the first took %s", name, took.Round(time.Millisecond))
	return true
}

// within bounds a step, by default as the fence's are.
func (r *rehearsal) within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	if limit == 0 {
		limit = time.Duration(r.Config.Deadlines.Fence)
	}
	if limit == 0 {
		limit = 15 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

// reports checks what a part of the fence reports of itself.
func (r *rehearsal) reports(ctx context.Context, part rollback.Fence, closed bool) {
	asked, ok := part.(interface {
		Closed(ctx context.Context) (bool, error)
	})
	if !ok {
		return
	}
	is, err := asked.Closed(ctx)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
	case err != nil:
		r.fix("rehearsal", "state", fmt.Errorf("%v: %w", part, err))
	case is != closed:
		r.fix("rehearsal", "state", fmt.Errorf("%v reports closed = %v and should report %v; correct application.fence_status, or the commands", part, is, closed))
	}
}

// application checks what application.status reports.
func (r *rehearsal) application(ctx context.Context, stopped bool) {
	several, _ := r.u.App.(interface{ Unwrap() []rollback.Application })
	if several == nil {
		return
	}
	for _, part := range several.Unwrap() {
		c, ok := part.(commanded)
		if !ok || !c.status {
			continue
		}
		switch is, err := c.Closed(ctx); {
		case err != nil:
			r.fix("rehearsal", "state", fmt.Errorf("application.status: %w", err))
		case is != stopped:
			r.fix("rehearsal", "state", fmt.Errorf("application.status reports stopped = %v and should report %v; correct it, or the commands", is, stopped))
		}
	}
}

// healthy probes every distribution, and reports whether all are healthy.
func (r *rehearsal) healthy(ctx context.Context) bool {
	all := true
	for _, d := range r.Config.Distributions {
		committed, known := r.st.Committed[d.Name]
		probe := newProbe(d.Probe, nil)
		err := r.within(ctx, time.Duration(r.Config.Deadlines.Probe), func(ctx context.Context) error {
			if known {
				return probe.Await(ctx, committed.Version)
			}
			_, err := probe.Version(ctx)
			return err
		})
		r.either(err, "rehearsal", "probe", "%s is healthy", d.Name)
		all = all && err == nil
	}
	return all
}

// snapshots takes, verifies and proves a snapshot of each dataset. They stay: the first
// update then has a backup whose like was proven (R9).
func (r *rehearsal) snapshots(ctx context.Context) {
	for _, set := range r.u.Data {
		data, ok := set.Data.(roles.Data)
		if !ok {
			continue
		}
		begun := time.Now()
		ref, err := data.Snapshot(ctx)
		if err == nil {
			err = data.Verify(ctx, ref)
		}
		if err != nil {
			r.fix("rehearsal", "snapshot", fmt.Errorf("%s: %w", set.Name, err))
			continue
		}
		took := time.Since(begun)
		_, err = data.Store.Prove(ctx, ref, data.Target)
		if errors.Is(err, errors.ErrUnsupported) {
			r.warn("rehearsal", "snapshot", "%s: verified in %s; its kind of data cannot be restored beside for a proof", set.Name, took.Round(time.Millisecond))
		} else {
			r.either(err, "rehearsal", "snapshot", "%s: verified in %s, and proven by restoring it beside", set.Name, took.Round(time.Millisecond))
		}
		if err := data.Tidy(ctx); err != nil {
			r.fix("rehearsal", "snapshot", fmt.Errorf("%s: %w", set.Name, err))
		}
	}
}
