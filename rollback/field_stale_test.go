package rollback_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// marked is the update of a site that has an archive and backups.
func (w *world) marked(t *testing.T) *rollback.Update {
	u := w.update()
	for _, dir := range []string{"kept archive", "kept backups"} {
		require.NoError(t, os.MkdirAll(w.path(dir), 0o700))
		u.Kept = append(u.Kept, w.path(dir))
	}
	return u
}

// copyState returns a function that puts the state directory back as it is now.
func (w *world) copyState(t *testing.T) (putBack func()) {
	kept := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(kept, os.DirFS(w.path("state"))))
	return func() {
		require.NoError(t, os.RemoveAll(w.path("state")))
		require.NoError(t, os.CopyFS(w.path("state"), os.DirFS(kept)))
		require.NoError(t, os.Chmod(w.path("state"), 0o700))
	}
}

func TestFieldStaleStateDirectoryIsRefused(t *testing.T) {
	for _, at := range []rollback.Step{rollback.StepIntent, rollback.StepSnapshot, rollback.StepInstall, rollback.StepCommit} {
		t.Run(string(at), func(t *testing.T) {
			w := newWorld(t, "ASP")
			u := w.marked(t)
			putBack := func() {}
			copied := false
			u.Observe = func(e rollback.Event) {
				if e.Step == at && !copied {
					putBack, copied = w.copyState(t), true
				}
			}
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			_, err = u.Run(t.Context(), plan)
			require.NoError(t, err)
			w.enter(t, newVersion, newRows)
			putBack()
			w.calls = nil
			before := w.read(journalFile)

			u = w.marked(t)
			_, err = u.Recover(t.Context())
			requireRefusal(t, err, rollback.ReasonStale)
			require.ErrorContains(t, err, "older copy of itself")
			require.NotErrorIs(t, err, rollback.ErrDamaged)
			_, err = u.Plan(t.Context())
			requireRefusal(t, err, rollback.ReasonStale)
			_, err = u.Retry(t.Context(), "why not")
			requireRefusal(t, err, rollback.ReasonStale)
			_, err = rollback.ReadStatus(u.Dir, u.Kept...)
			requireRefusal(t, err, rollback.ReasonStale)
			require.Empty(t, w.calls, "nothing is touched")
			require.Equal(t, before, w.read(journalFile))

			// The way out that it names loses nothing.
			require.NoError(t, os.Rename(u.Dir, w.path("state aside")))
			u.Parts[0].From = u.Parts[0].To
			require.NoError(t, u.Adopt(t.Context(), "the state was an old copy"))
			_, err = u.Open(t.Context(), "the state was an old copy")
			require.NoError(t, err)
			w.stands(t, newVersion, newRows)
		})
	}
}

// A copy from before an update, put back while that is pending, would forget it.
func TestFieldStateFromBeforeThePendingUpdateIsRefused(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.marked(t)
	u.Parts[0].From.Version = oldVersion
	require.NoError(t, u.Adopt(t.Context(), "a first journal"))
	putBack := w.copyState(t)
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + newVersion + " half")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault = nil
	pending := w.copyState(t)
	putBack()
	_, err = w.marked(t).Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonStale)
	pending() // the newest copy
	_, err = w.marked(t).Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, oldVersion, w.consistent(t))
}

// Two copies of one state that both went on are not the same journal.
func TestFieldStateThatWentOnElsewhereIsRefused(t *testing.T) {
	w := newWorld(t, "ASP")
	require.NoError(t, w.marked(t).Adopt(t.Context(), "a first journal"))
	putBack := w.copyState(t)
	require.NoError(t, w.marked(t).Adopt(t.Context(), "here"))
	mine := w.copyState(t)
	putBack()
	require.NoError(t, w.update().Adopt(t.Context(), "there, without the kept directories"))
	_, err := w.marked(t).Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonStale)
	mine()
	_, err = w.marked(t).Plan(t.Context())
	require.NoError(t, err)

	// Nor does a mark that is gone or spoilt lock anybody out.
	marks, err := filepath.Glob(w.path("kept backups/.journal-*.json"))
	require.NoError(t, err)
	require.Len(t, marks, 1)
	require.NoError(t, os.WriteFile(marks[0], []byte("{"), 0o600))
	_, err = w.marked(t).Plan(t.Context())
	require.NoError(t, err)
}

// An update goes on between the two reads of one that only looks.
func TestFieldStateOfARunningUpdateIsNotStale(t *testing.T) {
	w := newWorld(t, "ASP")
	require.NoError(t, w.marked(t).Adopt(t.Context(), "a first journal"))
	u := w.marked(t)
	writes := 2
	st, err := rollback.ReadStatusWhile(func() {
		if writes--; writes >= 0 {
			require.NoError(t, w.marked(t).Adopt(t.Context(), "meanwhile"))
		}
	}, u.Dir, u.Kept...)
	require.NoError(t, err)
	require.Equal(t, oldVersion, string(st.Committed["ASP"].Version))
	require.Negative(t, writes, "it was read after the last write")
}

