package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/rollback"
)

func runFetch(ctx context.Context, s *site, _ *cli.Command) error {
	return s.look(ctx, func(found []fetch.Release) error {
		_, err := s.fetchAll(ctx, found)
		return err
	})
}

func runPlan(ctx context.Context, s *site, cmd *cli.Command) error {
	if err := s.override(cmd); err != nil {
		return err
	}
	u, err := s.next(ctx, func(_ context.Context, f []fetch.Release) ([]rollback.Release, error) { return s.archived(f) })
	if err != nil {
		return err
	}
	plan, err := u.Plan(ctx)
	if err != nil {
		return err
	}
	first, err := crossesYear(plan.Parts)
	d := s.planDoc(plan, first)
	d.Next = again(cmd, "update", "--plan", plan.Hash)
	err = errors.Join(err, d.when(u.Window, time.Now()))
	return errors.Join(s.show.answer(d), err)
}

func runUpdate(ctx context.Context, s *site, cmd *cli.Command) error {
	if err := s.override(cmd); err != nil {
		return err
	}
	if err := s.recover(ctx); err != nil {
		return err
	}
	u, err := s.next(ctx, s.fetchAll)
	if err != nil {
		return err
	}
	plan, err := u.Plan(ctx)
	if err != nil {
		return err
	}
	first, err := crossesYear(plan.Parts)
	if err != nil {
		return err
	}
	s.planDoc(plan, first).print(s.show)
	switch want := cmd.String("plan"); {
	case want == plan.Hash || want == "" && cmd.Bool("yes"):
	case want != "":
		return fmt.Errorf("%w: the plan is now %s, not %s", rollback.ErrRefused, plan.Hash, want)
	default:
		if err := s.show.agreed(ctx, cmd.Root().Reader); err != nil {
			return err
		}
	}
	res, err := u.Run(ctx, plan)
	s.show.result(res)
	return outcome(res, err)
}

// override leaves the support's hours out for one run.
func (s *site) override(cmd *cli.Command) error {
	rule, reason := cmd.String("override"), cmd.String("reason")
	switch {
	case rule == "" && reason != "" && !cmd.IsSet("confirm"):
		return fmt.Errorf("%w: --reason is that of an --override, and none is given", errConfig)
	case rule == "":
		return nil
	case !strings.EqualFold(rule, "R13"):
		return fmt.Errorf("%w: --override %s: only R13, the support's hours, can be left out for one run", errConfig, rule)
	case reason == "":
		return fmt.Errorf("%w: --override wants --reason: why? it is recorded", errConfig)
	}
	s.conf.Window.AnyTime = reason
	return nil
}

// next lays the next update out: from what is installed to the newest that
// get has.
func (s *site) next(ctx context.Context, get func(context.Context, []fetch.Release) ([]rollback.Release, error)) (*rollback.Update, error) {
	st, err := rollback.ReadStatus(s.conf.State)
	if err != nil {
		return nil, err
	}
	if err := st.Blocked(); err != nil {
		return nil, err
	}
	from, err := s.installed(ctx, st)
	if err != nil {
		return nil, err
	}
	live, err := s.serverFolders(ctx)
	if err != nil {
		return nil, err
	}
	var u *rollback.Update
	err = s.look(ctx, func(found []fetch.Release) (err error) {
		to := make([]rollback.Release, len(found))
		for i := range found {
			to[i] = rollback.Release{Version: found[i].Version.String()}
		}
		// Before anything is fetched, for there may be nothing to do, or no good
		// place to put it.
		if _, err := s.lay(from, to, live); err != nil {
			return err
		}
		if to, err = get(ctx, found); err != nil {
			return err
		}
		u, err = s.lay(from, to, live)
		return err
	})
	return u, err
}

// look gives use what is newest on the server, and again if that was replaced
// meanwhile: the server keeps one version.
func (s *site) look(ctx context.Context, use func([]fetch.Release) error) error {
	const looks = 3
	for look := 1; ; look++ {
		found, err := s.newest(ctx)
		if err != nil {
			return err
		}
		if err = use(found); !errors.Is(err, fetch.ErrChanged) || look == looks {
			return err
		}
		s.show.line("          %v", err)
	}
}

