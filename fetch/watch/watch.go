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

// A Watch looks for releases at the times that its caller gives (R1), tells
// what is new, and remembers it across restarts: unscheduled releases (R6),
// late ones (R5), re-releases (R13) and versions that vanished.
//
// Distributions, File and Report are required. A Watch is a value; whatever
// changes is in its file.
//
// Each sighting is remembered before it is reported, and crossed out once
// Report returned nil. So a crash, at any point, makes a report come twice at
// worst, and never loses one. Sightings of one version come in order; one
// whose report fails holds up no other version.
//
// What a Finder passes over is not released: what is still settling, has no
// Setup (R3), is a beta, or is refused. A FullSetup that joins its Setup later
// is remembered and not reported. A version that is known has vanished only
// if the look that misses it succeeded, and if nothing was passed over that
// may be it, such as an upload that goes on.
type Watch struct {
	// Finder's Observe is told at each look about all that is passed over.
	// What is accepted later, because the Finder was changed, counts as
	// released then.
	Finder        fetch.Finder
	Distributions []string

	// File is where it is remembered what was seen and reported, for the
	// file's owner alone. It and its folder are made when first needed; beside
	// it lies a lock, its name with ".lock" added. It must not lie inside a
	// folder that an update replaces.
	File string

	// Report is told what was noticed, one sighting after another. After an
	// error it is told the same again at the next look, until it returns nil;
	// after that never again. It may call Seen, but not Look.
	Report func(ctx context.Context, s Sighting) error

	// Next says when to look after now: often on the evening of a release,
	// seldom otherwise. Run never looks sooner, nor sooner than a minute after
	// the look before. Nil, or the zero time, means in an hour.
	Next func(now time.Time) time.Time

	// Late says whether a release of a distribution is late, and if so, since
	// when it has been due; the zero time means that none is. It is given all
	// that was seen of the distribution, newest number first, with what is gone
	// since, after each look that succeeded. Late is reported once for each
	// due time. Nil means that nothing is ever late.
	Late func(distribution string, seen []Seen, now time.Time) (due time.Time, err error)

	// Spread is the most by which Run puts off a look, at random, so that
	// many sites do not come at the same second. Zero means a minute,
	// negative means not at all.
	Spread time.Duration

	Now     func() time.Time // nil means time.Now; for the Finder too, if it has none
	Observe func(Event)      // is told by Run about looks that fail; nil means silence
}

// Look looks once at each distribution, compares, remembers and reports. One
// that fails stops none of the others, and the error holds all that went
// wrong; but where the server refuses the login, it is not asked again.
//
// Looks with one File wait for one another, across processes.
func (w *Watch) Look(ctx context.Context, src fetch.Source) error {
	failures, _ := w.look(ctx, src)
	var errs []error
	for _, f := range failures {
		errs = append(errs, f.err)
	}
	return errors.Join(errs...)
}

// Seen returns what is remembered: by distribution, then the newest number
// first; versions that are gone are forgotten after 400 days. It waits for
// nobody and may be called while Run runs, in other processes too.
func (w *Watch) Seen() ([]Seen, error) {
	if w.File == "" {
		return nil, &fetch.Error{Op: "look", Err: errNoFile}
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

// Between two looks of Run lies at least minPause, and up to maxPause while
// none of the distributions can be looked at.
const (
	minPause = time.Minute
	maxPause = 16 * time.Minute
)

// Run looks at once and then at the times that Next gives, until ctx is done,
// and returns why it is. While the server cannot be reached it looks less and
// less often, down to every 16 minutes, and never sooner than Next says.
//
// What goes wrong is told to Observe: once, and not again until the same has
// gone well in between; then that nothing goes wrong any more. Only what waiting
// cannot mend is returned: a Watch that lacks something, and a File that is
// damaged or was written by a newer program.
//
// A clock that jumps makes Run neither hasten nor sleep through: it asks Next
// anew when it finds the clock set back.
func (w *Watch) Run(ctx context.Context, src fetch.Source) error {
	if err := w.check(); err != nil {
		return err
	}
	told := map[string]bool{}
	pause := minPause
	for {
		if err := w.spread(ctx); err != nil {
			return err
		}
		failures, reached := w.look(ctx, src)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		pause = min(2*pause, maxPause)
		if reached {
			pause = minPause
		}
		for _, f := range failures {
			if f.distribution == "" && errors.Is(f.err, errMemory) {
				return f.err
			}
		}
		told = w.tell(told, failures)
		if err := w.wait(ctx, pause); err != nil {
			return err
		}
	}
}

// tell tells what has not been told yet, and returns what has been now.
func (w *Watch) tell(before map[string]bool, failures []failure) map[string]bool {
	told := map[string]bool{}
	for _, f := range failures {
		if !before[f.key] && !told[f.key] {
			w.observe(Event{Kind: EventFailed, Distribution: f.distribution, Err: f.err})
		}
		told[f.key] = true
	}
	if len(before) > 0 && len(told) == 0 {
		w.observe(Event{Kind: EventRecovered})
	}
	return told
}

// wait waits until it is time for the next look. It reads the clock again
// every minute, because a clock may jump and a machine may sleep.
func (w *Watch) wait(ctx context.Context, pause time.Duration) error {
	last := w.clock()
	at := w.next(last)
	if err := clock.Sleep(ctx, pause); err != nil {
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
		if err := clock.Sleep(ctx, min(left, minPause)); err != nil {
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

// clock reads the time as a clock on the wall shows it.
func (w *Watch) clock() time.Time { return clock.Now(w.Now).Round(0) }

func (w *Watch) spread(ctx context.Context) error {
	most := cmp.Or(w.Spread, time.Minute)
	if most <= 0 {
		return nil
	}
	return clock.Sleep(ctx, rand.N(most)) //nolint:gosec // nothing here is secret
}
