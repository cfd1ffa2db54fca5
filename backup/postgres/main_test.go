package postgres

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// cluster is one server for all tests of this package. Each has its own databases
// and roles.
var cluster = sync.OnceValues(func() (*realtest.Cluster, error) { return realtest.StartPostgres() })

var started atomic.Bool

func TestMain(m *testing.M) {
	code := m.Run()
	if started.Load() {
		if c, err := cluster(); err == nil {
			c.Stop()
		}
	}
	os.Exit(code)
}

func server(t *testing.T) *realtest.Cluster {
	t.Helper()
	started.Store(true)
	c, err := cluster()
	if err != nil {
		realtest.Skip(t, "no PostgreSQL server: %v", err)
	}
	return c
}

// A world is a database of an application that has a role of its own.
type world struct {
	c        *realtest.Cluster
	name     string // of the database
	role     string // of its owner, the application
	password string
	db       *Database
	store    *backup.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, server(t))
}

func newWorldOn(t *testing.T, c *realtest.Cluster) *world {
	t.Helper()
	mark := strings.ToLower(rand.Text()[:8])
	w := &world{
		c: c, name: `Опека "` + mark + `"'s`, role: `app '"` + mark, password: rand.Text(),
		store: &backup.Store{Dir: filepath.Join(t.TempDir(), "store")},
	}
	w.db = &Database{URI: c.Admin(w.name), Bin: c.Bin, Checksums: true}
	w.admin(t, "postgres", "CREATE ROLE "+ident(w.role)+" LOGIN PASSWORD "+literal(w.password))
	w.admin(t, "postgres", "CREATE ROLE "+ident("reader "+mark))
	w.admin(t, "postgres", "CREATE DATABASE "+ident(w.name)+" OWNER "+ident(w.role))
	w.admin(t, w.name, `
		CREATE TABLE children (id serial PRIMARY KEY, name text NOT NULL, t jsonb, x float8, b bytea);
		INSERT INTO children (name, t, x, b) SELECT 'Имя ' || g, jsonb_build_object('g', g), g / 3.0, decode(md5(g::text), 'hex') FROM generate_series(1, 500) g;
		CREATE SCHEMA "Схема ""1""";
		CREATE TABLE "Схема ""1"""."Таблица" (x int, "x y" text, UNIQUE (x));
		INSERT INTO "Схема ""1"""."Таблица" VALUES (1, 'a'), (NULL, NULL);
		CREATE TABLE empty ();
		CREATE TABLE parts (k int, v text) PARTITION BY LIST (k);
		CREATE TABLE parts1 PARTITION OF parts FOR VALUES IN (1);
		INSERT INTO parts VALUES (1, 'one');
		CREATE MATERIALIZED VIEW names AS SELECT name FROM children;
		CREATE TYPE mood AS ENUM ('good', 'bad');
		CREATE SEQUENCE never_used START 7;
		SELECT lo_from_bytea(0, decode(repeat('00ff', 5000), 'hex'));
		ALTER TABLE children OWNER TO `+ident(w.role)+`;
		GRANT SELECT ON children TO `+ident("reader "+mark))
	w.admin(t, "postgres", strings.ReplaceAll(strings.ReplaceAll(`
		COMMENT ON DATABASE %s IS 'Дети ''и'' подопечные \';
		ALTER DATABASE %s SET search_path TO "$user", public, "Схема ""1""";
		ALTER DATABASE %s SET statement_timeout TO '90s';
		ALTER DATABASE %s SET timezone TO 'Europe/Moscow';
		ALTER DATABASE %s SET my.setting TO 'it''s a \ value';
		ALTER DATABASE %s CONNECTION LIMIT 17;
		REVOKE ALL ON DATABASE %s FROM PUBLIC;
		GRANT CONNECT ON DATABASE %s TO %r WITH GRANT OPTION;
		SET ROLE %r; GRANT CONNECT ON DATABASE %s TO pg_monitor; RESET ROLE;
		ALTER ROLE %r IN DATABASE %s SET work_mem TO '8MB'`,
		"%s", ident(w.name)), "%r", ident("reader "+mark)))
	t.Cleanup(func() { w.dropAll(t) })
	return w
}

func (w *world) dropAll(t *testing.T) {
	for _, name := range w.databases(t) {
		w.admin(t, "postgres", "ALTER DATABASE "+ident(name)+" IS_TEMPLATE false")
		w.admin(t, "postgres", "DROP DATABASE "+ident(name)+" WITH (FORCE)")
	}
}

