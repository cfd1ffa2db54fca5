package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
)

func fetchNewest(ctx context.Context, j *job) error { return j.Fetch(ctx) }

func plan(ctx context.Context, j *job) error {
	if err := j.override(); err != nil {
		return err
	}
	u, err := j.Next(ctx)
	if err != nil {
		return err
	}
	made, err := u.Plan(ctx)
	d, err := j.planDoc(u, made, err)
	if err != nil {
		return err
	}
	d.longest(u)
	d.Next = again(j.cmd, "update", "--plan", d.Hash)
	err = d.when(u)
	return errors.Join(j.show.answer(d), err)
}

func update(ctx context.Context, j *job) error {
	if err := j.override(); err != nil {
		return err
	}
	if err := j.recover(ctx); err != nil {
		return err
	}
	u, err := j.FetchNext(ctx)
	if err != nil {
		return err
	}
	made, err := u.Plan(ctx)
	d, err := j.planDoc(u, made, err)
	if err != nil {
		return err
	}
	d.longest(u)
	d.print(j.show)
	switch want := j.cmd.String("plan"); {
	case want == d.Hash || want == "" && j.cmd.Bool("yes"):
	case want != "":
		return &rollback.Error{Reason: rollback.ReasonPlanChanged, Err: fmt.Errorf("the plan is now %s, not %s", d.Hash, want)}
	default:
		if err := j.show.confirm(ctx, j.cmd.Root().Reader); err != nil {
			return err
		}
	}
	return j.ended(j.announced(ctx, d.Plan, u.LongestOut(), time.Duration(j.Config.Announce.Before), func(ctx context.Context) (rollback.Result, error) {
		return u.Run(ctx, d.Plan)
	}))
}

// override lets this run leave out rules for a reason: the support hours (R13), or the
// proof of a backup (R9). Several are separated by commas.
func (j *job) override() error {
	rules, reason := j.cmd.String("override"), j.cmd.String("reason")
	switch {
	case rules == "" && reason != "" && !j.cmd.IsSet("confirm"):
		return usage("--reason given without --override")
	case rules == "":
		return nil
	}
	for rule := range strings.SplitSeq(rules, ",") {
		switch {
		case strings.EqualFold(rule, "R13"):
			j.AnyTime = reason
		case strings.EqualFold(rule, "R9") && j.cmd.Name != "rollback":
			j.Unproven = reason
		default:
			return usage("--override %s: only R13, the support hours, and before an update R9, the proof of a backup, can be overridden", rule)
		}
	}
	if reason == "" {
		return usage("--override needs --reason")
	}
	return nil
}

// recover finishes the pending update, if there is one.
func (j *job) recover(ctx context.Context) error {
	u, err := j.Pending()
	if r, ok := errors.AsType[*rollback.Error](err); errors.Is(err, rollback.ErrDamaged) || ok && r.Reason == rollback.ReasonStale {
		if serr := j.Settle(ctx); serr != nil {
			return unsettled{errors.Join(err, serr)}
		}
	}
	if err != nil || u == nil {
		return err
	}
	return j.ended(u.Recover(ctx))
}

// ended prints the result of an update. One that waits for a restart is an
// error: the update is not done.
func (j *job) ended(res rollback.Result, err error) error {
	j.show.result(res)
	if err == nil && res.Outcome == rollback.AwaitingReboot {
		return &rollback.Error{Outcome: res.Outcome, Update: res.Update, Op: "reboot", Err: rollback.ErrReboot}
	}
	return err
}

