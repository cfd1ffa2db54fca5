package rollback_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// stuckWorld waits for a person: its data could not be restored.
func stuckWorld(t *testing.T) *world {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	w.failing("restore ASP")
	_, err := w.run(t)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	w.fault = nil
	return w
}

// keptRows fails unless everything that is named as kept, and nothing else, has
// the rows.
func (w *world) keptRows(t *testing.T, refs []string, rows string) {
	t.Helper()
	st := w.status(t)
	require.Len(t, refs, 1)
	require.Equal(t, rows, w.read(refs[0]))
	require.Contains(t, st.Needed(), refs[0], "it is not pruned")
	require.Equal(t, map[string]string{"ASP": refs[0]}, st.Aside[0].Refs, "status shows it")
	require.NoError(t, w.update().Forget(st.Aside[0].Update, "it was nothing"))
	require.Empty(t, w.status(t).Aside)
}

// The support repaired the machine by hand, and users worked. Retry brings the
// old data back, and what they entered is kept.
func TestFieldRetryKeepsWhatWasEnteredSince(t *testing.T) {
	w := stuckWorld(t)
	w.write(t, "fence", "")
	w.enter(t, newVersion, newRows)
	res, err := w.update().Retry(t.Context(), "the disk is replaced")
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	w.stands(t, oldVersion, oldRows)
	w.keptRows(t, res.Kept, "schema "+newVersion+"\n"+newRows)
	require.Contains(t, w.read(journalFile), `"step":"keep"`)
}

// A restart of the machine opened the fence while the update was pending.
func TestFieldRestartThatOpenedTheFenceKeepsWhatWasEntered(t *testing.T) {
	for name, fenced := range map[string]func(*world, *rollback.Update){
		"a fence that can be asked":               func(w *world, u *rollback.Update) { u.Fence = asked{fence{w}} },
		"one that cannot":                         func(w *world, _ *rollback.Update) { w.boot = "boot-2" },
		"one that cannot, and was opened by hand": func(*world, *rollback.Update) {},
		"a part that cannot": func(w *world, u *rollback.Update) {
			w.boot = "boot-2"
			w.write(t, "fence", "closed") // as it stayed, and the other part did not
			u.Fence = twofold{asked{fence{w}}, silent{w}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			w.crashingAt("install ASP " + newVersion) // it has done nothing
			require.True(t, crashing(func() { _, _ = w.run(t) }))
			w.fault = nil
			w.write(t, "fence", "")
			require.NoError(t, w.put("running", "yes"))
			w.enter(t, oldVersion, newRows)
			u := w.update()
			fenced(w, u)
			res, err := u.Recover(t.Context())
			require.NoError(t, err)
			require.Equal(t, rollback.RolledBack, res.Outcome)
			w.keptRows(t, res.Kept, "schema "+oldVersion+"\n"+newRows)
		})
	}
}

// What one process has kept once, and closed itself, is not kept again: the second time it would be
// half restored, or a copy of the restored data.
func TestAWayBackThatTriesAgainKeepsOnce(t *testing.T) {
	w := newWorld(t, "ASP")
	w.crashingAt("install ASP " + newVersion + " half")
	require.True(t, crashing(func() { _, _ = w.run(t) }))
	restores := 0
	w.fault = func(call string) error {
		if call == "restore ASP after" {
			if restores++; restores < 2 {
				require.NoError(t, w.put("data.ASP", "half restored"))
				return errors.New("the connection is lost")
			}
		}
		return nil
	}
	w.calls = nil
	res, err := w.update().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.Equal(t, 2, restores)
	require.Len(t, res.Kept, 1)
	require.Len(t, slices.DeleteFunc(w.calls, func(call string) bool { return call != "snapshot ASP" }), 1)
	w.stands(t, oldVersion, oldRows)
}

