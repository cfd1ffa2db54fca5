package postgres

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// catalog has one object or more of each kind that pg_dump's own tests know, by the version of the server
// that has them first. "app" is the application's role.
var catalog = []struct {
	since int
	sql   string
}{
	{0, `
CREATE SCHEMA s AUTHORIZATION "app"; COMMENT ON SCHEMA s IS 'схема'; GRANT USAGE ON SCHEMA s TO PUBLIC;
CREATE SCHEMA "Ещё одна";
CREATE EXTENSION hstore SCHEMA "Ещё одна"; COMMENT ON EXTENSION hstore IS 'mine';
ALTER DEFAULT PRIVILEGES FOR ROLE "app" IN SCHEMA s GRANT SELECT ON TABLES TO pg_monitor;
ALTER DEFAULT PRIVILEGES FOR ROLE "app" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "app" GRANT USAGE ON SEQUENCES TO pg_monitor;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO "app";

-- types
CREATE TYPE s.shell;
CREATE TYPE s.base;
CREATE FUNCTION s.base_in(cstring) RETURNS s.base LANGUAGE internal STRICT IMMUTABLE AS 'int4in';
CREATE FUNCTION s.base_out(s.base) RETURNS cstring LANGUAGE internal STRICT IMMUTABLE AS 'int4out';
CREATE TYPE s.base (INPUT = s.base_in, OUTPUT = s.base_out, LIKE = int4, DEFAULT = '42', CATEGORY = 'N', PREFERRED = true, COLLATABLE = false);
COMMENT ON TYPE s.base IS 'основа'; ALTER TYPE s.base OWNER TO "app"; REVOKE USAGE ON TYPE s.base FROM PUBLIC; GRANT USAGE ON TYPE s.base TO "app";
CREATE TYPE s.pair AS (a int, b text); COMMENT ON COLUMN s.pair.b IS 'b'; ALTER TYPE s.pair OWNER TO "app";
CREATE TYPE s.mood AS ENUM ('грустно', 'ok', 'a''b'); ALTER TYPE s.mood ADD VALUE 'между' BEFORE 'ok'; COMMENT ON TYPE s.mood IS 'enum';
CREATE TYPE s.span AS RANGE (subtype = float8, subtype_diff = float8mi); ALTER TYPE s.span OWNER TO "app";
CREATE COLLATION s.icu (provider = icu, locale = 'ru', deterministic = false); COMMENT ON COLLATION s.icu IS 'c'; ALTER COLLATION s.icu OWNER TO "app";
CREATE COLLATION s.libc FROM "C";
CREATE DOMAIN s.positive AS int DEFAULT 5 NOT NULL CONSTRAINT plus CHECK (VALUE > 0); COMMENT ON DOMAIN s.positive IS 'd'; COMMENT ON CONSTRAINT plus ON DOMAIN s.positive IS 'c';
ALTER DOMAIN s.positive ADD CONSTRAINT small CHECK (VALUE < 100) NOT VALID; ALTER DOMAIN s.positive OWNER TO "app";
CREATE DOMAIN s.word AS text COLLATE s.icu CHECK (VALUE <> 'нет');

-- functions and what is made of them
CREATE FUNCTION s.plus(a int, b int DEFAULT 1, VARIADIC rest int[] DEFAULT '{}') RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5 SECURITY DEFINER SET search_path = s, public AS 'SELECT a + b';
COMMENT ON FUNCTION s.plus IS 'f'; GRANT EXECUTE ON FUNCTION s.plus TO pg_monitor; ALTER FUNCTION s.plus OWNER TO "app";
CREATE FUNCTION s.rows(OUT a int, OUT b text) RETURNS SETOF record LANGUAGE plpgsql ROWS 7 AS $f$ BEGIN a := 1; b := E'\\'; RETURN NEXT; END $f$;
CREATE FUNCTION s.leak(int) RETURNS int LANGUAGE sql LEAKPROOF AS 'SELECT $1';
CREATE FUNCTION s.poly(anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
CREATE PROCEDURE s.proc(INOUT a int) LANGUAGE plpgsql AS 'BEGIN COMMIT; END'; COMMENT ON PROCEDURE s.proc IS 'p'; REVOKE ALL ON PROCEDURE s.proc FROM PUBLIC;
CREATE FUNCTION s.less(s.pair, s.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1.a < $2.a';
CREATE FUNCTION s.same(s.pair, s.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1.a = $2.a';
CREATE FUNCTION s.compare(s.pair, s.pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1.a - $2.a';
CREATE OPERATOR s.<< (LEFTARG = s.pair, RIGHTARG = s.pair, FUNCTION = s.less, COMMUTATOR = OPERATOR(s.>>), NEGATOR = OPERATOR(s.>>=)); -- both of which do not exist
CREATE OPERATOR s.== (LEFTARG = s.pair, RIGHTARG = s.pair, FUNCTION = s.same, COMMUTATOR = OPERATOR(s.==), HASHES, MERGES, RESTRICT = eqsel, JOIN = eqjoinsel);
COMMENT ON OPERATOR s.== (s.pair, s.pair) IS 'o'; ALTER OPERATOR s.<< (s.pair, s.pair) OWNER TO "app";
CREATE OPERATOR FAMILY s.family USING btree; COMMENT ON OPERATOR FAMILY s.family USING btree IS 'f'; ALTER OPERATOR FAMILY s.family USING btree OWNER TO "app";
CREATE OPERATOR CLASS s.class FOR TYPE int8 USING btree FAMILY s.family AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint8cmp(int8, int8);
ALTER OPERATOR FAMILY s.family USING btree ADD OPERATOR 1 <(int8, int4), OPERATOR 3 =(int8, int4), FUNCTION 1 (int8, int4) btint84cmp(int8, int4);
COMMENT ON OPERATOR CLASS s.class USING btree IS 'c'; ALTER OPERATOR CLASS s.class USING btree OWNER TO "app";
CREATE OPERATOR CLASS s.alone FOR TYPE int2 USING hash AS OPERATOR 1 =, FUNCTION 1 hashint2(int2);
CREATE AGGREGATE s.agg(int) (sfunc = int4pl, stype = int, initcond = '0', combinefunc = int4pl, parallel = safe); COMMENT ON AGGREGATE s.agg(int) IS 'a'; ALTER AGGREGATE s.agg(int) OWNER TO "app";
CREATE AGGREGATE s.agg_internal(numeric) (sfunc = numeric_accum, stype = internal, finalfunc = numeric_avg);
CREATE AGGREGATE s.ordered(float8 ORDER BY anyelement) (sfunc = ordered_set_transition, stype = internal, finalfunc = percentile_disc_final, finalfunc_extra);
CREATE CAST (s.pair AS int) WITH INOUT AS ASSIGNMENT; COMMENT ON CAST (s.pair AS int) IS 'c';
CREATE FUNCTION s.to_pair(int) RETURNS s.pair LANGUAGE sql AS $f$SELECT ROW($1, 'x')::s.pair$f$; CREATE CAST (int AS s.pair) WITH FUNCTION s.to_pair(int);
CREATE CAST (s.base AS int) WITHOUT FUNCTION;
CREATE CONVERSION s.conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8; COMMENT ON CONVERSION s.conv IS 'c'; ALTER CONVERSION s.conv OWNER TO "app";
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal)); COMMENT ON TRANSFORM FOR int LANGUAGE sql IS 't';
CREATE FUNCTION s.handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE LANGUAGE mine HANDLER s.handler; COMMENT ON LANGUAGE mine IS 'l';
CREATE TRUSTED LANGUAGE theirs HANDLER s.handler; ALTER LANGUAGE theirs OWNER TO "app"; REVOKE USAGE ON LANGUAGE theirs FROM PUBLIC; GRANT USAGE ON LANGUAGE theirs TO "app";
CREATE FUNCTION s.in_mine() RETURNS int LANGUAGE mine AS 'BEGIN RETURN 1; END';
CREATE FUNCTION s.in_theirs() RETURNS int LANGUAGE theirs AS 'BEGIN RETURN 1; END'; ALTER FUNCTION s.in_theirs() OWNER TO "app";
CREATE ACCESS METHOD mine TYPE INDEX HANDLER bthandler; COMMENT ON ACCESS METHOD mine IS 'a';
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
CREATE OPERATOR CLASS s.of_mine DEFAULT FOR TYPE int8 USING mine AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint8cmp(int8, int8);
CREATE TEXT SEARCH PARSER s.parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype); COMMENT ON TEXT SEARCH PARSER s.parser IS 'p';
CREATE TEXT SEARCH TEMPLATE s.template (LEXIZE = dsimple_lexize, INIT = dsimple_init); COMMENT ON TEXT SEARCH TEMPLATE s.template IS 't';
CREATE TEXT SEARCH DICTIONARY s.dict (TEMPLATE = s.template, accept = false); COMMENT ON TEXT SEARCH DICTIONARY s.dict IS 'd'; ALTER TEXT SEARCH DICTIONARY s.dict OWNER TO "app";
CREATE TEXT SEARCH CONFIGURATION s.config (PARSER = s.parser); ALTER TEXT SEARCH CONFIGURATION s.config ADD MAPPING FOR word, asciiword WITH s.dict, simple;
COMMENT ON TEXT SEARCH CONFIGURATION s.config IS 'c'; ALTER TEXT SEARCH CONFIGURATION s.config OWNER TO "app";

-- tables
CREATE TABLE s.all_types (id int GENERATED BY DEFAULT AS IDENTITY (START 5 INCREMENT 3 CYCLE MAXVALUE 1000), always bigint GENERATED ALWAYS AS IDENTITY,
	b s.base DEFAULT '7', p s.pair, m s.mood, sp s.span, po s.positive, w s.word, h "Ещё одна".hstore, g int GENERATED ALWAYS AS (s.plus(id, 2)) STORED,
	t text COLLATE s.libc, arr int[][], doc tsvector, dropped int, n numeric(10,3), "Имя ""с"" кавычками" text, x xml, j jsonb, f float8, u uuid, i interval, bits bit varying(9)) WITH (fillfactor = 70, autovacuum_enabled = off);
INSERT INTO s.all_types (b, p, m, sp, po, w, h, t, arr, doc, n, "Имя ""с"" кавычками", x, j, f, u, i, bits) VALUES
	('1', '(1,"a ""b")', 'между', '[1,2)', 9, 'да', 'a=>1', E'tab\there \\ \n', '[0:1]={1,2}', 'кот:1', 'NaN', E'\\N', '<a/>', '{"k": 1e400}', '-0', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1 mon -1 day', '101'),
	('2', NULL, 'ok', 'empty', 99, NULL, NULL, '', '{}', '', 1.5, '\.', NULL, 'null', 'Infinity', NULL, '-00:00:01', '');
ALTER TABLE s.all_types DROP COLUMN dropped, ALTER t SET STORAGE EXTERNAL, ALTER t SET STATISTICS 300, ALTER n SET (n_distinct = 5), ALTER always SET GENERATED BY DEFAULT;
ALTER TABLE s.all_types ADD PRIMARY KEY (id), ADD UNIQUE (always) DEFERRABLE INITIALLY DEFERRED, ADD CONSTRAINT po CHECK (po > 8) NOT VALID, ADD EXCLUDE USING gist (sp WITH &&), REPLICA IDENTITY FULL, OWNER TO "app";
COMMENT ON TABLE s.all_types IS 'т'; COMMENT ON COLUMN s.all_types.id IS 'к'; COMMENT ON CONSTRAINT po ON s.all_types IS 'о';
GRANT SELECT ON s.all_types TO PUBLIC; GRANT UPDATE (t), INSERT (t, n) ON s.all_types TO pg_monitor WITH GRANT OPTION;
CREATE INDEX ON s.all_types USING gin (doc); CREATE INDEX partial ON s.all_types (s.plus(id, 1) DESC NULLS LAST, lower(t) text_pattern_ops) INCLUDE (n) WHERE po > 5; COMMENT ON INDEX s.partial IS 'i';
ALTER INDEX s.partial ALTER COLUMN 1 SET STATISTICS 50; CREATE UNIQUE INDEX clustered ON s.all_types (always) WITH (fillfactor = 60); ALTER TABLE s.all_types CLUSTER ON clustered;
CREATE INDEX of_class ON s.all_types USING btree (always s.class);
CREATE STATISTICS s.st (ndistinct, dependencies, mcv) ON id, n FROM s.all_types; COMMENT ON STATISTICS s.st IS 's'; ALTER STATISTICS s.st OWNER TO "app"; ALTER STATISTICS s.st SET STATISTICS 90;
CREATE TABLE s.typed OF s.pair (a WITH OPTIONS PRIMARY KEY, b DEFAULT 'x'); INSERT INTO s.typed VALUES (1);
CREATE TABLE s.other_method (a int) USING heap2; INSERT INTO s.other_method VALUES (1);
CREATE UNLOGGED TABLE s.unlogged (a int); INSERT INTO s.unlogged VALUES (1);
CREATE TABLE s.no_columns (); INSERT INTO s.no_columns DEFAULT VALUES;
CREATE TABLE s.parent (a int CHECK (a > 0) NO INHERIT, b int NOT NULL, CONSTRAINT keep CHECK (b < 100)); CREATE TABLE s.child (c int) INHERITS (s.parent); INSERT INTO s.child VALUES (-1, 2, 3); INSERT INTO s.parent VALUES (1, 2);
CREATE TABLE s.grandchild (d int) INHERITS (s.child); INSERT INTO s.grandchild VALUES (1, 2, 3, 4); ALTER TABLE s.child ALTER a SET DEFAULT 8;
CREATE TABLE s.parts (k int NOT NULL, v text, PRIMARY KEY (k)) PARTITION BY RANGE (k);
CREATE TABLE s.parts1 PARTITION OF s.parts FOR VALUES FROM (1) TO (10); CREATE TABLE s.parts_rest PARTITION OF s.parts DEFAULT PARTITION BY HASH (k); CREATE TABLE s.parts_rest0 PARTITION OF s.parts_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE s.parts_rest1 (v text, k int NOT NULL); ALTER TABLE s.parts_rest ATTACH PARTITION s.parts_rest1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO s.parts SELECT g, g FROM generate_series(1, 30) g; CREATE INDEX parted ON s.parts (v); CREATE INDEX loose ON ONLY s.parts (k, v); CREATE INDEX loose1 ON s.parts1 (k, v); ALTER INDEX s.loose ATTACH PARTITION s.loose1;
CREATE TABLE s.refers (k int REFERENCES s.parts ON DELETE CASCADE ON UPDATE SET NULL, id int, FOREIGN KEY (id) REFERENCES s.all_types MATCH FULL DEFERRABLE); INSERT INTO s.refers VALUES (3, 5);
ALTER TABLE s.refers ADD CONSTRAINT later FOREIGN KEY (id) REFERENCES s.all_types NOT VALID;
CREATE TABLE s.cycle_a (id int PRIMARY KEY, b int); CREATE TABLE s.cycle_b (id int PRIMARY KEY, a int REFERENCES s.cycle_a); INSERT INTO s.cycle_a VALUES (1, 1); INSERT INTO s.cycle_b VALUES (1, 1); ALTER TABLE s.cycle_a ADD FOREIGN KEY (b) REFERENCES s.cycle_b;
CREATE SEQUENCE s.seq AS smallint START 3 INCREMENT -2 MINVALUE -100 MAXVALUE 50 CACHE 5 CYCLE OWNED BY s.typed.a; SELECT nextval('s.seq'); COMMENT ON SEQUENCE s.seq IS 'q'; CREATE SEQUENCE s.unused_seq; CREATE UNLOGGED TABLE s.with_serial (id serial); GRANT USAGE ON SEQUENCE s.unused_seq TO pg_monitor;

-- views, rules, triggers, policies
CREATE VIEW s.view WITH (security_barrier = true) AS SELECT id, t FROM s.all_types WHERE po > 1 WITH LOCAL CHECK OPTION; COMMENT ON VIEW s.view IS 'v'; ALTER VIEW s.view ALTER t SET DEFAULT 'd'; ALTER VIEW s.view OWNER TO "app"; COMMENT ON COLUMN s.view.t IS 'vt';
CREATE RECURSIVE VIEW s.numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 3;
CREATE VIEW s.loop_a AS SELECT 1 AS n; CREATE VIEW s.loop_b AS SELECT n FROM s.loop_a; CREATE OR REPLACE VIEW s.loop_a AS SELECT 1 AS n WHERE NOT EXISTS (SELECT FROM s.cycle_a WHERE id > 5);
CREATE VIEW s.by_key AS SELECT id, t, n FROM s.all_types GROUP BY id; -- depends on the primary key
CREATE MATERIALIZED VIEW s.mat AS SELECT id FROM s.view; CREATE UNIQUE INDEX ON s.mat (id); COMMENT ON MATERIALIZED VIEW s.mat IS 'm'; ALTER MATERIALIZED VIEW s.mat OWNER TO "app";
CREATE MATERIALIZED VIEW s.mat_of_mat AS SELECT id + 1 AS n FROM s.mat; CREATE MATERIALIZED VIEW s.never AS SELECT 1 / 0 AS n WITH NO DATA; CREATE MATERIALIZED VIEW s.a_of_never AS SELECT n FROM s.never WITH NO DATA;
CREATE RULE note AS ON UPDATE TO s.typed DO ALSO NOTHING; COMMENT ON RULE note ON s.typed IS 'r'; ALTER TABLE s.typed DISABLE RULE note;
CREATE FUNCTION s.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER fires BEFORE UPDATE OF a OR INSERT ON s.typed FOR EACH ROW WHEN (new.a > 0) EXECUTE FUNCTION s.fire('x', 'y''z'); COMMENT ON TRIGGER fires ON s.typed IS 't'; ALTER TABLE s.typed ENABLE REPLICA TRIGGER fires;
CREATE TRIGGER instead INSTEAD OF INSERT ON s.view FOR EACH ROW EXECUTE FUNCTION s.fire();
CREATE TRIGGER changed AFTER UPDATE ON s.parts REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION s.fire();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON s.typed DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION s.fire();
CREATE TRIGGER on_parts AFTER INSERT ON s.parts FOR EACH ROW EXECUTE FUNCTION s.fire(); ALTER TABLE s.parts1 DISABLE TRIGGER on_parts;
ALTER TABLE s.typed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY few ON s.typed AS RESTRICTIVE FOR UPDATE TO "app" USING (a > 0) WITH CHECK (b <> ''); COMMENT ON POLICY few ON s.typed IS 'p';
CREATE POLICY all_of_it ON s.refers USING (EXISTS (SELECT FROM s.all_types a WHERE a.id = refers.id));
CREATE FUNCTION s.on_event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER e ON ddl_command_start WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION s.on_event(); COMMENT ON EVENT TRIGGER e IS 'e';
CREATE EVENT TRIGGER off ON sql_drop EXECUTE FUNCTION s.on_event(); ALTER EVENT TRIGGER off DISABLE;

-- the outside
CREATE FOREIGN DATA WRAPPER fdw OPTIONS (debug 'true'); COMMENT ON FOREIGN DATA WRAPPER fdw IS 'w'; GRANT USAGE ON FOREIGN DATA WRAPPER fdw TO "app";
CREATE FOREIGN DATA WRAPPER validated VALIDATOR postgresql_fdw_validator;
CREATE SERVER srv TYPE 't' VERSION '1' FOREIGN DATA WRAPPER fdw OPTIONS (host 'a''b'); COMMENT ON SERVER srv IS 's'; ALTER SERVER srv OWNER TO "app"; GRANT USAGE ON FOREIGN SERVER srv TO pg_monitor;
CREATE USER MAPPING FOR "app" SERVER srv OPTIONS (user 'u'); CREATE USER MAPPING FOR PUBLIC SERVER srv;
CREATE FOREIGN TABLE s.far (a int OPTIONS (column_name 'b') NOT NULL, b text DEFAULT 'x') SERVER srv OPTIONS (table_name 't'); COMMENT ON FOREIGN TABLE s.far IS 'f'; ALTER FOREIGN TABLE s.far OWNER TO "app"; ALTER FOREIGN TABLE s.far ADD CHECK (a > 0);
CREATE PUBLICATION few FOR TABLE s.typed, s.parts WITH (publish = 'insert, delete', publish_via_partition_root = true); COMMENT ON PUBLICATION few IS 'p'; ALTER PUBLICATION few OWNER TO postgres;
CREATE PUBLICATION everything FOR ALL TABLES; CREATE PUBLICATION nothing;
SELECT lo_from_bytea(4711, 'фото'); ALTER LARGE OBJECT 4711 OWNER TO "app"; COMMENT ON LARGE OBJECT 4711 IS 'фото'; GRANT SELECT ON LARGE OBJECT 4711 TO pg_monitor;
SELECT lo_create(4712); SELECT lo_put(4712, 100000, 'far'); GRANT ALL ON LARGE OBJECT 4712 TO PUBLIC;
GRANT SELECT ON pg_catalog.pg_authid TO pg_monitor; REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC; -- rights on what the system has`},
	{14, `
CREATE TABLE s.squeezed (a text COMPRESSION pglz); INSERT INTO s.squeezed VALUES (repeat('abc', 5000));
CREATE STATISTICS s.of_expressions ON (id % 3), (n * 2) FROM s.all_types;
CREATE FUNCTION s.of_standard(a int) RETURNS int LANGUAGE sql RETURN a + 1;
CREATE PROCEDURE s.atomic(OUT a int) LANGUAGE sql BEGIN ATOMIC SELECT 1; END;
CREATE TYPE s.other_span AS RANGE (subtype = int, multirange_type_name = s.spans); CREATE TABLE s.has_spans (m s.spans); INSERT INTO s.has_spans VALUES ('{[1,2),[5,9)}');
CREATE TABLE s.was_part PARTITION OF s.parts FOR VALUES FROM (-9) TO (0); ALTER TABLE s.parts DETACH PARTITION s.was_part`},
	{15, `
CREATE TABLE s.nulls (a int UNIQUE NULLS NOT DISTINCT, b int); CREATE UNIQUE INDEX ON s.nulls (b) NULLS NOT DISTINCT;
CREATE VIEW s.invoker WITH (security_invoker = true) AS SELECT 1 AS n;
CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA "Ещё одна"; CREATE PUBLICATION of_rows FOR TABLE s.typed (a) WHERE (a > 5);
CREATE TABLE s.set_some (a int, b int, FOREIGN KEY (a) REFERENCES s.cycle_a ON DELETE SET NULL (a))`},
	{17, `
CREATE TABLE s.identity_parts (id int GENERATED ALWAYS AS IDENTITY, k int) PARTITION BY LIST (k); CREATE TABLE s.identity_parts1 PARTITION OF s.identity_parts DEFAULT; INSERT INTO s.identity_parts (k) VALUES (1), (2);
CREATE COLLATION s.builtin (provider = builtin, locale = 'C.UTF-8'); GRANT MAINTAIN ON s.typed TO pg_monitor;
CREATE EVENT TRIGGER logs_in ON login EXECUTE FUNCTION s.on_event(); ALTER EVENT TRIGGER logs_in DISABLE`},
	{18, `
CREATE TABLE s.virtual (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL, c int); ALTER TABLE s.virtual ADD CONSTRAINT nn NOT NULL c NOT VALID; INSERT INTO s.virtual (a, c) VALUES (1, 1);
CREATE TABLE s.enforced (a int CHECK (a > 0) NOT ENFORCED); INSERT INTO s.enforced VALUES (-1);
CREATE TABLE s.periods (id int, at int4range, PRIMARY KEY (id, at WITHOUT OVERLAPS)); INSERT INTO s.periods VALUES (1, '[1,5)'), (1, '[5,9)')`},
}

