package page

import (
	"context"
	"sync"
	"time"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
)

const (
	atMost   = 200 * time.Millisecond // how often the center is asked when something changes
	atLeast  = 5 * time.Second        // and when nothing does
	answered = 5 * time.Second        // how long it may take to answer
)

// A snapshot is what the center said last.
type snapshot struct {
	n      uint64 // grows with each one
	answer center.Answer
	at     time.Time     // when it said that, zero if it never did
	took   time.Duration // to answer
	wrong  string        // why there is no newer one, "" if this is it
}

// A watch keeps the last snapshot.
type watch struct {
	reading sync.Mutex
	mu      sync.Mutex
	tried   time.Time
	snap    snapshot
	next    chan struct{} // closed when there is another one
	wake    chan struct{}
	viewers int
}

func (w *watch) last() snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snap
}

// after returns the last snapshot and what is closed when there is another one.
func (w *watch) after() (snapshot, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		w.next = make(chan struct{})
	}
	return w.snap, w.next
}

func (w *watch) waker() chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wake == nil {
		w.wake = make(chan struct{}, 1)
	}
	return w.wake
}

// view counts those who watch live, and returns false if they are too many.
func (w *watch) view(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.viewers+n > maxViewers {
		return false
	}
	w.viewers += n
	return true
}

// Wake makes the page ask the center soon, if anyone watches.
func (p *Page) Wake() {
	p.watch.mu.Lock()
	viewers := p.watch.viewers
	p.watch.mu.Unlock()
	if viewers == 0 {
		return
	}
	select {
	case p.watch.waker() <- struct{}{}:
	default:
	}
}

// follow asks the center until ctx is done.
func (p *Page) follow(ctx context.Context) {
	wake := p.watch.waker()
	for {
		p.read(ctx, 0)
		pause, regular := time.After(atMost), time.After(atLeast)
		select {
		case <-ctx.Done():
			return
		case <-regular:
		case <-wake:
			select {
			case <-ctx.Done():
				return
			case <-pause:
			}
		}
	}
}

// read asks the center for everything, unless that was done within an age.
func (p *Page) read(ctx context.Context, age time.Duration) {
	p.watch.reading.Lock()
	defer p.watch.reading.Unlock()
	if age > 0 && p.now().Sub(p.watch.tried) < age {
		return
	}
	within, cancel := context.WithTimeout(ctx, answered)
	defer cancel()
	begun := p.now()
	answer, err := p.Ask(within, center.Command{Op: "overview"})
	if err != nil && ctx.Err() != nil {
		return // the reader has gone, which says nothing of the center
	}
	now := p.now()
	for _, r := range answer.Rollouts {
		r.Member("") // makes its index, which readers share
	}
	w := &p.watch
	w.tried = now
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.snap.wrong = err.Error()
	} else {
		w.snap.answer, w.snap.at, w.snap.took, w.snap.wrong = answer, now, now.Sub(begun), ""
	}
	w.snap.n++
	if w.next != nil {
		close(w.next)
		w.next = nil
	}
}
