package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/demo"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The ASP-shaped site: an update of 20 databases, one of which fails in the second act, and the
// updater is killed at another in the third. The demo itself fails if its user was ever in,
// or anything was committed, while a database differed.
func TestR11ASPSite(t *testing.T) {
	t.Parallel()
	code, out, errs := aspupdate(t, []string{"TMPDIR=" + t.TempDir()}, "demo", "--site", "asp")
	require.Zero(t, code, "%s\n%s", out, errs)
	require.Empty(t, errs)
	requireASP(t, out, 20, "sqlite asp_13.db")
	require.Contains(t, out, "database 13 of 20")
	require.Contains(t, out, "== Act 1")
	require.Contains(t, out, "4 databases are being restructured, the version page shows 7.13.100 already, and no user is in")
	require.Contains(t, out, "database 7 is half restructured")
}

// The same in front of a real PostgreSQL, whose databases one pattern names.
func TestR11ASPSiteOnPostgres(t *testing.T) {
	t.Parallel()
	cluster := realtest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), cluster.Admin("postgres"))
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
	require.NoError(t, err)
	var names []string
	for i := range many(2) {
		names = append(names, fmt.Sprintf("asp_%02d", i+1))
		_, err := conn.Exec(t.Context(), "CREATE DATABASE "+names[i]+" OWNER clerk")
		require.NoError(t, err)
	}
	require.NoError(t, conn.Close(t.Context()))
	var out strings.Builder
	short := os.Getenv("ASPUPDATE_SOAK") == "" // the processor time
	err = demo.ASP{Short: short, Program: program, Dir: t.TempDir(), Names: names, Postgres: &demo.Postgres{
		Application: strings.Replace(cluster.URI("clerk", "clerk", "asp_01"), "asp_01", "{database}", 1), Maintenance: cluster.Admin("postgres"),
	}}.Run(t.Context(), &out)
	require.NoError(t, err, out.String())
	requireASP(t, out.String(), len(names), "postgres "+names[min(13, len(names))-1])
	require.NotContains(t, out.String(), cluster.Password)
}

func requireASP(t *testing.T, out string, databases int, fails string) {
	t.Helper()
	for _, want := range []string{
		"Act 2", "migrate " + fails + " failed", "rolled back", fmt.Sprintf("all %d databases are what they were", databases),
		"Act 3", "committed: the new version", "is half restructured", "recover went on with the rest",
		"What was promised", "never while a database differed", "All acts ended as expected",
	} {
		require.Contains(t, out, want)
	}
}
