package rollout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrPhase means that the rollout is not in a phase in which that is possible.
var ErrPhase = errors.New("not possible now")

// Pause keeps sites from starting until [Rollout.Resume]. What has begun ends.
func (r *Rollout) Pause(now time.Time, reason string) error {
	return r.decide(now, reason, Paused, Running)
}

// Abort ends the rollout for good. What has begun ends.
func (r *Rollout) Abort(now time.Time, reason string) error {
	return r.decide(now, reason, Aborted, Running, Paused, Stopped)
}

// Supersede ends the rollout because another release replaces its own: a
// re-release (R13) or a newer version.
func (r *Rollout) Supersede(now time.Time, by Plan) error {
	if by.Release == r.Plan.Release {
		return fmt.Errorf("%w: rollout %s is of the same release: resume or abort it", ErrPhase, r.Plan.ID)
	}
	return r.decide(now, fmt.Sprintf("rollout %s of %s replaces it", by.ID, by.Release), Superseded, Running, Paused, Stopped)
}

// Resume lets sites start again. Each failure so far counts as accepted: it does
// not stop the rollout again.
func (r *Rollout) Resume(now time.Time, reason string) error {
	if err := r.decide(now, reason, Running, Paused, Stopped); err != nil {
		return err
	}
	r.Reason = ""
	for i := range r.Members {
		m := &r.Members[i]
		m.Accepted = m.Accepted || m.failed()
	}
	return nil
}

// Unaccepted returns how many failures Resume would accept.
func (r *Rollout) Unaccepted() (n int) {
	for _, m := range r.Members {
		if m.failed() && !m.Accepted {
			n++
		}
	}
	return n
}

func (m Member) failed() bool { return m.State == RolledBack || m.State == Operator || m.Silent }

func (r *Rollout) decide(now time.Time, reason string, to Phase, from ...Phase) error {
	if strings.TrimSpace(reason) == "" {
		return fmt.Errorf("%w: a reason is required", ErrPhase)
	}
	if !slices.Contains(from, r.Phase) {
		return fmt.Errorf("%w: rollout %s is %s", ErrPhase, r.Plan.ID, r.Phase)
	}
	r.leave(now, to, reason)
	return nil
}
