package rollback_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/internal/crashfs"
	"github.com/aspupdate/aspupdate/rollback"
)

// A model says what must be so of a machine, with no memory but of what was
// asked and of how it ended.
type model struct {
	*machine
	names  []string
	serial int

	now     state                       // what every part had when things were last settled
	offer   map[string]rollback.Release // what the vendor has
	known   bool                        // the journal has something as committed
	back    *backTo                     // what an operator may go back to
	flight  *flight                     // the update under way
	records []rollback.Record           // all that was ever journaled
	lost    bool                        // a restart opened the fence, and nobody could close it since
	calm    bool                        // nothing fails in the action at work
}

type backTo struct {
	state state
	from  state
	undo  bool
}

// A flight ends at old or at new.
type flight struct {
	old, new state
	to       map[string]rollback.Release
	back     *backTo
	begun    bool // its intent is durable
}

const attempts = 3

// TestModel lets vendor, users, operators and fate do what they like with a
// machine, in any order, and holds it to the promises: after every action it
// has all that is old, or all that is new, or it says that it waits for a
// person or for a restart, with all that either way needs.
func TestModel(t *testing.T) {
	t.Parallel()
	root := crashfs.Dir(t)
	ends := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		require.NoError(t, err)
		defer func() { _ = os.RemoveAll(dir) }()
		m := newModel(t, dir)
		m.release(t)
		t.Repeat(map[string]func(*rapid.T){
			"":         func(*rapid.T) { m.invariants() },
			"release":  m.release,
			"update":   func(t *rapid.T) { ends[m.update(t)]++ },
			"update 2": func(t *rapid.T) { ends[m.update(t)]++ },
			"recover":  func(t *rapid.T) { ends["recover "+m.recover(t)]++ },
			"rollback": func(t *rapid.T) { ends["rollback "+m.rollBack(t)]++ },
			"retry":    func(t *rapid.T) { ends["retry "+m.retry(t)]++ },
			"accept":   func(t *rapid.T) { ends["accept "+m.accept(t)]++ },
			"work":     m.work,
			"restart":  m.reboot,
			"lift":     m.lift,
			"adopt":    m.adopt,
			"prune":    m.prune,
			"rotate":   func(*rapid.T) { m.rotate() },
		})
		m.t, m.calm, m.fail, m.crash = t, true, "", 0
		m.calmly()
		m.invariants()
	})
	for _, end := range slices.Sorted(maps.Keys(ends)) {
		t.Logf("%5d %s", ends[end], end)
	}
}

func newModel(t *rapid.T, dir string) *model {
	m := &model{
		machine: &machine{
			t: t, dir: filepath.Join(dir, "state"), running: true, live: state{}, snapshots: map[string]state{},
			archive: map[rollback.Release]release{}, quarantined: map[string]bool{}, read: map[string]int{}, ready: map[string]bool{},
		},
		names: []string{"ASP", "Опека"}[:rapid.IntRange(1, 2).Draw(t, "parts")], offer: map[string]rollback.Release{},
	}
	m.removes = rapid.Bool().Draw(t, "removes")
	nothing := m.removes && rapid.Bool().Draw(t, "nothing installed")
	for _, part := range m.names {
		m.live[part] = standing{}
		if !nothing {
			r := m.publish("", release{})
			m.live[part] = standing{App: r, Schema: r.Version}
		}
	}
	m.now = maps.Clone(m.live)
	return m
}

// publish makes a release that never was, of a new version or of one again.
func (m *model) publish(version string, is release) rollback.Release {
	m.serial++
	if version == "" {
		version = fmt.Sprintf("7.%d.100", 12+m.serial)
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
		version := ""
		if rapid.IntRange(0, 3).Draw(t, "again") == 0 {
			version = m.offer[part].Version
		}
		m.offer[part] = m.publish(version, is)
	}
}

// roles makes the update from what is there to what is wanted.
func (m *model) roles(from state, to map[string]rollback.Release) *rollback.Update {
	u := &rollback.Update{
		Dir: m.dir, Fence: mFence{m.machine}, App: mApp{m.machine}, Window: mWindow{m.machine}, Who: "tester", Attempts: attempts, Pause: 1,
		BootID:    func() (string, error) { return fmt.Sprint(m.boot), nil },
		Observe:   func(rollback.Event) { m.tick() },
		Now:       func() time.Time { return testTime },
		Deadlines: rollback.Deadlines{Probe: time.Millisecond, Decide: time.Millisecond},
	}
	for _, part := range m.names {
		p := rollback.Part{Name: part, From: from[part].App, To: to[part], Installer: mInstaller{m.machine, part}, Probe: mProbe{m.machine, part}}
		if m.removes {
			p.Installer = mRemover{mInstaller{m.machine, part}}
		}
		if p.From.Version != "" {
			u.Data = append(u.Data, rollback.Dataset{Name: part, Data: mData{m.machine, part}})
		}
		u.Parts = append(u.Parts, p)
	}
	return u
}

