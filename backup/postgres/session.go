package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aspupdate/aspupdate/backup"
)

// Codes of SQLSTATE that something is made of here.
const (
	codeInUse       = "55006" // object_in_use: sessions are on the database
	codeDiskFull    = "53100" // disk_full
	codeLockTimeout = "55P03" // lock_not_available
	codeNoLocale    = "42809" // wrong_object_type: what CREATE DATABASE says of a locale that the machine lacks
)

func sqlState(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code
	}
	return ""
}

// A session is a connection of the maintenance role to the maintenance
// database, for one call of a method.
type session struct {
	*pgx.Conn
	d       *Database
	cfg     *pgx.ConnConfig
	name    string // of the live database
	version int    // server_version_num
}

// config parses where the database is.
func (d *Database) config() (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(d.URI) // its errors hide the password
	if err != nil {
		return nil, err
	}
	for _, f := range cfg.Fallbacks { // TLS and plain are two entries of one server
		if f.Host != cfg.Host || f.Port != cfg.Port {
			return nil, errors.New("the connection names several servers: name the one to be backed up")
		}
	}
	if cfg.Database == "" {
		cfg.Database = cfg.User // as libpq does
	}
	if cfg.Database == d.maintenance() {
		return nil, fmt.Errorf("%q is the maintenance database: name another by Maintenance", cfg.Database)
	}
	if len(cfg.Database) > maxIdentifier {
		return nil, fmt.Errorf("the database's name is longer than %d bytes", maxIdentifier)
	}
	cfg.Tracer = d.tracer
	cfg.RuntimeParams["application_name"] = "aspupdate"
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	return cfg, nil
}

func (d *Database) maintenance() string {
	if d.Maintenance != "" {
		return d.Maintenance
	}
	return "postgres"
}

func (d *Database) drainTime() time.Duration {
	if d.Drain > 0 {
		return d.Drain
	}
	return 30 * time.Second
}

// connect opens a session that changes nothing.
func (d *Database) connect(ctx context.Context) (*session, error) {
	cfg, err := d.config()
	if err != nil {
		return nil, err
	}
	s := &session{d: d, cfg: cfg, name: cfg.Database}
	if s.Conn, err = s.to(ctx, d.maintenance()); err != nil {
		return nil, err
	}
	var super bool
	err = s.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, rolsuper FROM pg_roles WHERE rolname = current_user`).
		Scan(&s.version, &super)
	if err == nil && !super {
		err = fmt.Errorf("%w: %q is no superuser, and CONNECTION LIMIT 0, the fence, lets only superusers in: connect as a superuser that the application does not use",
			ErrRights, cfg.User)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// to connects to a database of the same server. No statement waits for a lock
// for ever, none is cut short by limits set for ordinary users, and
// texts do not depend on the settings of a database.
func (s *session) to(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg := s.cfg.Copy()
	cfg.Database = database
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	encoding := "UTF8"
	if conn.PgConn().ParameterStatus("server_encoding") == "SQL_ASCII" {
		encoding = "SQL_ASCII" // its names may be any bytes, and go back as they came
	}
	_, err = conn.Exec(ctx, `SET ROLE NONE; SET client_encoding = `+encoding+`; SET lock_timeout = '30s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
		SET search_path = pg_catalog; SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres';
		SET bytea_output = 'hex'; SET extra_float_digits = 3; SET lc_monetary = 'C'; SET row_security = off;
		SET default_transaction_read_only = off; SET standard_conforming_strings = on; SET xmloption = content`)
	if err != nil {
		closeConn(conn)
		return nil, err
	}
	return conn, nil
}

// begin opens a session that no other program's runs beside, and puts in
// order what a killed run left.
func (d *Database) begin(ctx context.Context) (*session, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	// Held until the session ends: the server frees it when we die.
	if _, err = s.Exec(ctx, "SELECT pg_advisory_lock($1)", lockKey(s.name)); err != nil {
		if sqlState(err) == codeLockTimeout {
			err = fmt.Errorf("%w: another program backs it up or restores it: wait for its end: %w", ErrBusy, err)
		}
	} else {
		err = s.recover(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// lockKey is the number of the lock that guards a database's name.
func lockKey(database string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("aspupdate/" + database))
	return int64(h.Sum64()) //nolint:gosec // any 64 bits will do
}

func (s *session) close() { closeConn(s.Conn) }

func (s *session) tell(stage backup.Stage, note string) { s.d.tell(stage, note) }

// closeConn says goodbye to the server, also when the call's own ctx is over.
func closeConn(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

// settle puts in order what a failed call left, in a session of its own and
// also when ctx is over.
func (d *Database) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	s, err := d.begin(ctx)
	if err != nil {
		return fmt.Errorf("what was left half made stays until the next call: %w", err)
	}
	s.close()
	return nil
}

// together runs statements in one transaction.
func (s *session) together(ctx context.Context, statements ...string) error {
	return pgx.BeginFunc(ctx, s.Conn, func(tx pgx.Tx) error {
		for _, sql := range statements {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// A database as the catalog has it, with our marks.
type dbInfo struct {
	oid      uint32
	name     string
	owner    string
	limit    int
	allow    bool
	comment  *string
	settings map[string]string // those named aspupdate.*
}

func (i *dbInfo) closed() bool {
	_, ok := i.settings[setLimit]
	return ok
}

const infoQuery = `SELECT d.oid, d.datname, pg_get_userbyid(d.datdba), d.datconnlimit, d.datallowconn, shobj_description(d.oid, 'pg_database'),
	ARRAY(SELECT c FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setdatabase = d.oid AND s.setrole = 0 AND starts_with(c, $1))
	FROM pg_database d `

func scanInfo(row pgx.CollectableRow) (*dbInfo, error) {
	i := &dbInfo{settings: map[string]string{}}
	var settings []string
	if err := row.Scan(&i.oid, &i.name, &i.owner, &i.limit, &i.allow, &i.comment, &settings); err != nil {
		return nil, err
	}
	for _, s := range settings {
		name, value := cutSetting(s)
		i.settings[name] = value
	}
	return i, nil
}

// find returns the database of that name, nil where there is none.
func (s *session) find(ctx context.Context, name string) (*dbInfo, error) {
	rows, err := s.Query(ctx, infoQuery+"WHERE d.datname = $2", setPrefix, name)
	if err != nil {
		return nil, err
	}
	return oneOrNone(pgx.CollectExactlyOneRow(rows, scanInfo))
}

func (s *session) findOID(ctx context.Context, oid uint32) (*dbInfo, error) {
	rows, err := s.Query(ctx, infoQuery+"WHERE d.oid = $2", setPrefix, oid)
	if err != nil {
		return nil, err
	}
	return oneOrNone(pgx.CollectExactlyOneRow(rows, scanInfo))
}

func oneOrNone(i *dbInfo, err error) (*dbInfo, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // "none" is an answer here
	}
	return i, err
}

// live returns the live database, which has to be there.
func (s *session) live(ctx context.Context) (*dbInfo, error) {
	i, err := s.find(ctx, s.name)
	if err == nil && i == nil {
		err = fmt.Errorf("there is no database %q on the server", s.name)
	}
	return i, err
}