// Where the system does not say which boot it is, the machine may have restarted.
func TestFieldUnknownBootMayBeAnother(t *testing.T) {
	for _, later := range []string{"", "boot-2"} {
		w := newWorld(t, "ASP")
		w.boot = ""
		w.crashingAt("install ASP " + newVersion)
		require.True(t, crashing(func() { _, _ = w.run(t) }))
		w.fault, w.boot = nil, later
		w.write(t, "fence", "")
		w.enter(t, oldVersion, newRows)
		res, err := w.update().Recover(t.Context())
		require.NoError(t, err)
		w.keptRows(t, res.Kept, "schema "+oldVersion+"\n"+newRows)
	}
}

// Without a fence users are always in.
func TestFieldUpdateWithoutAFenceKeepsWhatWasEntered(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	w.write(t, "fence", "a snapshot of this world needs one")
	u := w.update()
	u.Fence = rollback.NoFence("a test")
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err := u.Run(t.Context(), plan)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.ErrorContains(t, err, "what was live before the restore is kept in the snapshot "+res.Kept[0])
	w.keptRows(t, res.Kept, "schema "+newVersion+"\nbroken\n")

	// They are in after a crash, too, so that each recovery keeps it again.
	w = newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	w.write(t, "fence", "the snapshots of this world want one")
	u = w.update()
	u.Fence = rollback.NoFence("a test")
	plan, err = u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("restore ASP")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault = nil
	w.enter(t, newVersion, newRows)
	res, err = u.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, "schema "+oldVersion+"\n"+oldRows, w.read("data.ASP"))
	require.Len(t, res.Kept, 2)
	require.Equal(t, "schema "+newVersion+"\n"+newRows, w.read(res.Kept[1]))
}

// An update that fails by itself behind a closed fence needs no second snapshot.
func TestRollbackBehindAClosedFenceKeepsNothing(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	res, err := w.run(t)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.NotContains(t, err.Error(), "kept")
	require.Empty(t, res.Kept)
	require.Empty(t, w.status(t).Aside)
}

// A tidying role keeps what a restore replaced beside the data until it is tidied.
type tidying struct{ data }

func (d tidying) Restore(ctx context.Context, ref string) error {
	return errors.Join(d.w.put("replaced", d.w.read("data."+d.part)), d.data.Restore(ctx, ref))
}

func (d tidying) Tidy(context.Context) error { return d.w.put("replaced", "") }

// What cannot be kept is not restored over, until a person names it: the error says
// so. What the restore replaced is there then, whatever it is worth.
func TestFieldNothingIsRestoredOverWhatCannotBeKept(t *testing.T) {
	for name, damage := range map[string]error{
		"damaged": errors.New("invalid page in block 7"),
		"lost":    &fs.PathError{Op: "open", Path: "data.ASP", Err: fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			w := stuckWorld(t)
			live := "schema " + newVersion + "\n" + newRows
			w.enter(t, newVersion, newRows)
			w.fault = func(call string) error {
				if call == "snapshot ASP" {
					return damage
				}
				return nil
			}
			update := func() *rollback.Update {
				u := w.update()
				u.Data[0].Data = tidying{data{w, "ASP"}}
				return u
			}
			for range 2 {
				_, err := update().Retry(t.Context(), "the disk is replaced")
				require.ErrorIs(t, err, rollback.ErrNeedsOperator)
				require.ErrorContains(t, err, "nothing is restored without one of today")
				for _, err := range []error{err, w.status(t).Blocked()} {
					e, ok := errors.AsType[*rollback.Error](err)
					require.True(t, ok)
					require.Equal(t, []string{"ASP"}, e.Unkept)
					require.ErrorContains(t, err, "or, if ASP cannot be repaired, retry with that name")
				}
				require.Equal(t, live, w.read("data.ASP"))
			}
			_, err := update().Retry(t.Context(), "the page is lost", "aSP")
			requireRefusal(t, err, rollback.ReasonSetup)
			res, err := update().Retry(t.Context(), "the page is lost", "ASP")
			require.NoError(t, err)
			require.Empty(t, res.Kept)
			w.stands(t, oldVersion, oldRows)
			require.Equal(t, live, w.read("replaced"), "it is not tidied away")
		})
	}
}

