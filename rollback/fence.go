package rollback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A FencePart is one part of a fence, and what it reports of itself.
type FencePart struct {
	Name   string `json:"name"`             // in words, "fence" if it has no String method
	State  string `json:"state"`            // "open", "closed", or "unknown" if it cannot be asked
	Detail string `json:"detail,omitempty"` // why the state is unknown
}

// String returns the name and the state in one line.
func (p FencePart) String() string {
	text := p.Name + ": " + p.State
	if p.Detail != "" {
		text += ", " + p.Detail
	}
	return text
}

// What a part of a fence reports.
const (
	fenceOpen    = "open"
	fenceClosed  = "closed"
	fenceUnknown = "unknown"

	noWay = "it has no way to be asked"
)

// askDeadline is what asking one part of a fence may take.
const askDeadline = time.Minute

// FenceState asks every part of the fence whether it is closed now. It changes
// nothing and takes no lock. With nothing pending a part that is closed locks
// users out: see [Update.Open].
func (u *Update) FenceState(ctx context.Context) []FencePart {
	var list []FencePart
	for _, f := range fenceParts(u.Fence) {
		list = append(list, u.ask(ctx, f))
	}
	return list
}

// fenceParts returns the parts of a fence that is made of several.
func fenceParts(f Fence) []Fence {
	several, ok := f.(interface{ Unwrap() []Fence })
	if !ok {
		return []Fence{f}
	}
	var all []Fence
	for _, one := range several.Unwrap() {
		all = append(all, fenceParts(one)...)
	}
	return all
}

// An asker can be asked whether it is closed or stopped.
type asker interface {
	Closed(ctx context.Context) (bool, error)
}

func (u *Update) ask(ctx context.Context, f Fence) FencePart {
	p := FencePart{Name: "fence", State: fenceUnknown}
	if s, ok := f.(fmt.Stringer); ok {
		p.Name = cmp.Or(s.String(), p.Name)
	}
	c, ok := f.(asker)
	if !ok {
		p.Detail = noWay
		return p
	}
	closed := false
	err := u.within(ctx, min(askDeadline, u.Deadlines.fence()), func(ctx context.Context) (err error) {
		closed, err = c.Closed(ctx)
		return err
	})
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		p.Detail = noWay
	case err != nil:
		p.Detail = err.Error()
	case closed:
		p.State = fenceClosed
	default:
		p.State = fenceOpen
	}
	return p
}

// A gate is what is known of the whole fence. It is the one source of what
// errors say about users, see [engine.users].
type gate int

const (
	gateUntold   gate = iota // nothing was done yet, and the fence cannot be asked
	gateClosed               // users are kept out
	gateOpen                 // users are let in
	gateDoubtful             // a call failed, or parts differ
)

// gateOf sums up what the parts report. Parts that cannot be asked do not
// count. Why names the parts that are not as the others or did not answer.
func gateOf(list []FencePart) (g gate, why string) {
	var open, closed, failed []string
	for _, p := range list {
		switch {
		case p.State == fenceOpen:
			open = append(open, p.String())
		case p.State == fenceClosed:
			closed = append(closed, p.String())
		case p.Detail != noWay:
			failed = append(failed, p.String())
		}
	}
	switch {
	case len(failed) > 0:
		return gateDoubtful, strings.Join(failed, "; ")
	case len(open) > 0 && len(closed) > 0:
		return gateDoubtful, strings.Join(append(open, closed...), "; ")
	case len(open) > 0:
		return gateOpen, strings.Join(open, "; ")
	case len(closed) > 0:
		return gateClosed, strings.Join(closed, "; ")
	}
	return gateUntold, ""
}

// unasked reports whether a part of the fence has not said whether it is closed.
func unasked(list []FencePart) bool {
	return slices.ContainsFunc(list, func(p FencePart) bool { return p.State == fenceUnknown })
}

// reported returns the parts that report a state, in a line; "" if none does.
func reported(list []FencePart, state string) string {
	var parts []string
	for _, p := range list {
		if p.State == state {
			parts = append(parts, p.String())
		}
	}
	return strings.Join(parts, "; ")
}

// unfenced returns an error if a part of the fence is open, or does not answer,
// and nil if the fence is closed or cannot be asked.
func (u *Update) unfenced(ctx context.Context) error {
	if _, ok := u.Fence.(override); ok {
		return nil // it never closes, and the plan says so
	}
	parts := u.FenceState(ctx)
	switch g, why := gateOf(parts); {
	case g == gateOpen, reported(parts, fenceOpen) != "":
		return fmt.Errorf("%w: %s", errNotClosed, why)
	case g == gateDoubtful:
		return fmt.Errorf("%w: %s", errUnanswered, why)
	}
	return nil
}

var (
	errNotClosed = errors.New("the fence is not closed")
	// errUnanswered is that a part of the fence does not answer whether it is
	// closed, and no part is open.
	errUnanswered = errors.New("it is not known whether the fence is closed")
)

// shut closes the fence and checks whether it is closed.
func (e *engine) shut(ctx context.Context) error {
	err := e.u.Fence.Close(ctx)
	if err == nil {
		err = e.u.unfenced(ctx)
	}
	e.gate = gateClosed
	if err != nil {
		e.gate = gateDoubtful
	}
	return err
}

