package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// The owner puts something else in the place of the table that the probe queries.
func TestAttackByWhatAProbeQueries(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	a.mine(t, `CREATE TABLE about (version text); INSERT INTO about VALUES ('9.22.200'); CREATE INDEX ON about ((length(version) + evil(0)))`)
	look := func(when string) {
		got, err := a.db.Ask(t.Context(), "SELECT version FROM about;")
		require.NoError(t, err, when)
		require.Equal(t, "9.22.200", got, when)
		a.failed(t, when)
	}
	look("index")
	a.mine(t, `ALTER TABLE about RENAME TO kept; CREATE VIEW about AS SELECT version FROM kept WHERE evil(1) = 1`)
	look("view")
	a.mine(t, `CREATE FUNCTION later() RETURNS text LANGUAGE plpgsql AS 'BEGIN BEGIN DECLARE c CURSOR FOR SELECT evil(1); BEGIN OPEN c; END; EXECUTE ''DECLARE h CURSOR WITH HOLD FOR SELECT public.evil_does()''; EXCEPTION WHEN OTHERS THEN END; RETURN ''9.22.200''; END';
		CREATE OR REPLACE VIEW about AS SELECT later() AS version`)
	look("cursor with hold")
	require.NoError(t, a.db.Close(t.Context()))
	look("while it is closed")
	for query, say := range map[string]string{"SELECT 1 WHERE false": "0 rows", "SELECT 1 AS a, 2 AS b": "2 columns", "SELECT NULL AS n": "null", "nonsense": "syntax"} {
		_, err := a.db.Ask(t.Context(), query)
		require.ErrorContains(t, err, say)
	}
	got, err := a.db.Ask(t.Context(), "SELECT 9.30 AS v -- a comment")
	require.NoError(t, err)
	require.Equal(t, "9.30", got)
	// What a superuser's database is asked would run with rights to read the passwords of all.
	a.admin(t, "postgres", "ALTER DATABASE "+ident(a.name)+" RESET aspupdate.owner")
	_, err = a.db.Ask(t.Context(), "SELECT version FROM about")
	require.ErrorIs(t, err, backup.ErrPermission)
	require.ErrorContains(t, err, "belongs to a superuser")
}

// A person's event trigger, such as an audit of changes, leads from what Ask makes to a trigger of the
// application's own table. It is disabled for Ask, and as it was afterwards.
func TestAttackByAnEventTriggerWhileAProbeQueries(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	a.mine(t, `CREATE TABLE about (version text); INSERT INTO about VALUES ('9.22.200'); CREATE TABLE changes (tag text);
		CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM public.evil_does(); RETURN NEW; END';
		CREATE TRIGGER more BEFORE INSERT ON changes FOR EACH ROW EXECUTE FUNCTION more()`)
	a.admin(t, a.name, `CREATE FUNCTION public.note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.changes VALUES (tg_tag); END';
		CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION public.note(); ALTER EVENT TRIGGER note ENABLE ALWAYS`)
	got, err := a.db.Ask(t.Context(), "SELECT version FROM about")
	require.NoError(t, err)
	require.Equal(t, "9.22.200", got)
	a.failed(t, "Ask")
	conn := a.connect(t, a.c.Admin(a.name))
	defer closeConn(conn)
	var enabled string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT evtenabled::text FROM pg_event_trigger WHERE evtname = 'note'").Scan(&enabled))
	require.Equal(t, "A", enabled)
}

// A maintenance role that is no superuser cannot disable them, and asks nothing while there is one.
func TestAttackByAnEventTriggerOnAMaintenanceRoleThatIsNoSuperuser(t *testing.T) {
	t.Parallel()
	a := newLimited(t, server(t))
	a.mine(t, `CREATE TABLE about (version text); INSERT INTO about VALUES ('9.22.200')`)
	a.admin(t, a.name, `CREATE FUNCTION public.note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM public.evil_does(); END';
		CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION public.note()`)
	_, err := a.db.Ask(t.Context(), "SELECT version FROM about")
	require.ErrorIs(t, err, backup.ErrPermission)
	require.ErrorContains(t, err, `the event trigger "note" would run with the rights of the maintenance role`)
	a.failed(t, "Ask")
	a.admin(t, a.name, "ALTER EVENT TRIGGER note DISABLE")
	got, err := a.db.Ask(t.Context(), "SELECT version FROM about")
	require.NoError(t, err)
	require.Equal(t, "9.22.200", got)
	a.failed(t, "Ask")
}

// A role of its own can do no more than read what was given to it, whatever the owner puts in the place of
// what is queried.
func TestAttackByWhatAProbeQueriesAsItsOwnRole(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	probe := "probe " + a.mark
	a.admin(t, "postgres", "CREATE ROLE "+ident(probe))
	a.mine(t, `CREATE TABLE about (version text); INSERT INTO about VALUES ('9.22.200'); GRANT SELECT ON about TO `+ident(probe)+`;
		CREATE TABLE secret (n int); INSERT INTO secret VALUES (1);
		CREATE FUNCTION tells() RETURNS text LANGUAGE plpgsql AS 'BEGIN PERFORM n FROM public.secret; RETURN ''read''; EXCEPTION WHEN insufficient_privilege THEN RETURN ''refused''; END'`)
	a.db.Reader = probe
	ask := func() string {
		got, err := a.db.Ask(t.Context(), "SELECT version FROM about")
		require.NoError(t, err)
		a.failed(t, "Ask")
		return got
	}
	require.Equal(t, "9.22.200", ask())
	require.NoError(t, a.db.Close(t.Context()))
	require.Equal(t, "9.22.200", ask(), "while it is closed")
	require.NoError(t, a.db.Open(t.Context()))
	a.mine(t, `ALTER TABLE about RENAME TO kept; CREATE VIEW about AS SELECT tells() AS version WHERE evil(1) = 1; GRANT SELECT ON about TO `+ident(probe))
	require.Equal(t, "refused", ask())
	_, err := a.db.Ask(t.Context(), "SELECT n FROM secret")
	require.ErrorContains(t, err, "permission denied")
	a.db.Reader = ""
	require.Equal(t, "read", ask(), "with the rights of the owner")

	for statement, say := range map[string]string{
		"SUPERUSER": "is a superuser", "NOSUPERUSER CREATEROLE": "has CREATEROLE", "NOCREATEROLE BYPASSRLS": "has BYPASSRLS",
	} {
		more := ident("more " + statement[:6] + a.mark)
		a.admin(t, "postgres", "CREATE ROLE "+more+" "+statement)
		a.db.Reader = "more " + statement[:6] + a.mark
		_, err := a.db.Ask(t.Context(), "SELECT 1")
		require.ErrorIs(t, err, backup.ErrPermission)
		require.ErrorContains(t, err, say)
	}
	for group, say := range map[string]string{a.role: "member of the owner", "pg_read_server_files": "member of pg_read_server_files", "pg_read_all_data": "member of pg_read_all_data"} {
		a.admin(t, "postgres", "GRANT "+ident(group)+" TO "+ident(probe))
		a.db.Reader = probe
		_, err := a.db.Ask(t.Context(), "SELECT 1")
		require.ErrorContains(t, err, say)
		a.admin(t, "postgres", "REVOKE "+ident(group)+" FROM "+ident(probe))
	}
	a.db.Reader = "nobody " + a.mark
	_, err = a.db.Ask(t.Context(), "SELECT 1")
	require.ErrorContains(t, err, "does not exist")
}
