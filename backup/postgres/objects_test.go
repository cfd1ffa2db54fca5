package postgres

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"

	"github.com/aspupdate/aspupdate/backup"
)

// bothWays restores the database from the clone and from the dump, and proves the dump.
func (w *world) bothWays(t *testing.T, change func()) {
	t.Helper()
	before := w.state(t)
	snap := w.take(t)
	change()
	changed := w.state(t)
	require.NotEqual(t, before, changed)
	_, err := w.store.Prove(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	for _, by := range []string{"clone", "dump"} {
		if by == "dump" {
			require.NoError(t, w.db.Tidy(t.Context()))
		}
		var notes []string
		w.db.Observe = func(e backup.Event) {
			if e.Kind == backup.EventWarning {
				notes = append(notes, string(e.Kind)+": "+e.Text)
			}
		}
		r := w.restore(t, snap)
		w.db.Observe = nil
		if by == "clone" {
			require.Empty(t, notes)
		}
		require.Equal(t, before, w.state(t), by)
		require.NoError(t, r.Undo(t.Context()), by)
		require.Equal(t, changed, w.state(t), by)
	}
	r := w.restore(t, snap)
	require.NoError(t, r.Discard(t.Context()))
	require.Equal(t, before, w.state(t))
	require.Empty(t, w.kinds(t))
}

// unusual are kinds of objects that exist in one database side by side; those of the second list
// contradict some of the first. The event trigger comes after
// the tables, which it forbids, and what is set outside comes last, since it makes the database
// read-only.
var unusual = [][]struct{ name, inside, outside string }{
	{
		{name: "publication", inside: `CREATE PUBLICATION "Все ""таблицы""" FOR TABLE children WITH (publish = 'insert, update')`},
		{name: "unlogged", inside: `CREATE UNLOGGED TABLE u AS SELECT g FROM generate_series(1, 1000) g`},
		{name: "foreign server", inside: `CREATE FOREIGN DATA WRAPPER f; CREATE SERVER s FOREIGN DATA WRAPPER f OPTIONS (host 'x''y'); CREATE USER MAPPING FOR "app" SERVER s OPTIONS (password 'p'); CREATE FOREIGN TABLE ft (x int) SERVER s`},
		{name: "defaults", inside: `ALTER DEFAULT PRIVILEGES FOR ROLE "app" GRANT SELECT ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC`},
		{name: "large objects", inside: `SELECT lo_from_bytea(4711, 'x'); ALTER LARGE OBJECT 4711 OWNER TO "app"; COMMENT ON LARGE OBJECT 4711 IS 'фото'; GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC`},
		{name: "generated", inside: `CREATE TABLE gen (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c int GENERATED ALWAYS AS IDENTITY (START 10)); INSERT INTO gen (a) SELECT 1 FROM generate_series(1, 10); CREATE INDEX i ON gen (a) INCLUDE (b); ALTER TABLE gen CLUSTER ON i; CREATE STATISTICS st ON a, b FROM gen; ALTER TABLE gen ALTER a SET STATISTICS 500`},
		{name: "cast and such", inside: `CREATE COLLATION "Рус" (provider = icu, locale = 'ru'); CREATE TABLE col (x text COLLATE "Рус" UNIQUE); INSERT INTO col VALUES ('ё'), ('е'); CREATE TEXT SEARCH CONFIGURATION tsc (COPY = russian); CREATE AGGREGATE agg (int) (sfunc = int4pl, stype = int); CREATE RULE r AS ON DELETE TO col DO INSTEAD NOTHING; CREATE OPERATOR ## (leftarg = int, rightarg = int, function = int4pl)`},
		{name: "event trigger", inside: `CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN IF tg_tag LIKE ''%TABLE%'' THEN RAISE ''no''; END IF; END';
			CREATE EVENT TRIGGER ev ON ddl_command_end EXECUTE FUNCTION ev()`},
		{name: "empty rights", outside: `REVOKE ALL ON DATABASE %s FROM PUBLIC; REVOKE ALL ON DATABASE %s FROM "app"`},
		{name: "settings", outside: `ALTER DATABASE %s SET search_path TO ''; ALTER DATABASE %s SET datestyle TO 'German, DMY'; ALTER DATABASE %s SET role TO "app"; ALTER DATABASE %s SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE; ALTER DATABASE %s SET default_transaction_read_only = on; ALTER ROLE "app" IN DATABASE %s SET search_path TO "a, b", "c""d"`},
		{name: "template", outside: `ALTER DATABASE %s IS_TEMPLATE true`},
		{name: "limit of none", outside: `ALTER DATABASE %s CONNECTION LIMIT 0`},
	},
	{
		{name: "rights of owner", outside: `REVOKE CREATE ON DATABASE %s FROM "app"; GRANT TEMPORARY ON DATABASE %s TO PUBLIC`},
		{name: "no limit", outside: `ALTER DATABASE %s CONNECTION LIMIT -1; COMMENT ON DATABASE %s IS ''`},
	},
}

// Each kind has a database of its own with ASPUPDATE_SOAK=1.
func TestR15RestoreOfUnusualObjects(t *testing.T) {
	t.Parallel()
	lists := unusual
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		lists = nil
		for _, list := range unusual {
			for i := range list {
				lists = append(lists, list[i:i+1])
			}
		}
	}
	for _, list := range lists {
		t.Run(list[0].name, func(t *testing.T) {
			w := newWorld(t)
			for _, c := range list {
				w.odd(t, c.inside, c.outside)
			}
			w.bothWays(t, func() {
				w.admin(t, "postgres", "ALTER DATABASE "+ident(w.name)+" IS_TEMPLATE false")
				for _, setting := range []string{"default_transaction_read_only", "role", "search_path"} {
					w.admin(t, "postgres", "ALTER DATABASE "+ident(w.name)+" RESET "+setting)
				}
				if slices.ContainsFunc(list, func(c struct{ name, inside, outside string }) bool { return c.name == "event trigger" }) {
					w.admin(t, w.name, "DROP EVENT TRIGGER ev")
				}
				w.update(t)
			})
		})
	}
}

