package rollback_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/rollback"
)

// What may happen to a machine of the model.

// publish makes a release that never was, of a new version or of one again.
func (m *model) publish(version rollback.Version, is release) rollback.Release {
	m.serial++
	if version == "" {
		version = rollback.Version(fmt.Sprintf("7.%d.100", 12+m.serial))
	}
	r := rollback.Release{Version: version, SHA256: fmt.Sprintf("hash %d", m.serial)}
	m.archive[r] = is
	return r
}

// release is the vendor's: a new version of some parts, or an old one again.
func (m *model) release(t *rapid.T) {
	for _, part := range m.names {
		if _, ok := m.offer[part]; ok && rapid.Bool().Draw(t, "the same") {
			continue
		}
		is := release{bad: rapid.IntRange(0, 3).Draw(t, "bad") == 0, reboot: rapid.IntRange(0, 4).Draw(t, "reboot") == 0}
		version := rollback.Version("")
		if rapid.IntRange(0, 3).Draw(t, "again") == 0 {
			version = m.offer[part].Version
		}
		m.offer[part] = m.publish(version, is)
	}
}

// weather draws what fails in an action: mostly nothing, or a role for the
// whole of it, or everything, at one moment.
func (m *model) weather(t *rapid.T) {
	m.t, m.fail, m.crash, m.moment, m.survives = t, "", 0, 0, false
	m.clock = testTime.AddDate(0, 0, rapid.IntRange(-1000, 1000).Draw(t, "clock jumps"))
	switch rapid.IntRange(0, 5).Draw(t, "weather") {
	case 0, 1:
		m.fail = rapid.SampledFrom([]string{"close", "open", "stop", "start", "snapshot", "verify", "ready", "fits", "restore", "install", "half", "settle", "remove", "await", "tidy"}).Draw(t, "fails")
	case 2, 3:
		m.crash = rapid.IntRange(1, 70).Draw(t, "crash")
		m.survives = rapid.Bool().Draw(t, "the installer survives")
	}
	m.calm = m.fail == "" && m.crash == 0
}

// update is a person or a timer that installs what the vendor has.
func (m *model) update(t *rapid.T) string {
	m.weather(t)
	f := &flight{old: maps.Clone(m.now), new: state{}, to: maps.Clone(m.offer)}
	bad, held, todo := false, false, false
	for part, r := range f.to {
		f.new[part] = standing{App: r, Schema: r.Version, Rows: f.old[part].Rows}
		if r != f.old[part].App {
			todo, bad, held = true, bad || m.archive[r].bad, held || m.quarantined[key(part, r)]
		}
	}
	pending := m.status().Pending != nil
	var plan rollback.Plan
	var err error
	fail := m.fail
	m.crash, m.fail = -m.crash, ""
	m.harmless(func() { plan, err = m.roles(f.old, f.to).Plan(t.Context()) })
	m.crash, m.moment, m.fail = -m.crash, 0, fail
	if pending || held || !todo {
		require.ErrorIs(t, err, rollback.ErrRefused)
		return "refused"
	}
	require.NoError(t, err)
	if rapid.IntRange(0, 9).Draw(t, "released meanwhile") == 0 {
		m.release(t)
		if !maps.Equal(f.to, m.offer) {
			m.crash, m.fail = 0, ""
			m.harmless(func() { _, err = m.roles(f.old, m.offer).Run(t.Context(), plan) })
			require.ErrorIs(t, err, rollback.ErrRefused, "must hold 7")
			return "refused"
		}
	}
	m.flight, m.damaged = f, false
	res, err := m.act(func() (rollback.Result, error) { return m.roles(f.old, f.to).Run(t.Context(), plan) })
	if m.calm && bad {
		require.Contains(t, []rollback.Outcome{rollback.RolledBack, rollback.AwaitingReboot}, res.Outcome, "%v", err)
	} else if m.calm {
		require.Contains(t, []rollback.Outcome{rollback.Committed, rollback.AwaitingReboot}, res.Outcome, "%v", err)
	}
	return string(res.Outcome)
}

