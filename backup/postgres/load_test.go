package postgres

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// heldBack passes the first bytes of a dump on, and the rest once there reports true.
type heldBack struct {
	first int64
	there func() (bool, error)
	held  bool
}

func (h *heldBack) Write(p []byte) (int, error) {
	if h.first -= int64(len(p)); h.first >= 0 || h.held {
		return len(p), nil
	}
	h.held = true
	for range 600 {
		if there, err := h.there(); there || err != nil {
			return len(p), err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return 0, errors.New("nothing happened while the rows were held back")
}

// The indexes and the key of a table exist before the next table's last rows.
func TestIndexesAreMadeWhileRowsAreLoaded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the table of contents is kept in a file without a name, which only Linux has")
	}
	w := newWorld(t)
	w.admin(t, w.name, `CREATE TABLE a_first (id int PRIMARY KEY, name text);
		CREATE INDEX a_name ON a_first (name);
		CREATE TABLE z_last (id int PRIMARY KEY REFERENCES a_first, photo text);
		INSERT INTO a_first SELECT g, g FROM generate_series(1, 1000) g;
		INSERT INTO z_last SELECT g, (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 256)) FROM generate_series(1, 1000) g`)
	before := w.state(t)
	snap := w.take(t)
	require.NoError(t, w.db.Open(t.Context()))
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	s, err := w.db.begin(t.Context())
	require.NoError(t, err)
	defer s.close()
	tools, err := w.db.findTools(t.Context(), s.version)
	require.NoError(t, err)
	toc := newContents()
	require.NotNil(t, toc)
	defer func() { _ = toc.Close() }()
	beside := besideName(w.name, kindNew, newMark())
	hold := &heldBack{first: f.DumpBytes - 1<<20, there: func() (there bool, err error) {
		conn, err := s.to(t.Context(), beside, reading)
		if err != nil {
			return false, err
		}
		defer closeConn(conn)
		err = conn.QueryRow(t.Context(), "SELECT to_regclass('public.a_first_pkey') IS NOT NULL AND to_regclass('public.a_name') IS NOT NULL").Scan(&there)
		return there, err
	}}
	got, err := s.buildFrom(t.Context(), beside, f, func() error {
		_, err := s.Exec(t.Context(), s.createStatement(beside, f))
		return err
	}, func() error {
		return s.loadWith(t.Context(), tools, beside, filepath.Join(dir, dumpFile), f, toc, hold)
	})
	require.NoError(t, err)
	require.True(t, hold.held)
	require.Empty(t, f.differences(got))
	require.NoError(t, s.drop(t.Context(), beside))
	require.Equal(t, before, w.state(t))
}

// R15: an index may depend on a function that reads another table, whose rows must
// be loaded first.
func TestR15IndexThatReadsAnotherTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, `CREATE TABLE z_names (id int PRIMARY KEY, name text);
		CREATE FUNCTION name_of(n int) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT name FROM public.z_names WHERE id = n';
		CREATE TABLE a_children (id int PRIMARY KEY);
		CREATE INDEX a_names ON a_children (public.name_of(id));
		INSERT INTO z_names SELECT g, 'name ' || g FROM generate_series(1, 20000) g;
		INSERT INTO a_children SELECT generate_series(1, 20000); REINDEX TABLE a_children`)
	found := func() (n int) {
		conn := w.connect(t, w.c.Admin(w.name))
		defer closeConn(conn)
		_, err := conn.Exec(t.Context(), "SET enable_seqscan = off")
		require.NoError(t, err)
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM a_children WHERE public.name_of(id) IN ('name 1', 'name 20000')").Scan(&n))
		return n
	}
	require.Equal(t, 2, found())
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context())) // the dump alone
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, 2, found())
}

