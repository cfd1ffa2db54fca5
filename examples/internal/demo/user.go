package demo

import (
	"context"
	"sync"
	"time"
)

// A user never stops writing. What the application has acknowledged must never
// be lost.
type user struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	acked int // entries 1 to acked were acknowledged
}

// startUser starts one who does these writes, beginning with 1, with a pause after
// each. A write returns nil once it was acknowledged.
func startUser(pause time.Duration, write func(ctx context.Context, id int) error) *user {
	ctx, cancel := context.WithCancel(context.Background())
	u := &user{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(u.done)
		for id := 1; ctx.Err() == nil; {
			if err := write(ctx, id); err != nil {
				time.Sleep(max(pause, 20*time.Millisecond)) // kept out: try again
				continue
			}
			u.mu.Lock()
			u.acked = id
			u.mu.Unlock()
			id++
			time.Sleep(pause)
		}
	}()
	return u
}

func (u *user) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.acked
}

func (u *user) leave() {
	u.cancel()
	<-u.done
}
