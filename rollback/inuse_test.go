package rollback_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

func TestR10UsesNameWhatMustStay(t *testing.T) {
	require.Empty(t, rollback.Status{}.Uses())
	v := func(version rollback.Version) rollback.Release {
		return rollback.Release{Version: version, SHA256: "hash of " + string(version)}
	}
	st := rollback.Status{
		Committed:    map[string]rollback.Release{"Опека": v("7.12.200"), "ASP": v("7.13.100")},
		Quarantined:  []rollback.Quarantine{{Part: "ASP", Release: v("7.13.200")}, {Part: "ASP", Release: v("7.13.100")}},
		RestorePoint: &rollback.RestorePoint{Parts: []rollback.PlanPart{{Name: "ASP", From: v("7.13.100"), To: v("7.12.200")}}},
		Aside:        []rollback.RestorePoint{{Parts: []rollback.PlanPart{{Name: "ASP", From: v("7.12.200"), To: v("7.13.050")}}}},
		Pending: &rollback.Pending{Plan: rollback.Plan{Parts: []rollback.PlanPart{
			{Name: "ASP", From: v("7.13.100"), To: v("7.13.300")}, {Name: "new", To: v("7.01.100"), Setup: rollback.Release{Version: "7.01.100"}},
		}}},
	}
	want := map[string]rollback.Use{
		"ASP 7.13.100": rollback.UseCommitted, "Опека 7.12.200": rollback.UseCommitted,
		"ASP 7.13.300": rollback.UsePending, "new 7.01.100": rollback.UsePending,
		"ASP 7.12.200": rollback.UseRollback, "ASP 7.13.050": rollback.UseRollback,
		"ASP 7.13.200": rollback.UseQuarantined,
	}
	got := map[string]rollback.Use{}
	for _, u := range st.Uses() {
		got[u.Part+" "+string(u.Release.Version)] = u.Use
	}
	require.Equal(t, want, got)
	require.Len(t, st.Uses(), len(want), "each once")
	require.Equal(t, st.Uses(), st.Uses(), "in one order")
	require.True(t, rollback.UsePending.Vital())
	require.False(t, rollback.UseRollback.Vital())
	require.Len(t, st.Aside, 1, "nothing of the status is changed")
}

// What an update leaves behind in the journal is in use, with no gaps.
func TestR10UsesAfterACommit(t *testing.T) {
	w := committedWorld(t, "ASP")
	var got []string
	for _, u := range w.status(t).Uses() {
		got = append(got, string(u.Release.Version)+" "+string(u.Use))
	}
	require.Equal(t, []string{oldVersion + " rollback", newVersion + " committed"}, got)
}
