package rollback_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// backwards is the update of the world laid out the other way round, as an
// operator's rollback wants it.
func (w *world) backwards() *rollback.Update {
	u := w.update()
	for i := range u.Parts {
		u.Parts[i].From, u.Parts[i].To = u.Parts[i].To, u.Parts[i].From
	}
	return u
}

const (
	oldRows = "row 1\nrow 2\n"
	newRows = oldRows + "row 3\n"
)

// committedWorld has been updated, and users have entered a row since.
func committedWorld(t testing.TB, parts ...string) *world {
	w := newWorld(t, parts...)
	_, err := w.run(t)
	require.NoError(t, err)
	w.enter(t, newVersion, newRows)
	w.calls = nil
	return w
}

// clone is the same machine in another folder.
func (w *world) clone(t testing.TB) *world {
	c := &world{root: t.TempDir(), parts: w.parts, boot: w.boot}
	require.NoError(t, os.CopyFS(c.root, os.DirFS(w.root)))
	return c
}

func (w *world) enter(t testing.TB, version, rows string) {
	for _, p := range w.parts {
		w.write(t, "data."+p, "schema "+version+"\n"+rows)
	}
}

// stands fails unless every part is healthy at one version with its rows, and
// users are in.
func (w *world) stands(t testing.TB, version, rows string) {
	t.Helper()
	for _, p := range w.parts {
		got, err := w.version(p)
		require.NoError(t, err)
		require.Equal(t, version, string(got))
		require.Equal(t, "schema "+version+"\n"+rows, w.read("data."+p))
	}
	require.False(t, w.fenced())
}

func (w *world) status(t testing.TB) rollback.Status {
	t.Helper()
	st, err := rollback.ReadStatus(w.path("state"))
	require.NoError(t, err)
	return st
}

// revert confirms what it is shown.
func revert(t testing.TB, u *rollback.Update) (rollback.Result, error) {
	plan, err := u.PlanRevert(t.Context())
	if err != nil {
		return rollback.Result{}, err
	}
	return u.Revert(t.Context(), plan.Hash, "reports are empty")
}

func TestR15RevertAfterCommit(t *testing.T) {
	w := committedWorld(t, "ASP", "Опека")
	before := w.status(t)
	require.Len(t, before.Needed(), 2, "what an operator may go back to is not pruned")
	u := w.backwards()
	var done []rollback.PlanStep
	u.Observe = func(e rollback.Event) {
		if e.Kind == rollback.EventDone {
			done = append(done, rollback.PlanStep{Step: e.Step, Part: e.Subject})
		}
	}
	journaled := w.read("state/journal.log")
	plan, err := u.PlanRevert(t.Context())
	require.NoError(t, err)
	require.Equal(t, journaled, w.read("state/journal.log"), "a plan writes nothing")
	require.NotContains(t, w.calls, "fence.close")
	require.Equal(t, before.RestorePoint.Refs, plan.Revert.Refs)
	require.False(t, plan.Revert.Undo)
	require.Contains(t, plan.Revert.String(), "everything entered since "+before.RestorePoint.Since.Format("2006-01-02T15:04:05Z")+" is kept aside")

	w.calls = nil
	res, err := u.Revert(t.Context(), plan.Hash, "reports are empty")
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	w.stands(t, oldVersion, oldRows)
	planned := slices.DeleteFunc(slices.Clone(plan.Steps), func(s rollback.PlanStep) bool { return s.Step == rollback.StepTidy })
	require.Equal(t, planned, done, "the plan lists exactly what is done")
	i := slices.Index(w.calls, "fence.close")
	require.Equal(t, []string{
		"fence.close", "app.stop", "snapshot ASP", "verify ASP", "snapshot Опека", "verify Опека",
		// The guard re-reads the Setups of both versions, and the snapshots of today and of then.
		"ready ASP " + newVersion, "ready ASP " + oldVersion, "ready Опека " + newVersion, "ready Опека " + oldVersion,
		"verify ASP", "verify Опека", "verify ASP", "verify Опека",
		"restore ASP", "restore Опека", "install ASP " + oldVersion, "install Опека " + oldVersion, "app.start",
		"await " + oldVersion, "await " + oldVersion, "fence.open",
	}, w.calls[i:])

	st := w.status(t)
	require.Equal(t, oldVersion, string(st.Committed["ASP"].Version))
	require.Len(t, st.Aside, 1)
	require.Equal(t, "schema "+newVersion+"\n"+newRows, w.read(st.Aside[0].Refs["Опека"]), "today's state is kept aside")
	require.Contains(t, st.Needed(), st.Aside[0].Refs["ASP"])
	recs, err := rollback.ReadJournal(u.Dir)
	require.NoError(t, err)
	i = slices.IndexFunc(recs, func(r rollback.Record) bool { return r.Plan != nil && r.Plan.Revert != nil })
	require.Equal(t, "reports are empty", recs[i].Reason)
	require.Equal(t, "tester", recs[i].Who)

	_, err = w.update().Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonQuarantined)
}

