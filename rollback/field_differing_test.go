package rollback_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// A differing role restores something else than was backed up, and keeps it beside until a
// person accepts the difference.
type differing struct{ tidying }

var errBeside = besideError{}

type besideError struct{}

func (besideError) Error() string { return "it has one row more" }
func (besideError) Beside() (string, []string) {
	return "copy", []string{"one row more", "another owner"}
}

func (d differing) Restore(context.Context, string) error {
	return d.w.call("restore "+d.part, func() error { return errBeside })
}

func (d differing) RestoreDiffering(_ context.Context, ref string, accepted []string) error {
	return d.w.call("accept "+d.part, func() error {
		if strings.Join(accepted, "; ") != "one row more; another owner" {
			return errors.New("other differences were accepted")
		}
		return errors.Join(d.w.put("replaced", d.w.read("data."+d.part)), d.w.put("data."+d.part, d.w.read(ref)+"one row more\n"))
	})
}

// What was restored and differs is for a person to decide, at once: another attempt
// would differ, too. What is named is put in place in every later attempt, by another process
// too, and what it replaced is kept.
func TestR15WhatDiffersIsForAPersonToDecide(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	update := func(named ...string) *rollback.Update {
		u := w.update()
		u.Data[0].Data, u.Differing = differing{tidying{data{w, "ASP"}}}, named
		return u
	}
	u := update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	for range 2 {
		require.ErrorIs(t, err, rollback.ErrNeedsOperator)
		require.ErrorContains(t, err, "it has one row more")
		for _, err := range []error{err, w.status(t).Blocked()} {
			e, ok := errors.AsType[*rollback.Error](err)
			require.True(t, ok)
			require.Equal(t, map[string][]string{"ASP": {"copy", "one row more", "another owner"}}, e.Differing)
			require.ErrorContains(t, err, "retry with that name as differing")
		}
		require.Equal(t, 1, strings.Count(strings.Join(w.calls, "\n"), "restore ASP"), "the same would come out again")
		w.calls = nil
		_, err = update().Retry(t.Context(), "once more")
	}
	_, err = update("Опека").Retry(t.Context(), "a wrong name")
	requireRefusal(t, err, rollback.ReasonSetup)
	live := w.read("data.ASP")

	w.crashingAt("install ASP " + oldVersion)
	require.Panics(t, func() { _, _ = update("ASP").Retry(t.Context(), "it is the audit") })
	w.fault = nil
	w.calls = nil
	res, err := update().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.Contains(t, w.calls, "accept ASP", "the decision outlives the process")
	require.Equal(t, "schema "+oldVersion+"\n"+oldRows+"one row more\n", w.read("data.ASP"))
	require.Contains(t, w.read("replaced"), oldRows, "it is not tidied away")
	require.Equal(t, live, w.read(res.Kept[0]), "what was live is kept in a snapshot as well")
	history, err := rollback.ReadHistory(w.update().Dir)
	require.NoError(t, err)
	require.Contains(t, history[len(history)-1].String(), "although it differs: ASP, because: it is the audit")
}