// unlock opens the fence and checks whether it is open. A command that fails
// because the fence is open already has not failed. Only the reports of all
// parts show that: what failed may be a part that cannot be asked. A part that does
// not answer is believed to be what its command made of it: its silence must not
// keep an update pending for ever.
func (e *engine) unlock(ctx context.Context) error {
	err := e.u.Fence.Open(ctx)
	parts := e.u.FenceState(ctx)
	closed := reported(parts, fenceClosed)
	switch {
	case closed != "" && err == nil:
		err = fmt.Errorf("it was opened, and is not open: %s", closed)
	case reported(parts, fenceOpen) != "" && closed == "" && !unasked(parts):
		err = nil
	}
	e.gate = gateOpen
	if err != nil {
		e.gate = gateDoubtful
	}
	return err
}

// users says whether users are in: what the fence reports now, or else what
// the last call to it did.
func (e *engine) users(ctx context.Context) string {
	parts := e.u.FenceState(ctx)
	g, _ := gateOf(parts)
	if g == gateUntold || e.gate == gateDoubtful && unasked(parts) {
		g = e.gate
	}
	if _, ok := e.u.Fence.(override); ok {
		g = gateOpen
	}
	decided := e.st.Pending == nil || e.st.Pending.decided()
	switch {
	case g == gateOpen:
		return "users are let in"
	case g == gateClosed, g == gateUntold && !decided:
		return keptOut
	case decided:
		return "users may still be kept out"
	}
	return "users may be in, keep them out by hand"
}

// fence closes the fence.
func (e *engine) fence(ctx context.Context) error {
	return e.fenceBy(ctx, e.shut)
}

// fenceAgain closes the fence of an update that goes on. What cannot be reached
// yet, as a database that is still starting, is waited for. A part that was closed
// and does not answer is waited for only a while: users may then be in, so that
// what is live is kept before it is restored over.
func (e *engine) fenceAgain(ctx context.Context) error {
	if err := e.suspect(ctx); err != nil {
		return &stepError{stepFence, "", err}
	}
	patience := time.Now().Add(min(askDeadline, e.u.Deadlines.fence()))
	err := e.fenceBy(ctx, func(ctx context.Context) error {
		for {
			err := e.shut(ctx)
			if err == nil || errors.Is(err, errUnanswered) && time.Now().After(patience) || pause(ctx, e.u.interval()) != nil {
				return err
			}
		}
	})
	if errors.Is(err, errUnanswered) && e.j.broken == nil {
		return nil
	}
	return err
}

// fenceBy journals with the end of the step in which boot of the machine the
// fence was closed.
func (e *engine) fenceBy(ctx context.Context, shut func(context.Context) error) error {
	err := e.doRecord(ctx, stepFence, "", e.u.Deadlines.fence(), func(ctx context.Context) (record, error) {
		boot, _ := e.u.bootID() // "" where the system does not say
		return record{Ref: boot}, shut(ctx)
	})
	if err == nil {
		e.closed = e.id
	}
	return err
}

// keepOut closes the fence where an update stays pending without going on: a
// restart of the machine may have opened it. It is not journaled, so that a
// program that recovers every minute does not fill the journal.
func (e *engine) keepOut(ctx context.Context) error {
	if err := e.u.within(ctx, e.u.Deadlines.fence(), e.shut); err != nil {
		return &stepError{stepFence, "", fmt.Errorf("close the fence: %w", err)}
	}
	return nil
}

// Open lets users in where nothing is pending, or where the pending update has
// ended and only that is left: it opens every part of the fence and checks
// whether it is open. A command of the fence that a dead process left running is waited for first, for a
// minute: it would close the fence again. It returns what the parts reported before. The reason
// is recorded; if that fails the fence is opened all the same, and the error
// says so. Of u only Dir and Fence are required.
func (u *Update) Open(ctx context.Context, reason string) ([]FencePart, error) {
	if u.Fence == nil {
		return nil, refuse(ReasonSetup, "", "no fence is given")
	}
	if err := given(reason); err != nil {
		return nil, err
	}
	if u.Dir == "" {
		return nil, refuse(ReasonSetup, "", "no state directory is given")
	}
	e, err := u.begin("opening the fence")
	if err != nil {
		return nil, err
	}
	defer e.close()
	if p := e.st.Pending; p != nil && !p.decided() {
		return u.FenceState(ctx), e.st.Blocked()
	}
	settled := u.within(ctx, min(askDeadline, u.Deadlines.fence()), e.settleRoles)
	found := u.FenceState(ctx)
	if err := u.within(ctx, u.Deadlines.fence(), e.unlock); err != nil {
		err = errors.Join(err, settled)
		left := slices.DeleteFunc(u.FenceState(ctx), func(p FencePart) bool { return p.State == fenceOpen })
		return found, &Error{Op: "open", Subject: "fence", Err: fmt.Errorf("%w (%v)", err, left), Next: "repair what the message names, then open it again"}
	}
	e.id = "" // a decision outside an update
	err = e.decided(reason, record{Step: stepOpen})
	if settled != nil {
		err = errors.Join(err, &Error{Op: "open", Subject: "fence", Err: fmt.Errorf("it is open: %w", settled), Next: "find out what still runs: it may close the fence again"})
	}
	return found, err
}
