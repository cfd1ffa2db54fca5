package rollback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Migration is the restructuring of one dataset, a database mostly, which a new
// version may need after its installer (R11).
type Migration struct {
	Name     string // of the Dataset; unique within the update
	Migrator Migrator
}

// A Migrator brings a dataset to the structure that a version needs. It may have
// Settle, as the other roles. Several Migrators are called concurrently, see
// [Update].Parallel; the methods of one are not.
type Migrator interface {
	// Migrated reports whether the dataset has the structure that version to
	// needs. An error means that this cannot be found out now, as while a
	// restructuring is in progress.
	Migrated(ctx context.Context, to Version) (bool, error)
	// Migrate restructures the dataset. It is called only where Migrated has
	// reported false. It is called again after a crash, so it must do no harm where
	// it has done half of its work, or where what it started before goes on.
	// GoesOn means that it has only started the restructuring: Migrated
	// reports its end. Otherwise it is at its end, and Migrated must report true.
	Migrate(ctx context.Context, to Version) (goesOn bool, err error)
}

// A planned migration with the version that it is for.
type migration struct {
	Migration
	to Version
}

// progressInterval is the time between two notes of how far the migrations are.
const progressInterval = time.Minute

// unmigrated returns what the plan migrates and has not been migrated yet.
func (e *engine) unmigrated() (list []migration) {
	for _, part := range e.u.Parts {
		for _, m := range part.Migrations {
			if e.plan().migrates(m.Name) && !e.st.Pending.migrated[m.Name] {
				list = append(list, migration{m, part.To.Version})
			}
		}
	}
	return list
}

// migrates reports whether the plan has a migration.
func (p Plan) migrates(name string) bool {
	return slices.Contains(p.Steps, PlanStep{stepMigrate, name})
}

// A migrated is how one migration ended.
type migrated struct {
	name     string
	err      error
	panicked any
}

// migrate brings every dataset of the plan to the structure that its version needs,
// several at a time, each with its own begin and end in the journal. The first
// failure cancels the others.
func (e *engine) migrate(ctx context.Context) error {
	left := e.unmigrated()
	if len(left) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended, tick := make(chan migrated, len(left)), time.NewTicker(progressInterval)
	defer tick.Stop()
	total, done, running := len(left), 0, map[string]time.Time{}
	var failure error
	fail := func(err error) {
		if failure == nil {
			cancel(fmt.Errorf("another migration failed: %w", err))
		}
		failure = errors.Join(failure, err)
	}
	for len(running) > 0 || failure == nil && len(left) > 0 {
		if failure == nil && len(left) > 0 && len(running) < max(e.u.Parallel, 1) {
			m := left[0]
			left = left[1:]
			if err := e.record(record{Step: stepMigrate, Kind: EventBegin, Part: m.Name}, nil); err != nil {
				fail(&stepError{stepMigrate, m.Name, err})
				continue
			}
			running[m.Name] = time.Now()
			go func() { ended <- e.u.migrateOne(ctx, m) }()
			continue
		}
		select {
		case m := <-ended:
			delete(running, m.name)
			if err := e.migrationEnded(m); err != nil {
				fail(err)
				continue
			}
			done++
		case <-tick.C:
			e.note(stepMigrate, fmt.Sprintf("%s: %d of %d done, in progress: %s", stepMigrate, done, total, lasting(running)))
		}
	}
	return failure
}

// migrationEnded journals the end of a migration. A panic of a role is the
// caller's, as that of any other role.
func (e *engine) migrationEnded(m migrated) error {
	if m.panicked != nil {
		panic(m.panicked)
	}
	kind := EventDone
	var cause error
	if m.err != nil {
		kind, cause = EventFailed, &stepError{stepMigrate, m.name, m.err}
	}
	if err := e.record(record{Step: stepMigrate, Kind: kind, Part: m.name}, cause); err != nil {
		return errors.Join(cause, &stepError{stepMigrate, m.name, err})
	}
	return cause
}

// lasting lists what is in progress and for how long.
func lasting(running map[string]time.Time) string {
	var list []string
	for name, since := range running {
		list = append(list, fmt.Sprintf("%s for %s", name, time.Since(since).Round(time.Second)))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// migrateOne migrates one dataset and does not return before that has ended.
func (u *Update) migrateOne(ctx context.Context, m migration) (end migrated) {
	end.name, end.err = m.Name, errors.New("the migration ended its goroutine")
	defer func() { end.panicked = recover() }()
	d := u.Deadlines.migrate()
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("the deadline of %v for %s passed: %w", d, stepMigrate, context.DeadlineExceeded))
	defer cancel()
	end.err = u.bring(ctx, m)
	return end
}

// bring asks for the structure, starts what makes it, and asks again. What is said to
// be done is not believed before Migrated reports it.
func (u *Update) bring(ctx context.Context, m migration) error {
	const before, waiting, over = 0, 1, 2
	state := before
	for {
		is, err := m.Migrator.Migrated(ctx, m.to)
		switch {
		case err == nil && is:
			return nil
		case err == nil && state == over:
			return fmt.Errorf("it has ended, and the structure is not that of version %s", m.to)
		case err == nil && state == before:
			goesOn, err := m.Migrator.Migrate(ctx, m.to)
			if err != nil {
				return err
			}
			state = over
			if goesOn {
				state = waiting
			}
			continue
		case err == nil:
			err = fmt.Errorf("the structure is not that of version %s yet", m.to)
		}
		if cause := pause(ctx, u.pollSteady()); cause != nil {
			return fmt.Errorf("%w (last check: %w)", cause, err)
		}
	}
}

// checkMigrated refuses unless everything that a part migrates has the structure
// that a version needs.
func (u *Update) checkMigrated(ctx context.Context, part Part, v Version) *Error {
	for _, m := range part.Migrations {
		is := false
		err := u.within(ctx, u.Deadlines.fence(), func(ctx context.Context) (err error) {
			is, err = m.Migrator.Migrated(ctx, v)
			return err
		})
		if err == nil && !is {
			err = fmt.Errorf("the structure is not that of version %s", v)
		}
		if err != nil {
			return refuse(ReasonInstalled, m.Name, "%w", err).then("restructure it, then accept again")
		}
	}
	return nil
}

// checkMigrations refuses a migration of what does not come back in a rollback.
func (u *Update) checkMigrations() error {
	seen := map[string]bool{}
	for _, part := range u.Parts {
		for _, m := range part.Migrations {
			switch {
			case m.Name == "" || seen[m.Name] || m.Migrator == nil:
				return refuse(ReasonSetup, m.Name, "every migration needs its migrator and a name that no other migration has")
			case u.NoData == "" && !slices.ContainsFunc(u.Data, func(d Dataset) bool { return d.Name == m.Name }):
				return refuse(ReasonSetup, m.Name, "R9: no dataset has the name of this migration: what is restructured must come back in a rollback")
			}
			seen[m.Name] = true
		}
	}
	return nil
}
