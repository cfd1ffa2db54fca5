package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A district is a site with many databases of a real PostgreSQL, which one pattern names. A program
// restructures them one by one after the installer, four at a time. In its own directory a file
// wait-NAME makes that of one database wait, and fail-NAME makes it fail.
type district struct {
	*scriptSite
	cluster *realtest.Cluster
	names   []string
}

// restructureFirst begins that program.
const restructureFirst = `set -e
[ -e "$1/closed" ] || { echo users are in >&2; exit 1; }
while [ -e "$1/wait-$2" ]; do touch "$1/waiting-$2"; sleep 0.05; done
if [ -e "$1/fail-$2" ]; then echo column KIND is missing >&2; exit 1; fi
`

func newDistrict(t *testing.T, count int) *district {
	t.Helper()
	s := &district{cluster: realtest.Postgres(t)}
	s.scriptSite = newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
fence_status = ['/usr/bin/test', '!', '-e', '${OWN}/closed']
[[postgres]]
databases = 'asp_*'
except = ['asp_test*']
uri_file = '${OWN}/asp.uri'`, `
[[distribution.migrate]]
database = 'asp_*'
command = ['/bin/sh', '${OWN}/restructure.sh', '${OWN}', '{database}']
sql = 'SELECT version FROM about'
environment = ['PGHOST', 'PGPORT', 'PGUSER', 'PGPASSWORD']
`)
	config, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), "parallel = 4\n"+string(config))
	s.write(filepath.Join(s.own, "restructure.sh"), restructureFirst+fmt.Sprintf(`'%s/psql' -XAtqd "$2" -v ON_ERROR_STOP=1 -c "UPDATE about SET version = '$(cat '%s/version')'; INSERT INTO entry VALUES ('restructured')"
`, s.cluster.Bin, s.site))
	require.NoError(t, os.WriteFile(filepath.Join(s.own, "asp.uri"), []byte(s.cluster.Admin("postgres")+"\n"), 0o600))
	s.env = []string{"PGHOST=127.0.0.1", fmt.Sprint("PGPORT=", s.cluster.Port), "PGUSER=postgres", "PGPASSWORD=" + s.cluster.Password}
	s.sql("postgres", "CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
	s.create("sample")
	s.sql("sample", "SET ROLE clerk; CREATE TABLE about AS SELECT '7.12.100'::text AS version; CREATE TABLE entry AS SELECT 'a citizen'::text AS text")
	special := map[int]string{2: "asp_Опека 02", 5: "asp_ВЕРХ.05", 9: "asp_O09"}
	for i := 1; i <= count; i++ {
		s.names = append(s.names, cmp.Or(special[i], fmt.Sprintf("asp_%02d", i)))
	}
	for _, name := range append([]string{"asp_test"}, s.names...) {
		s.create(name)
	}
	s.installed("7.12.100")
	s.release("7.13.100")
	return s
}

func (s *district) release(version string) {
	s.publish(version, "Setup", "echo "+version+" > $1/version\n")
}

func (s *district) sql(database, text string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.cluster.Admin(database))
	require.NoError(s.t, err)
	_, err = conn.Exec(s.t.Context(), text)
	require.NoError(s.t, err)
	require.NoError(s.t, conn.Close(s.t.Context()))
}

// create makes a database like the others.
func (s *district) create(name string) {
	s.t.Helper()
	template := "sample"
	if name == template {
		template = "template1"
	}
	s.sql("postgres", "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" OWNER clerk TEMPLATE "+template)
}

// all fails unless users are in, every database of the pattern has the version and the rows that it
// must have, and none was left behind besides others.
func (s *district) all(version string, rows int, others ...string) {
	s.t.Helper()
	require.NoFileExists(s.t, filepath.Join(s.own, "closed"))
	require.Equal(s.t, version, strings.TrimSpace(s.read("version")))
	admin, err := pgx.Connect(s.t.Context(), s.cluster.Admin("postgres"))
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, admin.Close(s.t.Context())) }()
	list, err := admin.Query(s.t.Context(), "SELECT datname FROM pg_database WHERE datconnlimit = -1 AND NOT datistemplate")
	require.NoError(s.t, err)
	there, err := pgx.CollectRows(list, pgx.RowTo[string])
	require.NoError(s.t, err)
	require.ElementsMatch(s.t, append(append([]string{"postgres", "sample", "asp_test"}, s.names...), others...), there)
	for _, name := range s.names {
		conn, err := pgx.Connect(s.t.Context(), s.cluster.Admin(name))
		require.NoError(s.t, err)
		var v string
		var n int
		require.NoError(s.t, conn.QueryRow(s.t.Context(), "SELECT version, (SELECT count(*) FROM entry) FROM about").Scan(&v, &n))
		require.NoError(s.t, conn.Close(s.t.Context()))
		require.Equal(s.t, version, v, name)
		require.Equal(s.t, rows, n, name)
	}
}

func (s *district) plan() (hash, screen string) {
	s.t.Helper()
	code, out := s.run("plan")
	require.Zero(s.t, code, out)
	return regexp.MustCompile(`(?m)^plan (\S+)$`).FindStringSubmatch(out)[1], out
}

// TestManyDatabases: a database that appears after the plan is a changed plan. An update that is killed
// goes on with the databases that it began with, whatever the server has since, and one that
// fails takes all back.
func TestManyDatabases(t *testing.T) {
	t.Parallel()
	s := newDistrict(t, many(2))
	code, out := s.run("doctor")
	require.Zero(t, code, out)
	require.Contains(t, out, fmt.Sprintf("databases postgres asp_*: %d: asp_01, asp_", len(s.names)))
	require.Equal(t, 1, strings.Count(out, "the role has the rights"), out)
	code, out = s.run("fetch")
	require.Zero(t, code, out)
	hash, screen := s.plan()
	require.Contains(t, screen, fmt.Sprintf("postgres asp_*, databases: %d: asp_01, asp_", len(s.names)))
	require.Contains(t, screen, fmt.Sprintf("snapshot postgres asp_*, %d\n", len(s.names)))
	require.Equal(t, 1, strings.Count(screen, s.names[1]), "the rest of a plan does not grow with the databases:\n%s", screen)

	s.create("asp_new")
	code, out = s.run("update", "--plan", hash)
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "the plan is now")
	s.all("7.12.100", 1, "asp_new")
	s.sql("postgres", "DROP DATABASE asp_new")

	s.write(filepath.Join(s.own, "fail-asp_01"), "") // once it no longer waits
	s.killed("asp_01")
	s.create("asp_new")
	code, out = s.run("recover")
	require.Zero(t, code, out)
	require.Contains(t, out, "migrate postgres asp_01")
	require.Contains(t, out, "column KIND is missing")
	s.all("7.12.100", 1, "asp_new")

	if os.Getenv("ASPUPDATE_SOAK") != "" {
		require.NoError(t, os.Remove(filepath.Join(s.own, "fail-asp_01")))
		s.names = append(s.names, "asp_new")
		s.release("7.13.200")
		code, out = s.run("update")
		require.Zero(t, code, out)
		s.all("7.13.200", 2)
		s.create("asp_newer")
		s.back()
		s.all("7.12.100", 1, "asp_newer")
	}
}

// A database that is created while users are being kept out ends the update before anything is
// installed: it has no backup.
func TestADatabaseAppearsWhileUsersGoOut(t *testing.T) {
	t.Parallel()
	s := newDistrict(t, 2)
	config, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), strings.Replace(string(config), "close = ['/bin/touch', '"+s.own+"/closed']", fmt.Sprintf(
		`close = ['/bin/sh', '-c', 'touch "$0/closed"; "$1/psql" -Xqd postgres -c "CREATE DATABASE asp_new OWNER clerk TEMPLATE sample"', '%s', '%s']
environment = ['PGHOST', 'PGPORT', 'PGUSER', 'PGPASSWORD']`, s.own, s.cluster.Bin), 1))
	code, out := s.run("update", "--override", "R9", "--reason", "a test")
	require.Equal(t, exitAbandoned, code, out)
	require.Contains(t, out, "appeared: postgres asp_new")
	s.all("7.12.100", 1, "asp_new")
}

// many returns how many databases a test has: in the normal run only so many that one differs from
// several.
func many(few int) int {
	if os.Getenv("ASPUPDATE_SOAK") != "" {
		return 20
	}
	return few
}

// killed starts an update and kills it while the restructuring of a database waits.
func (s *scriptSite) killed(name string) {
	s.t.Helper()
	wait := filepath.Join(s.own, "wait-"+name)
	s.write(wait, "")
	cmd := exec.Command(program, "update", "--override", "R9", "--reason", "a test", "--config", s.config())
	cmd.Env = append(append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password), s.env...)
	require.NoError(s.t, cmd.Start())
	require.Eventually(s.t, func() bool {
		_, err := os.Stat(filepath.Join(s.own, "waiting-"+name))
		return err == nil
	}, 2*time.Minute, 20*time.Millisecond)
	require.NoError(s.t, cmd.Process.Kill())
	require.Error(s.t, cmd.Wait())
	require.NoError(s.t, os.Remove(wait))
}

// back rolls the last update back, as a person does.
func (s *scriptSite) back() {
	s.t.Helper()
	code, out := s.run("rollback")
	require.Zero(s.t, code, out)
	hash := regexp.MustCompile(`--confirm ([0-9a-f]+)`).FindStringSubmatch(out)
	require.NotNil(s.t, hash, out)
	code, out = s.run("rollback", "--confirm", hash[1], "--reason", "a test")
	require.Zero(s.t, code, out)
}

// TestManySQLServerDatabases is the same with twenty databases of a simulated SQL Server: one that
// fails takes all back, then all are updated in spite of a kill, and a person goes back.
func TestManySQLServerDatabases(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the site's installers are shell scripts")
	}
	server := newSQLServer(t)
	names := []string{"asp_Опека 00", "ASP_ВЕРХ.01"}
	for i := len(names); i < 20; i++ {
		names = append(names, fmt.Sprintf("asp_%02d", i))
	}
	for _, name := range append([]string{"asp_test", "opeka"}, names...) {
		require.Equal(t, "ok", server.ask(t, "add "+name))
	}
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
fence_status = ['/usr/bin/test', '!', '-e', '${OWN}/closed']
[[mssql]]
databases = 'asp_*'
except = ['asp_test']
uri_file = '${OWN}/asp.uri'
dir = '`+server.dir+`'`, `
[[distribution.migrate]]
database = 'asp_*'
command = ['/bin/bash', '${OWN}/restructure.sh', '${OWN}', '{database}']
structure = ['/bin/bash', '${OWN}/structure.sh', '{database}']
`)
	host, port, _ := strings.Cut(server.control, ":")
	ask := "exec 3<>/dev/tcp/" + host + "/" + port + "; echo \"%s\" >&3; read line <&3\n"
	s.write(filepath.Join(s.own, "restructure.sh"), restructureFirst+fmt.Sprintf(ask, "update $2 to $(cat "+s.site+"/version)"))
	s.write(filepath.Join(s.own, "structure.sh"), fmt.Sprintf(ask, "state $1")+"echo ${line##*[ ,]}\n")
	config, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), "parallel = 4\n"+string(config))
	require.NoError(t, os.WriteFile(filepath.Join(s.own, "asp.uri"), []byte("sqlserver://maintenance:s3cr3t@"+server.addr+"?encrypt=disable\n"), 0o600))
	s.installed("7.12.100")
	s.publish("7.13.100", "Setup", "echo 7.13.100 > $1/version\n")
	all := func(versions string) {
		t.Helper()
		require.NoFileExists(t, filepath.Join(s.own, "closed"))
		for _, name := range names {
			require.Equal(t, strings.TrimSpace("MULTI_USER "+versions), server.ask(t, "state "+name), name)
		}
		require.Equal(t, "MULTI_USER", server.ask(t, "state asp_test"))
	}

	code, out := s.run("update", "--yes", "--override", "R9", "--reason", "a test")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "mssql asp_*: not tested on this SQL Server")
	code, out = s.run("prove") // the self-test passes, once; there is no snapshot yet
	require.Equal(t, exitOther, code, out)
	code, out = s.run("doctor")
	require.Zero(t, code, out)
	require.Contains(t, out, "databases mssql asp_*: 20: ASP_ВЕРХ.01, asp_02, ")
	require.Equal(t, 1, strings.Count(out, "the self-test has passed"), out)

	s.write(filepath.Join(s.own, "fail-asp_13"), "")
	code, out = s.run("update", "--yes", "--override", "R9", "--reason", "a test")
	require.Equal(t, exitRolledBack, code, out)
	require.Contains(t, out, "migrate mssql asp_13: ")
	require.Contains(t, out, "column KIND is missing")
	all("")
	s.last = ""
	require.NoError(t, os.Remove(filepath.Join(s.own, "fail-asp_13")))

	s.publish("7.13.200", "Setup", "echo 7.13.200 > $1/version\n")
	s.killed("asp_07")
	require.Equal(t, "ok", server.ask(t, "add asp_new"))
	code, out = s.run("recover")
	require.Zero(t, code, out)
	require.Equal(t, "7.13.200\n", s.read("version"))
	all("7.13.200")
	require.Equal(t, "MULTI_USER", server.ask(t, "state asp_new"))

	code, out = s.run("status")
	require.Zero(t, code, out)
	require.Contains(t, out, "mssql asp_*: the self-test has passed on SIM")
	s.back()
	require.Equal(t, "7.12.100\n", s.read("version"))
	all("")
	require.Equal(t, "MULTI_USER", server.ask(t, "state asp_new"))
	require.NotContains(t, out, "s3cr3t")
}