// The undo of a rollback is the same procedure with the snapshot that it
// took, and so is the undo of the undo.
func TestR15RevertIsUndone(t *testing.T) {
	w := committedWorld(t, "ASP")
	_, err := revert(t, w.backwards())
	require.NoError(t, err)
	lateRows := oldRows + "row 4\n"
	w.enter(t, oldVersion, lateRows)

	u := w.update() // from the old version to the new one again
	plan, err := u.PlanRevert(t.Context())
	require.NoError(t, err)
	require.True(t, plan.Revert.Undo)
	_, err = u.Revert(t.Context(), plan.Hash, "it was the printer")
	require.NoError(t, err)
	w.stands(t, newVersion, newRows)
	st := w.status(t)
	require.Empty(t, st.Quarantined, "a person's word lifts the quarantine, and the previous version gets none")
	require.Equal(t, newVersion, string(st.Committed["ASP"].Version))
	require.Len(t, st.Aside, 1, "what the rollback kept aside is live again; what was entered since it is aside")
	require.Equal(t, "schema "+oldVersion+"\n"+lateRows, w.read(st.Aside[0].Refs["ASP"]))

	_, err = revert(t, w.backwards())
	require.NoError(t, err)
	w.stands(t, oldVersion, lateRows)
	st = w.status(t)
	require.Equal(t, newVersion, string(st.Quarantined[0].Release.Version))
	require.Len(t, st.Aside, 1)
	require.Equal(t, "schema "+newVersion+"\n"+newRows, w.read(st.Aside[0].Refs["ASP"]))
}

func TestAsideIsKeptUntilAPersonForgetsIt(t *testing.T) {
	w := committedWorld(t, "ASP")
	_, err := revert(t, w.backwards())
	require.NoError(t, err)
	aside := w.status(t).Aside[0]
	w.write(t, "archive.ASP.7.13.200", "good")
	u := w.update()
	u.Parts[0].To = rollback.Release{Version: "7.13.200", SHA256: "repaired"}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Contains(t, w.status(t).Needed(), aside.Refs["ASP"], "also after a later update")

	u = &rollback.Update{Dir: w.path("state")}
	requireRefusal(t, u.Forget(aside.Update, ""), rollback.ReasonSetup)
	requireRefusal(t, u.Forget("another", "typed in by hand"), rollback.ReasonState)
	require.NoError(t, u.Forget(aside.Update, "typed in by hand"))
	require.NotContains(t, w.status(t).Needed(), aside.Refs["ASP"])
	require.NotEmpty(t, w.read(aside.Refs["ASP"]), "nothing is deleted")
}

