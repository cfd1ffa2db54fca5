package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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
		is.stuck = is.bad && rapid.Bool().Draw(t, "its restructuring fails")
		is.goesOn = !is.stuck && rapid.IntRange(0, 2).Draw(t, "its restructuring goes on by itself") == 0
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
	m.t, m.fail, m.crash, m.moment, m.survives, m.full, m.closes, m.strike = t, "", 0, 0, false, 0, 0, 0
	m.clock = testTime.AddDate(0, 0, rapid.IntRange(-1000, 1000).Draw(t, "clock jumps"))
	switch rapid.IntRange(0, 8).Draw(t, "weather") {
	case 0, 1:
		m.fail = rapid.SampledFrom([]string{"close", "open", "stop", "start", "snapshot", "verify", "ready", "fits", "restore", "install", "half", "settle", "remove", "await", "tidy", "migrated", "migrate", "halfway"}).Draw(t, "fails")
	case 2, 3:
		m.crash = rapid.IntRange(1, 70).Draw(t, "crash")
		m.survives = rapid.Bool().Draw(t, "the installer survives")
	case 4:
		m.full = rapid.IntRange(1, 70).Draw(t, "the disk of the state fills")
	case 5:
		m.closes = rapid.IntRange(1, 70).Draw(t, "the terminal closes")
	case 6:
		m.strike = rapid.IntRange(1, 6).Draw(t, "a command outlives its updater")
	}
	m.calm = m.fail == "" && m.crash == 0 && m.full == 0 && m.closes == 0 && m.strike == 0
}

// terminal returns a context that ends when the terminal closes.
func (m *model) terminal() context.Context {
	ctx, cancel := context.WithCancel(m.t.Context())
	m.closed = cancel
	return ctx
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
	m.crash, m.fail, m.closes = -m.crash, "", -m.closes
	m.harmless(func() { plan, err = m.roles(f.old, f.to).Plan(t.Context()) })
	m.crash, m.moment, m.fail, m.closes = -m.crash, 0, fail, -m.closes
	if pending || held || !todo {
		require.ErrorIs(t, err, rollback.ErrRefused)
		return "refused"
	}
	require.NoError(t, err)
	if rapid.IntRange(0, 9).Draw(t, "released meanwhile") == 0 {
		m.release(t)
		if !maps.Equal(f.to, m.offer) {
			m.crash, m.fail, m.full, m.closes = 0, "", 0, 0
			m.harmless(func() { _, err = m.roles(f.old, m.offer).Run(m.terminal(), plan) })
			require.ErrorIs(t, err, rollback.ErrRefused, "must hold 7")
			return "refused"
		}
	}
	m.flight, m.damaged, m.byHand = f, false, false
	res, err := m.act(func() (rollback.Result, error) { return m.roles(f.old, f.to).Run(m.terminal(), plan) })
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
	res, err := m.act(func() (rollback.Result, error) { return m.resume().Recover(m.terminal()) })
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
	res, err := m.act(func() (rollback.Result, error) { return m.resume().Retry(m.terminal(), "repaired") })
	if m.calm && !m.restart {
		require.NoError(t, err)
	}
	return string(res.Outcome)
}

