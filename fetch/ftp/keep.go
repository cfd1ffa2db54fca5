package ftp

import (
	"context"
	"sync"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
)

// A keeper keeps one connection between two operations: logging in costs more
// than most operations, and servers count logins.
type keeper struct {
	mu    sync.Mutex
	s     *session
	since time.Time
}

// keepFor is how long a connection is kept: servers and firewalls end idle
// connections after a minute at the earliest.
const keepFor = 15 * time.Second

// Keep returns a Source that keeps one connection open for up to 15 seconds
// after an operation, see [fetch.Keeper].
func (f *Source) Keep() (kept fetch.Source, closeIdle func()) {
	if f.keep != nil {
		return f, func() {} // the first caller of Keep closes it
	}
	k := &Source{
		Addr: f.Addr, User: f.User, Password: f.Password, TLS: f.TLS, TLSConfig: f.TLSConfig, Timeout: f.Timeout, Retry: f.Retry,
		Dial: f.Dial, PASV: f.PASV, Account: f.Account, Observe: f.Observe, keep: &keeper{}, origin: f,
	}
	return k, k.keep.close
}

// session returns a connection that is logged in: the kept one or a new one.
func (f *Source) session(ctx context.Context, o options) (*session, error) {
	if s := f.keep.take(); s != nil {
		s.kept = true
		s.attach(ctx)
		return s, nil
	}
	return f.dial(ctx, o)
}

// done keeps or closes a connection on which nothing went wrong.
func (f *Source) done(s *session) {
	if f.keep == nil || !s.detach() || !f.keep.put(s) {
		s.quit()
	}
}

func (k *keeper) take() *session {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.s
	k.s = nil
	if s != nil && time.Since(k.since) > keepFor {
		s.end()
		return nil
	}
	return s
}

// put reports whether the session is kept: there is space for one.
func (k *keeper) put(s *session) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.s != nil {
		return false
	}
	k.s, k.since = s, time.Now()
	return true
}

func (k *keeper) close() {
	if s := k.take(); s != nil {
		s.quit()
	}
}