func TestRevertRefusesWhatWasNotShown(t *testing.T) {
	w := committedWorld(t, "ASP")
	u := w.backwards()
	plan, err := u.PlanRevert(t.Context())
	require.NoError(t, err)
	forward := w.status(t).RestorePoint.Update
	for _, confirmed := range []string{"", "yes", forward, plan.Hash[1:]} {
		_, err = u.Revert(t.Context(), confirmed, "reports are empty")
		requireRefusal(t, err, rollback.ReasonPlanChanged)
	}
	_, err = u.Revert(t.Context(), plan.Hash, " ")
	requireRefusal(t, err, rollback.ReasonSetup)
	_, err = u.Run(t.Context(), plan)
	require.ErrorIs(t, err, rollback.ErrRefused, "a rollback is not run as an update")
	require.NotContains(t, w.calls, "fence.close")

	// Another update was committed meanwhile: the snapshot is another one.
	w.write(t, "archive.ASP.7.14.100", "good")
	next := w.update()
	next.Parts[0].From, next.Parts[0].To = next.Parts[0].To, rollback.Release{Version: "7.14.100", SHA256: "next"}
	p, err := next.Plan(t.Context())
	require.NoError(t, err)
	_, err = next.Run(t.Context(), p)
	require.NoError(t, err)
	_, err = u.Revert(t.Context(), plan.Hash, "reports are empty")
	require.ErrorIs(t, err, rollback.ErrRefused)
	next.Parts[0].From, next.Parts[0].To = next.Parts[0].To, next.Parts[0].From
	res, err := revert(t, next)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	w.stands(t, newVersion, newRows)
}

func TestRevertIsRefusedWithoutARestorePoint(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, w *world, u *rollback.Update)
		want   rollback.Reason
	}{
		"other parts": {func(_ *testing.T, _ *world, u *rollback.Update) { u.Parts[0].To.Version = "7.11.100" }, rollback.ReasonSetup},
		"other data":  {func(_ *testing.T, _ *world, u *rollback.Update) { u.Data[0].Name = "other" }, rollback.ReasonSetup},
		"more data": {func(_ *testing.T, w *world, u *rollback.Update) {
			u.Data = append(u.Data, rollback.Dataset{Name: "more", Data: data{w, "more"}})
		}, rollback.ReasonSetup},
		"less data":        {func(_ *testing.T, _ *world, u *rollback.Update) { u.Data, u.NoData = nil, "hurry" }, rollback.ReasonSetup},
		"R10 Setup gone":   {func(_ *testing.T, w *world, _ *rollback.Update) { _ = os.Remove(w.path("archive.ASP." + oldVersion)) }, rollback.ReasonInstaller},
		"R10 today's gone": {func(_ *testing.T, w *world, _ *rollback.Update) { _ = os.Remove(w.path("archive.ASP." + newVersion)) }, rollback.ReasonPrevious},
		"R9 snapshot gone": {func(t *testing.T, w *world, _ *rollback.Update) {
			_ = os.Remove(w.path(w.status(t).RestorePoint.Refs["ASP"]))
		}, rollback.ReasonBackup},
		"another installed": {func(t *testing.T, w *world, _ *rollback.Update) {
			w.write(t, "app.ASP", "7.13.200")
			w.write(t, "data.ASP", "schema 7.13.200\n")
		}, rollback.ReasonInstalled},
		"another adopted": {func(t *testing.T, w *world, u *rollback.Update) {
			w.write(t, "app.ASP", oldVersion)
			w.write(t, "data.ASP", "schema "+oldVersion+"\n")
			require.NoError(t, w.update().Adopt(t.Context(), "put back by hand"))
		}, rollback.ReasonInstalled},
	} {
		t.Run(name, func(t *testing.T) {
			w := committedWorld(t, "ASP")
			u := w.backwards()
			c.change(t, w, u)
			_, err := u.PlanRevert(t.Context())
			requireRefusal(t, err, c.want)
			require.NotContains(t, w.calls, "fence.close")
		})
	}
	_, err := newWorld(t, "ASP").backwards().PlanRevert(t.Context())
	requireRefusal(t, err, rollback.ReasonNothingToDo)

	w := newWorld(t, "ASP") // R3: before a first installation there is nothing
	u := firstInstallation(t, w)
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Nil(t, w.status(t).RestorePoint)
}

