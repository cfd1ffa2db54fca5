package simulate

import (
	"crypto/sha256"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
)

// field is a region as it is: a fifth of the sites have a bad link, some never
// connect, some can never start.
func field(seed uint64, sites, limit int) Options {
	return Options{Seed: seed, Sites: sites, Canaries: 5, Cap: limit, Offline: 0.2, Gone: 0.02, Narrow: 0.03, Deaths: 10}
}

// TestRegion plays a good release. The rules that hold at each step are checked
// by Run itself.
func TestRegion(t *testing.T) {
	for _, o := range []Options{field(1, 1000, 50), field(2, 10_000, 2000)} {
		res, err := Run(o)
		require.NoError(t, err)
		t.Log(res)
		assert.Equal(t, 10, res.Deaths)
		assert.Zero(t, res.Rollout.Counts()[rollout.RolledBack])
		assert.Greater(t, res.Committed, o.Sites*9/10)
		assert.InDelta(t, 0.03, float64(len(res.Never))/float64(o.Sites), 0.01)
		assert.Len(t, res.WaveEnds, 3)
		for _, id := range res.Never {
			m, _ := res.Rollout.Member(id)
			assert.NotEqual(t, rollout.Started, m.State, id)
		}
	}
}

// TestRepeatable plays the same rollout twice: each byte of its state is the
// same, and another seed gives another one.
func TestRepeatable(t *testing.T) {
	digest := func(seed uint64) [32]byte {
		o := field(seed, 300, 30)
		o.FailRate = 0.01
		res, err := Run(o)
		require.NoError(t, err)
		b, err := json.Marshal(res)
		require.NoError(t, err)
		return sha256.Sum256(b)
	}
	assert.Equal(t, digest(1), digest(1))
	assert.NotEqual(t, digest(1), digest(2))
}

// TestBadRelease plays releases that fail at 30 % of the sites or more, with a
// thousand seeds each: no site besides the canaries is ever touched. If the
// failures depend on the kind of a site, five canaries of five kinds are
// enough. If they do not, a release succeeds at five canaries by chance one time
// in six, and 30 canaries are needed: Missed says so, and the planner shows it.
func TestBadRelease(t *testing.T) {
	for seed := range uint64(1000) {
		kinds := Options{Seed: seed, Sites: 100, Canaries: 5, FailKinds: 2 + int(seed%3)} // 40 to 80 %
		chance := Options{Seed: seed, Sites: 100, Canaries: 30, FailRate: 0.3 + float64(seed%7)/10}
		for _, o := range []Options{kinds, chance} {
			res, err := Run(o)
			require.NoError(t, err)
			require.Equal(t, rollout.Stopped, res.Rollout.Phase, seed)
			require.LessOrEqual(t, res.Touched, max(o.Canaries, 5), seed)
		}
	}
	assert.InDelta(t, 0.168, rollout.Missed(5, 0.3), 0.001)
	assert.Less(t, rollout.Missed(30, 0.3), 1e-4)
}

// TestPastTheCanaries shows what the slow start is for: a release that succeeds
// at the canaries by chance meets a few sites, not as many as the cap permits.
func TestPastTheCanaries(t *testing.T) {
	past, worst := 0, 0
	for seed := range uint64(50) {
		res, err := Run(Options{Seed: seed, Sites: 1000, Canaries: 5, Cap: 200, FailRate: 0.3})
		require.NoError(t, err)
		require.Equal(t, rollout.Stopped, res.Rollout.Phase)
		if res.Touched > 5 {
			past++
		}
		worst = max(worst, res.Touched)
	}
	t.Logf("%d of 50 got past the canaries, and the worst of them met %d sites of 1000", past, worst)
	assert.NotZero(t, past)
	assert.LessOrEqual(t, worst, 50)
}

// TestOfflineAndSlotless has regions in which most sites are away or never start:
// each wave ends by its deadline all the same, which Run checks.
func TestOfflineAndSlotless(t *testing.T) {
	for seed := range uint64(20) {
		o := Options{Seed: seed, Sites: 100, Canaries: 10, Offline: 0.5, Gone: 0.2, Narrow: 0.2}
		res, err := Run(o)
		require.NoError(t, err)
		if res.Rollout.Phase == rollout.Running {
			require.Len(t, res.WaveEnds, 3, seed)
			assert.Less(t, res.WaveEnds[2], 21*24*time.Hour)
		} else {
			assert.Contains(t, res.Rollout.Reason, "canaries have committed by the deadline")
		}
	}
}
