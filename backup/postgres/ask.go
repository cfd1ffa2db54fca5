package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
)

// Ask runs a query that returns one row with one column, and returns its text. The query runs
// with the rights of Reader, or else of the database's owner, who must be no superuser, also while
// the database is closed. It may be any that can stand in
// parentheses after FROM. So who puts a view or a function of his own in the place of what is queried
// gains nothing.
//
// The maintenance role's session calls a function that runs as its owner: within it,
// the server lets no one set or reset a role. All is read only, and rolled back.
func (d *Database) Ask(ctx context.Context, query string) (string, error) {
	s, err := d.connect(ctx, reading)
	if err != nil {
		return "", err
	}
	defer s.close()
	answer, err := s.ask(ctx, query)
	return answer, failed("query database", s.name, err)
}

func (s *session) ask(ctx context.Context, query string) (string, error) {
	live, err := s.live(ctx)
	if err != nil {
		return "", err
	}
	t, err := s.tenure(ctx, live)
	if err != nil {
		return "", err
	}
	as := t.owner
	switch {
	case s.d.Reader != "":
		if as = s.d.Reader; as == t.owner {
			break
		}
		if err := s.onlyReads(ctx, as, t.owner); err != nil {
			return "", err
		}
	case t.super:
		return "", advise(fmt.Errorf("%w: the database belongs to a superuser, with whose rights nothing of its users is run", backup.ErrPermission),
			"name a role that has SELECT on what is queried, and nothing else")
	}
	conn, err := s.to(ctx, s.name, writing)
	if err != nil {
		return "", err
	}
	defer closeConn(conn)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	text := "SELECT row_to_json(q)::text FROM (" + strings.TrimRight(query, "; \r\n\t") + "\n) q"
	if _, err := s.asOwner(ctx, tx, as, "SETOF text", text); err != nil {
		return "", err
	}
	for _, sql := range []string{"SET LOCAL statement_timeout = '10s'", "SET LOCAL transaction_read_only = on"} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return "", err
		}
	}
	rows, err := tx.Query(ctx, "SELECT "+s.ownersFunction())
	if err != nil {
		return "", err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	if len(list) != 1 {
		return "", fmt.Errorf("the query returned %d rows, not one", len(list))
	}
	var columns map[string]any
	decoder := json.NewDecoder(strings.NewReader(list[0]))
	decoder.UseNumber()
	if err := decoder.Decode(&columns); err != nil {
		return "", err
	}
	if len(columns) != 1 {
		return "", fmt.Errorf("the query returned %d columns, not one", len(columns))
	}
	for _, v := range columns {
		if v != nil {
			return fmt.Sprint(v), nil
		}
	}
	return "", errors.New("the query returned null")
}

// onlyReads fails if a role may do more than read.
func (s *session) onlyReads(ctx context.Context, role, owner string) error {
	more, err := collect[struct{ What string }](ctx, s.Conn, `SELECT what FROM pg_roles r, LATERAL (VALUES
			(rolsuper, 'is a superuser'), (rolcreaterole, 'has CREATEROLE'), (rolcreatedb, 'has CREATEDB'), (rolreplication, 'has REPLICATION'), (rolbypassrls, 'has BYPASSRLS'),
			(pg_has_role(r.oid, (SELECT oid FROM pg_roles WHERE rolname = $2), 'MEMBER'), 'is a member of the owner of the database')) v(has, what) WHERE has AND rolname = $1
		UNION ALL SELECT 'is a member of ' || m.rolname FROM pg_roles m, pg_roles r WHERE r.rolname = $1 AND NOT r.rolsuper AND pg_has_role(r.oid, m.oid, 'MEMBER')
			AND m.rolname ~ '^pg_'`, role, owner)
	if err == nil && len(more) > 0 {
		err = advise(fmt.Errorf("%w: the role %q, with whose rights the query runs, %s", backup.ErrPermission, role, more[0].What), "name a role that has SELECT on what is queried, and nothing else")
	}
	return err
}

const ownersSchema = "aspupdate_as_owner"

// ownersFunction returns the name of the function that asOwner makes.
func (s *session) ownersFunction() string {
	if s.limited { // only a superuser lets another role make something in the schema for temporary objects
		return ownersSchema + ".run()"
	}
	return "pg_temp.aspupdate_as_owner()"
}

// asOwner makes ownersFunction, which runs a statement with the rights of a role for as long as the
// transaction lasts. One that is not rolled back must run the statements that it returns.
func (s *session) asOwner(ctx context.Context, tx pgx.Tx, role, returns, statement string) (after []string, err error) {
	after, err = s.withoutEventTriggers(ctx, tx)
	if err != nil {
		return nil, err
	}
	does := "EXECUTE "
	if returns != "void" {
		does = "RETURN QUERY EXECUTE "
	}
	var statements []string
	if s.limited {
		statements = []string{"CREATE SCHEMA " + ownersSchema, "GRANT USAGE, CREATE ON SCHEMA " + ownersSchema + " TO " + ident(role)}
	}
	for _, sql := range append(statements,
		"CREATE FUNCTION "+s.ownersFunction()+" RETURNS "+returns+" LANGUAGE plpgsql SECURITY DEFINER SET search_path = \"$user\", public AS "+
			literal("BEGIN "+does+literal(statement)+"; END"),
		"ALTER FUNCTION "+s.ownersFunction()+" OWNER TO "+ident(role),
		"SELECT set_config(name, '', true) FROM pg_settings WHERE name = "+literal(restrict), // views and foreign tables are what applications have
	) {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	return after, nil
}

// withoutEventTriggers disables event triggers for a transaction in which something is made, and
// returns what enables them again. They run with the rights of our role, and what they do
// can lead on to the triggers of a table of the application. From version 17 on a
// setting of the session does this, see [session.protocol].
func (s *session) withoutEventTriggers(ctx context.Context, tx pgx.Tx) (after []string, err error) {
	if s.version >= 170000 && !s.limited {
		return nil, nil
	}
	rows, err := tx.Query(ctx, "SELECT evtname, evtenabled::text FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D' ORDER BY evtname")
	if err != nil {
		return nil, err
	}
	type trigger struct{ Name, Enabled string }
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[trigger])
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		if s.limited {
			return nil, advise(fmt.Errorf("%w: the event trigger %q would run with the rights of the maintenance role", backup.ErrPermission, t.Name),
				"let a superuser disable it (ALTER EVENT TRIGGER), or be the maintenance role")
		}
		alter := "ALTER EVENT TRIGGER " + ident(t.Name)
		if _, err := tx.Exec(ctx, alter+" DISABLE"); err != nil {
			return nil, err
		}
		after = append(after, alter+map[string]string{"O": " ENABLE", "R": " ENABLE REPLICA", "A": " ENABLE ALWAYS"}[t.Enabled])
	}
	return after, nil
}
