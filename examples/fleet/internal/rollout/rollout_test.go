package rollout

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/version"
)

var (
	thursday = time.Date(2026, 4, 2, 7, 0, 0, 0, time.UTC) // 10:00 in Moscow
	old      = Release{"asp", version.MustParse("7.87.100"), strings.Repeat("0", 64)}
	next     = Release{"asp", version.MustParse("7.88.100"), strings.Repeat("a", 64)}
)

// region is a center without anything around it.
type region struct {
	t     *testing.T
	now   time.Time
	known map[string]Heard
	seq   uint64
	r     *Rollout
}

func (g *region) lookup(id string) (Heard, bool) { h, ok := g.known[id]; return h, ok }

// begin starts a rollout over sites s0, s1, ..., all of which ask.
func begin(t *testing.T, sites, canaries, limit int) *region {
	g := &region{t: t, now: thursday, known: map[string]Heard{}}
	p := Plan{ID: "r", Release: next, Cap: limit}
	for i := range sites {
		id := fmt.Sprintf("s%d", i)
		if i < canaries {
			p.Canaries = append(p.Canaries, id)
		}
		p.Sites = append(p.Sites, id)
		g.report(Report{Site: id, Activity: Asking})
	}
	var err error
	g.r, err = Start(p, 1, g.now, g.lookup)
	require.NoError(t, err)
	return g
}

func (g *region) report(rep Report) {
	g.seq++
	rep.Seq, rep.Time = g.seq, g.now
	if rep.Committed == nil {
		rep.Committed = []Release{old}
	}
	if rep.Activity == Asking {
		rep.Until = g.now.Add(3 * time.Hour)
	}
	h := Heard{Report: rep, At: g.now, On: g.now}
	g.known[rep.Site] = h
	if g.r != nil {
		g.r.Observe(h)
	}
}

// after lets time pass, during which all sites are connected.
func (g *region) after(d time.Duration) {
	g.now = g.now.Add(d)
	for id, h := range g.known {
		h.On = g.now
		g.known[id] = h
	}
	g.r.Advance(g.now, g.lookup)
}

func (g *region) start(ids ...string) {
	for _, id := range ids {
		g.report(Report{Site: id, Activity: Updating, Release: next})
	}
}

func (g *region) commit(ids ...string) {
	for _, id := range ids {
		g.report(Report{Site: id, Committed: []Release{next}})
	}
}

func (g *region) fail(code string, ids ...string) {
	for _, id := range ids {
		g.report(Report{Site: id, Quarantined: []Failure{{next, code}}})
	}
}

