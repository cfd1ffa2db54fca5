package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// TestUpdateOnRealServers is the whole flow on vsftpd and PostgreSQL: a good
// release of a bundle, a broken one, and one whose updater is killed.
func TestUpdateOnRealServers(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	const migration = "ALTER TABLE entry ADD COLUMN district text NOT NULL DEFAULT 'Tula'; CREATE INDEX ON entry (district);"

	t.Run("good", func(t *testing.T) {
		s.publish(t, "7.13.100", both(migration))
		boss, err := pgx.Connect(t.Context(), s.cluster.Admin("asp")+"&application_name=theapp")
		require.NoError(t, err)
		defer func() { _ = boss.Close(context.Background()) }()
		code, out, errs := s.run(t, "update")
		require.Zero(t, code, out+errs)
		require.Regexp(t, "(?m)^ +asp: .*theapp", out, "connections that the database's fence cannot refuse are reported")
		require.Contains(t, out, "UNAUTHENTICATED", "plain FTP without a pinned hash is reported")
		require.Contains(t, out, "R14", "7.12 is December and 7.13 January")
		s.inOrder(t, "7.13.100")
		code, _, errs = s.run(t, "update")
		require.Equal(t, exitNothing, code, errs)
	})
	t.Run("checked", func(t *testing.T) {
		code, out, errs := s.run(t, "doctor")
		require.Zero(t, code, out+errs)
		require.Regexp(t, `(?m)^ok       postgres \S+: PostgreSQL \d+.*, the role has the rights that it needs, pg_dump \(PostgreSQL\) \d+`, out)
		require.Regexp(t, `(?m)^ok       space .*an update needs \d+ MB: .*snapshot`, out)
		require.Equal(t, 2, strings.Count(out, "the Setup of 7.13.100 is intact (R10)"), out)
		code, out, errs = s.run(t, "check")
		require.Equal(t, exitNothing, code, out+errs)
		code, out, errs = s.run(t, "archive", "prune", "--keep", "1", "--dry-run")
		require.Zero(t, code, out+errs)
		require.Contains(t, out, "nothing to remove", "an operator may still roll back")
	})
	t.Run("R15 broken", func(t *testing.T) {
		// The bundle's second part fails after the first was installed: both are rolled back.
		s.publish(t, "7.13.200", map[string]string{
			"АСП":   "CREATE TABLE child (entry int REFERENCES entry); ALTER DATABASE asp SET work_mem = '8MB';",
			"Опека": "DELETE FROM entry WHERE id % 2 = 0; ALTER TABLE entry DROP COLUMN text;",
		})
		code, out, errs := s.run(t, "update")
		require.Equal(t, exitRolledBack, code, out+errs)
		s.inOrder(t, "7.13.100")
		var left any
		conn, err := pgx.Connect(t.Context(), s.cluster.Admin("asp"))
		require.NoError(t, err)
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT to_regclass('child')::text").Scan(&left))
		require.Nil(t, left, "the first part's new table is gone too")
		require.NoError(t, conn.Close(t.Context()))
		code, _, errs = s.run(t, "update")
		require.Equal(t, exitRefused, code, "it is not tried again automatically: %s", errs)
		require.Contains(t, errs, "quarantine")
	})
	for _, c := range []struct{ name, version, statements, want string }{
		{"killed, forward", "7.14.100", "SELECT pg_sleep(2);", "7.14.100"},
		{"killed, back", "7.14.200", "DELETE FROM entry; SELECT pg_sleep(2); SELECT 1/0;", "7.14.100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.publish(t, c.version, map[string]string{"АСП": migrationDone, "Опека": c.statements})
			s.killMidway(t)
			code, out, errs := s.run(t, "recover")
			require.Zero(t, code, out+errs)
			s.inOrder(t, c.want)
		})
	}
	t.Run("R15 rolled back by an operator, and undone", func(t *testing.T) {
		acked := []int{s.users[0].count(), s.users[1].count()}
		s.revert(t, "7.13.100")
		s.revert(t, "7.14.100")
		for i, b := range bundle {
			conn, err := pgx.Connect(t.Context(), s.cluster.Admin(b.database))
			require.NoError(t, err)
			var kept int
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM entry WHERE id BETWEEN 1 AND $1", acked[i]).Scan(&kept))
			require.Equal(t, acked[i], kept, "what was entered until the rollback was set aside and is restored")
			require.NoError(t, conn.Close(t.Context()))
		}
	})
	require.Equal(t, []string{"asp", "opeka", "postgres"}, s.databases(t), "nothing is left behind")
}

// revert shows a rollback or its undo, confirms it, and checks the version.
func (s *realSite) revert(t *testing.T, version string) {
	t.Helper()
	code, out, errs := s.run(t, "rollback", "--json")
	require.Zero(t, code, out+errs)
	var plan rollback.Plan
	require.NoError(t, json.Unmarshal([]byte(out), &plan))
	require.Contains(t, plan.Revert.Rows(), "postgres asp public.entry ", "what was entered is counted")
	code, out, errs = s.run(t, "rollback", "--confirm", plan.Hash, "--reason", "a test")
	require.Zero(t, code, out+errs)
	for i, b := range bundle {
		software, err := os.ReadFile(filepath.Join(s.site, b.database))
		require.NoError(t, err)
		require.Equal(t, version, strings.TrimSpace(string(software)))
		conn, err := pgx.Connect(t.Context(), s.cluster.Admin(b.database))
		require.NoError(t, err)
		var schema string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT version FROM meta").Scan(&schema))
		require.Equal(t, version, schema)
		require.NoError(t, conn.Close(t.Context()))
		before := s.users[i].count()
		require.Eventually(t, func() bool { return s.users[i].count() > before }, 20*time.Second, 10*time.Millisecond, "users work again")
	}
}