// What is named is kept all the same if it can be, and one that is not named blocks
// as before.
func TestFieldNamingWhatCannotBeKeptGivesUpNothingElse(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	w.write(t, "archive.ASP."+newVersion, "bad")
	w.failing("restore ASP")
	_, err := w.run(t)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	w.failing("snapshot ASP")
	_, err = w.update().Retry(t.Context(), "wrong name", "Опека")
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.NotContains(t, w.calls, "restore Опека")
	res, err := w.update().Retry(t.Context(), "the page is lost", "ASP", "Опека")
	require.NoError(t, err)
	require.Len(t, res.Kept, 1, "what could be kept was")
	require.Contains(t, res.Kept[0], "Опека")
}

// The new version's remover takes the data along, which was kept before.
func TestFieldDataRemovedWithItsVersionIsNoLoss(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	w.write(t, "fence", "the snapshots of this world want one")
	update := func() *rollback.Update {
		u := w.update()
		u.Fence = rollback.NoFence("a test")
		u.Parts[0].Installer = remover{installer{w, "ASP"}}
		u.Data[0].Data = absent{data{w, "ASP"}}
		return u
	}
	plan, err := update().Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("remove ASP after")
	require.True(t, crashing(func() { _, _ = update().Run(t.Context(), plan) }))
	w.fault = nil
	require.Empty(t, w.read("data.ASP"))
	res, err := update().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	w.keptRows(t, res.Kept, "schema "+newVersion+"\nbroken\n")
}

// A forgetful role gives every snapshot the same reference.
type sameRef struct {
	data
	ref string
}

func (d sameRef) Snapshot(context.Context) (string, error) {
	return d.ref, d.w.put(d.ref, d.w.read("data."+d.part))
}

func TestFieldSnapshotReferenceIsUsedOnce(t *testing.T) {
	// Two datasets of one update.
	w := newWorld(t, "ASP", "Опека")
	u := w.update()
	for i, part := range w.parts {
		u.Data[i].Data = sameRef{data{w, part}, "snapshot"}
	}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err := u.Run(t.Context(), plan)
	require.Equal(t, rollback.Abandoned, res.Outcome)
	requireRefusal(t, err, rollback.ReasonBackup)
	require.ErrorContains(t, err, `the reference "snapshot" is in use`)
	require.Equal(t, oldVersion, w.consistent(t))

	// Today's snapshot over the one that a person is going back to.
	w = newWorld(t, "ASP")
	role := sameRef{data{w, "ASP"}, "snapshot"}
	u = w.update()
	u.Data[0].Data = role
	plan, err = u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
	w.enter(t, newVersion, newRows)
	u = w.backwards()
	u.Data[0].Data = role
	res, err = revert(t, u)
	requireRefusal(t, err, rollback.ReasonBackup)
	require.Equal(t, rollback.Abandoned, res.Outcome)
	w.stands(t, newVersion, newRows)

	// What is kept before a restore over the snapshot to be restored.
	w = stuckWorld(t)
	w.enter(t, newVersion, newRows)
	u = w.update()
	u.Data[0].Data = sameRef{data{w, "ASP"}, w.status(t).Pending.References()["ASP"]}
	_, err = u.Retry(t.Context(), "the disk is replaced")
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.ErrorContains(t, err, "is in use")
	require.Equal(t, "schema "+newVersion+"\n"+newRows, w.read("data.ASP"))
}

const hotfix = "7.13.101"

