package rollback

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// A Migration is the restructuring of one dataset, a database mostly, which a new
// version may need after its installer (R11).
type Migration struct {
	Name     string // of the Dataset; unique within the update
	Migrator Migrator
}

// A Migrator brings a dataset to the structure that a version needs. It may have
// Settle, as the other roles. Several may be called concurrently, see
// [Update].Parallel.
type Migrator interface {
	// Migrated reports whether the dataset has the structure that version to
	// needs. An error means that this cannot be found out now, as while a
	// restructuring is in progress.
	Migrated(ctx context.Context, to Version) (bool, error)
	// Migrate restructures the dataset. It is called only where Migrated has
	// reported false. It is called again after a crash, so it must do no harm where
	// it has done half of its work, or where what it started before goes on. It is
	// also called again where the application had stopped since, see [Application]:
	// but only if the Migrator has a method ByApplication() bool that returns true, which
	// means that the application itself restructures, and may be started meanwhile.
	// GoesOn means that it has only started the restructuring: Migrated
	// reports its end. Otherwise it is at its end, and Migrated must report true.
	Migrate(ctx context.Context, to Version) (goesOn bool, err error)
}

// A planned migration with the version that it is for.
type migration struct {
	Migration
	to Version
}

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

// migrate brings every dataset of the plan to the structure that its version needs.
func (e *engine) migrate(ctx context.Context) error {
	defer e.attended(ctx, stepMigrate)()
	k := cmp.Or(e.keeper, &keeper{})
	var jobs []job
	for _, m := range e.unmigrated() {
		jobs = append(jobs, job{part: m.Name, limit: e.u.Deadlines.migrate(), call: func(ctx context.Context) (record, error) {
			return record{}, e.u.bring(ctx, m, k, e.yields)
		}})
	}
	return e.abreast(ctx, stepMigrate, jobs, true)
}

// bring asks for the structure, starts what makes it, and asks again. What is said to
// be done is not believed before Migrated reports it. What an application had not done
// that was started again, or has ended and may be, is asked for again. It ends with what
// yields returns, but not while something other than the application restructures.
func (u *Update) bring(ctx context.Context, m migration, k *keeper, yields func() error) error {
	const before, waiting, over = 0, 1, 2
	state, starts := before, k.starts.Load()
	itself, _ := m.Migrator.(interface{ ByApplication() bool })
	byApplication := itself != nil && itself.ByApplication()
	again := func() bool { return byApplication && (k.starts.Load() > starts || k.down(ctx)) }
	for {
		is, err := m.Migrator.Migrated(ctx, m.to)
		if err == nil && is {
			return nil
		}
		if err == nil && state == before {
			release := func() {}
			if !byApplication {
				if release, err = k.hold(ctx, u.pollSteady()); err != nil {
					return err
				}
				defer release() // what goes on elsewhere lasts until Migrated reports its end
			}
			starts = k.starts.Load()
			var goesOn bool
			goesOn, err = m.Migrator.Migrate(ctx, m.to)
			switch {
			case err == nil && goesOn:
				state = waiting
				continue
			case err == nil:
				release()
				state = over
				continue
			case !again():
				return err
			}
		}
		switch {
		case err != nil:
		case state != over:
			err = fmt.Errorf("the structure is not that of version %s yet", m.to)
		case !again():
			return fmt.Errorf("it has ended, and the structure is not that of version %s", m.to)
		}
		cause := k.yield(yields)
		if cause == nil {
			cause = pause(ctx, u.pollSteady())
		}
		if cause != nil {
			return fmt.Errorf("%w (last check: %w)", cause, err)
		}
		if byApplication && k.starts.Load() > starts {
			state = before
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