// weather draws what fails in an action: mostly nothing, or a role for the
// whole of it, or everything, at one moment.
func (m *model) weather(t *rapid.T) {
	m.t, m.fail, m.crash, m.moment, m.survives = t, "", 0, 0, false
	switch rapid.IntRange(0, 5).Draw(t, "weather") {
	case 0, 1:
		m.fail = rapid.SampledFrom([]string{"close", "open", "stop", "start", "snapshot", "verify", "ready", "fits", "restore", "install", "half", "settle", "remove", "await", "tidy"}).Draw(t, "fails")
	case 2, 3:
		m.crash = rapid.IntRange(1, 70).Draw(t, "crash")
		m.survives = rapid.Bool().Draw(t, "the installer survives")
	}
	m.calm = m.fail == "" && m.crash == 0
}

// act does something that may be cut short, and reads how it ended.
func (m *model) act(f func() (rollback.Result, error)) (res rollback.Result, err error) {
	if crashing(func() { res, err = f() }) {
		res, err = rollback.Result{Outcome: "crash"}, errors.New("the power went")
		m.tear()
	} else {
		p := m.status().Pending
		blocked := res.Outcome == rollback.AwaitingReboot || res.Outcome == rollback.Interrupted || res.Outcome == rollback.NeedsOperator
		require.Equal(m.t, blocked, p != nil, "%s: %v", res.Outcome, err)
		require.Equal(m.t, res.Outcome == rollback.NeedsOperator, errors.Is(err, rollback.ErrNeedsOperator) || errors.Is(err, rollback.ErrRefused) && p != nil)
		if e, ok := errors.AsType[*rollback.Error](err); ok && blocked && !m.fenced {
			require.True(m.t, e.Unfenced || p.Outcome != "" && p.Outcome != rollback.NeedsOperator || !p.Damaged, "%v", err)
		}
	}
	m.crash = 0
	m.lost = (m.lost || m.fail == "close") && !m.fenced && !m.calm
	m.land()
	return res, err
}

