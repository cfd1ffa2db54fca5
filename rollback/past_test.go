package rollback_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

func past(t *testing.T, dir string) []rollback.Past {
	t.Helper()
	records, err := rollback.ReadHistory(dir)
	require.NoError(t, err)
	return rollback.PastUpdates(records)
}

// Every update and every decision is one line, in order, with who, when, why
// and how it ended.
func TestPastUpdates(t *testing.T) {
	w := newWorld(t, "ASP")
	require.Empty(t, rollback.PastUpdates(nil))
	w.write(t, "archive.ASP."+newVersion, "bad")
	res, err := w.run(t)
	require.Error(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	lifted := w.status(t).Quarantined[0]
	require.NoError(t, w.update().Lift(lifted.Part, lifted.Release, "it was the disk"))
	w.write(t, "archive.ASP."+newVersion, "good")
	second, err := w.run(t)
	require.NoError(t, err)
	third, err := rollBack(t, w.backwards())
	require.NoError(t, err)
	require.NoError(t, w.update().Forget(third.Update, "nobody wants it"))

	got := past(t, w.path("state"))
	require.Len(t, got, 5)
	for _, p := range got {
		require.False(t, p.Time.IsZero())
		require.NotEmpty(t, p.Who)
	}
	first := got[0]
	require.Equal(t, rollback.StepIntent, first.Step)
	require.Equal(t, rollback.RolledBack, first.Outcome)
	require.Equal(t, res.Update, first.Update)
	require.NotEmpty(t, first.Error)
	require.False(t, first.Ended.Before(first.Time))
	require.Equal(t, oldVersion, first.Parts[0].From.Version)
	require.Equal(t, rollback.StepLift, got[1].Step)
	require.Equal(t, "it was the disk", got[1].Reason)
	require.Equal(t, lifted.Release, got[1].Releases[lifted.Part])
	require.Equal(t, rollback.Committed, got[2].Outcome)
	require.Empty(t, got[2].Error)
	require.Equal(t, second.Update, got[3].Back)
	require.Equal(t, "reports are empty", got[3].Reason)
	require.Equal(t, rollback.StepForget, got[4].Step)
	require.Equal(t, third.Update, got[4].Update)

	// Cut anywhere, it tells of as much, and the last update is pending.
	records, err := rollback.ReadHistory(w.path("state"))
	require.NoError(t, err)
	for n := range records {
		some := rollback.PastUpdates(records[:n])
		require.LessOrEqual(t, len(some), len(got))
		for i, p := range some {
			require.Equal(t, got[i].Time, p.Time)
			require.True(t, i == len(some)-1 || p.Step != rollback.StepIntent || !p.Ended.IsZero())
		}
	}
}
