package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/rollback"
)

// runRollback is a person's way back after a commit (R15), and the undo of
// one. Without --confirm it only says what that would do and cost.
func runRollback(ctx context.Context, s *site, cmd *cli.Command) error {
	confirmed, reason := cmd.String("confirm"), cmd.String("reason")
	if (confirmed == "") != (reason == "") && cmd.String("override") == "" {
		return fmt.Errorf("%w: --confirm and --reason come together: what was shown, and why", errConfig)
	}
	if confirmed != "" {
		if err := s.recover(ctx); err != nil {
			return err
		}
	}
	if err := s.override(cmd); err != nil {
		return err
	}
	u, err := s.back(ctx)
	if err != nil {
		return err
	}
	if confirmed != "" {
		res, err := u.RollBack(ctx, confirmed, reason)
		s.show.result(res)
		return outcome(res, err)
	}
	plan, err := u.PlanBack(ctx)
	if err != nil {
		return err
	}
	d := s.planDoc(plan, false)
	d.Next = again(cmd, "rollback", "--confirm", plan.Hash)
	if reason == "" {
		d.Next += " --reason WHY"
	}
	return s.show.answer(d)
}

// back lays out the way back that the journal has.
func (s *site) back(ctx context.Context) (*rollback.Update, error) {
	st, err := rollback.ReadStatus(s.conf.State)
	if err == nil {
		err = st.Blocked()
	}
	switch {
	case err != nil:
		return nil, err
	case st.Back == nil:
		return nil, fmt.Errorf("%w: no update was committed here that could be taken back (R15)", errNothing)
	}
	u, err := s.update(st.Back.Parts)
	if err != nil {
		return nil, err
	}
	live, err := s.serverFolders(ctx)
	u.Live = append(u.Live, live...)
	return u, err
}

// runForget lets go of what an operator's rollback kept aside.
func runForget(_ context.Context, s *site, cmd *cli.Command) error {
	id, err := argument(cmd, "update's id, as status shows it")
	if err != nil {
		return err
	}
	return (&rollback.Update{Dir: s.conf.State, Observe: s.show.rollback}).Forget(id, cmd.String("reason"))
}
