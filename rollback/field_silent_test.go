package rollback_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// A mute fence has a way to be asked and does not answer while it is mute.
type mute struct {
	fence
	is *bool
}

func (f mute) Closed(context.Context) (bool, error) {
	if *f.is {
		return false, errors.New("exit code 5")
	}
	return f.w.fenced(), nil
}

// A part of the fence does not answer any more whether it is closed. That ends no
// update, and what may have been entered is kept.
func TestFieldFencePartThatDoesNotAnswerKeepsNoUpdatePending(t *testing.T) {
	for at, want := range map[string]rollback.Outcome{
		"install ASP " + newVersion:            rollback.RolledBack,
		"install ASP " + newVersion + " half":  rollback.RolledBack,
		"install ASP " + newVersion + " after": rollback.Committed,
		"fence.open":                           rollback.Committed,
	} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t, "ASP")
			mutes := false
			update := func() *rollback.Update {
				u := w.update()
				u.Fence = mute{fence{w}, &mutes}
				return u
			}
			plan, err := update().Plan(t.Context())
			require.NoError(t, err)
			w.crashingAt(at)
			require.True(t, crashing(func() { _, _ = update().Run(t.Context(), plan) }))
			w.fault = nil
			mutes = true
			res, err := update().Recover(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, res.Outcome)
			require.Len(t, res.Kept, map[rollback.Outcome]int{rollback.RolledBack: 1}[want])
			require.Nil(t, w.status(t).Pending)
			require.False(t, w.fenced())
			w.consistent(t)
		})
	}

	// Before anything is damaged it is a reason not to begin.
	w := newWorld(t, "ASP")
	u := w.update()
	mutes := true
	u.Fence = mute{fence{w}, &mutes}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err := u.Run(t.Context(), plan)
	require.Equal(t, rollback.Abandoned, res.Outcome)
	require.ErrorContains(t, err, "it is not known whether the fence is closed: fence: unknown, exit code 5")
	require.False(t, w.fenced())
	require.NotContains(t, w.calls, "snapshot ASP")
	_, err = u.Open(t.Context(), "a person looks")
	require.NoError(t, err)
}

// The share with the backups hangs: its calls do not return.
func TestFieldShareThatHangsBlocksNoRecovery(t *testing.T) {
	w := newWorld(t, "ASP")
	hangs, back := false, make(chan struct{})
	update := func() (u *rollback.Update, told *string) {
		u, told = w.marked(t), new(string)
		deadline := time.Minute // a busy machine answers late, and is no share that hangs
		if hangs {
			deadline = 20 * time.Millisecond
		}
		u.TuneMarks(deadline, func(dir string) {
			if hangs && strings.HasSuffix(dir, "backups") {
				<-back
			}
		})
		u.Observe = func(e rollback.Event) { *told += e.String() + "\n" }
		return u, told
	}
	u, _ := update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + newVersion + " after")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault = nil
	hangs = true
	u, told := update()
	res, err := u.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Contains(t, *told, "mark: an old copy of the state directory may not be recognized: ")
	require.Contains(t, *told, "does not answer")
	close(back)

	// It is back; the mark of an older end is not missed.
	hangs = false
	_, err = rollback.ReadStatus(u.Dir, u.Kept...)
	require.NoError(t, err)
}

// The marks are lost: an old copy of the state would not be recognized, which is reported until
// they are written again.
func TestLostMarksAreReported(t *testing.T) {
	w := newWorld(t, "ASP")
	run := func() string {
		reported := ""
		u := w.marked(t)
		u.Observe = func(e rollback.Event) { reported += e.String() + "\n" }
		_, err := u.Open(t.Context(), "a test")
		require.NoError(t, err)
		return reported
	}
	run()
	const missing = "an old copy of the state directory may not be recognized: no mark of how far the journal has come is in "
	require.NotContains(t, run(), missing)
	for _, dir := range w.marked(t).Kept {
		marks, err := filepath.Glob(filepath.Join(dir, ".journal-*.json"))
		require.NoError(t, err)
		require.Len(t, marks, 1)
		require.NoError(t, os.WriteFile(marks[0], []byte("{"), 0o600))
	}
	require.Contains(t, run(), missing+strings.Join(w.marked(t).Kept, ", "))
	require.NotContains(t, run(), missing)
}

// An archive or a backup directory that cannot be written is found before anybody is kept out.
func TestFieldShareThatCannotBeWrittenIsRefusedBeforeTheFence(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, w *world, u *rollback.Update){
		"it hangs": func(t *testing.T, _ *world, u *rollback.Update) {
			back := make(chan struct{})
			t.Cleanup(func() { close(back) })
			u.TuneMarks(20*time.Millisecond, func(string) { <-back })
		},
		"it is no directory any more": func(t *testing.T, w *world, _ *rollback.Update) {
			require.NoError(t, os.Remove(w.path("kept archive")))
			w.write(t, "kept archive", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			u := w.marked(t)
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			spoil(t, w, u)
			w.calls = nil
			res, err := u.Run(t.Context(), plan)
			require.Equal(t, rollback.Nothing, res.Outcome)
			requireRefusal(t, err, rollback.ReasonState)
			require.ErrorContains(t, err, "must be writable")
			require.NotContains(t, w.calls, "fence.close")
			require.NotContains(t, w.calls, "app.stop")
			require.Nil(t, w.status(t).Pending)
		})
	}
}
