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
	clock   time.Time                   // which jumps
	kept    string                      // the directory of the backups
	copied  string                      // an old copy of the state directory, "" if there is none
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
	third    bool // a person accepted another release than either
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
			"rollback": func(t *rapid.T) { ends["rollback "+m.revert(t)]++ },
			"retry":    func(t *rapid.T) { ends["retry "+m.retry(t)]++ },
			"accept":   func(t *rapid.T) { ends["accept "+m.accept(t)]++ },
			"work":     m.work,
			"restart":  m.reboot,
			"lift":     m.lift,
			"adopt":    m.adopt,
			"prune":    m.prune,
			"rotate":   func(*rapid.T) { m.rotate() },
			"hotfix":   func(t *rapid.T) { ends["hotfix "+m.hotfix(t)]++ },
			"orphan":   func(*rapid.T) { ends["orphan "+m.orphanActs()]++ },
			"orphan 2": func(*rapid.T) { ends["orphan "+m.orphanActs()]++ },
			"copy":     func(*rapid.T) { m.copyState() },
			"stale":    func(t *rapid.T) { ends["copy "+m.copyComesBack(t)]++ },
		})
		m.t, m.calm, m.fail, m.crash, m.full, m.closes, m.strike = t, true, "", 0, 0, 0, 0
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
			archive: map[rollback.Release]release{}, quarantined: map[string]bool{}, read: map[string]int{}, goesOn: map[string]func(){}, newer: map[string]bool{}, ready: map[string]bool{},
		},
		kept:  filepath.Join(dir, "kept"),
		names: []string{"ASP", "Опека"}[:rapid.IntRange(1, 2).Draw(t, "parts")], offer: map[string]rollback.Release{},
	}
	require.NoError(t, os.Mkdir(m.kept, 0o700))
	m.removes = rapid.Bool().Draw(t, "removes")
	m.migrates = rapid.Bool().Draw(t, "migrates")
	m.parallel = rapid.IntRange(0, 2).Draw(t, "parallel")
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

// roles makes the update from what is there to what is wanted.
func (m *model) roles(from state, to map[string]rollback.Release) *rollback.Update {
	u := &rollback.Update{
		Dir: m.dir, Fence: mFence{m.machine}, App: mApp{m.machine}, Window: mWindow{m.machine}, Steady: 1,
		Observe:   func(rollback.Event) { m.mu.Lock(); defer m.mu.Unlock(); m.tick() },
		Parallel:  m.parallel,
		Now:       func() time.Time { return m.clock },
		Deadlines: rollback.Deadlines{Fence: time.Millisecond, Probe: time.Millisecond, Decide: time.Millisecond, Migrate: time.Millisecond},
	}
	u.Tune(attempts, 1, func() (string, error) { return fmt.Sprint(m.boot), nil }, "tester").TuneFull(func() error { m.mu.Lock(); defer m.mu.Unlock(); return m.noSpace() })
	u.Kept = []string{m.kept}
	for _, part := range m.names {
		p := rollback.Part{Name: part, From: from[part].App, To: to[part], Installer: mInstaller{m.machine, part}, Probe: mProbe{m.machine, part}}
		if m.removes {
			p.Installer = mRemover{mInstaller{m.machine, part}}
		}
		if p.From.Version != "" {
			u.Data = append(u.Data, rollback.Dataset{Name: part, Data: mData{m.machine, part, m.life}})
			if m.migrates {
				p.Migrations = []rollback.Migration{{Name: part, Migrator: mMigrator{m.machine, part, m.life}}}
			}
		}
		u.Parts = append(u.Parts, p)
	}
	return u
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
		refused := errors.Is(err, rollback.ErrRefused) && p != nil && p.Outcome == rollback.NeedsOperator
		require.Equal(m.t, res.Outcome == rollback.NeedsOperator, errors.Is(err, rollback.ErrNeedsOperator) || refused)
		if e, ok := errors.AsType[*rollback.Error](err); ok && blocked && !m.fenced {
			require.True(m.t, e.Unfenced || p.Outcome != "" && p.Outcome != rollback.NeedsOperator || !p.Damaged, "%v", err)
		}
	}
	m.crash, m.full, m.closes, m.strike = 0, 0, 0, 0
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
	records, err := rollback.ReadRecords(m.dir)
	require.NoError(m.t, err)
	if !slices.ContainsFunc(records[len(m.records):], func(r rollback.Record) bool { return r.Step == rollback.StepIntent }) && !f.begun {
		return // it was refused, or the power went before its intent was durable
	}
	if slices.ContainsFunc(records[len(m.records):], func(r rollback.Record) bool { return r.Step == rollback.StepAccept }) {
		for _, s := range []state{f.old, f.new} { // what users entered before a person accepted it stays
			for part := range m.newer {
				if s[part].App == m.live[part].App {
					s[part] = m.live[part]
				}
			}
		}
	}
	clear(m.newer)
	switch st.Last {
	case rollback.Committed:
		require.True(m.t, m.damaged)
		m.known = true
		for part, s := range f.new {
			m.quarantine(part, s.App, false)
			if f.third && f.back == nil && f.to[part] != f.old[part].App && f.to[part] != s.App {
				m.quarantine(part, f.to[part], true)
			}
			if !f.third && f.back != nil && !f.back.undo && s.App != f.old[part].App {
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

// key is under what a quarantine is known.
func key(part string, r rollback.Release) string { return part + string(r.Version) + r.SHA256 }

func (m *model) quarantine(part string, r rollback.Release, on bool) {
	delete(m.quarantined, key(part, r))
	if on {
		m.quarantined[key(part, r)] = true
	}
}

// resume is the update that is pending, as it was planned.
func (m *model) resume() *rollback.Update {
	if m.flight == nil {
		return m.roles(m.now, m.offer)
	}
	return m.roles(m.flight.old, m.flight.to)
}

// calmly lets a program that is started again and again, and then a person,
// bring things to an end.
func (m *model) calmly() {
	for range 12 {
		m.boot++
		m.restart, m.left, m.orphan, m.goesOn = false, nil, nil, map[string]func(){}
		res, err := m.act(func() (rollback.Result, error) { return m.resume().Recover(m.t.Context()) })
		if errors.Is(err, rollback.ErrNeedsOperator) {
			res, _ = m.act(func() (rollback.Result, error) { return m.resume().Retry(m.t.Context(), "repaired") })
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
	records, err := rollback.ReadRecords(m.dir)
	require.NoError(m.t, err)
	require.GreaterOrEqual(m.t, len(records), len(m.records))
	require.True(m.t, len(m.records) == 0 || reflect.DeepEqual(m.records, records[:len(m.records)]), "must hold 4: what was journaled stays so")
	m.records = records

	held := map[string]bool{}
	for _, q := range st.Quarantined {
		held[key(q.Part, q.Release)] = true
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
		require.Equal(m.t, m.back != nil, st.RestorePoint != nil)
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
		for part, ref := range p.References() {
			// Before any damage a full disk of the state lets users in again.
			require.True(m.t, !p.Damaged && !m.fenced || m.flight.old[part] == m.snapshots[ref][part], "must hold 3")
		}
		for _, pp := range p.Plan.Parts {
			require.True(m.t, pp.From.Version == "" || slices.Contains(slices.Collect(maps.Keys(m.archive)), pp.From), "must hold 3")
			require.Contains(m.t, m.archive, pp.To, "must hold 3")
		}
	}
}