// The support repaired the machine with a third version, and users worked.
func TestFieldAcceptTakesTheSupportsHotfix(t *testing.T) {
	for name, accept := range map[string]func(t *testing.T, u *rollback.Update, fix rollback.Release) error{
		"accept": func(t *testing.T, u *rollback.Update, fix rollback.Release) error {
			_, err := u.Accept(t.Context(), "with the support", map[string]rollback.Release{"ASP": fix})
			return err
		},
		"adopt": func(t *testing.T, u *rollback.Update, fix rollback.Release) error {
			u.Parts[0].From = fix
			return u.Adopt(t.Context(), "with the support")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := stuckWorld(t)
			w.write(t, "app.ASP", hotfix)
			require.NoError(t, w.put("running", "yes"))
			w.enter(t, hotfix, newRows)
			fix := rollback.Release{Version: hotfix, SHA256: "fix"}
			requireRefusal(t, accept(t, w.update(), fix), rollback.ReasonPrevious) // it is not in the archive
			require.True(t, w.fenced())
			w.write(t, "archive.ASP."+hotfix, "good")
			require.NoError(t, w.put("running", ""))
			requireRefusal(t, accept(t, w.update(), fix), rollback.ReasonInstalled) // it is not healthy
			require.NoError(t, w.put("running", "yes"))
			require.NoError(t, accept(t, w.update(), fix))
			w.stands(t, hotfix, newRows)
			st := w.status(t)
			require.Nil(t, st.Pending)
			require.Equal(t, fix, st.Committed["ASP"])
			require.Equal(t, newVersion, string(st.Quarantined[0].Release.Version), "it failed")
			history, err := rollback.ReadHistory(w.path("state"))
			require.NoError(t, err)
			require.Contains(t, history[0].String(), "ASP 7.12.100 to "+hotfix+": committed")

			// It is reversible, and the next update starts from it.
			u := w.update()
			u.Parts[0].From, u.Parts[0].To = st.RestorePoint.Parts[0].From, st.RestorePoint.Parts[0].To
			_, err = revert(t, u)
			require.NoError(t, err)
			w.stands(t, oldVersion, oldRows)
			require.Equal(t, "schema "+hotfix+"\n"+newRows, w.read(w.status(t).Aside[0].Refs["ASP"]))
		})
	}
}

// The way back has stopped the application, and the support, whose probe does not ask
// it, did not start it.
func TestFieldAcceptStartsTheApplication(t *testing.T) {
	w := stuckWorld(t)
	w.write(t, "archive.ASP."+newVersion, "good")
	w.enter(t, newVersion, newRows)
	require.Empty(t, w.read("running"))
	update := func() *rollback.Update {
		u := w.update()
		u.Parts[0].Probe = probe{rollback.Poll(func(context.Context) (rollback.Version, error) {
			return rollback.Version(w.read("app.ASP")), nil
		}, time.Millisecond), w}
		return u
	}
	w.failing("app.start")
	u := update()
	u.App = stopped{app{w}}
	res, err := u.Accept(t.Context(), "with the support", nil)
	require.Equal(t, rollback.Interrupted, res.Outcome, "%v", err)
	require.False(t, w.fenced(), "it is reported, and locks no one out")
	w.fault = nil
	res, err = update().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	w.stands(t, newVersion, newRows)
	require.Equal(t, "yes", w.read("running"))

	w = stuckWorld(t)
	w.write(t, "archive.ASP."+newVersion, "good")
	w.enter(t, newVersion, newRows)
	res, err = update().Accept(t.Context(), "with the support", nil)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, "yes", w.read("running"))
	require.False(t, w.fenced())
}

// A first installation that failed has stopped the application, and the support has installed it by hand; or
// there is nothing to start, because the support has removed it.
func TestFieldAcceptOfAFirstInstallation(t *testing.T) {
	w := newWorld(t, "ASP")
	u := firstInstallation(t, w)
	u.Parts[0].Probe = probe{rollback.Poll(func(context.Context) (rollback.Version, error) {
		return rollback.Version(w.read("app.ASP")), nil
	}, time.Millisecond), w}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.failing("remove ASP")
	byHand := u.Parts[0].Probe
	tries := 0
	u.Parts[0].Probe = probe{rollback.Poll(func(ctx context.Context) (rollback.Version, error) {
		if tries++; tries == 1 {
			return "", nil
		}
		return "", errors.New("internal server error")
	}, time.Millisecond), w}
	_, err = u.Run(t.Context(), plan)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.Empty(t, w.read("running"))
	w.fault = nil
	u.Parts[0].Probe = byHand
	w.write(t, "app.ASP", newVersion)
	w.write(t, "archive.ASP."+newVersion, "good")
	res, err := u.Accept(t.Context(), "with the support", nil)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, "yes", w.read("running"))
	require.False(t, w.fenced())

	w = newWorld(t, "ASP")
	u = firstInstallation(t, w)
	plan, err = u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + newVersion + " half")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault, w.calls = nil, nil
	w.write(t, "app.ASP", "")
	w.write(t, "data.ASP", "")
	res, err = u.Accept(t.Context(), "removed by hand", nil)
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.NotContains(t, w.calls, "app.start")
	require.False(t, w.fenced())
}