// undecided reports whether no person must decide, and none may then.
func (m *model) undecided() bool {
	p := m.status().Pending
	if p != nil && p.Damaged && (p.Outcome == "" || p.Outcome == rollback.NeedsOperator) {
		return false
	}
	m.harmless(func() {
		_, err := m.resume().Retry(m.t.Context(), "why not")
		require.ErrorIs(m.t, err, rollback.ErrRefused, "%+v", p)
		_, err = m.resume().Accept(m.t.Context(), "why not", nil)
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
		m.orphanActs() // which the person has seen to as well
		clear(m.newer) // and to what users entered
		m.live, m.running, m.restart, m.left, m.goesOn, m.damaged = maps.Clone(right), true, false, nil, map[string]func(){}, true
		m.byHand = true
		if right[m.names[0]].App.Version == "" {
			m.running = false
		}
	}
	res, err := m.act(func() (rollback.Result, error) { return m.resume().Accept(m.terminal(), "looks fine", nil) })
	if right != nil && m.calm && m.told() {
		require.NoError(t, err)
		require.Equal(t, right, m.live)
	}
	return string(res.Outcome)
}

// hotfix is the support, which installs another version by hand while an update
// waits, and says so.
func (m *model) hotfix(t *rapid.T) string {
	m.weather(t)
	if m.undecided() {
		return "refused"
	}
	fix, installed := state{}, map[string]rollback.Release{}
	for _, part := range m.names {
		r := m.publish("", release{})
		fix[part] = standing{App: r, Schema: r.Version, Rows: m.flight.old[part].Rows}
		installed[part] = r
	}
	m.orphanActs()
	clear(m.newer)
	m.live, m.running, m.restart, m.left, m.goesOn, m.damaged = maps.Clone(fix), true, false, nil, map[string]func(){}, true
	m.byHand = true
	was := m.flight
	m.flight = &flight{old: was.old, new: fix, to: was.to, third: true, back: was.back, begun: was.begun}
	res, err := m.act(func() (rollback.Result, error) {
		was := m.roles(m.flight.old, m.flight.to)
		return was.Accept(m.terminal(), "with the support", installed)
	})
	if m.calm {
		require.NoError(t, err)
		require.Equal(t, rollback.Committed, res.Outcome)
	}
	if p := m.status().Pending; p != nil && p.Outcome != rollback.Committed {
		m.flight = was // it was not recorded: what it is, is decided later
	}
	return string(res.Outcome)
}

// orphanActs lets a command that outlived its updater act.
func (m *model) orphanActs() string {
	if m.orphan == nil {
		return "is not there"
	}
	m.orphan()
	m.orphan = nil
	return "acts"
}

// copyState is somebody who copies the state directory.
func (m *model) copyState() {
	if _, err := os.Stat(m.dir); err != nil {
		return
	}
	m.copied = filepath.Join(filepath.Dir(m.dir), "copy")
	require.NoError(m.t, os.RemoveAll(m.copied))
	require.NoError(m.t, os.CopyFS(m.copied, os.DirFS(m.dir)))
	require.NoError(m.t, os.Chmod(m.copied, 0o700))
}

// copyComesBack puts the old copy in the place of the state. It is refused if an
// update has begun or ended since, and nothing is done. Then the newest comes back.
func (m *model) copyComesBack(t *rapid.T) string {
	m.t, m.fail, m.crash, m.full, m.closes = t, "", 0, 0, 0
	if m.copied == "" {
		return "is not there"
	}
	old, err := rollback.ReadRecords(m.copied)
	require.NoError(t, err)
	begun := slices.ContainsFunc(m.records[min(len(old), len(m.records)):], func(r rollback.Record) bool {
		return r.Step == rollback.StepInstall || r.Step == rollback.StepEnd
	})
	if !begun || len(old) == 0 {
		return "is as good"
	}
	newest := m.dir + " newest"
	require.NoError(t, errors.Join(os.Rename(m.dir, newest), os.Rename(m.copied, m.dir)))
	m.harmless(func() {
		for _, call := range []func(u *rollback.Update) error{
			func(u *rollback.Update) error { _, err := u.Recover(t.Context()); return err },
			func(u *rollback.Update) error { _, err := u.Plan(t.Context()); return err },
			func(u *rollback.Update) error { _, err := u.Retry(t.Context(), "why not"); return err },
			func(u *rollback.Update) error { _, err := u.Open(t.Context(), "why not"); return err },
		} {
			requireStale(t, call(m.resume()))
		}
	})
	require.NoError(t, errors.Join(os.Rename(m.dir, m.copied), os.Rename(newest, m.dir)))
	return "is refused"
}

func requireStale(t require.TestingT, err error) {
	e, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok && e.Reason == rollback.ReasonStale, "%v", err)
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
	m.crash, m.fail, m.closes = -m.crash, "", -m.closes
	m.harmless(func() { plan, err = m.roles(f.old, f.to).PlanRevert(t.Context()) })
	m.crash, m.moment, m.fail, m.closes = -m.crash, 0, fail, -m.closes
	if pending || m.back == nil || !m.same(m.back.from) {
		require.ErrorIs(t, err, rollback.ErrRefused)
		return "refused"
	}
	require.NoError(t, err)
	m.flight, m.damaged, m.byHand = f, false, false
	res, err := m.act(func() (rollback.Result, error) {
		return m.roles(f.old, f.to).Revert(m.terminal(), plan.Hash, "reports are empty")
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
	if m.lost && m.flight != nil {
		m.intrude()
		return
	}
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

// intrude is users who work behind a fence that a restart opened. A commit keeps
// what they enter, a rollback keeps it aside.
func (m *model) intrude() {
	p := m.status().Pending
	if p == nil || !p.Damaged || p.Outcome != "" && p.Outcome != rollback.NeedsOperator {
		return
	}
	for _, part := range m.names {
		if v, err := m.version(part); err != nil || v == "" {
			return // no one gets in
		}
	}
	for _, part := range m.names {
		s := m.live[part]
		if m.flight.new[part] == s {
			s.Rows += "!"
			m.flight.new[part] = s
		}
		s.Rows = m.live[part].Rows + "!"
		m.live[part], m.newer[part] = s, true
	}
}

// reboot restarts the machine, which may open a fence.
func (m *model) reboot(t *rapid.T) {
	m.boot++
	m.restart, m.left, m.orphan, m.goesOn = false, nil, nil, map[string]func(){}
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
	m.t, m.fail, m.crash, m.moment, m.full, m.closes = t, "", 0, 0, 0, 0
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
