package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/rollback"
)

func TestRunFollowsThePlanAndCommits(t *testing.T) {
	w := newWorld(t, "ASP", "Опека") // R4: a bundle
	u := w.update()
	var done []rollback.PlanStep
	u.Observe = func(e rollback.Event) {
		if e.Kind == rollback.EventDone {
			done = append(done, rollback.PlanStep{Step: e.Step, Part: e.Subject})
		}
	}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	require.NoDirExists(t, u.Dir, "a plan writes nothing")
	res, err := u.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, newVersion, w.consistent(t))
	require.False(t, w.fenced())

	planned := slices.DeleteFunc(slices.Clone(plan.Steps), func(s rollback.PlanStep) bool { return s.Step == rollback.StepTidy })
	require.Equal(t, planned, done, "the plan lists exactly what a run does")

	st, err := rollback.ReadStatus(u.Dir)
	require.NoError(t, err)
	require.Nil(t, st.Pending)
	require.Equal(t, newVersion, string(st.Committed["ASP"].Version), "R15: the previous working version is the last committed one")

	// The same again: nothing to do.
	for i := range u.Parts {
		u.Parts[i].From = u.Parts[i].To
	}
	_, err = u.Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonNothingToDo)
}

func requireRefusal(t testing.TB, err error, want rollback.Reason) {
	t.Helper()
	r, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, want, r.Reason, "%v", err)
	require.ErrorIs(t, err, rollback.ErrRefused)
}

func TestR15BrokenReleaseIsRolledBackAndQuarantined(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	w.write(t, "archive.Опека."+newVersion, "bad") // installs with exit code 0, and does not work
	res, err := w.run(t)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	e, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok)
	require.Equal(t, "probe", e.Op)
	require.Equal(t, "Опека", e.Subject)
	require.ErrorContains(t, err, "the previous version and its data are in place")
	require.Equal(t, oldVersion, w.consistent(t), "R4: all parts go back if one fails")
	require.False(t, w.fenced())

	// R15's order, after the probe that failed.
	i := slices.Index(w.calls, "settle ASP")
	require.Equal(t, []string{
		"settle ASP", "settle Опека", "fence.close", "app.stop", "restore ASP", "restore Опека",
		"install ASP " + oldVersion, "install Опека " + oldVersion, "app.start",
		"await " + oldVersion, "await " + oldVersion, "fence.open",
	}, w.calls[i:])

	// The same release is not tried again, by any process.
	_, err = w.run(t)
	requireRefusal(t, err, rollback.ReasonQuarantined)

	// A re-release, which is another hash under the same number (R13), is.
	w.write(t, "archive.Опека."+newVersion, "good")
	u := w.update()
	for i := range u.Parts {
		u.Parts[i].To.SHA256 = "new, released again"
	}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
}

func TestLiftedQuarantineLetsTheReleaseIn(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	_, err := w.run(t)
	require.Error(t, err)
	w.write(t, "archive.ASP."+newVersion, "good")
	u := w.update()
	require.ErrorContains(t, u.Lift("ASP", u.Parts[0].To, " "), "needs a reason")
	require.NoError(t, u.Lift("ASP", u.Parts[0].To, "the network was down"))
	_, err = w.run(t)
	require.NoError(t, err)
	recs, err := rollback.ReadJournal(u.Dir)
	require.NoError(t, err)
	i := slices.IndexFunc(recs, func(r rollback.Record) bool { return r.Step == rollback.StepLift })
	require.Equal(t, "the network was down", recs[i].Reason, "every deviation is recorded")
	require.Equal(t, "tester", recs[i].Who)
}

func TestFailureBeforeTheFirstDamageAbandons(t *testing.T) {
	for _, at := range []string{"fence.close", "app.stop", "snapshot ASP", "verify ASP after"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t, "ASP")
			w.fault = func(call string) error {
				if call == at {
					return errors.New("no")
				}
				return nil
			}
			res, err := w.run(t)
			require.Equal(t, rollback.Abandoned, res.Outcome)
			require.ErrorContains(t, err, "no")
			require.Equal(t, oldVersion, w.consistent(t))
			require.False(t, w.fenced())
			require.NotContains(t, w.calls, "install ASP "+newVersion)
			w.fault = nil
			_, err = w.run(t)
			require.NoError(t, err, "an abandoned release is not quarantined")
		})
	}
}