// Thousands of tables and large objects are more than one transaction may lock. This
// server allows fewer locks than others, so that hundreds will do.
func TestR15RestoreOfMoreThanATransactionMayLock(t *testing.T) {
	t.Parallel()
	c, err := realtest.StartPostgres("max_connections=20", "max_locks_per_transaction=20")
	if err != nil {
		realtest.Skip(t, "no second PostgreSQL server: %v", err)
	}
	t.Cleanup(c.Stop)
	w := newWorldOn(t, c)
	create := func(name string, tables int) string {
		return fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP EXECUTE format('CREATE TABLE %s_%%s (id serial PRIMARY KEY, x text UNIQUE)', i); END LOOP; END $$`, tables, name)
	}
	for i := range 5 {
		w.admin(t, w.name, "SELECT lo_create(0) FROM generate_series(1, 100); "+create(fmt.Sprint("t", i), 90))
	}
	conn := w.connect(t, c.Admin(w.name))
	_, err = conn.Exec(t.Context(), create("all", 450))
	require.ErrorContains(t, err, "out of shared memory", "it is more than a transaction may lock here")
	closeConn(conn)
	snap := w.take(t)
	_, err = w.store.Prove(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	counts, err := w.db.Counts(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(counts), 450)
}

// After an upgrade of the system's collations the server refuses to copy a database
// unless the old version is stated. The copy's indexes are as old as the original's.
func TestR15RestoreWithOldCollations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dropAll(t)
	w.admin(t, "postgres", "CREATE DATABASE "+ident(w.name)+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'ru' OWNER "+ident(w.role))
	w.admin(t, w.name, "CREATE TABLE children (name text PRIMARY KEY); INSERT INTO children VALUES ('ё'), ('е')")
	w.admin(t, "postgres", "UPDATE pg_database SET datcollversion = '1.''0' WHERE datname = "+literal(w.name))
	version := func() (v string) {
		conn := w.connect(t, w.c.Admin("postgres"))
		defer closeConn(conn)
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT datcollversion FROM pg_database WHERE datname = $1", w.name).Scan(&v))
		return v
	}
	before := w.state(t)
	snap := w.take(t)
	w.admin(t, w.name, "INSERT INTO children VALUES ('э')")
	w.restore(t, snap)
	require.Equal(t, before, w.state(t))
	require.Equal(t, "1.'0", version(), "from the clone")
	require.NoError(t, w.db.Tidy(t.Context()))
	w.restore(t, snap)
	require.Equal(t, before, w.state(t))
	require.NotEqual(t, "1.'0", version(), "from the dump, which makes the indexes anew")
}

// A copy lacks subscriptions, and what they bring is written whatever the fence.
func TestSubscriptionIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, "CREATE SUBSCRIPTION "+ident(w.role)+" CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)")
	t.Cleanup(func() {
		w.admin(t, w.name, "ALTER SUBSCRIPTION "+ident(w.role)+" SET (slot_name = NONE); DROP SUBSCRIPTION "+ident(w.role))
	})
	require.ErrorIs(t, w.db.check(t.Context()), backup.ErrBusy)
	_, err := w.store.Take(t.Context(), "x", w.db)
	require.ErrorIs(t, err, backup.ErrBusy)
	require.ErrorContains(t, err, "1 subscriptions")
	require.Empty(t, w.kinds(t))
}

// If the table of contents cannot be kept, indexes are made one after the other.
func TestLoadWithoutContents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	for name, toc := range map[string]*contents{
		"all of it": {left: maxContents}, "too large": {left: 100}, "disk full": {left: maxContents, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := w.db.begin(t.Context())
			require.NoError(t, err)
			tools, err := w.db.findTools(t.Context(), s.version)
			require.NoError(t, err)
			toc.File, err = os.CreateTemp(t.TempDir(), "")
			require.NoError(t, err)
			defer func() { _ = toc.Close() }()
			beside := besideName(w.name, kindNew, newMark())
			got, err := s.buildFrom(t.Context(), beside, f, func() error {
				_, err := s.Exec(t.Context(), s.createStatement(beside, f))
				return err
			}, func() error {
				return s.loadWith(t.Context(), tools, beside, filepath.Join(dir, dumpFile), f, toc, io.Discard)
			})
			require.NoError(t, err)
			require.Empty(t, f.differences(got))
			if runtime.GOOS == "linux" {
				require.Equal(t, name == "all of it", toc.read(t.Context(), tools.restore) != nil)
			}
			s.close()
			live := *w
			live.name = beside
			require.Equal(t, strings.SplitN(before, "\n", 2)[1], live.pgDump(t))
		})
	}
	require.NoError(t, w.db.Open(t.Context()))
	require.Empty(t, w.kinds(t)[1:], "the clone alone")
}

// R15: a CHECK constraint may read another table, which must be filled first.
func TestR15ConstraintThatReadsAnotherTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, `CREATE TABLE a_many (id int PRIMARY KEY);
		CREATE FUNCTION is_there(n int) RETURNS boolean LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.a_many WHERE id = n)';
		CREATE TABLE b_few (id int CHECK (is_there(id)));
		INSERT INTO a_many SELECT generate_series(1, 200000);
		INSERT INTO b_few VALUES (200000)`)
	before := w.state(t)
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context())) // the dump alone
	w.admin(t, w.name, "DROP TABLE b_few")
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t))
}

// odd runs statements in the database and in the maintenance database, in which app is the application's role.
func (w *world) odd(t *testing.T, inside, outside string) {
	t.Helper()
	fill := strings.NewReplacer("%s", ident(w.name), `"app"`, ident(w.role))
	w.admin(t, w.name, "SELECT 1;"+fill.Replace(inside))
	for sql := range strings.SplitSeq(fill.Replace(outside), "; ") {
		if sql != "" {
			w.admin(t, "postgres", sql)
		}
	}
}
