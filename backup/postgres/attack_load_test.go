package postgres

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// What runs functions of the application's role when rows are loaded or when the
// structure is made. All of it is restored by the clone and from the dump, and proven;
// with ASPUPDATE_SOAK=1 each in a database of its own.
func TestAttackByCodeThatRunsWhileADumpIsLoaded(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"check":            `CREATE TABLE trap (n int CHECK (evil(n) = n)); INSERT INTO trap VALUES (1)`,
		"generated column": `CREATE TABLE trap (n int, m int GENERATED ALWAYS AS (evil(n)) STORED); INSERT INTO trap VALUES (1)`,
		"domain":           `CREATE DOMAIN d AS int CHECK (evil(VALUE) = VALUE); CREATE TABLE trap (n d, a d[]); INSERT INTO trap VALUES (1, '{2}')`,
		"partition key":    `CREATE TABLE trap (n int) PARTITION BY RANGE ((n + evil(0))); CREATE TABLE trap1 PARTITION OF trap FOR VALUES FROM (0) TO (9); INSERT INTO trap VALUES (1)`,
		"literal":          `CREATE DOMAIN d AS int CHECK (evil(VALUE) = VALUE); CREATE TABLE trap (n d[] DEFAULT '{1}'::d[]); CREATE VIEW v AS SELECT '{1}'::d[] AS x; CREATE FUNCTION f(a d[] DEFAULT '{2}'::d[]) RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		"index":            `CREATE TABLE trap (n int); INSERT INTO trap VALUES (1); CREATE INDEX ON trap ((n + evil(0))); CREATE INDEX ON trap (n) WHERE evil(n) = n; CREATE UNIQUE INDEX ON trap ((evil(n)))`,
		"foreign key":      `CREATE TABLE trap (n int PRIMARY KEY); CREATE INDEX ON trap ((n + evil(0))); INSERT INTO trap VALUES (1); CREATE TABLE t2 (n int REFERENCES trap); CREATE INDEX ON t2 ((n + evil(0))); INSERT INTO t2 VALUES (1)`,
		"view":             `CREATE MATERIALIZED VIEW trap AS SELECT evil(1) AS n; CREATE UNIQUE INDEX ON trap (n)`,
		"statistics":       `CREATE TABLE trap (n int); INSERT INTO trap VALUES (1), (2); CREATE STATISTICS st ON (evil(n)), n FROM trap; ANALYZE trap`,
		"policy": `CREATE TABLE trap (n int); INSERT INTO trap VALUES (1); ALTER TABLE trap ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON trap USING (evil(n) = 0);
			ALTER TABLE trap ADD PRIMARY KEY (n); CREATE TABLE t2 (n int REFERENCES trap); INSERT INTO t2 VALUES (1); ALTER TABLE t2 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p2 ON t2 USING (evil(n) = 0)`,
		"rule and trigger": `CREATE TABLE trap (n int); INSERT INTO trap VALUES (1); CREATE RULE r AS ON INSERT TO trap WHERE evil(1) = 1 DO ALSO SELECT evil(2);
			CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM evil(1); RETURN NEW; END'; CREATE TRIGGER tr BEFORE INSERT OR UPDATE ON trap FOR EACH ROW WHEN (evil(1) = 1) EXECUTE FUNCTION tf(); ALTER TABLE trap ENABLE ALWAYS TRIGGER tr`,
		"operator": `CREATE FUNCTION eq(int, point) RETURNS bool LANGUAGE sql AS 'SELECT evil($1) = $1'; CREATE OPERATOR public.= (LEFTARG = int, RIGHTARG = point, FUNCTION = eq);
			CREATE TYPE pair AS (a int, b int); CREATE TYPE r AS RANGE (subtype = int); CREATE AGGREGATE ag(int) (sfunc = int4pl, stype = int, finalfunc = evil); CREATE TABLE trap (p pair, r r); INSERT INTO trap VALUES ('(1,2)', '[1,2)')`,
	}
	together := newAttack(t)
	for name, sql := range cases {
		if os.Getenv("ASPUPDATE_SOAK") != "1" {
			name = ident("with a " + name) // a dump has it after what is in public
			together.mine(t, "CREATE SCHEMA "+name+"; SET search_path = "+name+", public; "+sql)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttack(t)
			a.mine(t, sql)
			before := a.state(t)
			a.everything(t)
			require.Equal(t, before, a.state(t))
		})
	}
	before := together.state(t)
	together.everything(t)
	require.Equal(t, before, together.state(t))
}

