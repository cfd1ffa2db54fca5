package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

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
	for i := range many(5) {
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
	killed := min(7, len(names)-1) // those before it are done, and another one may be
	require.Regexp(t, fmt.Sprintf(`database %d is half restructured, (%d|%d) are done`, killed, killed-1, len(names)-1), out.String())
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

// TestSoakASP has something happen at random moments of updates of 20 databases: see [demo.ASP.Soak].
func TestSoakASP(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no process can send another one a Ctrl-C")
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("ASPUPDATE_SOAK_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	actions, done, ends := soaking(1000, 1), 0, map[string]int{}
	if n, err := strconv.Atoi(os.Getenv("ASPUPDATE_SOAK_ACTIONS")); err == nil {
		actions = n
	}
	begun := time.Now()
	for done < actions {
		n := min(25, actions-done) // a new site for each 25: each archives a program for every release
		var out strings.Builder
		err := demo.ASP{Program: program, Dir: t.TempDir()}.Soak(t.Context(), &out, rnd, n, ends)
		require.NoError(t, err, out.String())
		done += n
		t.Logf("%d actions, %s each: %v", done, (time.Since(begun) / time.Duration(done)).Round(time.Millisecond), ends)
	}
	t.Logf("%d actions: never a user in and never a commit while a database differed, no row lost", done)
}