func (m *model) recover(t *rapid.T) string {
	m.weather(t)
	before := m.status().Pending
	unseen := before != nil && m.restart && before.Reboot() == "" // an installer's wish that nobody lives to tell
	res, err := m.act(func() (rollback.Result, error) { return m.resume().Recover(t.Context()) })
	unseen = unseen || m.restart && m.status().Pending != nil && m.status().Pending.Reboot() == ""
	if before == nil && m.crash == 0 && m.fail == "" {
		require.NoError(t, err)
		require.Equal(t, rollback.Nothing, res.Outcome)
	}
	if m.calm && !unseen && before != nil && before.Outcome != rollback.NeedsOperator && before.Attempts < attempts {
		require.NoError(t, err, "what is not blocked goes on by itself")
	}
	return string(res.Outcome)
}

func (m *model) retry(t *rapid.T) string {
	m.weather(t)
	if m.undecided() {
		return "refused"
	}
	res, err := m.act(func() (rollback.Result, error) { return m.resume().Retry(t.Context(), "repaired") })
	if m.calm && !m.restart {
		require.NoError(t, err)
	}
	return string(res.Outcome)
}

// undecided reports whether no person must decide, and none may then.
func (m *model) undecided() bool {
	p := m.status().Pending
	if p != nil && p.Outcome == rollback.NeedsOperator {
		return false
	}
	m.harmless(func() {
		_, err := m.resume().Retry(m.t.Context(), "why not")
		require.ErrorIs(m.t, err, rollback.ErrRefused)
		_, err = m.resume().Accept(m.t.Context(), "why not")
		require.ErrorIs(m.t, err, rollback.ErrRefused)
	})
	return true
}

// accept is a person who has put things right by hand, or says so.
func (m *model) accept(t *rapid.T) string {
	m.weather(t)
	if m.undecided() {
		return "refused"
	}
	right := rapid.SampledFrom([]state{nil, m.flight.old, m.flight.new}).Draw(t, "right")
	if slices.ContainsFunc(m.names, func(p string) bool { return m.archive[right[p].App].bad }) {
		right = nil // no rollback could ever install it again
	}
	if right != nil {
		m.live, m.running, m.restart, m.left, m.damaged = maps.Clone(right), true, false, nil, true
		if right[m.names[0]].App.Version == "" {
			m.running = false
		}
	}
	res, err := m.act(func() (rollback.Result, error) { return m.resume().Accept(t.Context(), "looks fine") })
	if right != nil && m.calm && m.told() {
		require.NoError(t, err)
		require.Equal(t, right, m.live)
	}
	return string(res.Outcome)
}

// told reports whether the versions tell old from new.
func (m *model) told() bool {
	f := m.flight
	return f == nil || !slices.ContainsFunc(m.names, func(p string) bool {
		return f.old[p].App.Version == f.new[p].App.Version && f.old[p].App != f.new[p].App
	})
}

// revert is an operator who goes back after a commit, or undoes that.
func (m *model) revert(t *rapid.T) string {
	m.weather(t)
	pending := m.status().Pending != nil
	f := &flight{old: maps.Clone(m.now), to: map[string]rollback.Release{}, back: m.back}
	if m.back != nil {
		f.new = maps.Clone(m.back.state)
	}
	for _, part := range m.names {
		f.to[part] = m.offer[part]
		if m.back != nil {
			f.to[part] = f.new[part].App
		}
	}
	var plan rollback.Plan
	var err error
	fail := m.fail
	m.crash, m.fail = -m.crash, ""
	m.harmless(func() { plan, err = m.roles(f.old, f.to).PlanRevert(t.Context()) })
	m.crash, m.moment, m.fail = -m.crash, 0, fail
	if pending || m.back == nil || !m.same(m.back.from) {
		require.ErrorIs(t, err, rollback.ErrRefused)
		return "refused"
	}
	require.NoError(t, err)
	m.flight, m.damaged = f, false
	res, err := m.act(func() (rollback.Result, error) {
		return m.roles(f.old, f.to).Revert(t.Context(), plan.Hash, "reports are empty")
	})
	if m.calm {
		require.Contains(t, []rollback.Outcome{rollback.Committed, rollback.AwaitingReboot}, res.Outcome, "%v", err)
	}
	return string(res.Outcome)
}