func TestCancelBeforeTheFirstDamageAbandonsAndAfterItDoesNot(t *testing.T) {
	for at, want := range map[string]rollback.Outcome{"snapshot ASP": rollback.Abandoned, "install ASP " + newVersion: rollback.Committed} {
		w := newWorld(t, "ASP")
		ctx, cancel := context.WithCancel(t.Context())
		w.fault = func(call string) error {
			if call == at {
				cancel()
			}
			return nil
		}
		u := w.update()
		plan, err := u.Plan(ctx)
		require.NoError(t, err)
		res, _ := u.Run(ctx, plan)
		require.Equal(t, want, res.Outcome, at)
		w.consistent(t)
	}
}

// TestGuardRefusesBeforeTheFirstDamage takes each thing away that a rollback
// needs, after the plan and after the snapshot, and expects that no installer
// is called (must hold 1, 4, 8).
func TestGuardRefusesBeforeTheFirstDamage(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(w *world, u *rollback.Update)
		want rollback.Reason
	}{
		"R10 previous Setup gone":    {func(w *world, _ *rollback.Update) { _ = os.Remove(w.path("archive.ASP." + oldVersion)) }, rollback.ReasonPrevious},
		"new installer gone":         {func(w *world, _ *rollback.Update) { _ = os.Remove(w.path("archive.ASP." + newVersion)) }, rollback.ReasonInstaller},
		"R10 previous Setup flipped": {func(w *world, _ *rollback.Update) { _ = w.put("archive.ASP."+oldVersion, "food") }, rollback.ReasonPrevious},
		"new installer flipped":      {func(w *world, _ *rollback.Update) { _ = w.put("archive.ASP."+newVersion, "food") }, rollback.ReasonInstaller},
		"R9 snapshot gone": {func(w *world, u *rollback.Update) {
			st, _ := rollback.ReadStatus(u.Dir)
			_ = os.Remove(w.path(st.Pending.References()["ASP"]))
		}, rollback.ReasonBackup},
		"R9 snapshot damaged": {func(w *world, u *rollback.Update) {
			st, _ := rollback.ReadStatus(u.Dir)
			_ = os.WriteFile(w.path(st.Pending.References()["ASP"]), []byte("x"), 0o600)
		}, rollback.ReasonBackup},
		"R13 window closed": {func(_ *world, u *rollback.Update) { u.Window = &window{closed: true} }, rollback.ReasonWindow},
		"journal flipped": {func(_ *world, u *rollback.Update) {
			p := u.Dir + "/journal.log"
			b, _ := os.ReadFile(p)
			b[len(b)/2] ^= 1
			_ = os.WriteFile(p, b, 0o600)
		}, rollback.ReasonState},
		"journal gone": {func(_ *world, u *rollback.Update) { _ = os.Rename(u.Dir+"/journal.log", u.Dir+"/journal.old") }, rollback.ReasonState},
		"lock gone":    {func(_ *world, u *rollback.Update) { _ = os.Remove(u.Dir + "/lock") }, rollback.ReasonState},
		"lock replaced": {func(_ *world, u *rollback.Update) {
			_ = os.Rename(u.Dir+"/lock", u.Dir+"/lock.old")
			_ = os.WriteFile(u.Dir+"/lock", nil, 0o600)
		}, rollback.ReasonState},
	} {
		for _, moment := range []rollback.Record{{Step: rollback.StepSnapshot, Kind: rollback.EventDone}, {Step: rollback.StepGuard, Kind: rollback.EventBegin}} {
			refusesHarm(t, name, moment, c.harm, c.want)
		}
	}
}

func refusesHarm(t *testing.T, name string, moment rollback.Record, harm func(*world, *rollback.Update), want rollback.Reason) {
	t.Run(fmt.Sprintf("%s at %s %s", name, moment.Step, moment.Kind), func(t *testing.T) {
		if want == rollback.ReasonState && name != "journal flipped" && os.PathSeparator == '\\' {
			t.Skip("Windows does not let an open file be renamed or removed, which is the point")
		}
		w := newWorld(t, "ASP")
		u := w.update()
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		u.Observe = func(e rollback.Event) {
			if e.Step == moment.Step && e.Kind == moment.Kind {
				harm(w, u)
			}
		}
		_, err = u.Run(t.Context(), plan)
		requireRefusal(t, err, want)
		require.NotContains(t, w.calls, "install ASP "+newVersion)
		require.Equal(t, "schema "+oldVersion+"\nrow 1\nrow 2\n", w.read("data.ASP"))
		if want == rollback.ReasonState {
			// Lock or journal are no longer ours alone: who knows what else
			// is at work. The doors stay closed until a person has looked.
			require.True(t, w.fenced())
			require.NotContains(t, w.calls, "app.start")
			return
		}
		require.Equal(t, oldVersion, w.consistent(t))
		require.False(t, w.fenced())
	})
}

