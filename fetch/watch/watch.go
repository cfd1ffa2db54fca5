package watch

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/clock"
)

// A Watch checks for releases at the times that its caller chooses (R1), reports
// what is new, and remembers it across restarts: unscheduled releases (R6), late
// ones (R5), re-releases (R13) and versions that vanished.
//
// Distributions, File and Report are required. A Watch has no state but its
// file.
//
// Each sighting is remembered before it is reported, and deleted when Report has
// returned nil. So a crash, at any point, repeats a report at worst, and never
// loses one. Sightings of one version are reported in order; one whose report
// fails delays no other version.
//
// What a Finder skips is not released: what is still settling, has no
// Setup (R3), is a beta, or is not accepted. A FullSetup that joins its Setup
// later is remembered and not reported. A known version has vanished only if the
// check that misses it succeeded and skipped nothing that may be it, such as
// an upload in progress.
type Watch struct {
	// Finder reports at each check everything that it skips. What is accepted
	// later, because the Finder was changed, is released then.
	Finder        fetch.Finder
	Distributions []string

	// File remembers what was seen and reported, for the file's owner alone. It
	// and its directory are created when first needed; beside it is a lock, its
	// name with ".lock" added. It must not be inside a directory that an update
	// replaces.
	File string

	// Report is called for each sighting, one after another. After an error it
	// is called with the same sighting at the next check, until it returns nil.
	// It may call Seen, but not Check.
	Report func(ctx context.Context, s Sighting) error

	// Next returns when to check after now: often on the evening of a release,
	// rarely otherwise. Run never checks earlier, nor earlier than a minute
	// after the check before. Nil, or the zero time, means in an hour.
	Next func(now time.Time) time.Time

	// Late returns since when a late release of a distribution has been due;
	// the zero time means that none is late. It is called after each check
	// that succeeded, with all that was seen of the distribution, newest number
	// first, vanished versions included. Late is reported once for each due
	// time. Nil means that nothing is ever late.
	Late func(distribution string, seen []Seen, now time.Time) (due time.Time, err error)

	// Spread is the most by which Run delays a check, at random, so that many
	// sites do not check at the same second. Zero means a minute, negative means
	// no delay.
	Spread time.Duration

	Now     func() time.Time  // nil means time.Now; for the Finder too, if it has none
	Observe func(fetch.Event) // Run reports failures; may be nil
}

// Check checks each distribution once, compares, remembers and reports. A
// distribution that fails stops none of the others, and the error holds all that
// went wrong; but when the server refuses the login, it is not tried again.
//
// Checks with one File wait for one another, across processes.
func (w *Watch) Check(ctx context.Context, src fetch.Source) error {
	failures, _ := w.check(ctx, src)
	var errs []error
	for _, f := range failures {
		errs = append(errs, f.err)
	}
	return errors.Join(errs...)
}

// Seen returns what is remembered: by distribution, then the newest number
// first; vanished versions are forgotten after 400 days. It does not wait and
// may be called while Run runs, in other processes too.
func (w *Watch) Seen() ([]Seen, error) {
	if w.File == "" {
		return nil, &fetch.Error{Op: "watch", Err: errNoFile}
	}
	m, err := readMemory(w.File)
	if err != nil {
		return nil, err
	}
	var all []Seen
	for _, d := range slices.Sorted(maps.Keys(m.Distributions)) {
		all = append(all, m.Distributions[d].seen(d)...)
	}
	return all, nil
}

// Run waits at least minInterval between two checks, and up to maxInterval
// while none of the distributions can be checked.
const (
	minInterval = time.Minute
	maxInterval = 16 * time.Minute
)

// Run checks at once and then at the times that Next returns, until ctx ends,
// and returns the cause. While the server cannot be reached it checks less and
// less often, down to every 16 minutes, and never earlier than Next says.
//
// Observe is called for each failure once, and not again until the same has
// succeeded in between; and when everything succeeds again. Run returns only
// what waiting cannot fix: a Watch with a required field missing, and a File that
// is damaged or was written by a newer program.
//
// A clock that jumps does not upset Run: it calls Next again when it finds the
// clock set back.
func (w *Watch) Run(ctx context.Context, src fetch.Source) error {
	if err := w.validate(); err != nil {
		return err
	}
	reported := map[string]bool{}
	interval := minInterval
	for {
		if err := w.spread(ctx); err != nil {
			return err
		}
		failures, reached := w.check(ctx, src)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		interval = min(2*interval, maxInterval)
		if reached {
			interval = minInterval
		}
		for _, f := range failures {
			if f.distribution == "" && errors.Is(f.err, errMemory) {
				return f.err
			}
		}
		reported = w.observeFailures(reported, failures)
		if err := w.wait(ctx, interval); err != nil {
			return err
		}
	}
}

// observeFailures reports the failures that were not reported before, and
// returns all that are reported now.
func (w *Watch) observeFailures(before map[string]bool, failures []failure) map[string]bool {
	reported := map[string]bool{}
	for _, f := range failures {
		if !before[f.key] && !reported[f.key] {
			w.observe(fetch.Event{Kind: EventFailed, Text: f.err.Error(), Distribution: f.distribution, Err: f.err})
		}
		reported[f.key] = true
	}
	if len(before) > 0 && len(reported) == 0 {
		w.observe(fetch.Event{Kind: EventRecovered, Text: "checks succeed again"})
	}
	return reported
}

// wait waits until it is time for the next check. It reads the clock again
// every minute, because a clock may jump and a machine may sleep.
func (w *Watch) wait(ctx context.Context, interval time.Duration) error {
	last := w.clock()
	at := w.next(last)
	if err := clock.Sleep(ctx, interval); err != nil {
		return err
	}
	for {
		now := w.clock()
		if now.Before(last) {
			at = w.next(now)
		}
		left := at.Sub(now)
		if left <= 0 {
			return nil
		}
		if err := clock.Sleep(ctx, min(left, minInterval)); err != nil {
			return err
		}
		last = now
	}
}

func (w *Watch) next(now time.Time) time.Time {
	if w.Next != nil {
		if at := w.Next(now); !at.IsZero() {
			return at
		}
	}
	return now.Add(time.Hour)
}

// clock returns the time without its monotonic part, which does not jump.
func (w *Watch) clock() time.Time { return clock.Now(w.Now).Round(0) }

func (w *Watch) spread(ctx context.Context) error {
	most := cmp.Or(w.Spread, time.Minute)
	if most <= 0 {
		return nil
	}
	return clock.Sleep(ctx, rand.N(most)) //nolint:gosec // nothing here is secret
}