// A stopped application reports that it is.
type stopped struct{ app }

func (stopped) Closed(context.Context) (bool, error) { return true, nil }

// The support installed a re-release of the number that failed: what is committed
// is that, and not the broken file of the plan.
func TestFieldAcceptCommitsWhatIsReallyInstalled(t *testing.T) {
	w := stuckWorld(t)
	w.write(t, "archive.ASP."+newVersion, "good")
	w.enter(t, newVersion, newRows)
	require.NoError(t, w.put("running", "yes"))
	again := rollback.Release{Version: newVersion, SHA256: "released again"}
	res, err := w.update().Accept(t.Context(), "with the support", map[string]rollback.Release{"ASP": again})
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, again, w.status(t).Committed["ASP"])
	require.Equal(t, "new", w.status(t).Quarantined[0].Release.SHA256)

	w = stuckWorld(t)
	_, err = w.update().Accept(t.Context(), "half of it", map[string]rollback.Release{})
	requireRefusal(t, err, rollback.ReasonSetup)
	w.enter(t, newVersion, newRows)
	require.NoError(t, w.put("running", "yes"))
	require.NoError(t, os.Remove(w.path("archive.ASP."+newVersion)))
	_, err = w.update().Accept(t.Context(), "it looks fine", nil)
	requireRefusal(t, err, rollback.ReasonPrevious) // no rollback could ever install it
}

// A vouching installer vouches for one hash.
type vouching struct {
	installer
	hash string
}

func (v vouching) Vouched(_ context.Context, r rollback.Release) error {
	if r.SHA256 != v.hash {
		return errors.New("no pinned hash")
	}
	return nil
}

// Somebody put a forged Setup of the installed version into the archive.
func TestFieldSetupToGoBackToIsVouchedFor(t *testing.T) {
	w := newWorld(t, "ASP")
	plan := func(pinned, hash string) error {
		u := w.update()
		u.Parts[0].Installer = vouching{installer{w, "ASP"}, pinned}
		u.Parts[0].From.SHA256 = hash
		_, err := u.Plan(t.Context())
		if aerr := u.Adopt(t.Context(), "a test"); err == nil {
			require.NoError(t, aerr)
		} else {
			requireRefusal(t, aerr, rollback.ReasonPrevious)
		}
		return err
	}
	requireRefusal(t, plan("old", "forged"), rollback.ReasonPrevious)
	require.NoError(t, plan("old", "old"))
	require.NoError(t, plan("another", "old"), "the journal has it")

	// Or one of what the support is said to have installed.
	w = stuckWorld(t)
	w.enter(t, newVersion, newRows)
	require.NoError(t, w.put("running", "yes"))
	u := w.update()
	u.Parts[0].Installer = vouching{installer{w, "ASP"}, "old"}
	w.write(t, "archive.ASP."+newVersion, "good")
	_, err := u.Accept(t.Context(), "with the support", map[string]rollback.Release{"ASP": {Version: newVersion, SHA256: "forged"}})
	requireRefusal(t, err, rollback.ReasonPrevious)
}

// A comparing role compares. It may be a directory, which is restored again, and
// its restore may do nothing.
type comparing struct {
	data
	again, idle bool
}

func (d comparing) Restore(ctx context.Context, ref string) error {
	if d.idle {
		return nil
	}
	return d.data.Restore(ctx, ref)
}

func (d comparing) Compare(_ context.Context, ref string) (bool, error) {
	return d.again, d.w.call("compare "+d.part, func() error {
		if d.w.read(ref) != d.w.read("data."+d.part) {
			return differentError{errors.New("color is green")}
		}
		return nil
	})
}

// A differentError is that the data was read and differs.
type differentError struct{ error }

func (differentError) Differs() bool { return true }

