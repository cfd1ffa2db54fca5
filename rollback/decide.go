package rollback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Retry is a person's decision, after an update that ended in
// [NeedsOperator] and once its cause is repaired, to roll it back with fresh
// attempts, or to go on with an operator's rollback that crashes cut short. The
// reason is recorded.
func (u *Update) Retry(ctx context.Context, reason string) (Result, error) {
	e, err := u.decide(reason)
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	if err := e.decided(reason, record{Step: stepRetry}); err != nil {
		return e.interrupted(err)
	}
	return e.recover(ctx)
}

// Accept records a person's statement, after an update that ended in
// [NeedsOperator], that the installation was repaired by hand. It is refused
// while an installer is running, unless every part is healthy at its new
// version or every part at its previous one, and always if these are the same.
// The reason is recorded, and users are let in.
func (u *Update) Accept(ctx context.Context, reason string) (Result, error) {
	e, err := u.decide(reason)
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	// An installer that is still running would go on behind an open fence.
	if _, err := e.settle(ctx, false); err != nil {
		return e.undecided(ctx, refuse(ReasonInstalled, "", "an installer may still be running: %w", err))
	}
	outcome, refusal := e.proven(ctx)
	if refusal != nil {
		return e.undecided(ctx, refusal)
	}
	if err := e.decided(reason, record{Step: stepAccept, Outcome: outcome}); err != nil {
		return e.interrupted(err)
	}
	res, err := e.finish(context.WithoutCancel(ctx), nil)
	if res.Outcome == outcome {
		err = nil
	}
	return res, err
}

// undecided leaves the update waiting for a person, and closes the fence, which
// a restart of the machine may have opened.
func (e *engine) undecided(ctx context.Context, refusal *Error) (Result, error) {
	if err := e.keepOut(ctx); err != nil {
		refusal.Unfenced = true
		return e.result(NeedsOperator), errors.Join(refusal, err)
	}
	return e.result(NeedsOperator), refusal
}

// proven returns the outcome that all probes agree on.
func (e *engine) proven(ctx context.Context) (Outcome, *Error) {
	if name := e.plan().sameVersion(); name != "" {
		return "", refuse(ReasonInstalled, name, "the new release has the version of the previous one, so that no probe can find out which is installed").then("retry instead")
	}
	isNew, isOld := true, true
	for _, part := range e.u.Parts {
		got, err := e.u.probe(ctx, part)
		if err != nil {
			return "", refuse(ReasonInstalled, part.Name, "not healthy: %w", err)
		}
		isNew = isNew && got == part.To.Version
		isOld = isOld && got == part.From.Version
	}
	switch {
	case isNew:
		return Committed, nil
	case isOld:
		return RolledBack, nil
	}
	return "", refuse(ReasonInstalled, "", "the parts are neither all at the new version nor all at the previous one")
}

// decide begins a person's decision about an update that waits for one.
func (u *Update) decide(reason string) (*engine, error) {
	if err := given(reason); err != nil {
		return nil, err
	}
	e, err := u.open("deciding")
	if err != nil {
		return nil, err
	}
	if p := e.st.Pending; p == nil || p.Outcome != NeedsOperator {
		err = refuse(ReasonState, "", "no update waits for a decision")
	} else {
		err = e.fits()
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// decided journals a decision.
func (e *engine) decided(reason string, r record) error {
	r.Kind, r.Reason, r.Who = EventDone, reason, e.u.who()
	return e.record(r, nil)
}

func given(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return refuse(ReasonSetup, "", "a decision needs a reason")
	}
	return nil
}

// outside begins a decision outside an update. It needs no role.
func (u *Update) outside(doing, reason string) (*engine, error) {
	if err := given(reason); err != nil {
		return nil, err
	}
	if u.Dir == "" {
		return nil, refuse(ReasonSetup, "", "no state directory is given")
	}
	e, err := u.begin(doing)
	if err != nil {
		return nil, err
	}
	if err := e.st.Blocked(); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// Adopt makes the releases in From count as committed, after a version was
// installed by other means. Each must be healthy, and its Setup in the
// archive (R10). The reason is recorded.
func (u *Update) Adopt(ctx context.Context, reason string) error {
	if err := u.Check(); err != nil {
		return err
	}
	e, err := u.outside("adopting", reason)
	if err != nil {
		return err
	}
	defer e.close()
	releases := map[string]Release{}
	for _, part := range u.Parts {
		got, err := u.probe(ctx, part)
		if err == nil && got != part.From.Version {
			err = fmt.Errorf("version %q is installed", got)
		}
		if err != nil {
			return refuse(ReasonInstalled, part.Name, "cannot adopt %s: %w", part.From, err)
		}
		if err := part.Installer.Ready(ctx, part.From); err != nil {
			return refuse(ReasonPrevious, part.Name, "R10: the Setup of %s: %w", part.From.Version, err)
		}
		releases[part.Name] = part.From
	}
	return e.decided(reason, record{Step: stepAdopt, Releases: releases})
}

// Lift records a person's decision that a release which was rolled back here may
// be installed again. The reason is recorded. Only Dir of u is required;
// Now, Who and Observe are used as well.
func (u *Update) Lift(part string, r Release, reason string) error {
	e, err := u.outside("lifting a quarantine", reason)
	if err != nil {
		return err
	}
	defer e.close()
	if _, ok := e.st.QuarantineOf(part, r); !ok {
		return refuse(ReasonState, part, "%s is not quarantined", r.Version)
	}
	return e.decided(reason, record{Step: stepLift, Releases: map[string]Release{part: r}})
}

// Forget records a person's decision that the snapshots which an operator's
// rollback kept aside are no longer needed, see [Status].Aside. It deletes
// nothing and lets [Status.Needed] leave them out. The reason is recorded. Of
// u only Dir is required; Now, Who and Observe are used as well.
func (u *Update) Forget(update, reason string) error {
	e, err := u.outside("forgetting what was kept aside", reason)
	if err != nil {
		return err
	}
	defer e.close()
	if !slices.ContainsFunc(e.st.Aside, func(p RestorePoint) bool { return p.Update == update }) {
		return refuse(ReasonState, "", "nothing is kept aside by update %q", update)
	}
	return e.decided(reason, record{Step: stepForget, Ref: update})
}
