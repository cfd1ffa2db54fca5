package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/rollback"
)

// A machine is a world in memory, for the state model. Its roles do what they
// are told, and fail the test when they are told what must never be: to harm
// something before everything that undoing needs was read back, to let users
// in before an end is durable, to install what is quarantined.
type machine struct {
	t       *rapid.T
	dir     string
	removes bool // the installers can take a version off
	// The datasets are restructured by a step of their own, not by the installers.
	migrates bool

	live            state
	fenced, running bool
	boot            int
	restart         bool              // an installer asked for a restart, and there was none yet
	left            func()            // what an installer that outlived its updater has still to do
	orphan          func()            // likewise, of a command
	goesOn          map[string]func() // restructurings that the databases go on with by themselves, by part
	archive         map[rollback.Release]release
	snapshots       map[string]state // by reference, of one part
	quarantined     map[string]bool  // part, version and hash, as the model has it

	// Of the action at work.
	fail          string          // this call fails
	crash, moment int             // the power goes at this moment; 0 is never
	survives      bool            // an installer at work then lives on
	doing         func()          // what it has still to do
	commanded     bool            // that is a command's, not the installer's
	strike        int             // the process dies in this command of the fence, the application or a migration, which goes on; 0 is never
	full          int             // the journal's volume fills at this moment; 0 is never
	closes        int             // the terminal closes at this moment; 0 is never
	closed        func()          // which cancels what is done
	damaged       bool            // something was harmed since the last intent
	read          map[string]int  // how often each snapshot was read back
	ready         map[string]bool // hashes that were read again since the doors were closed
	fits          bool
	changes       int // calls that change something

	// Datasets are called concurrently: one call at a time, and none of a process that has died.
	parallel int
	mu       sync.Mutex
	life     int

	byHand bool            // a person has installed something while an update was pending
	newer  map[string]bool // parts in which users have worked since their last snapshot
}

// A release in the archive. It is bad because it never gets healthy, or because
// its restructuring fails. One that goes on only starts the restructuring.
type release struct{ bad, stuck, goesOn, reboot bool }

// A standing is what a part has: an application and its data.
type standing struct {
	App    rollback.Release
	Schema rollback.Version
	Rows   string
	Broken bool
}

// A state is what all parts have.
type state map[string]standing

func (m *machine) status() rollback.Status {
	st, err := rollback.ReadStatus(m.dir)
	require.NoError(m.t, err, "the journal is always readable")
	return st
}

// tick is a moment in which the power may go.
func (m *machine) tick() {
	m.moment++
	if m.moment == m.closes {
		m.closed()
	}
	if m.moment == m.crash {
		switch {
		case m.survives && m.commanded:
			m.orphan = m.doing
		case m.survives:
			m.left = m.doing
		}
		m.die()
	}
}

// die is the end of the process.
func (m *machine) die() {
	m.life++
	panic(crash{})
}

// alone returns once no other call is at work, and never to a process that has died.
func (m *machine) alone(life int) (leave func()) {
	m.mu.Lock()
	if m.life != life {
		m.mu.Unlock()
		runtime.Goexit()
	}
	return m.mu.Unlock
}

// noSpace is why the journal takes no record.
func (m *machine) noSpace() error {
	if m.full > 0 && m.moment >= m.full {
		return syscall.ENOSPC
	}
	return nil
}

// order runs a command of the fence or the application, which may outlive its
// updater and act later.
func (m *machine) order(name string, check, act func()) error {
	return m.call(name, func() error {
		m.changes++
		check()
		if m.strike--; m.strike == 0 {
			m.orphan = act
			m.die()
		}
		act()
		return nil
	})
}

// settle ends a command that outlived its updater.
func (m *machine) settle() (bool, error) {
	found := m.orphan != nil
	return found, m.call("settle", func() error {
		if found {
			m.orphan()
			m.orphan = nil
		}
		return nil
	})
}

func (m *machine) call(name string, work func() error) error {
	m.tick()
	defer m.tick()
	if m.fail == name {
		return errors.New(name + " does not work")
	}
	return work()
}

// version is what the part says of itself, through whatever path.
func (m *machine) version(part string) (rollback.Version, error) {
	s := m.live[part]
	switch {
	case s == standing{}:
		return "", nil
	case !m.running || m.restart:
		return "", errors.New("connection refused")
	case s.App.Version != s.Schema || s.Broken:
		return "", errors.New("internal server error")
	}
	return s.App.Version, nil
}

