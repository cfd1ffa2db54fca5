package rollback

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An application that ends while an update waits for its answer, in a restructuring or before it
// is healthy, never gives one: users would be kept out until the deadline, hours later.

// startsAgain is how often an application is started again in one step. What ends each time
// has failed.
const startsAgain = 3

// A keeper starts an application again that reports that it is stopped. One that cannot be asked
// is left alone: no answer may be a restructuring (R12). Migrations call it concurrently.
type keeper struct {
	u      *Update
	app    asker // nil if there is nothing to ask
	start  func(context.Context) error
	yields func() error // ends the wait of migrations; nil for other waits, which end by their context

	mu      sync.Mutex
	busy    int // calls of Migrate in progress: what restructures may stop the application for that
	asked   time.Time
	stopped bool // when it was asked last
	starts  int
	failed  error // of the last start
}

func (e *engine) keeper() *keeper {
	k := &keeper{u: e.u, start: e.starter(stepStart), asked: time.Now()}
	if k.start != nil {
		k.start = e.u.App.Start
		k.app, _ = e.u.App.(asker)
	}
	return k
}

// check asks at most once in the time of Steady, and starts the application if it was stopped twice
// in a row. It returns how often it did.
func (k *keeper) check(ctx context.Context) (starts int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy > 0 { // what a migration has begun comes to its end
		return k.starts, nil
	}
	if k.yields != nil {
		if err := k.yields(); err != nil {
			return k.starts, err
		}
	}
	if k.app == nil || time.Since(k.asked) < k.u.steady() {
		return k.starts, nil
	}
	asking, cancel := context.WithTimeout(ctx, askDeadline)
	stopped, err := k.app.Closed(asking)
	cancel()
	k.asked = time.Now()
	was := k.stopped
	k.stopped = err == nil && stopped
	switch {
	case !k.stopped || !was || ctx.Err() != nil:
		return k.starts, nil
	case k.starts == startsAgain:
		return k.starts, errors.Join(fmt.Errorf("the application was started %d times again, and has stopped again", k.starts), k.failed)
	}
	k.starts, k.stopped = k.starts+1, false
	starting, cancel := limited(ctx, stepStart, k.u.Deadlines.fence())
	defer cancel()
	k.failed = k.start(starting)
	k.asked = time.Now()
	return k.starts, nil
}

// migrate calls a migration, beside which the application is left alone.
func (k *keeper) migrate(call func() (goesOn bool, err error)) (goesOn bool, starts int, err error) {
	add := func(n int) int {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.busy += n
		k.stopped = false
		return k.starts
	}
	starts = add(1)
	defer add(-1)
	goesOn, err = call()
	return goesOn, starts, err
}

// attend waits for an answer of an application that is kept running meanwhile.
func (e *engine) attend(ctx context.Context, wait func(context.Context) error) error {
	k := e.keeper()
	waiting, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	var stopped error
	go func() {
		defer close(ended)
		for k.app != nil && pause(waiting, e.u.pollSteady()) == nil {
			if _, stopped = k.check(waiting); stopped != nil {
				cancel(stopped)
				return
			}
		}
	}()
	err := wait(waiting)
	cancel(nil)
	<-ended
	e.noteStarts(stepProbe, k)
	if err != nil && stopped != nil && !errors.Is(err, stopped) {
		err = errors.Join(stopped, err)
	}
	return err
}

// noteStarts reports that the application did not stay up.
func (e *engine) noteStarts(step Step, k *keeper) {
	if k.starts > 0 {
		e.note(step, fmt.Sprintf("the application had stopped, and was started again: %d", k.starts))
	}
}
