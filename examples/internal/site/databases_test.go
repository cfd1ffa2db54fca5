package site

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/microsoft/go-mssqldb/msdsn"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

func TestPatternsAreRefusedWithTheirPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	t.Setenv("ASPUPDATE_TEST_URI", "server=localhost")
	for keys, want := range map[string]string{
		"name = 'asp'\ndatabases = 'asp_*'":                       `databases = "asp_*" excludes name = "asp"`,
		"except = ['x']":                                          "has no name: give the database's, or a pattern in databases",
		"name = 'asp'\nexcept = ['x']":                            "except needs databases",
		"databases = '[a'":                                        `the pattern "[a" cannot be read`,
		"databases = 'asp_*'\nexcept = ['[']":                     `the pattern "[" cannot be read`,
		"databases = '*'":                                         "which is the server's own",
		"databases = '*'\nexcept = ['template?', 'm*', 'tempdb']": "matches postgres, which is the server's own: write a narrower pattern, or add that name to except",
		"databases = 'templat*'":                                  "matches template0",
	} {
		text := strings.Replace(goodConfig(dir), "no_data", "# no_data", 1) + "\n[[postgres]]\n" + keys + "\n"
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := Load(path)
		require.ErrorIs(t, err, ErrConfig, keys)
		require.ErrorContains(t, err, want)
		require.Regexp(t, `\.toml:\d+:\d+: `, err.Error())
	}
	for keys, want := range map[string]string{
		"databases = 'M*'":    "matches master",
		"databases = 'asp_*'": "needs a connection string that begins with sqlserver://",
	} {
		text := strings.Replace(goodConfig(dir), "no_data", "# no_data", 1) + "\n[[mssql]]\n" + keys + "\nuri_env = 'ASPUPDATE_TEST_URI'\ndir = '" + filepath.ToSlash(dir) + "'\n"
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := Load(path)
		require.ErrorContains(t, err, want)
	}
}

func TestPatternsMatchNames(t *testing.T) {
	n := names{kind: "postgres", pattern: "asp_*", except: []string{"asp_test*", "*/old"}}
	for name, want := range map[string]bool{"asp_1": true, "asp_": true, "asp_a/b": true, "asp_ Опека": true, "ASP_1": false, "asp": false, "asp_test1": false, "asp_1/old": false} {
		require.Equal(t, want, n.matches(name, false), name)
	}
	require.True(t, n.matches("ASP_Опека", true))
	require.False(t, n.matches("ASP_Test", true))
	require.False(t, names{except: []string{"x"}}.matches("", false))
}

func TestConnectionStringsOfAPattern(t *testing.T) {
	for _, name := range []string{"asp", "Опека + 1", `o'neil "x" \ y`, "a/b?c=d&e", "/x", "%41"} {
		for _, uri := range []string{
			"postgres://boss:a%2Bb%20c@localhost:5433/postgres?sslmode=disable&connect_timeout=7", "postgresql://localhost?dbname=other", "", "host=localhost dbname=postgres", "host=localhost dbname='a b'",
		} {
			got, err := databaseURI("postgres", uri, name)
			require.NoError(t, err)
			cfg, err := pgx.ParseConfig(got)
			require.NoError(t, err, got)
			require.Equal(t, name, cfg.Database, uri)
			if strings.Contains(uri, "5433") {
				require.Equal(t, []any{"a+b c", uint16(5433), 7.0}, []any{cfg.Password, cfg.Port, cfg.ConnectTimeout.Seconds()})
			}
		}
		for _, uri := range []string{"sqlserver://boss:a%2Bb%20c@localhost/SQLEXPRESS?Database=master&encrypt=disable", "sqlserver://localhost"} {
			got, err := databaseURI("mssql", uri, name)
			require.NoError(t, err)
			cfg, err := msdsn.Parse(got)
			require.NoError(t, err, got)
			require.Equal(t, name, cfg.Database, uri)
			if cfg.Instance != "" {
				require.Equal(t, []any{"a+b c", "SQLEXPRESS", msdsn.Encryption(msdsn.EncryptionDisabled)}, []any{cfg.Password, cfg.Instance, cfg.Encryption})
			}
		}
	}
}