// Reading the snapshot back can take hours, and the window close meanwhile.
func TestR13WindowThatClosesWhileTheGuardReads(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	door := &window{}
	u.Window = door
	reads := 0
	w.fault = func(call string) error {
		if call == "verify ASP" {
			reads++
			door.closed = reads == 2 // the first is the snapshot's own, the second the guard's
		}
		return nil
	}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	requireRefusal(t, err, rollback.ReasonWindow)
	require.Equal(t, 2, reads)
	require.NotContains(t, w.calls, "install ASP "+newVersion)
	require.Equal(t, oldVersion, w.consistent(t))
	require.False(t, w.fenced())
}

type window struct {
	closed bool
	slot   rollback.Slot
}

func (w *window) Next(context.Context, time.Time) (rollback.Slot, error) { return w.slot, nil }
func (w *window) Fits(context.Context, time.Time) error {
	if w.closed {
		return errors.New("the window has closed")
	}
	return nil
}

func TestRunRefusesWhatThePlanDidNotShow(t *testing.T) {
	noon := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(u *rollback.Update)
		want   rollback.Reason
	}{
		"another hash":        {func(u *rollback.Update) { u.Parts[0].To.SHA256 = "other" }, rollback.ReasonPlanChanged},
		"another version":     {func(u *rollback.Update) { u.Parts[0].To.Version = oldVersion + "1" }, rollback.ReasonInstaller},
		"no longer vouched":   {func(u *rollback.Update) { u.Parts[0].To.VouchedBy = "" }, rollback.ReasonPlanChanged},
		"fence left out":      {func(u *rollback.Update) { u.Fence = rollback.NoFence("hurry") }, rollback.ReasonPlanChanged},
		"another window":      {func(u *rollback.Update) { u.Window = &window{slot: rollback.Slot{LatestStart: noon.Add(time.Hour)}} }, rollback.ReasonPlanChanged},
		"R13 not yet open":    {func(u *rollback.Update) { u.Now = func() time.Time { return noon.Add(-time.Minute) } }, rollback.ReasonWindow},
		"backup left out":     {func(u *rollback.Update) { u.Data, u.NoData = nil, "hurry" }, rollback.ReasonPlanChanged},
		"no room any more":    {func(u *rollback.Update) { u.Data[0].Data = hungry{u.Data[0].Data.(data)} }, rollback.ReasonSpace},
		"something installed": {func(u *rollback.Update) { u.Parts[0].From.Version = "7.11.100" }, rollback.ReasonInstalled},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			u := w.update()
			u.Now = func() time.Time { return noon }
			u.Window = &window{slot: rollback.Slot{Start: noon, LatestStart: noon.Add(2 * time.Hour)}}
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			c.change(u)
			_, err = u.Run(t.Context(), plan)
			requireRefusal(t, err, c.want)
			require.False(t, w.fenced())
			require.NotContains(t, w.calls, "fence.close", "nothing was begun")
		})
	}
	w := newWorld(t, "ASP")
	_, err := w.update().Run(t.Context(), rollback.Plan{})
	requireRefusal(t, err, rollback.ReasonPlanChanged)
}

