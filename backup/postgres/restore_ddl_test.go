package postgres

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// portrait describes, part by part and without this package, what a restore must bring back.
func (w *world) portrait(t *testing.T) map[string]string {
	t.Helper()
	ctx := context.Background()
	conn := w.connect(t, w.c.Admin(w.name))
	defer closeConn(conn)
	_, err := conn.Exec(ctx, "SET search_path = pg_catalog") // so that names are whole
	require.NoError(t, err)
	text := func(sql string, args ...any) (s string) {
		t.Helper()
		require.NoError(t, conn.QueryRow(ctx, sql, args...).Scan(&s), sql)
		return s
	}
	p := map[string]string{
		"schema":  w.pgDump(t, "--schema-only"),
		"owner":   text("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1", w.name),
		"comment": text("SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = $1", w.name),
		"acl": text(`SELECT coalesce((SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), 'default')
			FROM pg_database WHERE datname = $1`, w.name),
		"settings": text(`SELECT coalesce(string_agg(setrole::regrole || ' ' || c, ',' ORDER BY setrole::regrole || ' ' || c), '')
			FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) c WHERE datname = $1`, w.name),
		"limit": text("SELECT datconnlimit::text FROM pg_database WHERE datname = $1", w.name),
	}
	rows, err := conn.Query(ctx, "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "+
		"WHERE relkind IN ('r', 'm') AND nspname !~ '^pg_' AND nspname <> 'information_schema'")
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for _, table := range tables { // regclass quotes
		p["rows of "+table] = text("SELECT md5(coalesce(string_agg(r, E'\n' ORDER BY r COLLATE \"C\"), '')) FROM (SELECT ROW(x.*)::text r FROM " + table + " x) q")
	}
	return p
}

// unlike returns the parts in which two portraits differ.
func unlike(a, b map[string]string) (parts []string) {
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			parts = append(parts, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			parts = append(parts, k)
		}
	}
	slices.Sort(parts)
	return parts
}

// pgDump runs pg_dump on the live database.
func (w *world) pgDump(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.program("pg_dump", args...).Output()
	if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Output returns it
		t.Fatalf("pg_dump: %s", e.Stderr)
	}
	require.NoError(t, err)
	return restrictLine.ReplaceAllString(string(out), "")
}

func (w *world) program(name string, args ...string) *exec.Cmd {
	s := &session{d: w.db}
	s.cfg, _ = w.db.config() // it has served before
	return s.command(w.name, filepath.Join(w.c.Bin, name), s.options(reading), args...)
}

// bigUpdate does what the DDL of an update may do.
func (w *world) bigUpdate(t *testing.T) {
	t.Helper()
	w.admin(t, w.name, `
		CREATE EXTENSION hstore;
		DROP MATERIALIZED VIEW names;
		CREATE SCHEMA v2;
		CREATE TYPE v2.state AS ENUM ('open', 'closed');
		CREATE DOMAIN v2.share AS numeric CHECK (VALUE BETWEEN 0 AND 1);
		ALTER TYPE mood ADD VALUE 'middling';
		CREATE TABLE v2.cases (id serial PRIMARY KEY, child int NOT NULL REFERENCES children, state v2.state, tags hstore, part v2.share);
		INSERT INTO v2.cases (child, state, tags, part) SELECT id, 'open', 'a=>1', 0.5 FROM children;
		ALTER TABLE children ADD COLUMN first_case int REFERENCES v2.cases, ADD COLUMN tags hstore DEFAULT '', ALTER COLUMN name TYPE varchar(200);
		UPDATE children SET first_case = (SELECT min(id) FROM v2.cases WHERE child = children.id), name = upper(name);
		INSERT INTO children (name) VALUES ('новый');
		ALTER TABLE empty ADD COLUMN x int;
		ALTER TABLE parts ADD CONSTRAINT k CHECK (k > 0);
		CREATE TABLE parts2 PARTITION OF parts FOR VALUES IN (2);
		INSERT INTO parts VALUES (2, 'two');
		DROP TABLE "Схема ""1"""."Таблица";
		CREATE INDEX ON children USING gin (t);
		CREATE FUNCTION v2.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE TRIGGER touch BEFORE UPDATE ON children FOR EACH ROW EXECUTE FUNCTION v2.touch();
		ALTER TABLE children ENABLE ROW LEVEL SECURITY;
		CREATE POLICY all_of_them ON children USING (true);
		GRANT ALL ON children TO PUBLIC;
		ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
		ALTER TABLE children OWNER TO postgres;
		COMMENT ON TABLE children IS 'version 2';
		SELECT lo_unlink(oid) FROM pg_largeobject_metadata`)
	db := ident(w.name)
	for _, sql := range []string{
		"ALTER DATABASE " + db + " SET timezone TO 'UTC'",
		"ALTER DATABASE " + db + " RESET search_path",
		"ALTER DATABASE " + db + " SET work_mem TO '16MB'",
		"ALTER ROLE " + ident(w.role) + " IN DATABASE " + db + " SET work_mem TO '4MB'",
		"ALTER DATABASE " + db + " CONNECTION LIMIT 3",
		"GRANT TEMPORARY ON DATABASE " + db + " TO PUBLIC",
		"COMMENT ON DATABASE " + db + " IS 'version 2'",
		"ALTER DATABASE " + db + " OWNER TO postgres",
	} {
		w.admin(t, "postgres", sql)
	}
}

// A restore undoes all DDL of an update. Dropping and loading in place, as
// pg_restore does, fails the same test.
func TestR15RestoreUndoesTheDDLOfAnUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before, whole := w.portrait(t), w.state(t)
	file := filepath.Join(t.TempDir(), "peer.dump")
	w.pgDump(t, "--format=custom", "--file="+file)
	snap := w.take(t)
	w.bigUpdate(t)
	changed := w.portrait(t)
	for _, part := range []string{"schema", "owner", "comment", "acl", "settings", "limit", "rows of public.children", "rows of v2.cases"} {
		require.Contains(t, unlike(before, changed), part, "the update changed it")
	}

	for _, by := range []string{"clone", "dump"} {
		if by == "dump" {
			require.NoError(t, w.db.Tidy(t.Context()))
		}
		r, err := w.store.Restore(t.Context(), snap.ID, w.db)
		require.NoError(t, err, by)
		require.Empty(t, unlike(before, w.portrait(t)), by)
		require.Equal(t, whole, w.state(t), by)
		require.NoError(t, r.Undo(t.Context()), by)
		require.Empty(t, unlike(changed, w.portrait(t)), by)
	}

	out, err := w.program("pg_restore", "--clean", "--if-exists", file).CombinedOutput()
	t.Logf("pg_restore --clean --if-exists: %v, %d errors", err, strings.Count(string(out), "pg_restore: error"))
	left := unlike(before, w.portrait(t))
	t.Logf("differs in %q", left)
	for _, part := range []string{"schema", "owner", "comment", "acl", "settings", "limit", "rows of public.children", "rows of v2.cases"} {
		require.Contains(t, left, part, "the peer fails")
	}
}