// harm is called before anything changes that users have.
func (m *machine) harm(part string, migrating bool) *rollback.Pending {
	m.changes++
	p := m.status().Pending
	require.NotNil(m.t, p, "the intent is durable before the damage")
	require.True(m.t, m.fenced, "must hold 2")
	require.Nil(m.t, m.left, "%s: an installer is still at work", part)
	if len(m.goesOn) > 0 {
		require.True(m.t, migrating && m.goesOn[part] == nil, "%s: a restructuring is still at work", part)
	}
	require.Nil(m.t, m.orphan, "%s: a command is still to act", part)
	require.Empty(m.t, p.Outcome, "an end that is durable is not changed")
	if m.damaged {
		return p
	}
	m.damaged = true
	if p.Direction != rollback.Forward {
		return p // the process died between the journal and the damage
	}
	require.True(m.t, m.fits, "must hold 8: the window was asked")
	got, err := flock.New(filepath.Join(m.dir, "lock")).TryLock()
	require.True(m.t, err == nil && !got, "must hold 5")
	for _, name := range p.Plan.Data {
		ref := p.References()[name]
		require.Equal(m.t, m.live[name], m.snapshots[ref][name], "must hold 1: the snapshot is of what is there")
		require.GreaterOrEqual(m.t, m.read[ref], 2, "must hold 1: it was read back when it was made and again now")
	}
	for _, pp := range p.Plan.Parts {
		for _, r := range []rollback.Release{pp.From, pp.To} {
			require.True(m.t, pp.Keep || r.Version == "" || m.ready[r.SHA256], "must hold 1: the Setup of %s was read again", r)
		}
	}
	return p
}

type mFence struct{ *machine }

func (m mFence) Close(context.Context) error {
	return m.order("close", func() {
		if p := m.status().Pending; p != nil && !p.Damaged {
			clear(m.ready)
		}
	}, func() {
		m.fenced = true
		m.left, m.goesOn = nil, map[string]func(){} // their sessions are ended, and half is done
	})
}

func (m mFence) Open(context.Context) error {
	return m.order("open", func() {
		p := m.status().Pending
		require.True(m.t, p.Outcome == rollback.Committed || p.Outcome == rollback.RolledBack || p.Outcome == rollback.Abandoned || !p.Damaged && m.noSpace() != nil, "must hold 2")
	}, func() { m.fenced = false })
}

func (m mFence) Settle(context.Context) (bool, error) { return m.settle() }

type mApp struct{ *machine }

func (m mApp) Stop(context.Context) error {
	return m.order("stop", func() {}, func() { m.running = false })
}

func (m mApp) Start(context.Context) error {
	return m.order("start", func() {}, func() { m.running = true })
}

func (m mApp) Settle(context.Context) (bool, error) { return m.settle() }

type mWindow struct{ *machine }

func (mWindow) Next(context.Context, time.Time) (s rollback.Slot, err error) { return s, nil }

func (m mWindow) Fits(context.Context, time.Time) error {
	m.fits = false
	return m.call("fits", func() error { m.fits = true; return nil })
}

type mData struct {
	*machine
	part string
	life int
}

func (d mData) Snapshot(context.Context) (ref string, err error) {
	defer d.alone(d.life)()
	err = d.call("snapshot", func() error {
		require.True(d.t, d.fenced && !d.running, "must hold 2: a snapshot of what stands still")
		d.changes++
		if p := d.status().Pending; !p.Damaged {
			d.damaged = false
		}
		delete(d.newer, d.part)
		ref = fmt.Sprintf("%s-%d", d.part, serial.Add(1))
		d.snapshots[ref] = state{d.part: d.live[d.part]}
		return nil
	})
	return ref, err
}

func (d mData) Verify(_ context.Context, ref string) error {
	defer d.alone(d.life)()
	return d.call("verify", func() error {
		if d.snapshots[ref] == nil {
			return errors.New("not there")
		}
		d.read[ref]++
		return nil
	})
}

// Restore brings the data back; the application is the installer's.
func (d mData) Restore(_ context.Context, ref string) error {
	defer d.alone(d.life)()
	return d.call("restore", func() error {
		d.harm(d.part, false)
		require.Contains(d.t, d.snapshots, ref, "must hold 3")
		require.False(d.t, d.newer[d.part], "must hold 13: users have worked since the last snapshot")
		s := d.snapshots[ref][d.part]
		s.App = d.live[d.part].App
		d.live[d.part] = s
		return nil
	})
}

func (d mData) Tidy(context.Context) error {
	require.NotEmpty(d.t, d.status().Pending.Outcome, "must hold 3")
	return d.call("tidy", func() error { return nil })
}

type mInstaller struct {
	*machine
	part string
}

func (i mInstaller) Ready(_ context.Context, r rollback.Release) error {
	return i.call("ready", func() error {
		if _, ok := i.archive[r]; !ok {
			return errors.New("not in the archive")
		}
		i.ready[r.SHA256] = true
		return nil
	})
}

