package rollback

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Retry is a person's decision, after an update that ended in
// [NeedsOperator] and once its cause is mended, to go the way back again
// with fresh attempts; an operator's rollback that crashes cut short is gone on
// with. The reason is recorded.
func (u *Update) Retry(ctx context.Context, reason string) (Result, error) {
	e, err := u.decide(reason)
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	if err := e.record(Record{Step: StepRetry, Phase: Done, Reason: reason, Who: u.who()}, nil); err != nil {
		return e.interrupted(err)
	}
	return e.recover(ctx)
}

// Accept is a person's word, after an update that ended in [NeedsOperator],
// that things were put right by hand. It is believed only if no installer
// is at work any more and the probes agree: every part healthy at its new
// version, or every part at its previous one; never where these are the same.
// The reason is recorded, and users are let in.
func (u *Update) Accept(ctx context.Context, reason string) (Result, error) {
	e, err := u.decide(reason)
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	// An installer that is still at work would go on behind open doors.
	if _, err := e.settle(ctx, false); err != nil {
		return e.undecided(ctx, refuse(ReasonInstalled, "", "an installer may still be at work: %w", err))
	}
	outcome, err := e.proven(ctx)
	if err != nil {
		return e.undecided(ctx, err)
	}
	if err := e.record(Record{Step: StepAccept, Phase: Done, Outcome: outcome, Reason: reason, Who: u.who()}, nil); err != nil {
		return e.interrupted(err)
	}
	res, err := e.finish(context.WithoutCancel(ctx), nil)
	if res.Outcome == outcome {
		err = nil
	}
	return res, err
}

// undecided goes on waiting for a person, with users kept out: a restart of
// the machine may have let them in.
func (e *engine) undecided(ctx context.Context, err error) (Result, error) {
	if open := e.keepOut(ctx); open != nil {
		err = errors.Join(err, open)
	}
	return e.result(NeedsOperator), err
}

// proven asks every probe which version the machine runs.
func (e *engine) proven(ctx context.Context) (Outcome, error) {
	if name := e.plan().alike(); name != "" {
		return "", refuse(ReasonInstalled, name, "the new release has the version of the previous one, so that nobody can tell by looking which is installed; retry instead")
	}
	isNew, isOld := true, true
	for _, part := range e.u.Parts {
		got, err := e.u.look(ctx, part)
		if err != nil {
			return "", refuse(ReasonInstalled, part.Name, "it is not healthy: %w", err)
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

func (u *Update) decide(reason string) (*engine, error) {
	if strings.TrimSpace(reason) == "" {
		return nil, refuse(ReasonSetup, "", "a decision needs a reason")
	}
	e, err := u.open("deciding")
	if err != nil {
		return nil, err
	}
	p := e.st.Pending
	if p == nil || p.Outcome != NeedsOperator {
		e.close()
		return nil, refuse(ReasonState, "", "no update waits for a decision")
	}
	if err := e.fits(); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// Adopt takes the releases in From as committed, after a version was
// installed by other means. Each must be healthy, and its Setup in the
// archive (R10). The reason is recorded.
func (u *Update) Adopt(ctx context.Context, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return refuse(ReasonSetup, "", "a decision needs a reason")
	}
	e, err := u.open("adopting")
	if err != nil {
		return err
	}
	defer e.close()
	if e.st.Pending != nil {
		return e.st.Blocked()
	}
	rel := map[string]Release{}
	for _, part := range u.Parts {
		got, err := u.look(ctx, part)
		if err == nil && got != part.From.Version {
			err = errors.New("version " + got + " answers")
		}
		if err != nil {
			return refuse(ReasonInstalled, part.Name, "%s cannot be adopted: %w", part.From, err)
		}
		if err := part.Installer.Ready(ctx, part.From); err != nil {
			return refuse(ReasonPrevious, part.Name, "R10: the Setup of %s: %w", part.From.Version, err)
		}
		rel[part.Name] = part.From
	}
	return e.record(Record{Step: StepAdopt, Phase: Done, Releases: rel, Reason: reason, Who: u.who()}, nil)
}

// Lift is a person's decision that a release which was rolled back here may
// be installed again. The reason is recorded. Of u only Dir is needed, and
// Now, Who and Observe are used.
func (u *Update) Lift(part string, r Release, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return refuse(ReasonSetup, "", "a decision needs a reason")
	}
	if u.Dir == "" {
		return refuse(ReasonSetup, "", "no state folder is given")
	}
	e, err := u.begin("lifting a quarantine")
	if err != nil {
		return err
	}
	defer e.close()
	if err := e.st.Blocked(); err != nil {
		return err
	}
	if _, ok := e.st.QuarantineOf(part, r); !ok {
		return refuse(ReasonState, part, "%s is not quarantined", r.Version)
	}
	e.id = ""
	return e.record(Record{Step: StepLift, Phase: Done, Releases: map[string]Release{part: r}, Reason: reason, Who: u.who()}, nil)
}

// Forget is a person's decision that the snapshots which an operator's
// rollback kept aside are no longer needed, see [Status].Aside. It deletes
// nothing and lets [Status.Needed] leave them out. The reason is recorded. Of
// u only Dir is needed, and Now, Who and Observe are used.
func (u *Update) Forget(update, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return refuse(ReasonSetup, "", "a decision needs a reason")
	}
	if u.Dir == "" {
		return refuse(ReasonSetup, "", "no state folder is given")
	}
	e, err := u.begin("forgetting what was kept aside")
	if err != nil {
		return err
	}
	defer e.close()
	if err := e.st.Blocked(); err != nil {
		return err
	}
	if !slices.ContainsFunc(e.st.Aside, func(p RestorePoint) bool { return p.Update == update }) {
		return refuse(ReasonState, "", "nothing is kept aside by %q", update)
	}
	e.id, e.direction = "", ""
	return e.record(Record{Step: StepForget, Phase: Done, Ref: update, Reason: reason, Who: u.who()}, nil)
}
