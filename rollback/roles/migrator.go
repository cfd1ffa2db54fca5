package roles

import (
	"context"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
)

// A Migrator is a [rollback.Migrator]: a command restructures a database for the
// new version (R11), and a probe reports the version that its structure is of.
type Migrator struct {
	// Command restructures the database, or does nothing where that is done. It may
	// run again after a crash. Without a program nothing is started: the application
	// restructures the database by itself, and only the end is waited for.
	Command Command
	// GoesOn means that Command returns before the restructuring has ended, such as
	// a request to the application.
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

// Migrate runs the command.
func (m Migrator) Migrate(ctx context.Context, _ rollback.Version) (goesOn bool, err error) {
	if len(m.Command.Argv) == 0 {
		return true, nil
	}
	return m.GoesOn, m.Command.Run(ctx, nil)
}

// Settle waits for a command that a process before this one left running, or ends
// it where its time is up. It reports whether one was found and came to its own
// end.
func (m Migrator) Settle(ctx context.Context) (finished bool, err error) {
	return m.Command.settle(ctx)
}
