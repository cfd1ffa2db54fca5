//go:build unix

package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// An office is a site with twenty databases, which a program restructures one by
// one after the installer, four at a time. The ASP-shaped site has one that fails, and a kill.
type office struct{ *scriptSite }

const offices = 20

// restructure is that program: it counts how many of it run, and changes a
// database in two transactions.
const restructure = `import sqlite3, sys
site, own, base = sys.argv[1:]
if open(site + "/entry").read() != "closed":
    sys.exit("users are in")
open(own + "/begun", "a").write(base + "\n")
db = sqlite3.connect(site + "/" + base, timeout=30)
db.execute("UPDATE about SET version = 'half'")
db.commit()
db.execute("UPDATE about SET version = ?", [open(site + "/version").read().strip()])
db.execute("INSERT INTO entry VALUES ('restructured')")
db.commit()
`

func newOffice(t *testing.T) office {
	t.Helper()
	python := "/usr/bin/python3" // what is first in PATH may be a script of a version manager, and slow
	if _, err := os.Stat(python); err != nil {
		python = realtest.Program(t, "python3")
	}
	var databases, migrations strings.Builder
	for i := range offices {
		fmt.Fprintf(&databases, "[[sqlite]]\npath = '${SITE}/%s'\n", base(i))
		fmt.Fprintf(&migrations, "[[distribution.migrate]]\ndatabase = '%s'\ncommand = ['%s', '${OWN}/restructure.py', '${SITE}', '${OWN}', '%[1]s']\n", base(i), python)
		fmt.Fprintf(&migrations, "structure = ['%s', '-c', 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(\"SELECT version FROM about\").fetchone()[0])', '${SITE}/%s']\n", python, base(i))
	}
	s := office{newScriptSite(t, `
close = ['/bin/sh', '-c', 'printf closed > ${SITE}/entry']
open = ['/bin/sh', '-c', 'printf open > ${SITE}/entry']
`+databases.String(), migrations.String())}
	config, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), "parallel = 4\n"+string(config))
	s.write(filepath.Join(s.own, "restructure.py"), restructure)
	s.write(filepath.Join(s.site, "entry"), "open")
	for i := range offices {
		db, err := sql.Open("sqlite", filepath.Join(s.site, base(i)))
		require.NoError(t, err)
		for _, statement := range []string{"CREATE TABLE about (version TEXT)", "INSERT INTO about VALUES ('7.12.100')", "CREATE TABLE entry (text TEXT)", "INSERT INTO entry VALUES ('a citizen')"} {
			_, err = db.Exec(statement)
			require.NoError(t, err)
		}
		require.NoError(t, db.Close())
	}
	s.installed("7.12.100")
	s.publish("7.13.100", "Setup", "echo 7.13.100 > $1/version\n")
	return s
}

func base(i int) string { return fmt.Sprintf("base%02d.db", i+1) }

// all fails unless users are in, and every database has the version of the
// application and the rows that it must have.
func (s office) all(version string, rows int) {
	s.t.Helper()
	require.Equal(s.t, "open", s.read("entry"))
	require.Equal(s.t, version, strings.TrimSpace(s.read("version")))
	for i := range offices {
		db, err := sql.Open("sqlite", filepath.Join(s.site, base(i)))
		require.NoError(s.t, err)
		var v string
		var n int
		require.NoError(s.t, db.QueryRow("SELECT version, (SELECT count(*) FROM entry) FROM about").Scan(&v, &n))
		require.NoError(s.t, db.Close())
		require.Equal(s.t, version, v, base(i))
		require.Equal(s.t, rows, n, base(i))
	}
}

func (s office) begun() []string {
	b, err := os.ReadFile(filepath.Join(s.own, "begun"))
	require.NoError(s.t, err)
	return strings.Fields(string(b))
}

func TestR11TwentyDatabasesAreRestructuredBeforeUsersAreIn(t *testing.T) {
	t.Parallel()
	s := newOffice(t)
	code, out := s.run("fetch")
	require.Zero(t, code, out)
	s.screens()
	code, out = s.run("update")
	require.Zero(t, code, out)
	require.Contains(t, out, "migrate sqlite base13.db")
	s.all("7.13.100", 2)
	require.Len(t, s.begun(), offices)
	_, out = s.run("rollback", "--json")
	hash := regexp.MustCompile(`"hash": "([0-9a-f]+)"`).FindStringSubmatch(out)
	require.NotNil(t, hash, out)
	code, out = s.run("rollback", "--confirm", hash[1], "--reason", "a test")
	require.Zero(t, code, out)
	s.all("7.12.100", 1)
	require.Len(t, s.begun(), offices, "the data comes back with its structure")
}

// screens compares what plan and doctor print of many databases, and of how long users are out, with
// the files in testdata/screens. No line is longer than a terminal of two lines.
func (s office) screens() {
	s.t.Helper()
	text, err := os.ReadFile(s.config())
	require.NoError(s.t, err)
	defer s.write(s.config(), string(text))
	s.write(s.config(), s.windowed(string(text)))
	for language, want := range map[string]string{
		"en": "  users out for at most 3 h 14 min: snapshot 30 min, install 4 min, migrate 2 h, probe 10 min, rollback 30 min\n",
		"ru": "  вход закрыт не дольше чем 3 ч 14 мин: резервная копия 30 мин, установка 4 мин, перестройка базы 2 ч, проба 10 мин, возврат 30 мин\n",
	} {
		screen := func(command string) string {
			_, out, errs := aspupdate(s.t, []string{"SITE_FTP_PASSWORD=" + s.server.Password, "NO_COLOR=1", "LC_ALL=" + language, "ASPUPDATE_CONFIG=" + s.config()}, command)
			return s.stable(out + errs)
		}
		plan, doctor := screen("plan"), screen("doctor")
		require.Contains(s.t, plan, want)
		for i := range offices {
			require.Equal(s.t, 2, strings.Count(plan, " sqlite "+base(i)+"\n"), "a snapshot and a restructuring of each")
		}
		for line := range strings.Lines(plan + doctor) {
			require.LessOrEqual(s.t, utf8.RuneCountInString(line), 200, line)
		}
		for line := range strings.Lines(doctor) {
			if strings.Contains(line, "${SIZE}") {
				plan += "\n" + line
			}
		}
		compareScreen(s.t, "databases-"+language, plan)
	}
	s.write(s.config(), strings.Replace(s.windowed(string(text)), "checks =", "restructuring = '5h'\nchecks =", 1))
	require.Contains(s.t, s.output("plan"), "migrate 5 h,")
}

// windowed returns a configuration that keeps to the support hours.
func (s office) windowed(text string) string {
	return strings.Replace(text, "any_time = 'a test'", "backup = '30m'\nchecks = '10m'\nrollback = '30m'", 1)
}
