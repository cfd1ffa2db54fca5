package roles

import (
	"context"
	"errors"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
)

// A Migrator is a [rollback.Migrator]: a command or a function restructures a database for
// the new version (R11), and a probe reports the version that its structure is of. Without
// either nothing is started: the application restructures the database by itself, and only
// the end is waited for.
type Migrator struct {
	// Command restructures the database, or does nothing where that is done. It may
	// run again after a crash.
	Command Command
	// Start is called instead of Command, as for a request to the application. After a
	// crash it may be called again while what it started before goes on. Where this
	// process has died, Settle cannot find what it left.
	Start func(ctx context.Context) error
	// GoesOn means that Command or Start returns before the restructuring has ended.
	GoesOn bool
	// Structure returns the version that the database's structure is of. An
	// error means that this cannot be found out now.
	Structure install.Probe
}

// Migrated reports whether the structure is that of version to.
func (m Migrator) Migrated(ctx context.Context, to rollback.Version) (bool, error) {
	got, err := m.Structure.Version(ctx)
	return err == nil && rollback.Version(got) == to, err
}

// Migrate runs the command, or calls Start.
func (m Migrator) Migrate(ctx context.Context, _ rollback.Version) (goesOn bool, err error) {
	switch {
	case m.Start != nil && len(m.Command.Argv) > 0:
		return false, errors.New("the migration is started twice; set Command or Start, not both")
	case m.Start != nil:
		return m.GoesOn, m.Start(ctx)
	case len(m.Command.Argv) == 0:
		return true, nil
	}
	return m.GoesOn, m.Command.Run(ctx, nil)
}

// ByApplication reports whether the application restructures the database, by itself or at a
// request, and no command does: it is kept running meanwhile.
func (m Migrator) ByApplication() bool { return len(m.Command.Argv) == 0 }

// Settle waits for a command that a process before this one left running, or ends
// it where its time is up. It reports whether one was found and came to its own
// end.
func (m Migrator) Settle(ctx context.Context) (finished bool, err error) {
	return m.Command.settle(ctx)
}