// The Setup of the way back starts the application and lets users in. Before its
// directory is restored again the application is stopped, users are kept out, and
// what they entered is kept.
func TestFieldRestoreAgainStopsTheApplicationAndKeepsWhatIsNewer(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Fence = asked{fence{w}}
	u.Data[0].Data = comparing{data: data{w, "ASP"}, again: true}
	w.write(t, "archive.ASP."+newVersion, "bad")
	green := "schema " + oldVersion + "\ncolor green, and a row\n"
	w.fault = func(call string) error {
		switch {
		case call == "install ASP "+oldVersion+" after":
			return errors.Join(w.put("data.ASP", green), w.put("running", "yes"), w.put("fence", ""))
		case call == "restore ASP" && w.read("running") == "yes":
			return errors.New("restored under the application")
		}
		return nil
	}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err := u.Run(t.Context(), plan)
	require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
	w.keptRows(t, res.Kept, green)
	w.stands(t, oldVersion, oldRows)
}

// What cannot be compared is compared again, and is no difference: nothing is
// restored because of it.
func TestFieldWhatCannotBeComparedIsNoDifference(t *testing.T) {
	for _, fails := range []int{5, 1e9} {
		w := newWorld(t, "ASP")
		u := w.update()
		u.Deadlines.Fence = 100 * time.Millisecond
		u.Data[0].Data = comparing{data: data{w, "ASP"}, again: true}
		w.write(t, "archive.ASP."+newVersion, "bad")
		restores, installed := 0, false
		w.fault = func(call string) error {
			switch {
			case call == "restore ASP":
				restores++
			case call == "install ASP "+oldVersion+" after":
				installed = true
			case call == "compare ASP" && installed && fails > 0:
				fails--
				return errors.New("input/output error")
			}
			return nil
		}
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		res, err := u.Run(t.Context(), plan)
		require.Equal(t, 1, restores)
		if fails == 0 {
			require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
			continue
		}
		require.Equal(t, rollback.NeedsOperator, res.Outcome)
		require.ErrorContains(t, err, "cannot be compared with its snapshot: input/output error")
		require.NotContains(t, err.Error(), "has changed it")
	}
}

// The previous Setup writes its default configuration over what was restored.
func TestFieldWayBackIsComparedAfterTheSetup(t *testing.T) {
	for name, c := range map[string]struct {
		role comparing
		want rollback.Outcome
		next string
	}{
		"a directory is restored again": {comparing{again: true}, rollback.RolledBack, ""},
		"a database is for a person":    {comparing{}, rollback.NeedsOperator, "its Setup has changed it: color is green"},
		"a restore that does nothing":   {comparing{again: true, idle: true}, rollback.NeedsOperator, "it was restored, and differs"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			u := w.update()
			role := c.role
			role.data = data{w, "ASP"}
			u.Data[0].Data = role
			w.write(t, "archive.ASP."+newVersion, "bad")
			w.fault = func(call string) error {
				if call == "install ASP "+oldVersion+" after" {
					return w.put("data.ASP", "schema "+oldVersion+"\ncolor green\n")
				}
				return nil
			}
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			res, err := u.Run(t.Context(), plan)
			require.Equal(t, c.want, res.Outcome, "%v", err)
			require.ErrorContains(t, err, c.next)
			if c.want == rollback.RolledBack {
				w.stands(t, oldVersion, oldRows)
				return
			}
			// The person has looked, and accepts it.
			w.fault = nil
			if role.idle {
				w.write(t, "app.ASP", oldVersion)
				require.NoError(t, w.put("running", "yes"))
			} else {
				require.Equal(t, "yes", w.read("running"), "it is accepted only if it is healthy")
			}
			w.enter(t, oldVersion, oldRows)
			_, err = u.Accept(t.Context(), "the color does not matter", nil)
			require.NoError(t, err)
			w.stands(t, oldVersion, oldRows)
		})
	}
}