// A function of one owner runs while another owner's objects are there, which all belong to
// the login for now.
func TestAttackOnAnotherOwnerWhileADumpIsLoaded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does    string
		refused bool // the restore, because what came out is something else
		index   bool // it runs when an index is made and by ANALYZE, not when rows are loaded
	}{
		"replaces a function":    {does: `CREATE OR REPLACE FUNCTION public.roots() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 666'`},
		"alters a table":         {does: `ALTER TABLE public.root_table ADD COLUMN mine int`},
		"grants":                 {does: `GRANT ALL ON public.root_table TO PUBLIC`},
		"makes a table":          {does: `CREATE TABLE public.mine (n int)`},
		"replaces by a SQL text": {does: `PERFORM query_to_xml('CREATE OR REPLACE FUNCTION public.roots() RETURNS int LANGUAGE sql AS ''SELECT 666''', true, true, '')`},
		"makes a large object":   {does: `PERFORM lo_create(0)`, refused: true},
		"writes rows":            {does: `INSERT INTO public.root_table VALUES (666)`, refused: true},
		// With a password that its owner knows, he is in as the login, and no function's statements are refused to him.
		"changes the password":              {does: `IF current_user LIKE 'aspupdate%' THEN ALTER ROLE CURRENT_USER PASSWORD 'x'; END IF`, refused: true},
		"changes the password for an index": {does: `IF current_user LIKE 'aspupdate%' THEN ALTER ROLE CURRENT_USER PASSWORD 'x'; END IF`, refused: true, index: true},
		"changes the password by ANALYZE":   {does: `IF current_user LIKE 'aspupdate%' AND current_query() = 'ANALYZE' THEN ALTER ROLE CURRENT_USER PASSWORD 'x'; END IF`, refused: true, index: true},
		"changes the password by ANALYZE, if the login can log in": {does: `IF current_user LIKE 'aspupdate%' AND current_query() = 'ANALYZE' AND (SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
			ALTER ROLE CURRENT_USER PASSWORD 'x'; END IF`, index: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttack(t)
			a.admin(t, a.name, `CREATE TABLE root_table (n int); INSERT INTO root_table VALUES (1); CREATE FUNCTION roots() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'`)
			a.mine(t, `CREATE FUNCTION harm(int) RETURNS int LANGUAGE plpgsql AS $x$ BEGIN BEGIN `+c.does+`; EXCEPTION WHEN OTHERS THEN END; RETURN $1; END $x$;
				CREATE FUNCTION still(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.harm($1); END'`)
			if c.index {
				a.mine(t, `CREATE TABLE trap (n int); INSERT INTO trap VALUES (1); CREATE INDEX ON trap ((n + still(0)))`)
			} else {
				a.mine(t, `CREATE TABLE trap (n int CHECK (harm(n) = n)); INSERT INTO trap VALUES (1)`)
			}
			// Only from the dump, and of the state before: the function has done its harm already where the owner may.
			before := a.state(t)
			snap := a.take(t)
			require.NoError(t, a.db.Tidy(t.Context()))
			var perr error
			for range rounds(1) {
				_, perr = a.store.Prove(t.Context(), snap.ID, a.db)
			}
			r, rerr := a.store.Restore(t.Context(), snap.ID, a.db)
			if c.refused {
				require.ErrorIs(t, perr, backup.ErrMismatch)
				require.ErrorIs(t, rerr, backup.ErrMismatch)
				require.NoError(t, a.drop(t, kindDiffers), "what differs is kept for a person")
			} else {
				require.NoError(t, perr)
				require.NoError(t, rerr)
				require.NoError(t, r.Discard(t.Context()))
			}
			require.Equal(t, before, a.state(t))
			require.Empty(t, a.kinds(t))
			a.failed(t, name)
			conn := a.connect(t, a.c.Admin("postgres"))
			defer closeConn(conn)
			var left bool
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", loaderRole(a.name)).Scan(&left))
			require.False(t, left, "the login that loads dumps is left")
		})
	}
}

