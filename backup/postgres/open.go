package postgres

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Every session of this package is opened here, and so are the settings made with which
// the programs open theirs. The owner of a database controls what is in it, and
// many settings of those who connect to it. None of that may be run by the
// maintenance role, or change what it reads. See also rows.go, the only place that
// reads rows of the application's tables.

// An access says what a session is for.
type access uint8

const (
	reading access = iota // read only
	writing               // statements about databases, and changes of a copy
	loading               // of a dump
)

// protocol are the settings of all sessions, which those of a database, of a role, and of
// the connection string do not change. The server applies them before anything
// else can run in the session.
func (s *session) protocol(a access) map[string]string {
	p := map[string]string{
		"application_name": "aspupdate",

		// Names without a schema are the system's, as the system's.
		"search_path": "pg_catalog",
		"role":        "none",
		// Not even from the directory of libraries that users may load.
		"local_preload_libraries": "",

		// A user's lock ends a wait of ours. Nothing else does.
		"lock_timeout": "30s", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0",

		"default_transaction_isolation": "read committed", "default_transaction_read_only": "off", "default_transaction_deferrable": "off",
		"default_tablespace": "", "temp_tablespaces": "", "default_table_access_method": "heap",

		// Text has one form, in statements and in what is read.
		"client_encoding": "UTF8", "standard_conforming_strings": "on", "backslash_quote": "safe_encoding", "array_nulls": "on",
		"transform_null_equals": "off", "quote_all_identifiers": "off",
		"timezone": "UTC", "datestyle": "ISO, YMD", "intervalstyle": "postgres", "bytea_output": "hex", "extra_float_digits": "3",
		"lc_monetary": "C", "lc_numeric": "C", "xmloption": "content", "xmlbinary": "base64",

		"row_security": "off", // a policy is an error: it would hide rows
	}
	if s.version < 120000 {
		delete(p, "default_table_access_method")
	}
	if s.version >= 140000 {
		p["idle_session_timeout"] = "0"
	}
	if s.version >= 170000 {
		p["transaction_timeout"] = "0"
		p["event_triggers"] = "off" // those on login included
	}
	if a == loading || s.limited { // only a superuser sets it, or makes such a trigger
		delete(p, "event_triggers")
	}
	if a == reading {
		p["default_transaction_read_only"] = "on"
	}
	if s.restricts && a != loading { // which computes materialized views from others
		// As pg_dump itself: a table that has become a view since it was listed is an error.
		p[restrict] = "view, foreign-table"
	}
	return p
}

// restrict is a setting of servers since 13.16, 14.13, 15.8, 16.4 and 17.0.
const restrict = "restrict_nonsystem_relation_kind"

// options returns the settings for programs, as PGOPTIONS has them.
func (s *session) options(a access, more ...string) string {
	p := s.protocol(a)
	delete(p, "application_name") // PGAPPNAME
	delete(p, "client_encoding")  // pg_dump writes in the database's encoding
	delete(p, "search_path")      // the programs set their own: none
	for i := 0; i+1 < len(more); i += 2 {
		if p[more[i]] = more[i+1]; more[i+1] == "" {
			delete(p, more[i])
		}
	}
	escape := strings.NewReplacer(`\`, `\\`, ` `, `\ `)
	var words []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		words = append(words, "-c", name+"="+escape.Replace(p[name]))
	}
	return strings.Join(words, " ")
}

// to connects to a database of the same server.
func (s *session) to(ctx context.Context, database string, a access) (*pgx.Conn, error) {
	cfg := s.cfg.Copy()
	cfg.Database = database
	// Whatever the connection string has: queries are prepared, and never put together
	// from text and values.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	delete(cfg.RuntimeParams, "options")
	maps.Copy(cfg.RuntimeParams, s.protocol(a))
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if conn.PgConn().ParameterStatus("server_encoding") == "SQL_ASCII" {
		// Its names may be any bytes, and are passed back as they are.
		if _, err := conn.Exec(ctx, "SET client_encoding = SQL_ASCII"); err != nil {
			closeConn(conn)
			return nil, err
		}
	}
	return conn, nil
}

// connect opens a session that changes nothing, or that may change databases.
func (d *Database) connect(ctx context.Context, a access) (*session, error) {
	cfg, err := d.config()
	if err != nil {
		return nil, err
	}
	s := &session{d: d, cfg: cfg, name: cfg.Database}
	// The settings that only some versions know are added once the version is
	// known. Only a superuser can put an event trigger into the maintenance database.
	if s.Conn, err = s.enter(ctx, a); err != nil {
		return nil, err
	}
	if err := s.know(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// Server returns what identifies the server, the same for each way to it, the name of the
// database that the URI names, which may be the maintenance database here, and the names of all
// databases of the server.
func (d *Database) Server(ctx context.Context) (id, name string, all []string, err error) {
	cfg, err := d.parsed()
	if err != nil {
		return "", "", nil, err
	}
	s := &session{d: d, cfg: cfg, name: cfg.Database}
	if s.Conn, err = s.enter(ctx, reading); err != nil {
		return "", "", nil, err
	}
	defer s.close()
	if err := s.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&id); err != nil {
		return "", "", nil, err
	}
	list, err := collect[struct{ Name string }](ctx, s.Conn, "SELECT datname FROM pg_database")
	for _, one := range list {
		all = append(all, one.Name)
	}
	return id, s.name, all, err
}

// enter connects to the maintenance database.
func (s *session) enter(ctx context.Context, a access) (*pgx.Conn, error) {
	conn, err := s.to(ctx, s.d.maintenance(), a)
	if err != nil {
		if s.cfg.RequireAuth == passwordKept && strings.Contains(err.Error(), "require_auth") {
			err = advise(err, "have the server ask this role for scram-sha-256, or, if you trust whatever listens on the server's port with the password, add require_auth with the method to the connection string")
		}
		return nil, err
	}
	return conn, nil
}

// know finds out what the server is, and whether the role has the rights that it needs.
func (s *session) know(ctx context.Context) error {
	err := s.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, NOT rolsuper, rolname,
		EXISTS (SELECT FROM pg_settings WHERE name = $1) FROM pg_roles WHERE rolname = current_user`, restrict).
		Scan(&s.version, &s.limited, &s.me, &s.restricts)
	if err != nil {
		return err
	}
	if s.limited {
		if err := s.sufficient(ctx); err != nil {
			return err
		}
	}
	for _, name := range []string{restrict, "event_triggers", "idle_session_timeout", "transaction_timeout"} {
		if value, ok := s.protocol(reading)[name]; ok {
			if _, err := s.Exec(ctx, "SELECT set_config($1, $2, false)", name, value); err != nil {
				return err
			}
		}
	}
	return nil
}