// lay lays out the update between two states and checks it as far as that
// can be done without looking at the machine.
func (s *site) lay(from, to []rollback.Release, live []string) (*rollback.Update, error) {
	parts, err := s.parts(from, to)
	if err != nil {
		return nil, err
	}
	u, err := s.update(parts)
	if err != nil {
		return nil, err
	}
	u.Live = append(u.Live, live...)
	return u, u.Check()
}

// recover brings what is pending to its end.
func (s *site) recover(ctx context.Context) error {
	u, err := s.pending()
	if err != nil || u == nil {
		return err
	}
	res, err := u.Recover(ctx)
	s.show.result(res)
	return outcome(res, err)
}

// pending lays out the update that the journal has as pending, nil if none.
func (s *site) pending() (*rollback.Update, error) {
	st, err := rollback.ReadStatus(s.conf.State)
	if err != nil || st.Pending == nil {
		return nil, err
	}
	only, conf := *s, *s.conf // a copy: the next update asks for its own window
	only.conf = &conf
	conf.Window.AnyTime = "a pending update is brought to its end" // R13 is a matter of its start
	u, err := only.update(st.Pending.Plan.Parts)
	if err != nil {
		// Whatever is wrong here, an update is pending, and its fence may stand.
		return nil, &rollback.Error{Outcome: rollback.Interrupted, Update: st.Pending.Update, Step: st.Pending.Step, Err: err, Unfenced: true}
	}
	return u, nil
}

func runRecover(ctx context.Context, s *site, cmd *cli.Command) error {
	retry, accept := cmd.String("retry"), cmd.String("accept")
	if err := oneOf(retry, accept); err != nil {
		return err
	}
	if retry == "" && accept == "" {
		return s.recover(ctx)
	}
	u, err := s.pending()
	if err != nil {
		return err
	}
	if u == nil {
		return fmt.Errorf("%w: no update is pending", errNothing)
	}
	decide, reason := u.Retry, retry
	if accept != "" {
		decide, reason = u.Accept, accept
	}
	res, err := decide(ctx, reason)
	s.show.result(res)
	return outcome(res, err)
}

// outcome makes an error of waiting for a restart: the update is not done.
func outcome(res rollback.Result, err error) error {
	if err == nil && res.Outcome == rollback.AwaitingReboot {
		return &rollback.Error{Outcome: res.Outcome, Update: res.Update, Step: rollback.StepReboot, Err: rollback.ErrReboot}
	}
	return err
}

func runStatus(_ context.Context, s *site, cmd *cli.Command) error {
	st, err := rollback.ReadStatus(s.conf.State)
	if err != nil {
		return err
	}
	d := newStatusDoc(st)
	records, err := rollback.ReadHistory(s.conf.State)
	if err != nil {
		d.Lacks = err.Error() // which blocks nothing
	}
	d.History = append(d.History, rollback.PastUpdates(records)...)
	if p := st.Pending; p != nil {
		state := &rollback.Error{Outcome: rollback.Interrupted}
		if p.Outcome == rollback.NeedsOperator {
			state.Outcome = p.Outcome
		}
		d.Pending.Next = strings.TrimPrefix(hint(configured(cmd, state)), "next: ")
	}
	return s.show.answer(d)
}

func runAdopt(ctx context.Context, s *site, cmd *cli.Command) error {
	var parts []rollback.PlanPart
	for _, d := range s.conf.Distributions {
		r, err := s.running(ctx, d)
		if err != nil {
			return err
		}
		parts = append(parts, rollback.PlanPart{Name: d.Name, From: r, To: r})
	}
	u, err := s.update(parts)
	if err != nil {
		return err
	}
	return u.Adopt(ctx, cmd.String("reason"))
}

func runLift(_ context.Context, s *site, cmd *cli.Command) error {
	v, err := argument(cmd, "version")
	if err != nil {
		return err
	}
	name := cmd.String("distribution")
	st, err := rollback.ReadStatus(s.conf.State)
	if err != nil {
		return err
	}
	for _, q := range st.Quarantined {
		if q.Part == name && q.Release.Version == v {
			return (&rollback.Update{Dir: s.conf.State, Observe: s.show.rollback}).Lift(name, q.Release, cmd.String("reason"))
		}
	}
	return fmt.Errorf("%w: %s %s is not quarantined", errNothing, name, v)
}
