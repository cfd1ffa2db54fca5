package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Servers of other versions than Debian's are in ASPUPDATE_POSTGRES, each in a directory named by its major
// version, as .ci/run unpacks them from npm packages. Those hold no clients: Debian's take their place, which
// cannot dump newer servers. Clients that are put into bin beside such a server are used.

// majors are the oldest and the newest, and all of them with ASPUPDATE_SOAK=1.
func majors() []int {
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		return []int{13, 14, 16, 17, 18}
	}
	return []int{13, 18}
}

// otherServer starts a server of that version, and returns the directory of the clients that it is used with.
func otherServer(t *testing.T, major int) (c *realtest.Cluster, clients string) {
	t.Helper()
	from := filepath.Join(os.Getenv("ASPUPDATE_POSTGRES"), strconv.Itoa(major))
	if _, err := os.Stat(filepath.Join(from, "bin", "postgres")); err != nil {
		realtest.SkipAbsent(t, "postgres", "no PostgreSQL %d in ASPUPDATE_POSTGRES: %v", major, err)
	}
	bin := filepath.Join(from, "bin")
	if os.Getuid() == 0 { // the server's account may not enter the directory
		dir := filepath.Join(realtest.SharedDir(t), "server")
		out, err := exec.Command("cp", "-r", "--preserve=mode,links", from, dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
		bin = filepath.Join(dir, "bin")
	}
	c, err := realtest.StartPostgresOf(bin)
	require.NoError(t, err)
	t.Cleanup(c.Stop)
	clients = filepath.Join(from, "bin")
	if _, err := os.Stat(filepath.Join(clients, "pg_dump")); err != nil {
		clients = server(t).Bin
	}
	c.Bin = clients
	return c, clients
}

func TestTakeProveRestoreAndAttacksOnOtherServers(t *testing.T) {
	t.Parallel()
	for _, major := range majors() {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			c, _ := otherServer(t, major)
			w := newWorldOn(t, c)
			server, _, err := w.db.Versions(t.Context())
			if err != nil {
				require.ErrorIs(t, err, backup.ErrIncompatible)
				require.ErrorContains(t, err, "PostgreSQL "+strconv.Itoa(major)+" requires pg_dump and pg_restore of that version or newer, found [\"pg_dump (PostgreSQL) ")
				require.ErrorContains(t, err, "install them or set Bin")
				require.Empty(t, w.kinds(t))
				withoutClients(t, c, major)
				return
			}
			require.Contains(t, server, strconv.Itoa(major)+".")
			w.bothWays(t, func() { w.update(t) })

			a := attackOn(t, newWorldOn(t, c))
			a.mine(t, `CREATE TABLE trap (n int CHECK (evil(n) = n)); INSERT INTO trap VALUES (1); CREATE INDEX ON trap ((n + evil(0))); CREATE MATERIALIZED VIEW mv AS SELECT evil(1) AS n;
				ALTER TABLE trap ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON trap USING (evil(n) = 0)`)
			before := a.state(t)
			a.everything(t)
			require.Equal(t, before, a.state(t))
			outsiders(t, a)
			if major < limitedSince/10000 {
				require.ErrorContains(t, (&Database{URI: c.URI(a.role, a.password, a.name)}).check(t.Context()), "must be before PostgreSQL 15")
			}
		})
	}
}

// outsiders tries what needs no dump.
func outsiders(t *testing.T, a *attack) {
	t.Helper()
	a.mine(t, `CREATE TABLE about (version text); INSERT INTO about VALUES ('9.22.200'); CREATE INDEX ON about ((length(version) + evil(0)));
		ALTER TABLE about RENAME TO was_about; CREATE VIEW about AS SELECT version FROM was_about WHERE evil(1) = 1`)
	got, err := a.db.Ask(t.Context(), "SELECT version FROM about")
	require.NoError(t, err)
	require.Equal(t, "9.22.200", got)
	_, err = a.db.Counts(t.Context())
	require.NoError(t, err)
	require.NoError(t, a.db.Close(t.Context()))
	for _, sql := range []string{" CONNECTION LIMIT -1", " ALLOW_CONNECTIONS true", " OWNER TO CURRENT_USER"} {
		require.Error(t, a.elsewhere(t, "ALTER DATABASE "+ident(a.name)+sql), sql)
	}
	_, err = a.app(t)
	require.Error(t, err, "the application is in")
	closed, err := a.db.Closed(t.Context())
	require.NoError(t, err)
	require.True(t, closed)
	require.NoError(t, a.db.Open(t.Context()))
	a.failed(t, "the end")
}

// withoutClients does all but dump and load on a server that is newer than pg_dump: a program that only pretends
// to dump takes its place, and what it wrote is never read.
func withoutClients(t *testing.T, c *realtest.Cluster, major int) {
	t.Helper()
	a := attackOn(t, newWorldOn(t, c))
	a.mine(t, `CREATE TABLE trap (n int CHECK (evil(n) = n)); INSERT INTO trap VALUES (1); CREATE INDEX ON trap ((n + evil(0)))`)
	if major >= 17 { // which log the event when anybody connects
		a.admin(t, a.name, `CREATE TABLE logins (n int); CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.logins VALUES (1); END';
			CREATE EVENT TRIGGER note ON login EXECUTE FUNCTION note(); ALTER EVENT TRIGGER note ENABLE ALWAYS`)
	}
	a.db.Bin = fakeTools(t, strconv.Itoa(major)+".0", "echo nothing")
	require.NoError(t, a.db.check(t.Context()), "the login that loads dumps can connect")
	require.NoError(t, a.db.Close(t.Context()))
	before, err := a.db.Counts(t.Context())
	require.NoError(t, err)
	snap := a.take(t)
	a.quietly(t, "DELETE FROM children")
	r := a.restore(t, snap)
	after, err := a.db.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, r.Discard(t.Context()))
	require.NoError(t, a.db.Open(t.Context()))
	a.failed(t, "a restore from the clone")
	if major >= 17 {
		a.admin(t, a.name, "DROP EVENT TRIGGER note")
	}
	outsiders(t, a)

	b := newLimited(t, c) // the rules for who may grant and hand over what change from version to version
	b.db.Bin = a.db.Bin
	require.NoError(t, b.db.check(t.Context()))
	require.NoError(t, b.db.Close(t.Context()))
	before, err = b.db.Counts(t.Context())
	require.NoError(t, err)
	snap = b.take(t)
	b.quietly(t, "DELETE FROM children")
	r = b.restore(t, snap)
	after, err = b.db.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, r.Discard(t.Context()))
	require.NoError(t, b.db.Open(t.Context()))
	outsiders(t, b)
}

// quietly runs statements as the superuser without triggers on login.
func (a *attack) quietly(t *testing.T, sql string) {
	t.Helper()
	s, err := a.db.connect(t.Context(), writing)
	require.NoError(t, err)
	defer s.close()
	conn, err := s.to(t.Context(), a.name, writing)
	require.NoError(t, err)
	defer closeConn(conn)
	_, err = conn.Exec(t.Context(), "SET search_path = public")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}
