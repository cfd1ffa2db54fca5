package rollback

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An application that ends while an update waits for its answer, in a restructuring or before it
// is healthy, never gives one: users would be kept out until the deadline, hours later.

// startsAgain is how often a part of an application is started again. What ends each time has
// failed; but that is for the deadline to say, as long as a restructuring may go on.
const startsAgain = 3

// A keeper starts the parts of an application again that end, from its start on. One that cannot be asked
// is left alone, since no answer may be a restructuring (R12), and so is one that reports right after its
// start that it is stopped, until it is seen running: it may have been stopped before the update.
type keeper struct {
	u      *Update
	parts  []*keptPart
	starts atomic.Int64
	failed error // of the last start

	// restructuring is held for reading by migrations while something other than the application
	// restructures, which may stop the application for that.
	restructuring sync.RWMutex
}

type keptPart struct {
	app    Application
	ended  func(context.Context) (bool, error)
	seen   atomic.Bool // running, since its last start
	asked  bool        // and it had ended
	starts atomic.Int32
}

// An ender can be asked whether what it has started is stopped.
type ender interface {
	Ended(ctx context.Context) (bool, error)
}

// keepRunning begins with the application that was started just now.
func (e *engine) keepRunning(ctx context.Context) {
	e.keeper = &keeper{u: e.u}
	e.keeper.add(e.u.App)
	for _, p := range e.keeper.parts {
		stopped, err := e.keeper.ask(ctx, p)
		p.seen.Store(err != nil || !stopped) // one that is just coming to its end may not know
	}
}

func (k *keeper) add(app Application) {
	switch a := app.(type) {
	case interface{ Unwrap() []Application }:
		for _, one := range a.Unwrap() {
			k.add(one)
		}
	case ender:
		k.parts = append(k.parts, &keptPart{app: app, ended: a.Ended})
	case asker:
		k.parts = append(k.parts, &keptPart{app: app, ended: a.Closed})
	}
}

func (k *keeper) ask(ctx context.Context, p *keptPart) (stopped bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askDeadline)
	defer cancel()
	return p.ended(ctx)
}

// check starts what has ended at two checks in a row. It is called by one goroutine at a time.
func (k *keeper) check(ctx context.Context) {
	for i := len(k.parts) - 1; i >= 0; i-- { // as Start of several does
		p := k.parts[i]
		ended, err := k.ask(ctx, p)
		was := p.asked
		p.asked = err == nil && ended && p.seen.Load() && p.starts.Load() < startsAgain
		if err == nil && !ended {
			p.seen.Store(true)
		}
		if !p.asked || !was || ctx.Err() != nil {
			continue
		}
		if !k.restructuring.TryLock() {
			p.asked = false
			continue
		}
		k.failed = k.start(ctx, p)
		p.starts.Add(1)
		p.seen.Store(k.failed != nil)
		p.asked = false
		k.starts.Add(1)
	}
}

// start starts a part, with the lock held. The answer that is waited for may come meanwhile: that
// does not end it.
func (k *keeper) start(ctx context.Context, p *keptPart) error {
	defer k.restructuring.Unlock()
	starting, cancel := limited(context.WithoutCancel(ctx), stepStart, k.u.Deadlines.fence())
	defer cancel()
	return p.app.Start(starting)
}

// down reports whether a part has ended that was seen running: it may be started again.
func (k *keeper) down(ctx context.Context) bool {
	return slices.ContainsFunc(k.parts, func(p *keptPart) bool {
		ended, err := k.ask(ctx, p)
		return err == nil && ended && p.seen.Load() && p.starts.Load() < startsAgain
	})
}

// attended keeps the application running until end is called.
func (e *engine) attended(ctx context.Context, step Step) (end func()) {
	k := e.keeper
	if k == nil || len(k.parts) == 0 {
		return func() {}
	}
	before := k.starts.Load()
	waiting, cancel := context.WithCancel(ctx)
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		for pause(waiting, e.u.steady()) == nil {
			k.check(waiting)
		}
	}()
	return func() {
		cancel()
		if p := <-ended; p != nil {
			panic(p) // is the caller's, as that of any other role
		}
		if n := k.starts.Load() - before; n > 0 {
			text := fmt.Sprintf("the application had stopped, and was started again: %d", n)
			if k.failed != nil {
				text += ": " + k.failed.Error()
			}
			e.note(step, text)
		}
	}
}

// hold waits until nothing is being started, and has nothing started until release is called.
func (k *keeper) hold(ctx context.Context, poll time.Duration) (release func(), err error) {
	for !k.restructuring.TryRLock() {
		if err := pause(ctx, poll); err != nil {
			return nil, err
		}
	}
	return sync.OnceFunc(k.restructuring.RUnlock), nil
}

// yield returns what yields returns, or nil as long as something is restructuring, or being started. After
// an error nothing begins any more.
func (k *keeper) yield(yields func() error) error {
	if !k.restructuring.TryLock() {
		return nil
	}
	err := yields()
	if err == nil {
		k.restructuring.Unlock()
	}
	return err
}