func recoverPending(ctx context.Context, j *job) error {
	retry, accept, unkept, differing := j.cmd.String("retry"), j.cmd.String("accept"), j.cmd.StringSlice("unkept"), j.cmd.StringSlice("differing")
	switch {
	case retry == "" && len(unkept) > 0:
		return usage("--unkept needs --retry")
	case retry == "" && len(differing) > 0:
		return usage("--differing needs --retry")
	case retry != "" && accept != "":
		return usage("--retry and --accept exclude each other")
	case accept == "" && len(j.cmd.StringSlice("installed")) > 0:
		return usage("--installed needs --accept")
	case accept == "" && len(j.cmd.StringSlice("setup")) > 0:
		return usage("--setup needs --accept")
	case retry == "" && accept == "":
		return j.recover(ctx)
	}
	if accept != "" {
		return j.stillPending(j.ended(j.Accept(ctx, accept, j.cmd.StringSlice("installed"), j.cmd.StringSlice("setup"))))
	}
	u, err := j.Pending()
	switch {
	case err != nil:
		return err
	case u == nil:
		return fmt.Errorf("%w: no update is pending", site.ErrNothing)
	}
	u.Differing = differing
	return j.stillPending(j.ended(u.Retry(ctx, retry, unkept...)))
}

// An unsettled site has a journal that cannot be used, and something that an update has left running.
type unsettled struct{ error }

func (u unsettled) Unwrap() error { return u.error }

// A refused decision has changed nothing: users are kept out as before.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// stillPending marks the error of a decision that was refused while an update is pending.
func (j *job) stillPending(err error) error {
	if err == nil || !slices.Contains([]int{exitRefused, exitPrevious}, exitCode(err)) {
		return err
	}
	st, serr := j.Status()
	open := j.Config.Application.NoFence != "" || serr != nil || st.Pending == nil || !st.Pending.Damaged || st.Pending.Outcome != rollback.NeedsOperator
	if r, ok := errors.AsType[*rollback.Error](err); open || ok && r.Unfenced {
		return err
	}
	return refused{err}
}

// revert rolls back a committed update (R15), or undoes such a rollback.
// Without --confirm it only shows what that would do and cost.
func revert(ctx context.Context, j *job) error {
	confirmed, reason := j.cmd.String("confirm"), j.cmd.String("reason")
	if (confirmed == "") != (reason == "") && j.cmd.String("override") == "" {
		return usage("--confirm and --reason must be given together")
	}
	if confirmed != "" {
		if err := j.recover(ctx); err != nil {
			return err
		}
	}
	if err := j.override(); err != nil {
		return err
	}
	u, err := j.Revert(ctx)
	if err != nil {
		return err
	}
	if confirmed != "" {
		back := func(ctx context.Context) (rollback.Result, error) { return u.Revert(ctx, confirmed, reason) }
		if j.announces() {
			if made, err := u.PlanRevert(ctx); err == nil && made.Hash == confirmed { // what is broken is not waited for
				return j.ended(j.announced(ctx, made, u.LongestOut(), 0, back))
			}
		}
		return j.ended(back(ctx))
	}
	made, err := u.PlanRevert(ctx)
	d, err := j.planDoc(u, made, err)
	if err != nil {
		return err
	}
	d.Next = again(j.cmd, "rollback", "--confirm", d.Hash)
	if reason == "" {
		d.Next += " --reason WHY"
	}
	return j.show.answer(d)
}

func adopt(ctx context.Context, j *job) error {
	return j.Adopt(ctx, j.cmd.String("reason"), j.cmd.StringSlice("setup"))
}

func lift(_ context.Context, j *job) error {
	v, err := argument(j.cmd, "version")
	if err != nil {
		return err
	}
	return j.Lift(j.cmd.String("distribution"), v, j.cmd.String("reason"))
}

// forget gives up the data that an operator's rollback set aside.
func forget(_ context.Context, j *job) error {
	id, err := argument(j.cmd, "update ID, as status shows it,")
	if err != nil {
		return err
	}
	return j.Forget(id, j.cmd.String("reason"))
}

// confirm records that a person has confirmed a requirement of R14.
func confirm(_ context.Context, j *job) error {
	what, err := argument(j.cmd, "text, as the refusal quotes it,")
	if err != nil {
		return err
	}
	return j.Confirm(install.Confirmation{What: what, Who: j.cmd.String("who"), When: time.Now(), Note: j.cmd.String("note")})
}