// tear leaves a line that was half written, as a crash may.
func (m *model) tear() {
	f, err := os.OpenFile(filepath.Join(m.dir, "journal.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return // it crashed before there was one
	}
	_, err = f.WriteString(`000999 0123 8d969e {"time":"20`)
	require.NoError(m.t, errors.Join(err, f.Close()))
}

// land ends a flight that the journal has as ended.
func (m *model) land() {
	st, f := m.status(), m.flight
	if f == nil || st.Pending != nil {
		if f != nil {
			f.begun = true
		}
		return
	}
	m.flight = nil
	records, err := rollback.ReadHistory(m.dir)
	require.NoError(m.t, err)
	if !slices.ContainsFunc(records[len(m.records):], func(r rollback.Record) bool { return r.Step == rollback.StepIntent }) && !f.begun {
		return // it was refused, or the power went before its intent was durable
	}
	switch st.Last {
	case rollback.Committed:
		require.True(m.t, m.damaged)
		m.known = true
		for part, s := range f.new {
			m.quarantine(part, s.App, false)
			if f.back != nil && !f.back.undo && s.App != f.old[part].App {
				m.quarantine(part, f.old[part].App, true)
			}
		}
		m.back = &backTo{state: f.old, from: f.new, undo: f.back != nil && !f.back.undo}
		if f.old[m.names[0]].App.Version == "" {
			m.back = nil
		}
		m.now = maps.Clone(f.new)
	case rollback.RolledBack:
		for part, r := range f.to {
			if f.back == nil && r != f.old[part].App {
				m.quarantine(part, r, true)
			}
		}
		fallthrough
	default:
		require.False(m.t, st.Last == rollback.Abandoned && m.damaged, "abandoned means that nothing was harmed")
		m.known = m.known || f.old[m.names[0]].App.Version != ""
		m.now = maps.Clone(f.old)
	}
}

func (m *model) quarantine(part string, r rollback.Release, on bool) {
	key := part + r.Version + r.SHA256
	delete(m.quarantined, key)
	if on {
		m.quarantined[key] = true
	}
}

// update is a person or a timer that installs what the vendor has.
func (m *model) update(t *rapid.T) string {
	m.weather(t)
	f := &flight{old: maps.Clone(m.now), new: state{}, to: maps.Clone(m.offer)}
	bad, held, todo := false, false, false
	for part, r := range f.to {
		f.new[part] = standing{App: r, Schema: r.Version, Rows: f.old[part].Rows}
		if r != f.old[part].App {
			todo, bad, held = true, bad || m.archive[r].bad, held || m.quarantined[part+r.Version+r.SHA256]
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

// resume is the update that is pending, as it was planned.
func (m *model) resume() *rollback.Update {
	if m.flight == nil {
		return m.roles(m.now, m.offer)
	}
	return m.roles(m.flight.old, m.flight.to)
}

func (m *model) recover(t *rapid.T) string {
	m.weather(t)
	before := m.status().Pending
	unseen := before != nil && m.restart && before.Reboot == "" // an installer's wish that nobody lives to tell
	res, err := m.act(func() (rollback.Result, error) { return m.resume().Recover(t.Context()) })
	unseen = unseen || m.restart && m.status().Pending != nil && m.status().Pending.Reboot == ""
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
	res, err := m.act(func() (rollback.Result, error) { return m.resume().Retry(t.Context(), "mended") })
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
		right = nil // no way back could ever install it again
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

// rollBack is an operator who goes back after a commit, or undoes that.
func (m *model) rollBack(t *rapid.T) string {
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
	m.harmless(func() { plan, err = m.roles(f.old, f.to).PlanBack(t.Context()) })
	m.crash, m.moment, m.fail = -m.crash, 0, fail
	if pending || m.back == nil || !m.same(m.back.from) {
		require.ErrorIs(t, err, rollback.ErrRefused)
		return "refused"
	}
	require.NoError(t, err)
	m.flight, m.damaged = f, false
	res, err := m.act(func() (rollback.Result, error) {
		return m.roles(f.old, f.to).RollBack(t.Context(), plan.Hash, "reports are empty")
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
	if st.Back != nil {
		for _, p := range st.Back.Parts {
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

// calmly lets a program that is started again and again, and then a person,
// bring things to an end.
func (m *model) calmly() {
	for range 12 {
		m.boot++
		m.restart, m.left = false, nil
		res, err := m.act(func() (rollback.Result, error) { return m.resume().Recover(m.t.Context()) })
		if errors.Is(err, rollback.ErrNeedsOperator) {
			res, _ = m.act(func() (rollback.Result, error) { return m.resume().Retry(m.t.Context(), "mended") })
		}
		if res.Outcome == rollback.Nothing {
			return
		}
		m.t.Logf("%s: %v", res.Outcome, err)
	}
	require.Fail(m.t, "it never ends")
}

// invariants are what DESIGN promises, whatever happened.
func (m *model) invariants() {
	st := m.status()
	records, err := rollback.ReadHistory(m.dir)
	require.NoError(m.t, err)
	require.GreaterOrEqual(m.t, len(records), len(m.records))
	require.True(m.t, len(m.records) == 0 || reflect.DeepEqual(m.records, records[:len(m.records)]), "must hold 4: what was journaled stays so")
	m.records = records

	held := map[string]bool{}
	for _, q := range st.Quarantined {
		held[q.Part+q.Release.Version+q.Release.SHA256] = true
	}
	p := st.Pending
	if p == nil {
		require.Nil(m.t, m.flight)
		require.Equal(m.t, m.now, m.live, "all of it, and nothing else")
		require.False(m.t, m.fenced, "users are let in")
		require.Equal(m.t, m.quarantined, held)
		for _, part := range m.names {
			require.Equal(m.t, m.known, st.Committed[part] != rollback.Release{})
			require.True(m.t, !m.known || st.Committed[part] == m.now[part].App, "LastCommitted")
		}
		require.Equal(m.t, m.back != nil, st.Back != nil)
		return
	}
	require.NotNil(m.t, m.flight)
	switch p.Outcome {
	case rollback.Committed:
		require.Equal(m.t, m.flight.new, m.live)
	case rollback.RolledBack, rollback.Abandoned:
		require.Equal(m.t, m.flight.old, m.live)
	default:
		require.True(m.t, m.fenced || !p.Damaged || m.lost, "must hold 2")
		require.True(m.t, p.Damaged || reflect.DeepEqual(m.flight.old, m.live))
		require.True(m.t, !p.Damaged || p.Attempts <= attempts, "must hold 6")
		for part, ref := range p.Refs {
			require.Equal(m.t, m.flight.old[part], m.snapshots[ref][part], "must hold 3")
		}
		for _, pp := range p.Plan.Parts {
			require.True(m.t, pp.From.Version == "" || slices.Contains(slices.Collect(maps.Keys(m.archive)), pp.From), "must hold 3")
			require.Contains(m.t, m.archive, pp.To, "must hold 3")
		}
	}
}