func (g *region) in(s State) (ids []string) {
	for _, m := range g.r.Members {
		if m.State == s {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func TestWaves(t *testing.T) {
	g := begin(t, 42, 2, 4)
	g.after(0)
	assert.Equal(t, []string{"s0", "s1"}, g.in(Granted), "canaries first")
	g.start("s0", "s1")
	g.commit("s0", "s1")
	g.after(time.Minute)
	assert.Equal(t, 1, g.r.Wave)
	assert.Equal(t, []string{"s2", "s3", "s4", "s5"}, g.in(Granted), "ten percent of 40")
	g.start(g.in(Granted)...)
	g.commit("s2", "s3", "s4")
	g.after(time.Minute)
	assert.Equal(t, 1, g.r.Wave, "s5 has no outcome")
	g.commit("s5")
	g.after(time.Minute)
	assert.Equal(t, 2, g.r.Wave)
	for range 20 {
		ids := g.in(Granted)
		assert.LessOrEqual(t, len(ids), 4)
		g.start(ids...)
		g.commit(ids...)
		g.after(time.Minute)
	}
	assert.Equal(t, Done, g.r.Phase)
	assert.Empty(t, g.in(Waiting))
}

func TestStopRules(t *testing.T) {
	past := func(g *region) { // the canary commits, and five sites start
		g.after(0)
		g.start("s0")
		g.commit("s0")
		g.after(time.Minute)
		g.start(g.in(Granted)...)
	}
	for name, c := range map[string]struct {
		do   func(*region)
		want string // "" if it goes on
	}{
		"a canary":      {func(g *region) { g.after(0); g.start("s0"); g.fail("exit code 1603", "s0") }, `canary "s0" was rolled back with exit code 1603`},
		"one elsewhere": {func(g *region) { past(g); g.fail("x", "s1") }, ""},
		"two":           {func(g *region) { past(g); g.fail("x", "s1"); g.fail("y", "s2") }, "2 of 6 sites that started were rolled back, more than 1"},
		"the same code": {func(g *region) { past(g); g.fail("x", "s1"); g.fail("x", "s2") }, `sites "s1" and "s2" were rolled back with x`},
		"a decision":    {func(g *region) { past(g); g.report(Report{Site: "s1", Activity: Decision, Release: next}) }, `at site "s1" a person must decide`},
		"silence":       {func(g *region) { past(g); g.after(4*time.Hour + time.Second) }, `site "s1" has no outcome 4h0m0s after its start`},
		"turned back": {func(g *region) {
			past(g)
			for range 3 {
				g.start("s1")
				g.report(Report{Site: "s1", Activity: Asking})
			}
		}, `at site "s1" a person must decide`},
	} {
		t.Run(name, func(t *testing.T) {
			g := begin(t, 101, 1, 5)
			c.do(g)
			g.after(time.Minute)
			if c.want == "" {
				require.Equal(t, Running, g.r.Phase)
				return
			}
			require.Equal(t, Stopped, g.r.Phase)
			require.Equal(t, c.want, g.r.Reason)
			generation := g.r.Generation
			for _, m := range g.r.Members {
				require.True(t, g.r.Grant(m).Withdrawn)
			}
			require.ErrorIs(t, g.r.Resume(g.now, " "), ErrPhase, "a reason is required")
			require.NoError(t, g.r.Resume(g.now, "the support has seen to it"))
			assert.Greater(t, g.r.Generation, generation)
			g.after(time.Minute)
			assert.Equal(t, Running, g.r.Phase, "what a person accepted does not stop it again")
		})
	}
}

// TestCutOff has a site that lost its link with a grant: the place is free again
// once it can no longer start, and not before.
func TestCutOff(t *testing.T) {
	g := begin(t, 3, 3, 1)
	g.after(0)
	require.Equal(t, []string{"s0"}, g.in(Granted))
	lost := g.known["s0"]
	for range 16 {
		g.now = g.now.Add(time.Minute)
		for _, id := range []string{"s1", "s2"} {
			g.report(Report{Site: id, Activity: Asking})
		}
		g.r.Advance(g.now, g.lookup)
		require.Equal(t, []string{"s0"}, g.in(Granted))
	}
	g.now = g.now.Add(time.Minute)
	g.report(Report{Site: "s1", Activity: Asking})
	g.r.Advance(g.now, g.lookup)
	assert.Equal(t, []string{"s1"}, g.in(Granted), "15 minutes and the clocks' difference")
	assert.Equal(t, lost, g.known["s0"])
}

func TestPauseAndAbort(t *testing.T) {
	g := begin(t, 10, 5, 5)
	g.after(0)
	m, _ := g.r.Member("s0")
	before := g.r.Grant(m)
	require.NoError(t, before.Check("s0", g.now, 0))
	g.start("s1")
	require.NoError(t, g.r.Pause(g.now, "the support is ill"))
	m, _ = g.r.Member("s0")
	require.ErrorIs(t, g.r.Grant(m).Check("s0", g.now, 0), ErrRefused)
	require.ErrorIs(t, before.Check("s0", g.now, g.r.Generation), ErrRefused, "a withdrawn grant does not come back")
	g.commit("s1")
	g.after(time.Hour)
	assert.Empty(t, g.in(Granted))
	assert.Equal(t, []string{"s1"}, g.in(Committed), "what has begun ends")
	require.NoError(t, g.r.Resume(g.now, "the support is back"))
	g.after(time.Minute)
	assert.Len(t, g.in(Granted), 4)
	require.NoError(t, g.r.Abort(g.now, "the vendor asked for it"))
	require.ErrorIs(t, g.r.Resume(g.now, "no"), ErrPhase)
}

func TestReRelease(t *testing.T) {
	g := begin(t, 10, 2, 5)
	g.after(0)
	g.start("s0")
	g.commit("s0")
	again := next
	again.SHA256 = strings.Repeat("b", 64)
	p := Plan{ID: "r2", Release: again, Canaries: []string{"s0"}, Sites: []string{"s0", "s1"}, Cap: 1}
	require.NoError(t, g.r.Supersede(g.now, p))
	assert.Equal(t, Superseded, g.r.Phase)
	r2, err := Start(p, g.r.Generation+1, g.now, g.lookup)
	require.NoError(t, err)
	m, _ := r2.Member("s0")
	assert.Equal(t, Waiting, m.State, "the same number with another hash is another release")
}

// TestRebuilt starts from nothing but what the sites report: who has the release
// is done, who is updating has its place.
func TestRebuilt(t *testing.T) {
	g := begin(t, 10, 2, 2)
	g.after(0)
	g.start("s0", "s1")
	g.commit("s0")
	g.fail("x", "s5")
	r, err := Start(Plan{ID: "r", Release: next, Canaries: []string{"s0", "s1"}, Sites: []string{"s0", "s1", "s2", "s3", "s4", "s5"}, Cap: 2}, 9, g.now, g.lookup)
	require.NoError(t, err)
	assert.Equal(t, map[State]int{Committed: 1, Started: 1, RolledBack: 1, Waiting: 3}, r.Counts())
}

func TestRefusedPlans(t *testing.T) {
	foreign := func(id string) (Heard, bool) {
		return Heard{Report: Report{Site: id, Committed: []Release{{Distribution: "кцр", Version: old.Version}}}}, id == "село"
	}
	for want, p := range map[string]Plan{
		"it names no canaries": {ID: "r", Release: next, Sites: []string{"a"}, Cap: 1},
		"the cap is 0":         {ID: "r", Release: next, Canaries: []string{"a"}},
		"named twice":          {ID: "r", Release: next, Canaries: []string{"a", "a"}, Cap: 1},
		"SHA-256":              {ID: "r", Release: Release{"asp", next.Version, "12"}, Canaries: []string{"a"}, Cap: 1},
		`site "село" has кцр installed, and the release is of asp`: {ID: "r", Release: next, Canaries: []string{"a"}, Sites: []string{"село"}, Cap: 1},
	} {
		_, err := Start(p, 1, thursday, foreign)
		require.ErrorIs(t, err, ErrPlan)
		assert.ErrorContains(t, err, want)
	}
}

func TestGrants(t *testing.T) {
	key, err := nkeys.CreateAccount()
	require.NoError(t, err)
	public, err := key.PublicKey()
	require.NoError(t, err)
	g := Grant{Site: "село", Rollout: "r", Generation: 3, Release: next, NotBefore: thursday, NotAfter: thursday.Add(GrantLife)}
	b, err := Seal(key, "grant", g)
	require.NoError(t, err)
	var got Grant
	require.NoError(t, Unseal(public, "grant", b, &got))
	assert.Equal(t, g, got)

	var untouched Grant
	require.ErrorIs(t, Unseal(public, "report", b, &untouched), ErrSignature, "another kind of document")
	other, err := nkeys.CreateAccount()
	require.NoError(t, err)
	foreign, err := other.PublicKey()
	require.NoError(t, err)
	require.ErrorIs(t, Unseal(foreign, "grant", b, &untouched), ErrSignature)
	var s sealed
	require.NoError(t, json.Unmarshal(b, &s))
	for i := range s.Body { // each bit counts
		s.Body[i] ^= 1
		forged, err := json.Marshal(s)
		require.NoError(t, err)
		require.ErrorIs(t, Unseal(public, "grant", forged, &untouched), ErrSignature)
		s.Body[i] ^= 1
	}
	assert.Zero(t, untouched)

	for name, c := range map[string]struct {
		site  string
		now   time.Time
		seen  uint64
		grant Grant
	}{
		"another site": {"город", thursday, 0, g},
		"older":        {"село", thursday, 4, g},
		"too early":    {"село", thursday.Add(-time.Second), 0, g},
		"ended":        {"село", thursday.Add(GrantLife), 0, g},
		"too long":     {"село", thursday, 0, Grant{Site: "село", NotBefore: thursday, NotAfter: thursday.Add(time.Hour)}},
	} {
		assert.ErrorIs(t, c.grant.Check(c.site, c.now, c.seen), ErrRefused, name)
	}
	assert.NoError(t, g.Check("село", thursday, 3))
}

// TestSkew has a site whose clock is wrong: it gets no grant.
func TestSkew(t *testing.T) {
	g := begin(t, 2, 2, 2)
	h := g.known["s0"]
	h.Time = g.now.Add(MaxSkew + time.Second)
	g.known["s0"] = h
	g.after(0)
	assert.Equal(t, []string{"s1"}, g.in(Granted))
}