// same reports whether the releases of s are committed.
func (m *model) same(s state) bool {
	return !slices.ContainsFunc(m.names, func(p string) bool { return s[p].App != m.now[p].App })
}

// work lets users enter a row, where they are let in.
func (m *model) work(t *rapid.T) {
	m.t = t
	if m.fenced || m.lost || m.live[m.names[0]].App.Version == "" {
		return
	}
	// What is entered before the damage is in either end of an update, but
	// not in the snapshot that an operator's rollback goes to.
	sides := []state{m.live, m.now}
	if f := m.flight; f != nil {
		decided := m.status().Pending.Outcome
		sides = []state{m.live}
		if decided != rollback.Committed {
			sides = append(sides, f.old)
		}
		if decided == rollback.Committed || decided == "" && f.back == nil {
			sides = append(sides, f.new)
		}
	}
	for _, s := range sides {
		for _, part := range m.names {
			is := s[part]
			is.Rows += "."
			s[part] = is
		}
	}
}

// reboot restarts the machine, which may open a fence.
func (m *model) reboot(t *rapid.T) {
	m.boot++
	m.restart, m.left = false, nil
	if m.status().Pending != nil {
		if rapid.Bool().Draw(t, "the fence is lost") {
			m.fenced, m.lost = false, true
		}
		m.running = m.running || rapid.Bool().Draw(t, "autostart")
	}
}

func (m *model) lift(t *rapid.T) {
	m.t = t
	if m.status().Pending != nil {
		return
	}
	u := &rollback.Update{Dir: m.dir, Now: func() time.Time { return testTime }}
	for _, q := range m.status().Quarantined {
		if rapid.Bool().Draw(t, "lift") {
			require.NoError(t, u.Lift(q.Part, q.Release, "it was the network"))
			m.quarantine(q.Part, q.Release, false)
		}
	}
	for _, w := range m.status().Aside {
		if rapid.Bool().Draw(t, "forget") {
			require.NoError(t, u.Forget(w.Update, "typed in by hand"))
		}
	}
}

// adopt takes a version that somebody installed by hand.
func (m *model) adopt(t *rapid.T) {
	m.t, m.fail, m.crash, m.moment = t, "", 0, 0
	if m.status().Pending != nil || m.live[m.names[0]].App.Version == "" {
		return
	}
	part := rapid.SampledFrom(m.names).Draw(t, "part")
	r := m.publish("", release{})
	s := m.now[part]
	s.App, s.Schema = r, r.Version
	m.live[part] = s
	to := maps.Clone(m.offer)
	to[part] = m.publish("", release{})
	m.harmless(func() {
		_, err := m.roles(m.now, to).Plan(t.Context())
		require.ErrorIs(t, err, rollback.ErrRefused, "it is not what was committed")
	})
	m.now[part] = s
	m.known = true
	require.NoError(t, m.roles(m.now, to).Adopt(t.Context(), "with the support"))
}

// prune throws away what nobody needs.
func (m *model) prune(t *rapid.T) {
	m.t = t
	st := m.status()
	maps.DeleteFunc(m.snapshots, func(ref string, _ state) bool { return !slices.Contains(st.Needed(), ref) })
	keep := slices.Collect(maps.Values(m.offer))
	keep = slices.AppendSeq(keep, maps.Values(st.Committed))
	for _, part := range m.names {
		keep = append(keep, m.now[part].App)
	}
	if st.Pending != nil {
		for _, p := range st.Pending.Plan.Parts {
			keep = append(keep, p.From, p.To)
		}
	}
	if st.RestorePoint != nil {
		for _, p := range st.RestorePoint.Parts {
			keep = append(keep, p.From, p.To)
		}
	}
	maps.DeleteFunc(m.archive, func(r rollback.Release, _ release) bool { return !slices.Contains(keep, r) })
}

func (m *model) rotate() {
	if _, err := os.Stat(m.dir); err != nil {
		return
	}
	j, err := rollback.OpenJournal(m.dir)
	require.NoError(m.t, err)
	require.NoError(m.t, errors.Join(j.Rotate(), j.Close()))
}