func TestUpdateThatLacksSomethingIsRefused(t *testing.T) {
	for name, change := range map[string]func(u *rollback.Update){
		"no state":             func(u *rollback.Update) { u.Dir = "" },
		"relative state":       func(u *rollback.Update) { u.Dir = "state" },
		"no parts":             func(u *rollback.Update) { u.Parts = nil },
		"no fence":             func(u *rollback.Update) { u.Fence = nil },
		"fence without reason": func(u *rollback.Update) { u.Fence = rollback.NoFence(" ") },
		"R9 no data":           func(u *rollback.Update) { u.Data = nil },
		"R9 without reason":    func(u *rollback.Update) { u.Data, u.NoData = nil, " " },
		"data and no data":     func(u *rollback.Update) { u.NoData = "none" },
		"no window":            func(u *rollback.Update) { u.Window = nil },
		"R13 without reason":   func(u *rollback.Update) { u.Window = rollback.AnyTime("") },
		"same part twice":      func(u *rollback.Update) { u.Parts = append(u.Parts, u.Parts[0]) },
		"same data twice":      func(u *rollback.Update) { u.Data = append(u.Data, u.Data[0]) },
		"no version":           func(u *rollback.Update) { u.Parts[0].To = rollback.Release{} },
		"no installer":         func(u *rollback.Update) { u.Parts[0].Installer = nil },
		"no way to remove":     func(u *rollback.Update) { u.Parts[0].From = rollback.Release{} },
	} {
		w := newWorld(t, "ASP")
		u := w.update()
		change(u)
		_, err := u.Plan(t.Context())
		require.ErrorIs(t, err, rollback.ErrRefused, name)
	}

	// Decisions outside an update look at nothing else of it.
	t.Chdir(t.TempDir())
	u := newWorld(t, "ASP").update()
	u.Dir = "state"
	_, err := u.Open(t.Context(), "a test")
	requireRefusal(t, err, rollback.ReasonSetup)
	requireRefusal(t, u.Lift("ASP", u.Parts[0].To, "a test"), rollback.ReasonSetup)
	requireRefusal(t, u.Forget("u1", "a test"), rollback.ReasonSetup)
	require.NoDirExists(t, "state")
}

func TestFoldersInsideLiveOnesAreRefused(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Live, u.Kept = []string{w.path("app")}, []string{w.path("app/backups")}
	_, err := u.Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonDirectories)
	u.Kept = nil
	u.Live = []string{w.root}
	_, err = u.Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonDirectories)
}

type hungry struct{ data }

func (h hungry) Needs(context.Context) ([]rollback.Need, error) {
	return []rollback.Need{{Path: h.w.root, Bytes: 1 << 40, For: "clone"}, {Path: h.w.root, Bytes: 1 << 60, For: "dump"}}, nil
}

func TestRoomIsSummedPerVolumeAndChecked(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Data[0].Data = hungry{data{w, "ASP"}}
	_, err := u.Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonSpace)
	require.ErrorContains(t, err, "clone")

	// Also before there is a release to plan for.
	u.Parts[0].To = u.Parts[0].From
	_, err = u.Needs(t.Context())
	requireRefusal(t, err, rollback.ReasonSpace)
	u.Data[0].Data = modest{data{w, "ASP"}}
	needs, err := u.Needs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []rollback.Need{{Path: w.root, Bytes: 5, For: "clone, dump"}}, needs)
}

// sized needs so much for each of two things.
type sized struct {
	data
	bytes int64
}

func (s sized) Needs(context.Context) ([]rollback.Need, error) {
	return []rollback.Need{{Path: s.w.root, Bytes: s.bytes, For: s.part + ": clone"}, {Path: s.w.root, Bytes: s.bytes, For: s.part + ": dump"}}, nil
}

// What needs the most is named first, and of much the first alone; the sum is that of all.
func TestSpaceOfManyIsSummedUp(t *testing.T) {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("base%d", i+1))
	}
	w := newWorld(t, names...)
	u := w.update()
	need := func(unit int64) {
		for i := range u.Data {
			u.Data[i].Data = sized{data{w, names[i]}, unit * int64(i+1)}
		}
	}
	need(1)
	needs, err := u.Needs(t.Context())
	require.NoError(t, err)
	require.Len(t, needs, 1)
	require.Equal(t, int64(420), needs[0].Bytes)
	require.True(t, strings.HasPrefix(needs[0].For, "base20: clone, base20: dump, base19: clone, "), needs[0].For)
	need(1 << 50)
	_, err = u.Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonSpace)
	require.ErrorContains(t, err, fmt.Sprintf("needs %d MB (base20: clone, base20: dump, base19: clone and 37 more)", 420*(int64(1)<<50)/1e6+1))
}

// A trier finds what only trying shows.
type trier struct{ data }

func (d trier) Needs(ctx context.Context) ([]rollback.Need, error) {
	if !durable.MayTry(ctx) {
		return nil, nil
	}
	return nil, errors.New("nothing could be restored beside it")
}

