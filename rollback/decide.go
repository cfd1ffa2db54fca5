package rollback

import (
	"cmp"
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
//
// Unkept names datasets, see [Error].Unkept, that are restored even if no
// snapshot of today can be made of them first, because they are damaged. It is
// tried all the same. What their restore replaces is not tidied away after this
// update.
//
// A dataset in [Update].Differing is put in place as it was restored, with the
// differences that [Error].Differing has of it. A snapshot of what is live is taken
// first, and what that replaces is not tidied away after this update either.
func (u *Update) Retry(ctx context.Context, reason string, unkept ...string) (Result, error) {
	e, err := u.decide(reason)
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	for _, name := range unkept {
		if !slices.ContainsFunc(u.Data, func(d Dataset) bool { return d.Name == name }) {
			return e.result(Nothing), refuse(ReasonSetup, "", "the update has no data with the name %q", name)
		}
	}
	if refusal := e.checkDiffering(); refusal != nil {
		return e.result(Nothing), refusal
	}
	if _, ok := e.course().(updating); ok && e.st.Pending.Outcome == "" {
		e.direction = back // it waited for an answer
	}
	if err := e.decided(reason, record{Step: stepRetry, Unkept: unkept, Differing: u.Differing}); err != nil {
		return e.interrupted(errors.Join(err, e.keepOut(ctx)))
	}
	return e.recover(ctx)
}

// checkDiffering refuses to put in place what has not been restored, or does not differ.
func (e *engine) checkDiffering() *Error {
	for _, name := range e.u.Differing {
		if e.st.Pending.differs[name] == nil {
			return refuse(ReasonSetup, name, "nothing that differs from its snapshot is kept beside %q", name)
		}
		if !slices.ContainsFunc(e.u.Data, func(d Dataset) bool { _, ok := d.Data.(differer); return ok && d.Name == name }) {
			return refuse(ReasonSetup, name, "%q cannot be put in place as it differs", name)
		}
	}
	return nil
}

// Accept records a person's statement, while an update waits for one or for an
// answer, that the installation was put right by hand. Installed has the release
// of every part as it is now, zero where nothing is installed: the one that the
// update installs, the previous one, or a third, such as the support's hotfix.
// Nil means one of the first two, as the probes find out. It is refused unless every
// part is healthy at its version and stays so, and the Setup is in the archive
// with that hash (R10).
//
// No data is restored, the application is started, which an earlier rollback may have
// stopped, and users are let in. A version that is not the previous
// one is committed, so that [Update.Revert] goes back from it to what was before
// the update. The reason is recorded.
func (u *Update) Accept(ctx context.Context, reason string, installed map[string]Release) (Result, error) {
	e, err := u.decide(reason)
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	return e.accept(ctx, reason, installed)
}

func (e *engine) accept(ctx context.Context, reason string, installed map[string]Release) (Result, error) {
	// What is still running would go on behind an open fence.
	if _, err := e.settle(ctx, false); err != nil {
		return e.undecided(ctx, refuse(ReasonInstalled, "", "an installer may still be running: %w", err))
	}
	if err := e.settleRoles(ctx); err != nil {
		return e.undecided(ctx, refuse(ReasonInstalled, "", "a command may still be running: %w", err))
	}
	outcome, releases, refusal := e.proven(ctx, installed)
	if refusal != nil {
		return e.undecided(ctx, refusal)
	}
	e.direction = back // of a first installation, where nothing is installed then
	if outcome == Committed {
		e.direction = forward
	}
	if err := e.decided(reason, record{Step: stepAccept, Outcome: outcome, Releases: releases}); err != nil {
		return e.interrupted(errors.Join(err, e.keepOut(ctx)))
	}
	return e.startAndFinish(context.WithoutCancel(ctx), nil)
}

// undecided leaves the update waiting for a person, and closes the fence, which
// a restart of the machine may have opened.
func (e *engine) undecided(ctx context.Context, refusal *Error) (Result, error) {
	outcome := cmp.Or(e.st.Pending.Outcome, Interrupted)
	if err := e.keepOut(ctx); err != nil {
		refusal.Unfenced = true
		return e.result(outcome), errors.Join(refusal, err)
	}
	return e.result(outcome), refusal
}

// proven returns what is installed, if all probes agree on it, and what that
// makes of the update.
func (e *engine) proven(ctx context.Context, installed map[string]Release) (Outcome, map[string]Release, *Error) {
	if installed == nil {
		var refusal *Error
		if installed, refusal = e.found(ctx); refusal != nil {
			return "", nil, refusal
		}
	}
	want := map[string]Version{}
	isNew, isOld := true, true
	for i, part := range e.u.Parts {
		r, ok := installed[part.Name]
		if !ok {
			return "", nil, refuse(ReasonSetup, part.Name, "it is not said which release is installed")
		}
		planned := e.plan().Parts[i]
		isNew = isNew && r.same(planned.commits())
		isOld = isOld && r.same(part.From)
		want[part.Name] = r.Version
		if r.Version == "" {
			continue
		}
		if err := e.u.within(ctx, e.u.Deadlines.snapshot(), func(ctx context.Context) error { return part.Installer.Ready(ctx, r) }); err != nil {
			return "", nil, refuse(ReasonPrevious, part.Name, "R10: the Setup of %s: %w", r.Version, err).then("archive it, then accept again")
		}
		if err := e.u.checkVouched(ctx, e.st, part, r); err != nil {
			refusal, _ := errors.AsType[*Error](err)
			return "", nil, refusal
		}
	}
	if err := e.steadily(ctx, want); err != nil {
		return "", nil, refuse(ReasonInstalled, "", "not healthy: %w", err)
	}
	for _, part := range e.u.Parts {
		if v := want[part.Name]; v != "" && v == part.To.Version && v != part.From.Version {
			if refusal := e.u.checkMigrated(ctx, part, v); refusal != nil {
				return "", nil, refusal
			}
		}
	}
	switch {
	case isNew:
		return Committed, installed, nil
	case isOld:
		return RolledBack, installed, nil
	}
	return Committed, installed, nil
}

// found returns the release of each part that the probes find, where they can
// distinguish the new one from the previous one.
func (e *engine) found(ctx context.Context) (map[string]Release, *Error) {
	if name := e.plan().sameVersion(); name != "" {
		return nil, refuse(ReasonInstalled, name, "the new release has the version of the previous one, so that no probe can find out which is installed").then("say which, or retry instead")
	}
	committed, previous := map[string]Release{}, map[string]Release{}
	for i, part := range e.u.Parts {
		got, err := e.u.probe(ctx, part)
		if err != nil {
			return nil, refuse(ReasonInstalled, part.Name, "not healthy: %w", err)
		}
		if got == part.To.Version {
			committed[part.Name] = e.plan().Parts[i].commits()
		}
		if got == part.From.Version {
			previous[part.Name] = part.From
		}
	}
	switch len(e.u.Parts) {
	case len(committed):
		return committed, nil
	case len(previous):
		return previous, nil
	}
	return nil, refuse(ReasonInstalled, "", "the parts are neither all at the new version nor all at the previous one").then("say which release of each is installed")
}

// decide begins a person's decision about an update that waits for one.
func (u *Update) decide(reason string) (*engine, error) {
	if err := given(reason); err != nil {
		return nil, err
	}
	if err := u.checkRoles(); err != nil {
		return nil, err
	}
	e, err := u.beginDecision("deciding")
	if err != nil {
		return nil, err
	}
	if !e.waits() {
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

// waits reports whether a person may decide about the pending update.
func (e *engine) waits() bool {
	p := e.st.Pending
	return p != nil && p.Damaged && !p.decided()
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
// archive (R10). The reason is recorded. While an update waits for a person it is
// [Update.Accept] of these releases.
func (u *Update) Adopt(ctx context.Context, reason string) error {
	if err := u.checkRoles(); err != nil {
		return err
	}
	if err := given(reason); err != nil {
		return err
	}
	e, err := u.beginDecision("adopting")
	if err != nil {
		return err
	}
	defer e.close()
	releases := map[string]Release{}
	if e.waits() {
		for _, part := range u.Parts {
			releases[part.Name] = part.From
		}
		if err := e.fits(); err != nil {
			return err
		}
		_, err := e.accept(ctx, reason, releases)
		return err
	}
	if err := e.st.Blocked(); err != nil {
		return err
	}
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
		if err := u.checkVouched(ctx, e.st, part, part.From); err != nil {
			return err
		}
		releases[part.Name] = part.From
	}
	return e.decided(reason, record{Step: stepAdopt, Releases: releases})
}

// Lift records a person's decision that a release which was rolled back here may
// be installed again. The reason is recorded. Only Dir of u is required;
// Now and Observe are used as well.
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
// u only Dir is required; Now and Observe are used as well.
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
