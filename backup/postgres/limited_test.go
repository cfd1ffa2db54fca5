package postgres

import (
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// newLimited returns a database whose maintenance role is no superuser, with the rights that Versions asks for.
func newLimited(t *testing.T, c *realtest.Cluster) *attack {
	t.Helper()
	mark := strings.ToLower(rand.Text()[:8])
	w := &world{
		c: c, name: `Опека "` + mark + `"'s`, role: `app '"` + mark, password: rand.Text(),
		store: &backup.Store{Dir: filepath.Join(t.TempDir(), "store")},
	}
	maintenance, secret := `maintenance "`+mark, rand.Text()
	w.db = &Database{URI: c.URI(maintenance, secret, w.name), Bin: c.Bin, Checksums: true}
	w.admin(t, "postgres", "CREATE ROLE "+ident(w.role)+" LOGIN PASSWORD "+literal(w.password))
	w.admin(t, "postgres", "CREATE ROLE "+ident(maintenance)+" LOGIN PASSWORD "+literal(secret))
	w.admin(t, "postgres", "CREATE DATABASE "+ident(w.name)+" OWNER "+ident(w.role))
	a := attackOn(t, w)
	a.mine(t, `CREATE TABLE children (id serial PRIMARY KEY, name text NOT NULL); INSERT INTO children (name) SELECT 'Имя ' || g FROM generate_series(1, 500) g;
		CREATE SCHEMA "Схема ""1"""; CREATE TABLE "Схема ""1"""."Таблица" (x int UNIQUE); CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE SEQUENCE never_used START 7;
		CREATE MATERIALIZED VIEW names AS SELECT name FROM children; SELECT lo_from_bytea(0, decode(repeat('00ff', 5000), 'hex'));
		CREATE TABLE parts (k int, v text) PARTITION BY LIST (k); CREATE TABLE parts1 PARTITION OF parts FOR VALUES IN (1); INSERT INTO parts VALUES (1, 'one');
		CREATE EXTENSION hstore; CREATE TABLE h (h hstore, r int4range); INSERT INTO h VALUES ('a=>1', '[1,2)'); CREATE TYPE own AS RANGE (subtype = int);
		CREATE TABLE kept (n int); INSERT INTO kept VALUES (1); ALTER TABLE kept ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON kept USING (n = 1);
		GRANT SELECT ON children TO PUBLIC; COMMENT ON TABLE children IS 'children'`)
	t.Cleanup(func() { w.dropAll(t) })

	err := w.db.check(t.Context())
	require.ErrorIs(t, err, backup.ErrPermission)
	_, statements, ok := strings.Cut(err.Error(), "as a superuser run: ")
	require.True(t, ok, err.Error())
	statements, _, ok = strings.Cut(statements, "; or connect as")
	require.True(t, ok)
	w.admin(t, "postgres", statements)
	return a
}

// A maintenance role that is no superuser takes, proves, restores and fences.
func TestMaintenanceRoleThatIsNoSuperuser(t *testing.T) {
	t.Parallel()
	a := newLimited(t, server(t))
	require.NoError(t, a.db.check(t.Context()))
	db := ident(a.name)
	a.admin(t, "postgres", "COMMENT ON DATABASE "+db+" IS 'ours'; ALTER DATABASE "+db+" CONNECTION LIMIT 17; ALTER DATABASE "+db+" SET statement_timeout TO '90s'")
	require.NoError(t, a.db.check(t.Context()))
	a.bothWays(t, func() {
		a.mine(t, "DROP MATERIALIZED VIEW names; UPDATE children SET name = 'x'; CREATE TABLE later (n int); ALTER TABLE children ADD v int; DROP TYPE mood; SELECT nextval('never_used')")
	})
	before := a.state(t)
	for range 2 {
		require.NoError(t, a.db.Close(t.Context()))
		closed, err := a.db.Closed(t.Context())
		require.NoError(t, err)
		require.True(t, closed)
		for _, sql := range []string{" CONNECTION LIMIT -1", " ALLOW_CONNECTIONS true", " OWNER TO CURRENT_USER", " RESET aspupdate.owner"} {
			require.Error(t, a.elsewhere(t, "ALTER DATABASE "+db+sql), sql)
		}
		require.Error(t, a.elsewhere(t, "GRANT CONNECT ON DATABASE "+db+" TO CURRENT_USER"))
		_, err = a.app(t)
		require.Error(t, err, "the application is in")
		installer, err := pgx.Connect(t.Context(), a.db.URI)
		require.NoError(t, err, "the maintenance role is in")
		closed, err = a.db.Closed(t.Context())
		require.NoError(t, err)
		require.True(t, closed)
		closeConn(installer)
	}
	snap := a.take(t) // of a closed database
	require.NoError(t, a.db.Tidy(t.Context()))
	r := a.restore(t, snap)
	_, err := a.app(t)
	require.Error(t, err, "what is restored is closed as well")
	require.NoError(t, r.Undo(t.Context()))
	r = a.restore(t, snap)
	require.NoError(t, r.Discard(t.Context()))
	require.NoError(t, a.db.Open(t.Context()))
	require.Equal(t, before, a.state(t))
	require.NoError(t, a.db.Tidy(t.Context()))
	require.Empty(t, a.kinds(t))
	conn, err := a.app(t)
	require.NoError(t, err)
	closeConn(conn)
}

// Grants of a database that others pass on come back after the fence and after a restore.
func TestMaintenanceRoleThatIsNoSuperuserKeepsGrants(t *testing.T) {
	t.Parallel()
	a := newLimited(t, server(t))
	reader := "reader " + a.mark
	a.admin(t, "postgres", "CREATE ROLE "+ident(reader)+" LOGIN; REVOKE ALL ON DATABASE "+ident(a.name)+" FROM PUBLIC; GRANT CONNECT ON DATABASE "+ident(a.name)+" TO "+ident(reader)+"; GRANT TEMPORARY ON DATABASE "+ident(a.name)+" TO pg_monitor")
	before := a.state(t)
	require.NoError(t, a.db.check(t.Context()))
	require.NoError(t, a.db.Close(t.Context()))
	closed, err := a.db.Closed(t.Context())
	require.NoError(t, err)
	require.True(t, closed)
	snap := a.take(t)
	r := a.restore(t, snap)
	require.NoError(t, r.Discard(t.Context()))
	require.NoError(t, a.db.Open(t.Context()))
	require.Equal(t, before, a.state(t))
	// A member of the maintenance role could come in with its rights.
	s, err := a.db.connect(t.Context(), reading)
	require.NoError(t, err)
	s.close()
	a.admin(t, "postgres", "GRANT "+ident(s.me)+" TO "+ident(reader))
	err = a.db.Close(t.Context())
	require.ErrorIs(t, err, backup.ErrPermission)
	require.ErrorContains(t, err, "member of the maintenance role")
	require.Equal(t, before, a.state(t), "users are in")
}

// The owner gains nothing from a maintenance role that is no superuser either: not even that role's rights.
func TestAttackOnAMaintenanceRoleThatIsNoSuperuser(t *testing.T) {
	t.Parallel()
	a := newLimited(t, server(t))
	s, err := a.db.connect(t.Context(), reading)
	require.NoError(t, err)
	s.close()
	// Where it runs with the rights of the maintenance role it makes a role, as only that one can.
	a.mine(t, `CREATE FUNCTION bad_does() RETURNS void LANGUAGE plpgsql AS $x$ BEGIN
			BEGIN RESET ROLE; EXCEPTION WHEN OTHERS THEN END;
			BEGIN CREATE ROLE `+ident("gained "+a.mark)+`; EXCEPTION WHEN OTHERS THEN END; END $x$;
		CREATE FUNCTION bad(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM public.bad_does(); RETURN $1; END';
		CREATE TABLE trap (n int CHECK (bad(n) = n), m int GENERATED ALWAYS AS (bad(n)) STORED); INSERT INTO trap VALUES (1); CREATE INDEX ON trap ((n + bad(0)));
		CREATE MATERIALIZED VIEW mv AS SELECT bad(1) AS n; CREATE TABLE about (version text); INSERT INTO about VALUES ('9.22.200');
		ALTER TABLE about RENAME TO was; CREATE VIEW about AS SELECT version FROM was WHERE bad(1) = 1`)
	before := a.state(t)
	a.everything(t)
	require.Equal(t, before, a.state(t))
	for range 2 {
		got, err := a.db.Ask(t.Context(), "SELECT version FROM about")
		require.NoError(t, err)
		require.Equal(t, "9.22.200", got)
		require.NoError(t, a.db.Close(t.Context()))
	}
	require.NoError(t, a.db.Open(t.Context()))
	require.Equal(t, before, a.state(t))
	conn := a.connect(t, a.c.Admin("postgres"))
	defer closeConn(conn)
	var gained bool
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", "gained "+a.mark).Scan(&gained))
	require.False(t, gained)
}

// What such a role cannot back up or restore is named while users are in.
func TestWhatOnlyASuperuserCanRestoreIsRefused(t *testing.T) {
	t.Parallel()
	a := newLimited(t, server(t))
	db := "ALTER DATABASE " + ident(a.name)
	refused := func(say string) {
		t.Helper()
		err := a.db.check(t.Context())
		require.ErrorIs(t, err, backup.ErrPermission, say)
		require.ErrorContains(t, err, say)
		require.Empty(t, a.kinds(t))
	}
	require.NoError(t, a.db.check(t.Context()))
	a.admin(t, "postgres", db+" SET log_min_duration_statement = 5")
	refused("cannot restore the settings")
	a.admin(t, "postgres", db+" RESET log_min_duration_statement")
	require.NoError(t, a.db.check(t.Context()))
	for _, c := range [][2]string{
		{"CREATE TABLE of_root (n int)", "table public.of_root of postgres"},
		{"CREATE EXTENSION postgres_fdw", "extension postgres_fdw, which is not trusted"},
		{"CREATE PUBLICATION everything FOR ALL TABLES", "publication everything"},
		{"ALTER TABLE kept FORCE ROW LEVEL SECURITY", "table public.kept"},
		{"SELECT lo_create(4711)", "large object 4711 of postgres"},
		{"CREATE FUNCTION c(int) RETURNS int LANGUAGE internal AS 'int4abs'; ALTER FUNCTION c OWNER TO " + ident(a.role), "function public.c(integer)"},
		{"CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e()", "event trigger e"},
	} {
		a.admin(t, a.name, c[0])
		refused(strings.ReplaceAll(c[1], `"`, `\"`))
	}
	_, err := a.store.Take(t.Context(), "x", a.db)
	require.ErrorIs(t, err, backup.ErrPermission)
	require.ErrorContains(t, err, "event trigger e")
}
