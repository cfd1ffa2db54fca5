package main

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// TestUpdateWithoutASuperuserInstaller is the whole flow where installer and
// probe connect by a role that the database cannot distinguish from a user. The
// application's fence keeps users out, and the database is closed for its
// snapshot only. An updater that is killed then leaves it closed until recover.
func TestUpdateWithoutASuperuserInstaller(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	s.sql(t, "postgres", "CREATE ROLE fitter LOGIN PASSWORD 'fitter' IN ROLE clerk")
	s.more = []string{"PGUSER=fitter", "PGPASSWORD=fitter", "OPERATOR=" + s.cluster.Password}
	operator := func(sql string) string {
		return fmt.Sprintf(`['/bin/sh', '-c', '''PGUSER=postgres PGPASSWORD=$OPERATOR '%s/psql' -Xqd postgres -v ON_ERROR_STOP=1 -c "%s" > /dev/null''']`, s.cluster.Bin, sql)
	}
	s.config = map[string]string{
		"[deadlines]": "[application]\nclose = " + operator("ALTER ROLE clerk NOLOGIN; SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'clerk'") +
			"\nopen = " + operator("ALTER ROLE clerk LOGIN") + "\nenvironment = ['PGHOST', 'PGPORT', 'OPERATOR']\n\n[deadlines]",
		"name = 'asp'\nuri_file":   "name = 'asp'\nunfenced = 'the installer is not a superuser'\nuri_file",
		"name = 'opeka'\nuri_file": "name = 'opeka'\nunfenced = 'the installer is not a superuser'\nuri_file",
	}
	s.writeConfig(t)

	s.publish(t, "7.13.100", both("ALTER TABLE entry ADD COLUMN district text NOT NULL DEFAULT 'Tula';"))
	code, out, errs := s.run(t, "update")
	require.Zero(t, code, out+errs)
	s.inOrder(t, "7.13.100")

	s.publish(t, "7.13.200", map[string]string{"АСП": "DROP TABLE entry;", "Опека": "DELETE FROM entry; SELECT 1/0;"})
	code, out, errs = s.run(t, "update")
	require.Equal(t, exitRolledBack, code, out+errs)
	s.inOrder(t, "7.13.100")

	admin, err := pgx.Connect(t.Context(), s.cluster.Admin("postgres"))
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close(t.Context())) }()
	closed := func() (closed bool) {
		require.NoError(t, admin.QueryRow(t.Context(), "SELECT datconnlimit = 0 FROM pg_database WHERE datname = 'opeka'").Scan(&closed))
		return closed
	}
	s.publish(t, "7.14.100", both(migrationDone))
	s.killWhen(t, closed)
	require.True(t, closed(), "only recover opens it")
	code, out, errs = s.run(t, "recover")
	require.Zero(t, code, out+errs)
	s.inOrder(t, "7.13.100")
	code, out, errs = s.run(t, "update")
	require.Zero(t, code, out+errs)
	s.inOrder(t, "7.14.100")
	require.Equal(t, []string{"asp", "opeka", "postgres"}, s.databases(t), "nothing is left behind")
}
