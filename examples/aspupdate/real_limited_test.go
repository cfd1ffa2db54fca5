package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUpdateWithAMaintenanceRoleThatIsNoSuperuser: doctor names the rights that such a role lacks; with them an
// update is carried out, and another one rolled back. Installers and probes come in by that role, too.
func TestUpdateWithAMaintenanceRoleThatIsNoSuperuser(t *testing.T) {
	t.Parallel()
	s := newLimitedSite(t, both("ALTER TABLE entry ADD COLUMN district text NOT NULL DEFAULT 'Tula'; CREATE TABLE child (id serial, entry int REFERENCES entry);"))
	code, out, errs := s.run(t, "update")
	require.Zero(t, code, out+errs)
	s.inOrder(t, "7.13.100")
	s.publish(t, "7.13.200", map[string]string{
		"АСП":   "CREATE TABLE more (entry int REFERENCES entry);",
		"Опека": "DELETE FROM entry WHERE id % 2 = 0; ALTER TABLE entry DROP COLUMN text;",
	})
	code, out, errs = s.run(t, "update")
	require.Equal(t, exitRolledBack, code, out+errs)
	s.inOrder(t, "7.13.100")
	require.Equal(t, []string{"asp", "opeka", "postgres"}, s.databases(t))
	s.sql(t, "asp", `DO $$ BEGIN ASSERT to_regclass('more') IS NULL, 'the new table is left';
		ASSERT (SELECT pg_get_userbyid(relowner) = 'clerk' FROM pg_class WHERE relname = 'child'), 'child belongs to another role';
		ASSERT (SELECT pg_get_userbyid(datdba) = 'clerk' AND has_database_privilege('public', oid, 'CONNECT') FROM pg_database WHERE datname = 'asp'), 'the database is not as it was';
		ASSERT NOT (SELECT rolsuper FROM pg_roles WHERE rolname = 'warden'), 'a superuser'; END $$`)
}

// newLimitedSite returns a site whose maintenance role has the rights that doctor asks for, and no more. It publishes
// 7.13.100 with these statements.
func newLimitedSite(t *testing.T, statements map[string]string) *realSite {
	t.Helper()
	s := newRealSite(t)
	s.maintenance = "warden"
	s.more = append(s.more, "PGUSER=warden", "PGPASSWORD=warden")
	s.sql(t, "postgres", "CREATE ROLE warden LOGIN PASSWORD 'warden'")
	s.writeConfig(t)
	s.publish(t, "7.13.100", statements)
	code, out, errs := s.run(t, "doctor")
	require.NotZero(t, code, out+errs)
	missing := regexp.MustCompile(`as a superuser run: (.*); or connect as a superuser`).FindStringSubmatch(out)
	require.NotNil(t, missing, out)
	for _, statement := range strings.Split(missing[1], "; ") {
		s.sql(t, "postgres", statement)
	}
	for _, b := range bundle { // as OPERATIONS.md has it: what the installer makes belongs to the owner
		s.sql(t, "postgres", "ALTER ROLE warden IN DATABASE "+b.database+" SET role = clerk")
		s.sql(t, b.database, "GRANT CREATE ON SCHEMA public TO clerk")
	}
	code, out, errs = s.run(t, "doctor")
	require.Zero(t, code, out+errs)
	return s
}
