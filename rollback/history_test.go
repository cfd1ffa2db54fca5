package rollback_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

func past(t *testing.T, dir string) []rollback.HistoryEntry {
	t.Helper()
	records, err := rollback.ReadRecords(dir)
	require.NoError(t, err)
	return rollback.HistoryOf(records)
}

// Every update and every decision is one line, in order, with who, when, why
// and how it ended.
func TestHistory(t *testing.T) {
	w := newWorld(t, "ASP")
	require.Empty(t, rollback.HistoryOf(nil))
	w.write(t, "archive.ASP."+newVersion, "bad")
	res, err := w.run(t)
	require.Error(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	lifted := w.status(t).Quarantined[0]
	require.NoError(t, w.update().Lift(lifted.Part, lifted.Release, "it was the disk"))
	w.write(t, "archive.ASP."+newVersion, "good")
	second, err := w.run(t)
	require.NoError(t, err)
	third, err := revert(t, w.backwards())
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
	require.Equal(t, oldVersion, string(first.Parts[0].From.Version))
	require.Equal(t, rollback.StepLift, got[1].Step)
	require.Equal(t, "it was the disk", got[1].Reason)
	require.Equal(t, lifted.Release, got[1].Releases[lifted.Part])
	require.Equal(t, rollback.Committed, got[2].Outcome)
	require.Empty(t, got[2].Error)
	require.Equal(t, second.Update, got[3].Reverts)
	require.Equal(t, "reports are empty", got[3].Reason)
	require.Equal(t, rollback.StepForget, got[4].Step)
	require.Equal(t, third.Update, got[4].Update)

	// Cut anywhere, it tells of as much, and the last update is pending.
	records, err := rollback.ReadRecords(w.path("state"))
	require.NoError(t, err)
	for n := range records {
		some := rollback.HistoryOf(records[:n])
		require.LessOrEqual(t, len(some), len(got))
		for i, p := range some {
			require.Equal(t, got[i].Time, p.Time)
			require.True(t, i == len(some)-1 || p.Step != rollback.StepIntent || !p.Ended.IsZero())
		}
	}
}

func TestHistoryEntryIsOneLine(t *testing.T) {
	at := func(v rollback.Version) rollback.Release { return rollback.Release{Version: v} }
	parts := []rollback.PlanPart{{Name: "ASP", From: at("7.12.100"), To: at("7.13.100")}, {Name: "Ward", From: at("7.12.100"), To: at("7.12.100"), Keep: true}}
	for want, p := range map[string]rollback.HistoryDetails{
		"update ASP 7.12.100 to 7.13.100: pending": {Step: rollback.StepIntent, Parts: parts},
		"update ASP nothing to 7.13.100: committed, R13 left out because: on the phone": {
			Step: rollback.StepIntent, Parts: []rollback.PlanPart{{Name: "ASP", To: at("7.13.100")}}, Outcome: rollback.Committed,
			Overrides: []rollback.Override{{Rule: "R13", Reason: "on the phone"}},
		},
		"update ASP 7.12.100 to 7.13.100: rolled-back, failed: it is broken":        {Step: rollback.StepIntent, Parts: parts, Outcome: rollback.RolledBack, Error: "it is broken\nsee the log"},
		"rollback ASP 7.12.100 to 7.13.100: committed, because: reports; are empty": {Step: rollback.StepIntent, Parts: parts, Reverts: "u1", Outcome: rollback.Committed, Reason: "reports\nare empty"},
		"rollback ASP 7.12.100 to 7.13.100: committed, R13 left out, because: reports": {
			Step: rollback.StepIntent, Parts: parts, Reverts: "u1", Outcome: rollback.Committed, Reason: "reports",
			Overrides: []rollback.Override{{Rule: "R13", Reason: "reports"}},
		},
		"lift ASP 7.13.100, because: it was the disk": {Step: rollback.StepLift, Releases: map[string]rollback.Release{"ASP": at("7.13.100")}, Reason: "it was the disk"},
		"forget u1, because: nobody wants it":         {Step: rollback.StepForget, Update: "u1", Reason: "nobody wants it"},
		"accept u1: committed, because: by hand":      {Step: rollback.StepAccept, Update: "u1", Outcome: rollback.Committed, Reason: "by hand"},
	} {
		require.Equal(t, want, p.String())
	}
}

func TestEventIsOneLine(t *testing.T) {
	ill := errors.New("ill")
	for want, c := range map[string]struct {
		rollback.Record
		err error
	}{
		"commit":                {rollback.Record{Step: rollback.StepCommit, Kind: rollback.EventDone, Direction: rollback.Forward}, nil},
		"snapshot db s1":        {rollback.Record{Step: rollback.StepSnapshot, Kind: rollback.EventDone, Part: "db", Ref: "s1"}, nil},
		"rollback: restore db":  {rollback.Record{Step: rollback.StepRestore, Kind: rollback.EventBegin, Direction: rollback.Back, Part: "db"}, nil},
		"probe ASP failed: ill": {rollback.Record{Step: rollback.StepProbe, Kind: rollback.EventFailed, Part: "ASP", Ref: "x"}, ill},
	} {
		e := c.Event(c.err)
		require.Equal(t, want, e.Text)
		require.Equal(t, c.err, e.Cause())
		require.Equal(t, c.Kind, e.Kind)
	}
	for _, step := range []rollback.Step{rollback.StepRecover, rollback.StepReboot} {
		require.Equal(t, rollback.EventNote, rollback.Record{Step: step, Kind: rollback.EventBegin}.Event(nil).Kind, "no end follows")
	}
}

// The history shows how long an update kept users out: from the first try to close the fence,
// in which they may be out already, until it was open again. What was decided and has let no user in
// yet has no end.
func TestHistoryHasHowLongUsersWereOut(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 18, 18, minute, 0, 0, time.UTC) }
	note := func(minute int, step rollback.Step, kind rollback.EventKind) rollback.Record {
		return rollback.Record{Time: at(minute), Update: "u1", Step: step, Kind: kind, Direction: rollback.Forward}
	}
	intent := note(0, rollback.StepIntent, rollback.EventDone)
	intent.Plan = &rollback.Plan{Parts: []rollback.PlanPart{{Name: "ASP", To: rollback.Release{Version: "7.13.100"}}}}
	records := []rollback.Record{
		intent, note(1, rollback.StepFence, rollback.EventBegin), note(2, rollback.StepFence, rollback.EventFailed), note(3, rollback.StepFence, rollback.EventBegin),
		note(4, rollback.StepFence, rollback.EventDone), note(10, rollback.StepCommit, rollback.EventDone), note(11, rollback.StepUnfence, rollback.EventBegin),
		note(12, rollback.StepUnfence, rollback.EventFailed), note(20, rollback.StepUnfence, rollback.EventBegin), note(21, rollback.StepUnfence, rollback.EventDone), note(22, rollback.StepEnd, rollback.EventDone),
	}
	got := rollback.HistoryOf(records)[0]
	require.Equal(t, []time.Time{at(1), at(21), at(22)}, []time.Time{got.Closed, got.Opened, got.Ended})
	require.True(t, rollback.HistoryOf(records[:9])[0].Opened.IsZero())
	require.True(t, rollback.HistoryOf(records[:1])[0].Closed.IsZero())

	opened := rollback.Record{Time: at(15), Step: rollback.StepOpen, Kind: rollback.EventDone}
	require.Equal(t, at(15), rollback.HistoryOf(slices.Insert(slices.Clone(records), 8, opened))[0].Opened, "a person let them in before")

	intent.Plan.Overrides = []rollback.Override{{Rule: "fence", Reason: "users do not work at night"}}
	got = rollback.HistoryOf(records)[0]
	require.True(t, got.Closed.IsZero() && got.Opened.IsZero(), "a fence that does nothing keeps no user out")
}

// A quarantine holds for a number and a hash: another hash is another release.
func TestQuarantineOf(t *testing.T) {
	q := rollback.Quarantine{Part: "ASP", Release: rollback.Release{Version: "7.13.100", SHA256: "aa"}}
	st := rollback.Status{Quarantined: []rollback.Quarantine{q}}
	for _, c := range []struct {
		part    string
		version rollback.Version
		hash    string
		want    bool
	}{
		{"ASP", "7.13.100", "aa", true},
		{"ASP", "7.13.100", "", true},
		{"ASP", "7.13.100", "bb", false},
		{"ASP", "7.13.200", "aa", false},
		{"Ward", "7.13.100", "aa", false},
	} {
		got, ok := st.QuarantineOf(c.part, rollback.Release{Version: c.version, SHA256: c.hash})
		require.Equal(t, c.want, ok, c)
		require.Equal(t, c.want, got == q, c)
	}
}