// An operator's rollback installs a Setup over what it restored, too.
func TestFieldRevertIsComparedAfterTheSetup(t *testing.T) {
	w := committedWorld(t, "ASP")
	w.fault = func(call string) error {
		if call == "install ASP "+oldVersion+" after" {
			return w.put("data.ASP", "schema "+oldVersion+"\ncolor green\n")
		}
		return nil
	}
	u := w.backwards()
	u.Data[0].Data = comparing{data: data{w, "ASP"}, again: true}
	_, err := revert(t, u)
	require.NoError(t, err)
	w.stands(t, oldVersion, oldRows)
}

// The person who asked for a rollback decides where its Setup changes a database: it is not
// taken back.
func TestR15RevertWhoseSetupChangesADatabaseAsksAPerson(t *testing.T) {
	changed := "schema " + oldVersion + "\ncolor green\n"
	for _, accept := range []bool{true, false} {
		w := committedWorld(t, "ASP")
		w.fault = func(call string) error {
			if call == "install ASP "+oldVersion+" after" {
				return w.put("data.ASP", changed)
			}
			return nil
		}
		u := w.backwards()
		u.Data[0].Data = comparing{data: data{w, "ASP"}}
		res, err := revert(t, u)
		require.ErrorContains(t, err, "its Setup has changed it: color is green")
		require.Equal(t, rollback.NeedsOperator, res.Outcome)
		require.True(t, w.fenced())
		require.Equal(t, changed, w.read("data.ASP"), "today's data was not put back")
		if accept {
			_, err = u.Accept(t.Context(), "green is right", nil)
			require.NoError(t, err)
			w.stands(t, oldVersion, "color green\n")
			continue
		}
		w.fault = nil
		_, err = u.Retry(t.Context(), "that Setup was corrected")
		require.NoError(t, err)
		w.stands(t, oldVersion, oldRows)
	}
}

// An operator's rollback that dies after its Setup, and before the application was started, compares
// what was restored when it goes on.
func TestR15RevertThatDiesAfterItsSetupIsCompared(t *testing.T) {
	changed := "schema " + oldVersion + "\ncolor green\n"
	w := committedWorld(t, "ASP")
	u := w.backwards()
	u.Data[0].Data = comparing{data: data{w, "ASP"}}
	w.fault = func(call string) error {
		switch call {
		case "install ASP " + oldVersion + " after":
			return w.put("data.ASP", changed)
		case "compare ASP":
			panic(crash{})
		}
		return nil
	}
	require.True(t, crashing(func() { _, _ = revert(t, u) }))
	w.fault = nil
	u = w.backwards()
	u.Data[0].Data = comparing{data: data{w, "ASP"}}
	res, err := u.Recover(t.Context())
	require.ErrorContains(t, err, "its Setup has changed it: color is green")
	require.Equal(t, rollback.NeedsOperator, res.Outcome)
	require.True(t, w.fenced())
}

// An absent role has no data until an installer has made it.
type absent struct{ data }

func (d absent) Snapshot(ctx context.Context) (string, error) {
	if d.w.read("data."+d.part) == "" {
		return "", &fs.PathError{Op: "stat", Path: "app.db", Err: fs.ErrNotExist}
	}
	return d.data.Snapshot(ctx)
}

func (d absent) Needs(context.Context) ([]rollback.Need, error) {
	_, err := d.Snapshot(context.Background())
	return nil, err
}

func TestFieldFirstInstallationCreatesItsData(t *testing.T) {
	for kind, want := range map[string]rollback.Outcome{"good": rollback.Committed, "bad": rollback.RolledBack} {
		w := newWorld(t, "ASP")
		u := firstInstallation(t, w)
		u.Data = []rollback.Dataset{{Name: "ASP", Data: absent{data{w, "ASP"}}}}
		w.write(t, "archive.ASP."+newVersion, kind)
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		res, err := u.Run(t.Context(), plan)
		require.Equal(t, want, res.Outcome, "%v", err)
		require.NotContains(t, w.calls, "restore ASP")
		require.Empty(t, w.status(t).Needed())
	}
	w := newWorld(t, "ASP")
	w.write(t, "data.ASP", "")
	u := w.update()
	u.Data[0].Data = absent{data{w, "ASP"}}
	_, err := u.Plan(t.Context())
	require.Error(t, err, "an update that finds no data has lost it")
}