// A function of one owner runs when his view is made, and changes the settings of the session in which the
// next statements are read: those of a superuser's table would name functions of his.
func TestAttackOnTheSessionThatLoadsADump(t *testing.T) {
	t.Parallel()
	for setting, value := range map[string]string{"search_path": `"0evil", pg_catalog`, "standard_conforming_strings": "off", "client_encoding": "SJIS", "timezone": "Asia/Kamchatka"} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			a := newAttack(t)
			a.mine(t, `CREATE SCHEMA "0evil"; GRANT USAGE ON SCHEMA "0evil" TO PUBLIC;
				CREATE FUNCTION "0evil".harm(text) RETURNS boolean LANGUAGE plpgsql AS $x$ BEGIN
					IF session_user LIKE 'aspupdate_load%' THEN PERFORM pg_catalog.set_config(`+literal(setting)+`, `+literal(value)+`, false); END IF; RETURN true; END $x$;
				CREATE DOMAIN "0evil".dom AS text CHECK ("0evil".harm(VALUE));
				CREATE TYPE "0evil".text AS (a int); CREATE FUNCTION "0evil".current_setting(text) RETURNS text LANGUAGE sql AS $x$ SELECT '' $x$;
				CREATE FUNCTION "0evil".ne(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
				CREATE OPERATOR "0evil".<> (LEFTARG = pg_catalog.text, RIGHTARG = pg_catalog.text, FUNCTION = "0evil".ne);
				CREATE FUNCTION "0evil".upper(text) RETURNS text LANGUAGE plpgsql AS $x$ BEGIN PERFORM public.evil(1); RETURN $1; END $x$;
				CREATE VIEW "0evil".v AS SELECT '{x}'::"0evil".dom[] AS d`)
			a.admin(t, a.name, `CREATE SCHEMA root; CREATE TABLE root.log (t text CHECK (upper(t) = t)); INSERT INTO root.log VALUES ('A')`)
			before := a.state(t)
			snap := a.take(t)
			require.NoError(t, a.db.Tidy(t.Context()))
			_, err := a.store.Prove(t.Context(), snap.ID, a.db)
			require.ErrorContains(t, err, "a function has changed the setting "+setting)
			_, err = a.store.Restore(t.Context(), snap.ID, a.db)
			require.ErrorContains(t, err, "a function has changed the setting "+setting)
			require.Equal(t, before, a.state(t))
			require.NoError(t, a.db.Tidy(t.Context()))
			a.admin(t, a.name, "INSERT INTO root.log VALUES ('B')")
			a.failed(t, "a superuser uses his table")
		})
	}
}

// Whoever can write where backups are kept exchanges the dump after it was compared.
func TestAttackByADumpThatIsExchangedWhileItIsLoaded(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	a.admin(t, a.name, `CREATE SCHEMA a_schema_with_a_long_name_for_a_longer_statement; CREATE EXTENSION hstore SCHEMA a_schema_with_a_long_name_for_a_longer_statement`)
	snap := a.take(t)
	require.NoError(t, a.db.Tidy(t.Context()))
	dir, err := a.store.Path(snap.ID)
	require.NoError(t, err)
	file := filepath.Join(dir, dumpFile)
	packed, err := os.ReadFile(file)
	require.NoError(t, err)
	unpack, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer unpack.Close()
	raw, err := unpack.DecodeAll(packed, nil)
	require.NoError(t, err)
	old := []byte(`CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA a_schema_with_a_long_name_for_a_longer_statement;`)
	require.Equal(t, 1, bytes.Count(raw, old))
	sql := []byte("ALTER ROLE " + ident(a.role) + " SUPERUSER;")
	forged := slices.Concat(sql, bytes.Repeat([]byte(" "), len(old)-len(sql)))
	pack, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	other := pack.EncodeAll(bytes.Replace(raw, old, forged, 1), nil)
	var once sync.Once
	a.db.Observe = func(e backup.Event) {
		if e.Kind == eventLoad {
			once.Do(func() {
				require.NoError(t, os.Remove(file))
				require.NoError(t, os.WriteFile(file, other, 0o600))
			})
		}
	}
	_, err = a.db.Restore(t.Context(), dir, snap.Meta)
	require.ErrorIs(t, err, backup.ErrDamaged)
	a.failed(t, "Restore of another dump")
}

