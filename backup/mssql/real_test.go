package mssql

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup/backuptest"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// testPrefix begins the statements of these tests; the simulated server takes any of
// them as a change of the data.
const testPrefix = "/* test */ "

// A course runs the self-test and the suite of package backup on a server, with
// databases that it makes and drops.
func course(t *testing.T, target Database) {
	target.name = ""
	tested, err := target.SelfTest(t.Context())
	require.NoError(t, err)
	t.Logf("%s, %s", tested.Server, tested.Version)
	target.Tested = tested
	n := 0
	backuptest.Test(t, func(t *testing.T) backuptest.Fixture {
		n++
		db, name := target, fmt.Sprintf("aspupdate test ]'%d", n)
		db.name = name
		// Like master, for what is not about the database itself.
		server := func(use func(s *session)) {
			s, err := db.connect(t.Context())
			require.NoError(t, err)
			defer s.close()
			use(s)
		}
		drop := func() {
			server(func(s *session) { erase(t, s, name) })
		}
		set := func(s *session, on bool) {
			_, err := s.prove(t.Context())
			require.NoError(t, err)
			require.NoError(t, s.alter(t.Context(), name, sqlSet(name, "TRUSTWORTHY", on)))
		}
		drop()
		server(func(s *session) {
			require.NoError(t, s.exec(t.Context(), sqlCreate(name)))
			require.NoError(t, s.run(t.Context(), scratch))
			set(s, true)
		})
		require.NoError(t, db.Close(t.Context()))
		changes := 0
		return backuptest.Fixture{
			Target: &db,
			Change: func(t *testing.T) {
				changes++
				server(func(s *session) {
					err := s.within(t.Context(), name, func(c *sql.Conn) error {
						for _, statement := range []string{
							fmt.Sprintf("CREATE TABLE dbo.added%d (id int NOT NULL)", changes),
							fmt.Sprintf("INSERT dbo.added%d VALUES (%d)", changes, changes),
							fmt.Sprintf("UPDATE dbo.families SET note = N'note %d'", changes),
							"DELETE TOP (3) FROM dbo.heap",
						} {
							if _, err := c.ExecContext(t.Context(), testPrefix+statement); err != nil {
								return err
							}
						}
						return nil
					})
					require.NoError(t, err)
					set(s, changes%2 == 0)
				})
			},
			State: func(t *testing.T) (state string) {
				server(func(s *session) {
					f, err := s.describe(t.Context(), name)
					require.NoError(t, err)
					f.Files, f.Bytes, f.ID, f.GUID = nil, 0, 0, ""
					b, err := json.Marshal(f)
					require.NoError(t, err)
					state = string(b)
				})
				return state
			},
		}
	})
	last := target
	last.name = "x"
	s, err := last.connect(t.Context())
	require.NoError(t, err)
	defer s.close()
	erase(t, s, "aspupdate test ]'")
}

// erase drops databases of these tests.
func erase(t *testing.T, s *session, prefix string) {
	names, err := s.names(t.Context())
	require.NoError(t, err)
	s.name = "aspupdate test"
	for _, each := range names {
		if !strings.HasPrefix(each, prefix) {
			continue
		}
		st, err := s.status(t.Context(), each)
		require.NoError(t, err)
		s.known = map[string]status{each: st}
		require.NoError(t, (&place{s}).Drop(t.Context(), each))
	}
}

// The tests for a real server run on the simulated one as well.
func TestCourseOnTheSimulatedServer(t *testing.T) {
	s := newSim()
	d := s.newTarget(t.TempDir(), "x")
	course(t, *d)
	require.Len(t, s.dbs, len(system))
}

// The server is the one that ASPUPDATE_MSSQL_URI names, with a login that is a
// sysadmin. ASPUPDATE_MSSQL_DIR is a directory in which its account can write, and
// ASPUPDATE_MSSQL_SERVER_DIR is that as it sees it. Databases named "aspupdate test …" and
// aspupdate_selftest are made there, and dropped.
func TestCourseOnARealServer(t *testing.T) {
	uri := os.Getenv("ASPUPDATE_MSSQL_URI")
	if uri == "" {
		realtest.SkipAbsent(t, "mssql", "no SQL Server: set ASPUPDATE_MSSQL_URI, ASPUPDATE_MSSQL_DIR and ASPUPDATE_MSSQL_SERVER_DIR")
	}
	_, err := url.Parse(uri)
	require.True(t, err == nil, "ASPUPDATE_MSSQL_URI is invalid") // the error may have the password
	course(t, Database{URI: uri, Dir: os.Getenv("ASPUPDATE_MSSQL_DIR"), ServerDir: os.Getenv("ASPUPDATE_MSSQL_SERVER_DIR")})
}