// What depends on its table alone is distinguished from what depends on more.
func TestOrder(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the table of contents is read on Linux only")
	}
	w := newWorld(t)
	w.admin(t, "postgres", "CREATE DATABASE "+ident(w.name+"_order")+" TEMPLATE template0")
	t.Cleanup(func() { w.admin(t, "postgres", "DROP DATABASE "+ident(w.name+"_order")+" WITH (FORCE)") })
	w.admin(t, w.name+"_order", `CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
		CREATE TABLE b (id int PRIMARY KEY, c int UNIQUE, d int);
		CREATE INDEX own_index ON b (d);
		CREATE INDEX by_function ON b (f(d));
		COMMENT ON INDEX own_index IS E'of\nb';
		CREATE TABLE "a; DATA" (id int CONSTRAINT "INDEX ATTACH" PRIMARY KEY REFERENCES b);
		CREATE TABLE c (x int, y int, PRIMARY KEY (x, y));
		CREATE INDEX two ON c (y, x);
		CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
		CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (9)`)
	file := filepath.Join(t.TempDir(), "x.dump")
	s, err := w.db.begin(t.Context())
	require.NoError(t, err)
	defer s.close()
	tools, err := w.db.findTools(t.Context(), s.version)
	require.NoError(t, err)
	require.NoError(t, run(t.Context(), s.command(w.name+"_order", tools.dump, s.options(reading), "-Fc", "--file="+file)))
	dump, err := os.Open(file)
	require.NoError(t, err)
	defer func() { _ = dump.Close() }()
	o := (&contents{File: dump}).read(t.Context(), tools.restore)
	require.NotNil(t, o)
	require.Len(t, o.filled, 4, "a, b, c and p1")
	list, err := exec.CommandContext(t.Context(), tools.restore, "--list", file).Output()
	require.NoError(t, err)
	require.Len(t, o.take(1), 1, "the key of a:\n%s", list)
	require.Len(t, o.take(2), 3, "two keys and an index of b")
	require.Len(t, o.take(3), 2, "a key and an index of several columns of c")
	require.Empty(t, o.take(9), "the key of a partition is made with that of its parent")
	after, err := exec.CommandContext(t.Context(), tools.restore, "--list", postData, file).Output()
	require.NoError(t, err)
	require.Len(t, o.rest, len(entryForm.FindAll(after, -1))-6, "what else comes after the rows, comments included:\n%s", after)
	require.Nil(t, (&contents{File: dump}).read(t.Context(), "/nowhere"))

	verbose, err := exec.CommandContext(t.Context(), tools.restore, "--list", "--verbose", file).Output()
	require.NoError(t, err)
	require.NotNil(t, readOrder(verbose, after))
	require.Nil(t, readOrder(bytes.Replace(verbose, []byte("; 1259 "), []byte("! 1259 "), 1), after), "a line that is not understood")
	require.Nil(t, readOrder(nil, nil))
}

func TestMilestones(t *testing.T) {
	t.Parallel()
	m := newMilestones()
	for line, known := range map[string]bool{
		"pg_restore: creating TABLE \"public.a\"\n": true, "pg_restore: error: could not\n": false, "pg_restore: warning: x\n": false,
		"pg_restore: detail: y\n": false, "Command was: COPY\n": false, "\n": false, "pg_restore: [custom archiver] x\n": true,
	} {
		require.Equal(t, known, m.heard(line), line)
	}
	require.True(t, m.heard("pg_restore: processing data for table \"public.a\"\n"))
	require.True(t, m.heard("pg_restore: processing data for table \"public.b\"\n"))
	for n := range m.reached(t.Context()) {
		require.Equal(t, 1, n, "b is not filled")
		m.end()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range newMilestones().reached(ctx) {
		t.Fatal("nothing began")
	}
}

func TestLineWriter(t *testing.T) {
	t.Parallel()
	var lines []string
	l := &lineWriter{line: func(line []byte) { lines = append(lines, string(line)) }}
	for _, part := range []string{"one\ntw", "o\n\nth", "ree"} {
		n, err := l.Write([]byte(part))
		require.NoError(t, err)
		require.Len(t, part, n)
	}
	l.flush()
	require.Equal(t, []string{"one\n", "two\n", "\n", "three"}, lines)
	_, _ = l.Write(make([]byte, maxLine+1))
	require.Len(t, lines, 5, "a long line is passed on without its end")
}

// R15: comments and properties of indexes and keys are restored with them.
func TestR15CommentsOfIndexes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, `CREATE TABLE said (id int PRIMARY KEY, d int CHECK (d > 0), UNIQUE (d, id));
		INSERT INTO said VALUES (1, 2);
		CREATE INDEX said_d ON said (d); CREATE INDEX said_both ON said (d, id);
		ALTER TABLE said CLUSTER ON said_d; ALTER TABLE said REPLICA IDENTITY USING INDEX said_pkey;
		COMMENT ON INDEX said_d IS 'an index'; COMMENT ON INDEX said_both IS 'of two'; COMMENT ON INDEX said_pkey IS 'of a key';
		COMMENT ON CONSTRAINT said_pkey ON said IS 'a key'; COMMENT ON CONSTRAINT said_d_id_key ON said IS 'unique'`)
	before := w.state(t)
	require.Contains(t, before, "an index")
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context())) // the dump alone
	w.admin(t, w.name, "DROP TABLE said")
	w.restore(t, snap)
	require.Equal(t, before, w.state(t))
}