func (i mInstaller) Install(_ context.Context, r rollback.Release) error {
	return i.call("install", func() error {
		p := i.harm(i.part, false)
		if p.Direction == rollback.Forward && p.Plan.Revert == nil {
			require.False(i.t, i.quarantined[key(i.part, r)], "%s is quarantined", r.Version)
		}
		require.Contains(i.t, i.archive, r, "must hold 3")
		s, is := i.live[i.part], i.archive[r]
		half := s
		half.Schema = "half"
		if i.migrates && s.Schema != "" {
			half.App.Version, half.Schema = "half", s.Schema // which is the migrator's
		}
		i.live[i.part] = half
		i.doing = func() {
			done := standing{App: r, Schema: r.Version, Rows: s.Rows, Broken: is.bad}
			if i.migrates && s.Schema != "" {
				done.Schema = s.Schema
				done.Broken = is.bad && (!is.stuck || done.Schema == r.Version)
			}
			i.live[i.part] = done
			i.restart = i.restart || is.reboot
		}
		defer func() { i.doing = nil }()
		if err := i.call("half", func() error { return nil }); err != nil {
			return err
		}
		i.doing()
		if i.archive[r].reboot {
			return rollback.ErrReboot
		}
		return nil
	})
}

func (i mInstaller) Settle(context.Context) (finished bool, err error) {
	err = i.call("settle", func() error {
		if finished = i.left != nil; finished {
			i.left()
			i.left = nil
			if i.restart {
				return rollback.ErrReboot
			}
		}
		return nil
	})
	return finished, err
}

// An mMigrator restructures the data of one part, half of it first.
type mMigrator struct {
	*machine
	part string
	life int
}

func (i mMigrator) Settle(context.Context) (bool, error) { return i.settle() }

func (i mMigrator) Migrated(_ context.Context, to rollback.Version) (is bool, err error) {
	defer i.alone(i.life)()
	err = i.call("migrated", func() error {
		if goesOn := i.goesOn[i.part]; goesOn != nil {
			goesOn()
			delete(i.goesOn, i.part)
		}
		is = i.live[i.part].Schema == to
		return nil
	})
	return is, err
}

func (i mMigrator) Migrate(_ context.Context, to rollback.Version) (goesOn bool, err error) {
	defer i.alone(i.life)()
	err = i.call("migrate", func() error {
		p := i.harm(i.part, true)
		require.Equal(i.t, rollback.Forward, p.Direction, "the data comes back with its structure")
		require.True(i.t, i.running && !i.restart, "the application runs, and the machine was restarted")
		s := i.live[i.part]
		if s.App.Version != to {
			require.True(i.t, i.byHand, "its installer has done its work")
			return errors.New("the program that restructures is of another version")
		}
		require.NotEqual(i.t, to, s.Schema, "what is done is not done again")
		s.Schema = "half"
		i.live[i.part] = s
		is := i.archive[s.App]
		i.doing = func() {
			s := i.live[i.part]
			require.Equal(i.t, rollback.Version("half"), s.Schema, "%s: restructured under a restore's hands", i.part)
			s.Schema = to
			i.live[i.part] = s
		}
		if is.stuck {
			i.doing = func() {}
		}
		i.commanded = true
		defer func() { i.doing, i.commanded = nil, false }()
		if err := i.call("halfway", func() error { return nil }); err != nil {
			return err
		}
		if i.strike--; i.strike == 0 {
			i.orphan = i.doing
			i.die()
		}
		switch {
		case is.stuck:
			return errors.New("the structure differs")
		case is.goesOn:
			i.goesOn[i.part], goesOn = i.doing, true
		default:
			i.doing()
		}
		return nil
	})
	return goesOn, err
}

type mRemover struct{ mInstaller }

func (i mRemover) Remove(context.Context, rollback.Release) error {
	return i.call("remove", func() error {
		p := i.harm(i.part, false)
		require.False(i.t, i.newer[i.part] && slices.Contains(p.Plan.Data, i.part), "must hold 13: it may take data with it")
		i.live[i.part] = standing{}
		return nil
	})
}

type mProbe struct {
	*machine
	part string
}

func (p mProbe) Version(context.Context) (rollback.Version, error) { return p.version(p.part) }

func (p mProbe) Await(ctx context.Context, want rollback.Version) error {
	return p.call("await", func() error {
		st := p.status().Pending
		require.True(p.t, st.Reboot() == "", "no verdict on health before the restart")
		if got, err := p.version(p.part); err != nil || got != want {
			<-ctx.Done() // it hangs
			return errors.Join(ctx.Err(), err)
		}
		return nil
	})
}

// harmless fails unless nothing but looking was done in f.
func (m *machine) harmless(f func()) {
	before, live := m.changes, maps.Clone(m.live)
	f()
	require.Equal(m.t, before, m.changes, "a plan changes nothing")
	require.Equal(m.t, live, m.live)
}