// TestPatternOnARealServer: twenty databases with names of all kinds, and those that must never be
// matched.
func TestPatternOnARealServer(t *testing.T) {
	t.Parallel()
	c := realtest.Postgres(t)
	admin := openDatabase(t, "pgx", c.Admin("postgres"))
	create := func(name string) { statement(t, admin, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()) }
	want := []string{`asp_ Опека "1"`, "asp_ВЕРХ", "asp_O'Neil", "asp_a/b", "asp_50%"}
	for i := len(want); i < 20; i++ {
		want = append(want, fmt.Sprintf("asp_%02d", i))
	}
	slices.Sort(want)
	for _, name := range append([]string{"asp_test", "ASP_1", "asp_05_aspupdate_clone_0123456789abcd", "opeka"}, want...) {
		create(name)
	}
	asp := postgresConfig{Databases: "asp_*", Except: []string{"asp_test*"}, secret: hidden(c.Admin("template1"))}
	s := func(more ...postgresConfig) *Site {
		return &Site{Config: &Config{State: t.TempDir(), Backups: t.TempDir(), Postgres: append([]postgresConfig{asp}, more...), Distributions: []distributionConfig{{
			Name: "АСП", Migrate: []migrateConfig{{Database: "asp_*", SQL: "SELECT 1"}},
		}}}}
	}
	found, err := s().resolved(t.Context())
	require.NoError(t, err)
	require.Len(t, found.Config.Postgres, 20)
	require.Len(t, found.patterns, 1)
	require.Equal(t, strings.Join(want, ", "), found.patterns[0].Names())
	var u rollback.Update
	found.protect(&u)
	require.Len(t, u.Data, 20)
	require.Len(t, found.migrations(found.Config.Distributions[0], u.Data), 20)
	for i, p := range found.Config.Postgres {
		require.Equal(t, "postgres "+want[i], u.Data[i].Name)
		require.True(t, p.exists(t.Context()))
		dir := openDatabase(t, "pgx", p.value())
		var name string
		require.NoError(t, dir.QueryRow("SELECT current_database()").Scan(&name))
		require.NoError(t, dir.Close())
		require.Equal(t, want[i], name)
	}
	again, err := found.resolved(t.Context())
	require.NoError(t, err)
	require.Same(t, found, again)

	// What a plan has, whatever the server has now.
	planned := s(postgresConfig{Name: "asp_x"}).planned([]string{"postgres asp_07", "postgres asp_gone", "postgres asp_x", "folder asp_y", "postgres asp_test"})
	require.Equal(t, Patterns{{"postgres asp_*", []string{"postgres asp_07", "postgres asp_gone"}}}, planned.patterns)
	require.Len(t, planned.Config.Postgres, 3)

	// The same database twice.
	for _, other := range []postgresConfig{
		{Name: "main", secret: hidden(c.Admin("asp_07"))},
		{Name: "asp_07", secret: hidden(c.Admin("opeka"))},
		{Databases: "*_07", secret: hidden(c.Admin("postgres"))},
	} {
		_, err := s(other).resolved(t.Context())
		require.ErrorIs(t, err, ErrConfig, other.Name)
		require.ErrorContains(t, err, "asp_07, which postgres "+cmp.Or(other.Name, "asp_*")+" has as well")
	}
	_, err = s(postgresConfig{Name: "opeka", secret: hidden(c.Admin("opeka"))}).resolved(t.Context())
	require.NoError(t, err)

	// None.
	none := s()
	none.Config.Postgres[0].Databases = "tula_*"
	_, err = none.resolved(t.Context())
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, `[[postgres]] databases = "tula_*": `)
	require.ErrorContains(t, err, "it matches none of the")
	none.First = true
	_, err = none.resolved(t.Context())
	require.NoError(t, err, "FullSetup creates them")

	// A name that a shell reads as more than a name, and one that cannot be printed.
	hostile := s()
	hostile.Config.Distributions[0].Migrate[0].Command = []string{"sh", "-c", "restructure {database}"}
	_, err = hostile.resolved(t.Context())
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, `the name "asp_O'Neil" of a database has other characters`)
	require.NotContains(t, err.Error(), "ВЕРХ")
	create("asp_\x1b[2J")
	_, err = s().resolved(t.Context())
	require.ErrorContains(t, err, "cannot be printed: rename it, or add it to except")
	statement(t, admin, "DROP DATABASE \"asp_\x1b[2J\"")

	// Between plan and run.
	require.NoError(t, s().same(t.Context(), found.patterns))
	create("asp_new")
	statement(t, admin, "DROP DATABASE asp_07")
	err = s().same(t.Context(), found.patterns)
	refused := &rollback.Error{}
	require.ErrorAs(t, err, &refused)
	require.Equal(t, rollback.ReasonPlanChanged, refused.Reason)
	require.ErrorContains(t, err, "the databases: appeared: postgres asp_new; gone: postgres asp_07")

	c.Stop()
	_, err = s().resolved(t.Context())
	require.ErrorContains(t, err, `[[postgres]] databases = "asp_*": cannot list the databases of the server: `)
	require.NotContains(t, err.Error(), c.Password)
	parts := s().fence(t.Context()).FenceState(t.Context())
	require.Equal(t, "databases", parts[0].Name)
	require.Equal(t, "unknown", parts[0].State)
}

func TestPurposesOfMuchDataAreSummedUp(t *testing.T) {
	var of []string
	p := Pattern{Name: "postgres asp_*"}
	for i := range 20 {
		of = append(of, fmt.Sprintf("sqlite asp_%02d.db: snapshot, sqlite asp_%02[1]d.db: kept old", i+1))
		p.Data = append(p.Data, fmt.Sprintf("postgres asp_%02d", i+1))
	}
	all := strings.Join(append(of, "folder /srv/asp: snapshot", "copies of the installers"), ", ")
	require.Equal(t, "sqlite asp_01.db, sqlite asp_02.db, sqlite asp_03.db and 17 more: snapshot, kept old\nfolder /srv/asp: snapshot\ncopies of the installers", Patterns{p}.Purposes(all))
	require.Equal(t, "postgres asp_*: snapshot, clone; copy of the installer",
		Patterns{p}.Purposes("postgres asp_07: snapshot, postgres asp_07: clone, postgres asp_02: snapshot, postgres asp_02: clone, copy of the installer"))
}