// A journal of before has no identity, and gets one; it keeps it when rotated.
func TestJournalGetsAnIdentityAndKeepsIt(t *testing.T) {
	w := recordedWorld(t, "committed")
	u := w.backwards()
	require.NoError(t, os.Mkdir(w.path("kept"), 0o700))
	u.Kept = []string{w.path("kept")}
	_, err := revert(t, u)
	require.NoError(t, err)
	marks := func() []string {
		list, err := filepath.Glob(w.path("kept/.journal-*.json"))
		require.NoError(t, err)
		return list
	}
	first := marks()
	require.Len(t, first, 1)
	j, err := rollback.OpenJournal(w.path("state"))
	require.NoError(t, err)
	require.NoError(t, j.Rotate())
	require.NoError(t, j.Close())
	_, err = rollback.ReadStatus(w.path("state"), w.path("kept"))
	require.NoError(t, err)
	u = w.update()
	u.Kept = []string{w.path("kept")}
	_, err = revert(t, u)
	require.NoError(t, err)
	require.Equal(t, first, marks())
}

func TestFieldNewerJournalIsNotCalledDamaged(t *testing.T) {
	w := newWorld(t, "ASP")
	_, err := w.run(t)
	require.NoError(t, err)
	text := w.read(journalFile)
	w.write(t, journalFile, strings.Replace(text, "aspupdate journal 1\n", "aspupdate journal 2\n", 1))
	for _, call := range []func() error{
		func() error { _, err := w.update().Plan(t.Context()); return err },
		func() error { _, err := w.update().Recover(t.Context()); return err },
		func() error { _, err := rollback.ReadStatus(w.path("state")); return err },
	} {
		err := call()
		requireRefusal(t, err, rollback.ReasonNewer)
		require.NotErrorIs(t, err, rollback.ErrDamaged)
		require.ErrorContains(t, err, "use the program that wrote it")
		require.NotContains(t, err.Error(), "ask for help")
	}
}

// The guard marks what is about to be damaged: a copy from before it does not know that.
func TestFieldStateFromBeforeTheDamageIsRefused(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.marked(t)
	putBack := func() {}
	u.Observe = func(e rollback.Event) {
		if e.Step == rollback.StepFence && e.Kind == rollback.EventDone {
			putBack = w.copyState(t)
		}
	}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + newVersion)
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault = nil
	putBack()
	_, err = w.marked(t).Recover(t.Context())
	requireRefusal(t, err, rollback.ReasonStale)
}

// A copy from before a person's decision does not know that decision.
func TestFieldStateFromBeforeADecisionIsRefused(t *testing.T) {
	pending := func(t *testing.T, w *world) {
		w.write(t, "archive.ASP."+oldVersion, "bad")
		w.write(t, "archive.ASP."+newVersion, "bad")
		_, err := w.marked(t).Recover(t.Context()) // makes the directories
		require.NoError(t, err)
		u := w.marked(t)
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		_, err = u.Run(t.Context(), plan)
		require.ErrorIs(t, err, rollback.ErrNeedsOperator)
		w.write(t, "archive.ASP."+oldVersion, "good")
	}
	rolledBack := func(t *testing.T, w *world) {
		w.write(t, "archive.ASP."+newVersion, "bad")
		u := w.marked(t)
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		_, err = u.Run(t.Context(), plan)
		require.Error(t, err)
	}
	for name, tc := range map[string]struct {
		before func(t *testing.T, w *world)
		decide func(t *testing.T, w *world, u *rollback.Update) error
	}{
		"retry": {pending, func(t *testing.T, _ *world, u *rollback.Update) error {
			_, err := u.Retry(t.Context(), "repaired")
			return err
		}},
		"accept": {pending, func(t *testing.T, w *world, u *rollback.Update) error {
			w.enter(t, newVersion, oldRows)
			w.write(t, "app.ASP", newVersion)
			_, err := u.Accept(t.Context(), "put right by hand", nil)
			return err
		}},
		"lift": {rolledBack, func(_ *testing.T, _ *world, u *rollback.Update) error {
			return u.Lift("ASP", u.Parts[0].To, "the vendor says so")
		}},
		"adopt": {rolledBack, func(t *testing.T, _ *world, u *rollback.Update) error {
			return u.Adopt(t.Context(), "again")
		}},
		"open": {rolledBack, func(t *testing.T, w *world, u *rollback.Update) error {
			_, err := u.Open(t.Context(), "again")
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			tc.before(t, w)
			putBack := w.copyState(t)
			require.NoError(t, tc.decide(t, w, w.marked(t)))
			putBack()
			u := w.marked(t)
			_, err := rollback.ReadStatus(u.Dir, u.Kept...)
			requireRefusal(t, err, rollback.ReasonStale)
		})
	}
}
