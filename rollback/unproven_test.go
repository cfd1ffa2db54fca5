package rollback_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// proving is data that knows whether a backup of it was ever restored.
type proving struct {
	data
	proof rollback.Proof
	err   error
}

func (d *proving) Proven(context.Context) (rollback.Proof, error) { return d.proof, d.err }

// R9: an update whose backup may be of no use is refused, until a backup like it was
// proven or a person overrides that by name. A proof that is made later
// is no change of the plan.
func TestR9UpdateWithoutAProofIsRefusedUntilOverridden(t *testing.T) {
	w := newWorld(t, "asp")
	u := w.update()
	d := &proving{data: data{w, "asp"}, err: errors.New("never restored")}
	u.Data[0].Data = d
	_, err := u.Plan(t.Context())
	e, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, rollback.ReasonUnproven, e.Reason)
	require.ErrorIs(t, err, d.err)
	require.NotContains(t, w.calls, "close")

	u.Unproven = " "
	require.ErrorContains(t, u.Check(), "leaving out R9 needs a reason")
	u.Unproven = "the law starts today"
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	require.Contains(t, plan.Overrides, rollback.Override{Rule: "R9", Reason: "the law starts today"})
	require.Equal(t, []rollback.Proof{{Data: "asp"}}, plan.Proofs)

	u.Unproven = ""
	d.err, d.proof = nil, rollback.Proof{At: time.Date(2026, 1, 12, 0, 0, 0, 0, time.UTC), Took: time.Hour}
	plan, err = u.Plan(t.Context())
	require.NoError(t, err)
	require.Equal(t, []rollback.Proof{{Data: "asp", At: d.proof.At, Took: time.Hour}}, plan.Proofs)
	require.Empty(t, plan.Overrides[1:], "only the window of the test")
	d.proof.At = d.proof.At.Add(time.Hour)
	res, err := u.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)

	// A rollback goes back to what there is.
	d.err = errors.New("never restored")
	u = w.backwards()
	u.Data[0].Data = d
	_, err = u.PlanRevert(t.Context())
	require.NoError(t, err)
}

// R9 is asked for when an update starts: one that was started without a proof is recovered by a process
// that does not know the reason for that.
func TestAnUpdateWithoutAProofIsRecovered(t *testing.T) {
	w := newWorld(t, "asp")
	u := w.update()
	u.Unproven = "the law starts today"
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install asp " + newVersion + " half")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	recovered(t, w)
}