// databases returns the live database and those beside it.
func (w *world) databases(t *testing.T) []string {
	t.Helper()
	conn := w.connect(t, w.c.Admin("postgres"))
	defer closeConn(conn)
	all, err := collect[struct{ Name string }](context.Background(), conn, "SELECT datname FROM pg_database ORDER BY 1")
	require.NoError(t, err)
	var names []string
	for _, d := range all {
		if d.Name == w.name || kindOf(w.name, d.Name) != "" {
			names = append(names, d.Name)
		}
	}
	return names
}

// kinds returns the kinds of the databases beside the live one.
func (w *world) kinds(t *testing.T) []string {
	t.Helper()
	kinds := []string{}
	for _, name := range w.databases(t) {
		if name != w.name {
			kinds = append(kinds, kindOf(w.name, name))
		}
	}
	return kinds
}

func (w *world) connect(t *testing.T, uri string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), uri)
	require.NoError(t, err)
	return conn
}

// admin runs statements as the superuser, outside a transaction.
func (w *world) admin(t *testing.T, database, sql string) {
	t.Helper()
	conn := w.connect(t, w.c.Admin(database))
	defer closeConn(conn)
	_, err := conn.PgConn().Exec(context.Background(), sql).ReadAll()
	require.NoError(t, err, sql)
}

// app connects as the application does.
func (w *world) app(t *testing.T) (*pgx.Conn, error) {
	t.Helper()
	return pgx.Connect(context.Background(), w.c.URI(w.role, w.password, w.name))
}

var restrictLine = regexp.MustCompile(`(?m)^\\(un)?restrict .*$`) // random in each dump

// state describes the database: its structure and data by pg_dump, and what pg_dump leaves out.
func (w *world) state(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	conn := w.connect(t, w.c.Admin("postgres"))
	defer closeConn(conn)
	var outside string
	s := &session{Conn: conn, d: w.db, name: w.name}
	i, err := s.live(ctx)
	require.NoError(t, err)
	held, err := s.tenure(ctx, i)
	require.NoError(t, err)
	owner, err := json.Marshal([]any{held.owner, grantsOf(held.owner, held.grants)})
	require.NoError(t, err)
	require.NoError(t, conn.QueryRow(ctx, `SELECT concat_ws(' | ', datname, encoding, datcollate, datctype, datallowconn, datistemplate, dattablespace,
		shobj_description(oid, 'pg_database'),
		(SELECT string_agg(setrole::regrole || ' ' || c, ',' ORDER BY setrole::regrole || c) FROM pg_db_role_setting, unnest(setconfig) c
			WHERE setdatabase = d.oid AND c NOT LIKE 'aspupdate.connection_limit=%' AND c NOT LIKE 'aspupdate.owner=%' AND c NOT LIKE 'aspupdate.grants=%'),
		coalesce((SELECT split_part(c, '=', 2)::int FROM pg_db_role_setting, unnest(setconfig) c
			WHERE setdatabase = d.oid AND c LIKE 'aspupdate.connection_limit=%'), datconnlimit)) FROM pg_database d WHERE datname = $1`, w.name).Scan(&outside))
	return outside + string(owner) + "\n" + w.pgDump(t)
}

// update does what an update of the application does to the database, and more.
func (w *world) update(t *testing.T) {
	t.Helper()
	mark := "v" + strings.ToLower(rand.Text()[:8])
	w.admin(t, w.name, `
		CREATE TYPE `+mark+`_type AS ENUM ('a');
		CREATE TABLE `+mark+` (id int PRIMARY KEY, child int REFERENCES children, k `+mark+`_type);
		INSERT INTO `+mark+` SELECT 1, max(id), 'a' FROM children;
		ALTER TABLE children ADD COLUMN `+mark+` int DEFAULT 5;
		UPDATE children SET name = name || '!';
		DELETE FROM "Схема ""1"""."Таблица";
		DROP MATERIALIZED VIEW IF EXISTS names;
		CREATE EXTENSION IF NOT EXISTS plpgsql;
		SELECT nextval('never_used')`)
	db := ident(w.name)
	w.admin(t, "postgres", "ALTER DATABASE "+db+" SET my.setting TO '"+mark+"'")
	w.admin(t, "postgres", "ALTER DATABASE "+db+" RESET statement_timeout")
	w.admin(t, "postgres", "GRANT ALL ON DATABASE "+db+" TO PUBLIC")
	w.admin(t, "postgres", "COMMENT ON DATABASE "+db+" IS '"+mark+"'")
	w.admin(t, "postgres", "ALTER DATABASE "+db+" OWNER TO postgres")
}

func (w *world) take(t *testing.T) backup.Snapshot {
	t.Helper()
	snap, err := w.store.Take(t.Context(), "before", w.db)
	require.NoError(t, err)
	return snap
}

// check fails if a backup could not be made.
func (d *Database) check(ctx context.Context) error {
	_, _, err := d.Versions(ctx)
	return err
}