// TestGuardRefusesBeforeTheRestore takes away what either way needs, after
// the fresh snapshot (must hold 1, 4, 8).
func TestGuardRefusesBeforeTheRestore(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(w *world, u *rollback.Update, p *rollback.Pending)
		want rollback.Reason
	}{
		"R10 Setup gone": {func(w *world, _ *rollback.Update, _ *rollback.Pending) {
			_ = os.Remove(w.path("archive.ASP." + oldVersion))
		}, rollback.ReasonInstaller},
		"R10 today's gone": {func(w *world, _ *rollback.Update, _ *rollback.Pending) {
			_ = os.Remove(w.path("archive.ASP." + newVersion))
		}, rollback.ReasonPrevious},
		"R9 fresh damaged":    {func(w *world, _ *rollback.Update, p *rollback.Pending) { _ = w.put(p.References()["ASP"], "x") }, rollback.ReasonBackup},
		"R15 old one damaged": {func(w *world, _ *rollback.Update, p *rollback.Pending) { _ = w.put(p.Plan.Revert.Refs["ASP"], "x") }, rollback.ReasonBackup},
		"R13 window closed":   {func(_ *world, u *rollback.Update, _ *rollback.Pending) { u.Window = &window{closed: true} }, rollback.ReasonWindow},
	} {
		t.Run(name, func(t *testing.T) {
			w := committedWorld(t, "ASP")
			u := w.backwards()
			u.Observe = func(e rollback.Event) {
				if e.Step == rollback.StepSnapshot && e.Kind == rollback.EventDone {
					c.harm(w, u, w.status(t).Pending)
				}
			}
			res, err := revert(t, u)
			requireRefusal(t, err, c.want)
			require.Equal(t, rollback.Abandoned, res.Outcome)
			require.NotContains(t, w.calls, "restore ASP")
			w.stands(t, newVersion, newRows)
			require.NotNil(t, w.status(t).RestorePoint, "the rollback is still known")
		})
	}
}

func TestRevertThatFailsBringsTodayBack(t *testing.T) {
	w := committedWorld(t, "ASP", "Опека")
	w.write(t, "archive.Опека."+oldVersion, "bad")
	res, err := revert(t, w.backwards())
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.ErrorContains(t, err, "taken back: today's version and its data are in place")
	w.stands(t, newVersion, newRows)
	st := w.status(t)
	require.Empty(t, st.Quarantined, "what was once committed is not quarantined for it")
	require.Empty(t, st.Aside, "nothing is aside: it is live")
	require.Equal(t, newVersion, string(st.Committed["Опека"].Version))
	require.NotNil(t, st.RestorePoint)

	w.write(t, "archive.Опека."+oldVersion, "good")
	_, err = revert(t, w.backwards())
	require.NoError(t, err)
	w.stands(t, oldVersion, oldRows)
}

// A version may be left because it is down; and if the rollback fails, it
// comes back as it was.
func TestRevertFromAVersionThatIsDown(t *testing.T) {
	for _, kind := range []string{"good", "bad"} {
		w := committedWorld(t, "ASP")
		w.write(t, "data.ASP", "schema "+newVersion+"\nbroken\n")
		w.write(t, "archive.ASP."+oldVersion, kind)
		w.write(t, "archive.ASP."+newVersion, "bad")
		plan, err := w.backwards().PlanRevert(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"ASP"}, plan.Revert.Unhealthy)
		res, err := w.backwards().Revert(t.Context(), plan.Hash, "it is down")
		if kind == "good" {
			require.NoError(t, err)
			w.stands(t, oldVersion, oldRows)
			continue
		}
		require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
		require.Equal(t, newVersion, w.read("app.ASP"))
		require.Contains(t, w.read("data.ASP"), "broken")
		require.False(t, w.fenced())
	}
}

func TestRevertOfABundleLeavesThePartThatWasKept(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	u := w.update()
	u.Parts[1].To = u.Parts[1].From
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
	w.calls = nil
	u = w.backwards()
	u.Parts[1].From = u.Parts[1].To
	back, err := u.PlanRevert(t.Context())
	require.NoError(t, err)
	require.True(t, back.Parts[1].Keep)
	_, err = u.Revert(t.Context(), back.Hash, "reports are empty")
	require.NoError(t, err)
	w.stands(t, oldVersion, oldRows)
	require.Zero(t, count(w.calls, "install Опека "+oldVersion))
	require.Len(t, w.status(t).Quarantined, 1)
}