// What only a superuser can restore is refused until it is named.
func TestOnlyNamedObjectsAreRestoredByASuperuser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, `CREATE FUNCTION "In C"(int) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'int4abs'; CREATE TABLE uses (n int CHECK ("In C"(n) > 0)); INSERT INTO uses VALUES (3);
		CREATE FUNCTION leak(int) RETURNS bool LEAKPROOF LANGUAGE sql AS 'SELECT true'; ALTER FUNCTION "In C"(int) OWNER TO `+ident(w.role))
	err := w.db.check(t.Context())
	require.ErrorIs(t, err, backup.ErrPermission)
	require.ErrorContains(t, err, "In C")
	require.ErrorContains(t, err, "public.leak(integer)")
	_, err = w.store.Take(t.Context(), "x", w.db)
	require.ErrorIs(t, err, backup.ErrPermission)
	w.db.AsSuperuser = []string{"function public.leak(integer)", `function public."In C"(integer)`}
	require.NoError(t, w.db.check(t.Context()))
	before := w.state(t)
	snap := w.take(t)
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	require.Len(t, f.Privileged, 2)
	require.NoError(t, w.db.Tidy(t.Context()))
	another := *w.db
	another.AsSuperuser = nil
	_, err = w.store.Restore(t.Context(), snap.ID, &another)
	require.ErrorIs(t, err, backup.ErrPermission)
	w.update(t)
	w.restore(t, snap)
	require.Equal(t, before, w.state(t))
}

// Objects of several owners, in schemas of extensions and others, come back with
// their owners.
func TestR15OwnersOfWhatTheLoginMakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app, reader := ident(w.role), ident("reader "+w.role[len("app '\""):])
	w.admin(t, w.name, `CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; COMMENT ON EXTENSION hstore IS 'mine'; COMMENT ON SCHEMA ext IS 'its'; ALTER SCHEMA ext OWNER TO `+app+`;
		ALTER SCHEMA public OWNER TO `+app+`; COMMENT ON SCHEMA public IS 'ours';
		CREATE TABLE ext.t (h ext.hstore, id int GENERATED ALWAYS AS IDENTITY, s serial); INSERT INTO ext.t (h) VALUES ('a=>1'); ALTER TABLE ext.t OWNER TO `+reader+`;
		CREATE SEQUENCE a_first; CREATE TABLE z (n int DEFAULT nextval('a_first')); ALTER SEQUENCE a_first OWNED BY z.n; ALTER TABLE z OWNER TO `+app+`;
		CREATE TYPE ext.e AS ENUM ('x'); ALTER TYPE ext.e OWNER TO `+reader+`; CREATE DOMAIN dom AS int; ALTER DOMAIN dom OWNER TO `+app+`;
		CREATE FUNCTION ext.f(a int DEFAULT 1, VARIADIC b text[] DEFAULT '{}') RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION ext.f OWNER TO `+reader+`;
		CREATE PROCEDURE p() LANGUAGE sql AS ''; ALTER PROCEDURE p OWNER TO `+app+`; CREATE AGGREGATE agg(int) (sfunc = int4pl, stype = int); ALTER AGGREGATE agg(int) OWNER TO `+app+`;
		CREATE VIEW v AS SELECT 1; ALTER VIEW v OWNER TO `+reader+`; CREATE MATERIALIZED VIEW mv AS SELECT 1 AS x; ALTER MATERIALIZED VIEW mv OWNER TO `+app+`;
		CREATE TEXT SEARCH DICTIONARY dict (TEMPLATE = simple); ALTER TEXT SEARCH DICTIONARY dict OWNER TO `+app+`; CREATE TEXT SEARCH CONFIGURATION conf (COPY = simple);
		CREATE COLLATION coll (provider = libc, locale = 'C'); ALTER COLLATION coll OWNER TO `+app+`; CREATE STATISTICS st ON n, (n + 1) FROM z;
		CREATE OPERATOR FAMILY fam USING btree; CREATE OPERATOR CLASS cls FOR TYPE int USING btree FAMILY fam AS OPERATOR 1 <; ALTER OPERATOR CLASS cls USING btree OWNER TO `+app+`;
		CREATE PUBLICATION everything FOR ALL TABLES; CREATE PUBLICATION "some" FOR TABLE z WHERE (n > 1); ALTER PUBLICATION "some" OWNER TO `+app+`;
		CREATE EXTENSION postgres_fdw; CREATE SERVER srv FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'x'); ALTER SERVER srv OWNER TO `+app+`;
		CREATE USER MAPPING FOR PUBLIC SERVER srv OPTIONS (user 'u', password 'p'); CREATE USER MAPPING FOR postgres SERVER srv OPTIONS (password_required 'false'); CREATE FOREIGN TABLE ft (n int) SERVER srv; ALTER FOREIGN TABLE ft OWNER TO `+app+`;
		SELECT lo_create(4711); ALTER LARGE OBJECT 4711 OWNER TO `+app+`; GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC; COMMENT ON LARGE OBJECT 4711 IS 'lo';
		ALTER DEFAULT PRIVILEGES FOR ROLE `+app+` GRANT SELECT ON TABLES TO `+reader+`; REVOKE ALL ON FUNCTION ext.f FROM PUBLIC; GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO `+app+`;
		CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER ev ON ddl_command_end EXECUTE FUNCTION ev(); COMMENT ON EVENT TRIGGER ev IS 'on'; ALTER EVENT TRIGGER ev DISABLE`)
	w.bothWays(t, func() { w.admin(t, w.name, "CREATE TABLE later ()") })
}

