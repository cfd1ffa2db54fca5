// Package retry counts attempts and computes how long to wait between them.
package retry

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// A Policy is a fetch.Retry: its fields and their defaults are described there.
type Policy struct {
	Attempts    int
	Interval    time.Duration
	MaxInterval time.Duration
}

// Attempts are the attempts of one operation. The first one has been made
// when Next is first called.
type Attempts struct {
	Made int // attempts since the start or the last Reset

	policy Policy
	wait   time.Duration
}

// Start returns the attempts that a policy allows.
func Start(p Policy) *Attempts {
	a := &Attempts{policy: Policy{
		max(cmp.Or(p.Attempts, 5), 1), cmp.Or(p.Interval, time.Second), cmp.Or(p.MaxInterval, 30*time.Second),
	}}
	a.Reset()
	return a
}

// Reset makes all attempts available again.
func (a *Attempts) Reset() { a.Made, a.wait = 0, a.policy.Interval }

// Next counts an attempt that failed and returns how long to wait before the
// next one, or false if none is left.
func (a *Attempts) Next() (time.Duration, bool) {
	a.Made++
	if a.Made >= a.policy.Attempts {
		return 0, false
	}
	wait := time.Duration((0.5 + rand.Float64()) * float64(a.wait)) //nolint:gosec // nothing here is secret
	a.wait = min(2*a.wait, a.policy.MaxInterval)
	return wait, true
}