func TestRevertWithoutDataInstallsThePreviousSetup(t *testing.T) {
	w := newWorld(t, "ASP")
	bare := func(u *rollback.Update) *rollback.Update {
		u.Data, u.NoData = nil, "the distribution keeps no data"
		return u
	}
	u := bare(w.update())
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
	back, err := bare(w.backwards()).PlanRevert(t.Context())
	require.NoError(t, err)
	require.Equal(t, "no data is restored", back.Revert.String())
	_, err = bare(w.backwards()).Revert(t.Context(), back.Hash, "reports are empty")
	require.NoError(t, err)
	w.stands(t, oldVersion, oldRows)
	require.Empty(t, w.status(t).Aside)
}

type counting struct {
	data
	err error
}

func (c counting) Counts(context.Context) (map[string]int64, error) {
	return map[string]int64{
		"rows":  int64(strings.Count(c.w.read("data."+c.part), "row ")),
		"users": 7,
	}, c.err
}

func TestRevertCountsWhatWasEnteredSince(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	count := func(u *rollback.Update, err error) *rollback.Update {
		u.Data[0].Data = counting{data{w, "ASP"}, err}
		return u
	}
	u := count(w.update(), nil)
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
	w.enter(t, newVersion, newRows+"row 4\n")
	back, err := count(w.backwards(), nil).PlanRevert(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]int64{"ASP": {"rows": 2}}, back.Revert.Entered)
	require.Contains(t, back.Revert.String(), "ASP rows +2")

	silent, err := count(w.backwards(), errors.New("too busy to count")).PlanRevert(t.Context())
	require.NoError(t, err, "a count is no safety")
	require.Empty(t, silent.Revert.Entered)
	w.enter(t, newVersion, oldRows)
	_, err = count(w.backwards(), nil).Revert(t.Context(), back.Hash, "users work on meanwhile")
	require.NoError(t, err)
}

func TestRevertRemovesWhereTheKindNeedsIt(t *testing.T) {
	w := committedWorld(t, "ASP")
	removable := func(u *rollback.Update) *rollback.Update {
		u.Parts[0].Installer = remover{installer{w, "ASP"}}
		return u
	}
	_, err := revert(t, removable(w.backwards()))
	require.NoError(t, err)
	w.stands(t, oldVersion, oldRows)
	require.Less(t, indexOf(w.calls, "snapshot ASP"), indexOf(w.calls, "remove ASP"))
	require.Less(t, indexOf(w.calls, "remove ASP"), indexOf(w.calls, "restore ASP"))
	w.calls = nil
	_, err = revert(t, removable(w.update()))
	require.NoError(t, err)
	require.NotContains(t, w.calls, "remove ASP", "an undo is an upgrade")

	// Removed, and then it cannot be restored: today's Setup must run again.
	w.calls = nil
	failed := false
	w.fault = func(call string) error {
		if call == "restore ASP" && !failed {
			failed = true
			return errors.New("the server is down")
		}
		return nil
	}
	res, err := revert(t, removable(w.backwards()))
	require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
	w.stands(t, newVersion, newRows)
	require.Contains(t, w.calls, "install ASP "+newVersion)
}

func TestRevertOverARestart(t *testing.T) {
	for kind, reboots := range map[string][]string{
		"good": {"ASP " + oldVersion, "Опека " + oldVersion},
		"bad":  {"ASP " + oldVersion, "Опека " + newVersion},
	} {
		w := committedWorld(t, "ASP", "Опека")
		w.write(t, "archive.Опека."+oldVersion, kind)
		w.reboots = map[string]bool{}
		for _, r := range reboots {
			w.reboots[r] = true
		}
		res, err := revert(t, w.backwards())
		for boot := range 2 {
			require.NoError(t, err)
			require.Equal(t, rollback.AwaitingReboot, res.Outcome)
			require.True(t, w.fenced())
			w.boot = []string{"boot-2", "boot-3"}[boot]
			res, err = w.backwards().Recover(t.Context())
		}
		require.NoError(t, err)
		if kind == "good" {
			require.Equal(t, rollback.Committed, res.Outcome)
			require.Equal(t, 1, count(w.calls, "restore ASP"), "restored once")
			require.Equal(t, 1, count(w.calls, "install ASP "+oldVersion), "and installed once")
			w.stands(t, oldVersion, oldRows)
			continue
		}
		require.Equal(t, rollback.RolledBack, res.Outcome)
		w.stands(t, newVersion, newRows)
	}
}
