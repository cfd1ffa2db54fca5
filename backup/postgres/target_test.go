package postgres

import (
	"testing"

	"github.com/aspupdate/aspupdate/backup/backuptest"
)

func TestDatabaseIsATarget(t *testing.T) {
	t.Parallel()
	backuptest.Test(t, func(t *testing.T) backuptest.Fixture {
		w := newWorld(t)
		return backuptest.Fixture{Target: w.db, Change: w.update, State: w.state}
	})
}