// One database with all kinds of objects is restored from the dump, and is what it was.
func TestR15RestoreOfAllKindsOfObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ofAllKinds(t)
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		w.bothWays(t, func() { w.update(t) })
		return
	}
	before := w.state(t)
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context())) // the dump alone
	w.restore(t, snap)
	require.Equal(t, before, w.state(t))
}

// pg_dump writes no handlers of a language that are not in the dump themselves, and no server makes the language without.
func TestLanguageThatNoDumpRestores(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, "CREATE LANGUAGE mine HANDLER plpgsql_call_handler")
	w.waive(t)
	err := w.db.check(t.Context())
	require.ErrorIs(t, err, backup.ErrIncompatible)
	require.ErrorContains(t, err, `the language "mine"`)
	_, err = w.store.Take(t.Context(), "x", w.db)
	require.ErrorIs(t, err, backup.ErrIncompatible)
	require.Empty(t, w.kinds(t))
}

// ofAllKinds fills the database with the catalog, of which Versions names what only superusers can restore.
func (w *world) ofAllKinds(t *testing.T) {
	t.Helper()
	version := w.number(t, "postgres", "SELECT current_setting('server_version_num')::int / 10000")
	conn := w.connect(t, w.c.Admin(w.name))
	defer closeConn(conn)
	for _, c := range catalog {
		if version < c.since {
			continue
		}
		for sql := range strings.SplitSeq(strings.ReplaceAll(c.sql, `"app"`, ident(w.role)), ";\n") { // each a transaction
			_, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
			require.NoError(t, err, sql)
		}
	}
	closeConn(conn)
	require.ErrorIs(t, w.db.check(t.Context()), backup.ErrPermission)
	w.waive(t)
	require.NoError(t, w.db.check(t.Context()))
	require.Equal(t, []string{
		"aggregate s.agg_internal(numeric)", "aggregate s.ordered(double precision,pg_catalog.anyelement)", "foreign-data wrapper validated",
		"function s.base_in(pg_catalog.cstring)", "function s.base_out(s.base)", "function s.handler()", "function s.in_mine()", "function s.leak(integer)",
		"language mine", "language theirs", "type s.base",
	}, w.db.AsSuperuser)
}

// waive names all that only superusers can restore.
func (w *world) waive(t *testing.T) {
	t.Helper()
	conn := w.connect(t, w.c.Admin(w.name))
	defer closeConn(conn)
	_, err := conn.Exec(t.Context(), "SET search_path = pg_catalog")
	require.NoError(t, err)
	list, err := readPrivileged(t.Context(), conn)
	require.NoError(t, err)
	w.db.AsSuperuser = nil
	for _, p := range list {
		w.db.AsSuperuser = append(w.db.AsSuperuser, p.What)
	}
}

// number returns what a query of one number returns.
func (w *world) number(t *testing.T, database, query string) (n int) {
	t.Helper()
	conn := w.connect(t, w.c.Admin(database))
	defer closeConn(conn)
	require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&n))
	return n
}