// Since PostgreSQL 15 the schema public belongs to pg_database_owner. As long as it does, a
// dump has a changed comment on it, but not the schema.
func TestR15CommentOnTheSchemaPublic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, "COMMENT ON SCHEMA public IS 'ours'")
	w.bothWays(t, func() { w.admin(t, w.name, "COMMENT ON SCHEMA public IS 'theirs'") })
	p := newPlan([]*tocEntry{{id: 1, desc: "COMMENT", tag: "SCHEMA public", section: sectionNone}}, nil, nil)
	require.Equal(t, []string{"1"}, p.last, "an entry that depends on none")
}

func FuzzContents(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "15.dump")) // a small one, with one object of most kinds
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte("PGDMP\x01\x0e\x00\x04\x08\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := readContents(bytes.NewReader(b))
		if err != nil {
			require.ErrorIs(t, err, errContents)
			require.Empty(t, entries)
			return
		}
		newPlan(entries, nil, nil)
	})
}

// Every entry of a real dump is read, and none is in two steps of the plan.
func TestContentsOfADump(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	snap := w.take(t)
	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	entries, _, err := verified(t.Context(), filepath.Join(dir, dumpFile), f)
	require.NoError(t, err)
	i := slices.IndexFunc(entries, func(e *tocEntry) bool { return e.desc == "TABLE" && e.tag == "Таблица" })
	require.GreaterOrEqual(t, i, 0)
	require.Equal(t, `Схема "1"`, entries[i].namespace)
	require.Equal(t, "postgres", entries[i].owner)
	require.Equal(t, sectionPreData, entries[i].section)
	require.Contains(t, entries[i].drop, `DROP TABLE "Схема ""1"""."Таблица"`)
	p := newPlan(entries, nil, nil)
	seen := map[string]bool{}
	lists := [][]string{p.first, p.config, p.rows, p.rest, p.last}
	for _, st := range p.structure {
		require.False(t, st.super)
		lists = append(lists, st.ids)
	}
	for _, id := range slices.Concat(lists...) {
		require.False(t, seen[id])
		seen[id] = true
	}
	require.Len(t, seen, len(entries)-5, "all but the encoding, the strings, the search path, and the database with its settings")

	// A dump that is cut off or damaged is an error.
	packed, err := os.ReadFile(filepath.Join(dir, dumpFile))
	require.NoError(t, err)
	unpack, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer unpack.Close()
	raw, err := unpack.DecodeAll(packed, nil)
	require.NoError(t, err)
	for _, n := range []int{0, 4, 10, 60, 500, 3000} {
		_, err := readContents(bytes.NewReader(raw[:n]))
		require.ErrorIs(t, err, errContents, "%d bytes", n)
	}
}