// A plan writes nothing. What only trying shows is found by a run, before users are kept
// out, and without a plan.
func TestWhatOnlyTryingShowsIsFoundBeforeTheFence(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Data[0].Data = trier{data{w, "ASP"}}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Needs(t.Context())
	require.ErrorContains(t, err, "nothing could be restored beside it")
	res, err := u.Run(t.Context(), plan)
	require.Equal(t, rollback.Nothing, res.Outcome)
	require.ErrorContains(t, err, "nothing could be restored beside it")
	require.NotContains(t, w.calls, "fence.close")

	w = committedWorld(t, "ASP")
	u = w.backwards()
	u.Data[0].Data = trier{data{w, "ASP"}}
	plan, err = u.PlanRevert(t.Context())
	require.NoError(t, err)
	w.calls = nil
	_, err = u.Revert(t.Context(), plan.Hash, "the reports are empty")
	require.ErrorContains(t, err, "nothing could be restored beside it")
	require.NotContains(t, w.calls, "fence.close")
}

type modest struct{ data }

func (m modest) Needs(context.Context) ([]rollback.Need, error) {
	return []rollback.Need{{Path: m.w.root, Bytes: 2, For: "clone"}, {Path: m.w.root, Bytes: 3, For: "dump"}}, nil
}

func TestR3FirstInstallation(t *testing.T) {
	w := newWorld(t, "ASP")
	first := func() *rollback.Update {
		u := w.update()
		u.Parts[0].From = rollback.Release{}
		u.Parts[0].Installer = remover{installer{w, "ASP"}}
		u.Data = nil // there is none to bring back
		return u
	}
	_, err := first().Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonInstalled) // over an existing one

	for _, kind := range []string{"bad", "good"} {
		require.NoError(t, errors.Join(w.put("app.ASP", ""), w.put("data.ASP", "")))
		w.write(t, "archive.ASP."+newVersion, kind)
		u := first()
		u.Parts[0].To.SHA256 = kind
		u.Parts[0].Setup = rollback.Release{Version: newVersion, SHA256: "setup"}
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		res, err := u.Run(t.Context(), plan)
		if kind == "bad" {
			require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
			require.Contains(t, w.calls, "remove ASP", "the rollback is to remove what was put there")
			require.Empty(t, w.read("app.ASP"))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, newVersion, w.read("app.ASP"))
		st, err := rollback.ReadStatus(u.Dir)
		require.NoError(t, err)
		require.Equal(t, "setup", st.Committed["ASP"].SHA256, "a rollback installs Setup, never FullSetup")
	}
}

// FullSetup carries a database of the vendor's example.
func TestR3FullSetupOverAnInstallationIsRefused(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Parts[0].Setup = rollback.Release{Version: newVersion, SHA256: "setup"}
	_, err := u.Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonInstalled)
	require.ErrorContains(t, err, "R3")
	require.Equal(t, oldVersion, w.read("app.ASP"))
}

func TestUnauthenticatedIsCalledSo(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Parts[0].To.VouchedBy = ""
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"ASP"}, plan.Unauthenticated())
	_, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
	recs, err := rollback.ReadJournal(u.Dir)
	require.NoError(t, err)
	require.Equal(t, []string{"ASP"}, recs[0].Plan.Unauthenticated())
	require.Contains(t, recs[0].Plan.Parts[0].To.String(), "unauthenticated")
	require.Equal(t, []rollback.Override{{Rule: "R13", Reason: "a test"}}, recs[0].Plan.Overrides)
}

func TestPartAtItsVersionIsKeptAndProbed(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	u := w.update()
	u.Parts[1].To = u.Parts[1].From
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	require.True(t, plan.Parts[1].Keep)
	res, err := u.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Contains(t, w.calls, "await "+oldVersion)
	require.False(t, slices.ContainsFunc(w.calls, func(c string) bool { return strings.HasPrefix(c, "install Опека") }))
}

func TestAdoptWhatWasInstalledByOtherMeans(t *testing.T) {
	w := newWorld(t, "ASP")
	_, err := w.run(t)
	require.NoError(t, err)
	// Someone installs a later version by hand.
	const byHand = "7.13.200"
	w.write(t, "app.ASP", byHand)
	w.write(t, "data.ASP", "schema "+byHand+"\nrow 1\n")
	w.write(t, "archive.ASP.7.14.100", "good")
	u := w.update()
	u.Parts[0].From = rollback.Release{Version: byHand, SHA256: "hand"}
	u.Parts[0].To = rollback.Release{Version: "7.14.100", SHA256: "next"}
	_, err = u.Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonInstalled)
	requireRefusal(t, u.Adopt(t.Context(), "installed with the support"), rollback.ReasonPrevious)
	w.write(t, "archive.ASP."+byHand, "good")
	require.NoError(t, u.Adopt(t.Context(), "installed with the support"))
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
}
