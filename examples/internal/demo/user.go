package demo

import (
	"context"
	"fmt"
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

func startUser(i installation) *user {
	ctx, cancel := context.WithCancel(context.Background())
	u := &user{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(u.done)
		for id := 1; ctx.Err() == nil; {
			if err := i.post(ctx, fmt.Sprintf("/write?id=%d", id)); err != nil {
				time.Sleep(20 * time.Millisecond) // kept out: try again
				continue
			}
			u.mu.Lock()
			u.acked = id
			u.mu.Unlock()
			id++
			time.Sleep(2 * time.Millisecond)
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
