package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// TestR15ANewMachineFromTheSecondPlaceAlone loses the machine: databases, roles, directories, state,
// archive, backups and configuration. The second place and two keys bring back all of it, by
// the steps of OPERATIONS.md.
func TestR15ANewMachineFromTheSecondPlaceAlone(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	base := t.TempDir()
	place, data, keyFile := filepath.Join(base, "second"), filepath.Join(base, "data"), filepath.Join(base, "key.txt")
	require.NoError(t, os.Mkdir(place, 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(data, "config"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "config", "asp.ini"), []byte("город = Тула"), 0o600))
	open := func() *sql.DB {
		db, err := sql.Open("sqlite", filepath.Join(data, "db", "asp.db"))
		require.NoError(t, err)
		return db
	}
	require.NoError(t, os.Mkdir(filepath.Join(data, "db"), 0o700))
	db := open()
	_, err := db.Exec("CREATE TABLE a (x text); INSERT INTO a VALUES ('Иванов')")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(keyFile, []byte(key.String()+"\n"), 0o600))
	s.config = map[string]string{"[window]\n": fmt.Sprintf(`[[directory]]
path = '%[1]s/config'
[[sqlite]]
path = '%[1]s/db/asp.db'
[copies]
dir = '%[2]s'
recipients = ['%[3]s']
same_volume = 'a test has one disk'
[window]
`, data, place, key.Recipient())}
	s.writeConfig(t)

	code, out, errs := s.run(t, "plan")
	require.NotZero(t, code, out+errs) // the server has nothing
	s.publish(t, "7.13.100", both(migrationDone))
	code, out, errs = s.run(t, "update", "--yes")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "copies: 5 lack one in "+place, "the plan shows what is missing: four installers and the configuration")
	code, out, errs = s.run(t, "copies", "run")
	require.Zero(t, code, out+errs)
	for _, what := range []string{
		"copied: snapshot before an update: postgres asp of ", "copied: snapshot before an update: sqlite asp.db of ", "copied: snapshot before an update: folder " + data,
		"copied: installer АСП 7.12.100 Setup of ", "copied: installer Опека 7.13.100 Setup of ", "copied: configuration aspupdate.toml of ", "copied: roles asp of ",
	} {
		require.Contains(t, out, what)
	}
	code, out, errs = s.run(t, "copies", "run")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "nothing new to copy")
	code, out, errs = s.run(t, "copies", "verify")
	require.Zero(t, code, out+errs)
	code, signer, errs := s.run(t, "copies", "key")
	require.Zero(t, code, signer+errs)
	signer = strings.TrimSpace(signer)
	code, out, errs = s.run(t, "status", "--json")
	require.Zero(t, code, out+errs)
	var st statusDoc
	require.NoError(t, json.Unmarshal([]byte(out), &st), out)
	require.Zero(t, st.Copies.Missing)
	require.Empty(t, st.Copies.Failed)
	require.Positive(t, st.Copies.Bytes)
	require.WithinDuration(t, time.Now(), st.Copies.Last, time.Minute)

	// The place is away: that is reported at once, and an update does not mind.
	require.NoError(t, os.Rename(place, place+".away"))
	code, out, errs = s.run(t, "copies", "run")
	require.Equal(t, exitOther, code, out+errs)
	require.Contains(t, errs, "is it mounted?")
	require.Contains(t, errs, "next: mount the disk or share")
	code, out, errs = s.run(t, "status")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "failing since")
	require.NoError(t, os.Rename(place+".away", place))
	s.publish(t, "7.14.100", map[string]string{"АСП": "nonsense;", "Опека": migrationDone})
	code, out, errs = s.run(t, "update", "--yes")
	require.Equal(t, exitRolledBack, code, out+errs)
	s.inOrder(t, "7.13.100")
	code, out, errs = s.run(t, "copies", "run")
	require.Zero(t, code, out+errs)

	// The machine is gone.
	for _, dir := range []string{s.dir, data, s.site} {
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	for _, b := range bundle {
		s.sql(t, "postgres", "DROP DATABASE "+b.database+" WITH (FORCE)")
	}
	s.sql(t, "postgres", "DROP ROLE clerk")

	into := filepath.Join(base, "rescue")
	code, out, errs = s.run(t, "copies", "restore", "--from", place, "--identity", keyFile, "--into", into)
	require.Equal(t, exitUsage, code, out+errs)
	code, out, errs = s.run(t, "copies", "restore", "--from", place, "--identity", keyFile, "--signer", signer, "--into", into)
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "Опека 7.13.100")
	confs, err := filepath.Glob(filepath.Join(into, "configuration-*"))
	require.NoError(t, err)
	require.Len(t, confs, 1)
	move := func(from, to string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o700))
		require.NoError(t, os.Rename(from, to))
	}
	move(filepath.Join(confs[0], "aspupdate.toml"), s.configFile())
	for _, b := range bundle {
		uri := filepath.Join(s.dir, b.database+".uri")
		move(filepath.Join(confs[0], "files", uri), uri)
	}
	move(filepath.Join(into, "backups"), filepath.Join(s.dir, "backups"))
	move(filepath.Join(into, "archive"), filepath.Join(s.dir, "archive"))
	roles, err := filepath.Glob(filepath.Join(into, "roles-*.sql"))
	require.NoError(t, err)
	require.NotEmpty(t, roles)
	psql := exec.Command(filepath.Join(s.cluster.Bin, "psql"), "-X", "-d", "postgres", "-f", roles[0])
	psql.Env = append(os.Environ(), s.env()...)
	text, err := psql.CombinedOutput()
	require.NoError(t, err, "%s", text)

	code, out, errs = s.run(t, "backups", "restore")
	require.Equal(t, exitOther, code, out+errs) // a directory is missing: it goes on after that
	require.Contains(t, out, "postgres asp is restored from ")
	require.NoError(t, os.Mkdir(filepath.Join(data, "db"), 0o700))
	code, out, errs = s.run(t, "backups", "restore")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "postgres asp exists already, and is left alone")
	require.Contains(t, out, "sqlite asp.db is restored from ")
	for _, b := range bundle {
		setups, err := filepath.Glob(filepath.Join(s.dir, "archive", b.distribution, "7.13.100", "Setup-*", "Setup.sh"))
		require.NoError(t, err)
		require.Len(t, setups, 1)
		setup := exec.Command("/bin/sh", setups[0], s.site, b.database)
		setup.Env = append(os.Environ(), s.env()...)
		text, err := setup.CombinedOutput()
		require.NoError(t, err, "%s", text)
	}
	code, out, errs = s.run(t, "adopt", "--reason", "new machine")
	require.Zero(t, code, out+errs)
	code, out, errs = s.run(t, "open", "--reason", "new machine")
	require.Zero(t, code, out+errs)
	code, out, errs = s.run(t, "status")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "АСП: committed 7.13.100")
	code, out, errs = s.run(t, "copies", "run")
	require.Equal(t, exitOther, code, out+errs)
	require.Contains(t, errs, "give a directory of its own")

	got, err := os.ReadFile(filepath.Join(data, "config", "asp.ini"))
	require.NoError(t, err)
	require.Equal(t, "город = Тула", string(got))
	db = open()
	var x string
	require.NoError(t, db.QueryRow("SELECT x FROM a").Scan(&x))
	require.NoError(t, db.Close())
	require.Equal(t, "Иванов", x)
	for i, b := range bundle { // with the password that the role had
		before := s.users[i].count()
		require.Eventually(t, func() bool { return s.users[i].count() > before }, 30*time.Second, 10*time.Millisecond, "users work again")
		conn, err := pgx.Connect(t.Context(), s.cluster.Admin(b.database))
		require.NoError(t, err)
		var version string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT version FROM meta").Scan(&version))
		require.Equal(t, "7.13.100", version)
		require.NoError(t, conn.Close(t.Context()))
	}
	// Nothing is restored over what is there.
	code, out, errs = s.run(t, "backups", "restore")
	require.Equal(t, exitRefused, code, out+errs)
	require.Contains(t, errs, "the journal knows what is installed here")
	left, err := os.ReadDir(filepath.Dir(data))
	require.NoError(t, err)
	for _, e := range left {
		require.False(t, strings.HasPrefix(e.Name(), ".aspupdate"), e.Name())
	}
}
