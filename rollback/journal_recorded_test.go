package rollback_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// recordedWorld is a machine as an earlier program left it, from its files.
func recordedWorld(t *testing.T, name string) *world {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "journals", name+".json"))
	require.NoError(t, err)
	var files map[string]string
	require.NoError(t, json.Unmarshal(data, &files))
	w := &world{root: t.TempDir(), parts: []string{"ASP", "Опека"}, boot: "boot-1"}
	require.NoError(t, os.Mkdir(w.path("state"), 0o700))
	for file, text := range files {
		w.write(t, file, text)
	}
	return w
}

// TestRecordedJournals recovers machines whose journals were written by the
// program of 29 November 2026, before the operator's rollback became a course
// of its own. The journal's format must stay readable. They do not say in which boot
// the fence was closed, so that what is live is kept before it is restored over.
func TestRecordedJournals(t *testing.T) {
	rolledBack := func(t *testing.T, w *world) {
		st := w.status(t)
		require.Equal(t, oldVersion, string(st.Committed["ASP"].Version))
		require.NotEmpty(t, st.Quarantined)
	}
	for name, c := range map[string]struct {
		backwards   bool // the pending update is an operator's rollback
		boot        string
		pending     bool
		damaged     bool
		direction   rollback.Direction
		want        rollback.Outcome
		version     string
		rows        string
		quarantined int
		aside       int
	}{
		"forward":                 {pending: true, damaged: true, direction: rollback.Forward, want: rollback.RolledBack, version: oldVersion, rows: oldRows, quarantined: 2, aside: 1},
		"back":                    {pending: true, damaged: true, direction: rollback.Back, want: rollback.RolledBack, version: oldVersion, rows: oldRows, quarantined: 2, aside: 1},
		"abandoning":              {pending: true, direction: rollback.Back, want: rollback.Abandoned, version: oldVersion, rows: oldRows},
		"reboot":                  {pending: true, damaged: true, direction: rollback.Forward, boot: "boot-2", want: rollback.Committed, version: newVersion, rows: oldRows},
		"needs-operator":          {pending: true, damaged: true, direction: rollback.Back, want: rollback.RolledBack, version: oldVersion, rows: oldRows, quarantined: 2, aside: 1},
		"committed":               {want: rollback.Nothing, version: newVersion, rows: newRows},
		"committed-fenced":        {pending: true, damaged: true, direction: rollback.Forward, want: rollback.Committed, version: newVersion, rows: oldRows},
		"rotated":                 {backwards: true, want: rollback.Nothing, version: oldVersion, rows: oldRows, quarantined: 2, aside: 1},
		"operators-rollback":      {backwards: true, pending: true, damaged: true, direction: rollback.Forward, want: rollback.Committed, version: oldVersion, rows: oldRows, quarantined: 2, aside: 2},
		"operators-rollback-back": {backwards: true, pending: true, damaged: true, direction: rollback.Back, want: rollback.RolledBack, version: newVersion, rows: newRows, aside: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := recordedWorld(t, name)
			u := w.update()
			if c.backwards {
				u = w.backwards()
			}
			if c.boot != "" {
				w.boot = c.boot
			}
			if p := w.status(t).Pending; c.pending {
				require.NotNil(t, p)
				require.Equal(t, c.damaged, p.Damaged)
				require.Equal(t, c.direction, p.Direction)
			} else {
				require.Nil(t, p)
			}
			res, err := u.Recover(t.Context())
			if name == "needs-operator" {
				require.ErrorIs(t, err, rollback.ErrNeedsOperator)
				res, err = u.Retry(t.Context(), "the disk is replaced")
			}
			require.Equal(t, c.want, res.Outcome, "%v", err)
			w.stands(t, c.version, c.rows)
			st := w.status(t)
			require.Nil(t, st.Pending)
			require.Len(t, st.Quarantined, c.quarantined)
			require.Len(t, st.Aside, c.aside)
			if c.want == rollback.RolledBack && !c.backwards {
				rolledBack(t, w)
			}
		})
	}
}

// TestRecordedJournalsCanBeRevertedFrom goes back, or forward again, to what
// a recorded journal has kept.
func TestRecordedJournalsCanBeRevertedFrom(t *testing.T) {
	w := recordedWorld(t, "committed")
	res, err := revert(t, w.backwards())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	w.stands(t, oldVersion, oldRows)

	w = recordedWorld(t, "rotated")
	plan, err := w.update().PlanRevert(t.Context())
	require.NoError(t, err)
	require.True(t, plan.Revert.Undo)
	res, err = w.update().Revert(t.Context(), plan.Hash, "it was the printer")
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	w.stands(t, newVersion, newRows)
	past, err := rollback.ReadRecords(w.path("state"))
	require.NoError(t, err)
	require.Len(t, rollback.HistoryOf(past), 3)
}