// R15: a database that lacks an index, a key or a trigger differs from the backup.
func TestR15IndexesKeysAndTriggersAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, `CREATE TABLE made (id int PRIMARY KEY, other int REFERENCES made);
		CREATE INDEX made_other ON made (other);
		CREATE TRIGGER same BEFORE UPDATE ON made FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`)
	now := func() (f facts) {
		conn := w.connect(t, w.c.Admin(w.name))
		defer closeConn(conn)
		require.NoError(t, still(t.Context(), conn, func(tx pgx.Tx) error { return readInside(t.Context(), tx, 150000, &f) }))
		return f
	}
	want := now()
	for _, harm := range []string{"DROP TRIGGER same ON made", "DROP INDEX made_other", "ALTER TABLE made DROP CONSTRAINT made_other_fkey"} {
		before := now()
		w.admin(t, w.name, harm)
		diff := before.differences(now())
		require.Len(t, diff, 1, harm)
		require.Contains(t, diff[0], "the number of indexes, constraints and triggers")
	}
	later := now()
	later.Server = "99.1"
	require.Empty(t, want.differences(later), "another version counts differently")
	want.Made = nil
	require.Empty(t, want.differences(now()), "a backup without these counts")
}

// A snapshot of the database does not include the values of sequences: one that is
// used during a dump in place must not make the backup useless.
func TestR15SequenceUsedDuringTheDump(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the fake tools are shell scripts")
	}
	w := newWorld(t)
	w.db.NoClone = true
	require.NoError(t, w.db.Close(t.Context()))
	w.db.Bin = t.TempDir()
	for name, also := range map[string]string{
		"pg_restore": "",
		"pg_dump":    `case "$*" in *--version*) ;; *) PGOPTIONS= "` + w.c.Bin + `/psql" -Xqd '` + strings.ReplaceAll(w.c.Admin(w.name), "'", `'\''`) + `' -c "SELECT nextval('never_used')" > /dev/null || exit 1 ;; esac` + "\n",
	} {
		script := "#!/bin/sh\n\"" + w.c.Bin + "/" + name + "\" \"$@\" || exit\n" + also
		require.NoError(t, os.WriteFile(filepath.Join(w.db.Bin, name), []byte(script), 0o700))
	}
	snap := w.take(t)
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	var moved []string
	for _, table := range f.Tables {
		if table.Moved {
			moved = append(moved, table.Name)
		}
	}
	require.Equal(t, []string{"never_used"}, moved)
	_, err = w.store.Prove(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	w.restore(t, snap)
}

// R15: a crash of the server empties unlogged tables, in the clone too. The dump has their rows.
func TestR15UnloggedTablesAfterACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.Checksums = false
	w.admin(t, w.name, "CREATE UNLOGGED TABLE kept AS SELECT g FROM generate_series(1, 1000) g")
	snap := w.take(t)
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	require.True(t, f.Unlogged)
	clone := w.connect(t, w.c.Admin("postgres"))
	_, err = clone.Exec(t.Context(), "ALTER DATABASE "+ident(f.Clone)+" ALLOW_CONNECTIONS true")
	require.NoError(t, err)
	w.admin(t, f.Clone, "DELETE FROM kept") // what a crash leaves
	_, err = clone.Exec(t.Context(), "ALTER DATABASE "+ident(f.Clone)+" ALLOW_CONNECTIONS false")
	require.NoError(t, err)
	closeConn(clone)
	w.restore(t, snap)
	var n int
	conn := w.connect(t, w.c.Admin(w.name))
	defer closeConn(conn)
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM kept").Scan(&n))
	require.Equal(t, 1000, n)
}

// R15: what another version of the server spells or counts differently is not a difference.
func TestR15DifferencesAcrossVersions(t *testing.T) {
	t.Parallel()
	lo := func(sum string) []table {
		return []table{{Schema: "pg_catalog", Name: largeObjects, Rows: 1, Sum: sum}}
	}
	before := facts{Server: "13.9", Locale: locale{Encoding: "UTF8"}, Tables: lo(""), Settings: []setting{{Name: "search_path", Value: "a,b"}}}
	after := facts{Server: "15.1", Locale: locale{Encoding: "UTF8", Provider: "c"}, Tables: lo("7"), Settings: []setting{{Name: "search_path", Value: "a, b"}}, Made: &derived{Way: 1, Indexes: 1}}
	require.Empty(t, before.differences(after))
	after.Tables[0].Rows = 2
	require.Len(t, before.differences(after), 1)
	after.Tables[0].Rows, after.Locale.Provider = 1, "i"
	require.Len(t, before.differences(after), 1)
	before, after = facts{Made: &derived{Way: 1, Indexes: 1}}, facts{Made: &derived{Way: 2, Indexes: 9}}
	require.Empty(t, before.differences(after), "counted differently")
}
