package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aspupdate/aspupdate/backup"
)

// Codes of SQLSTATE that are handled.
const (
	codeInUse       = "55006" // object_in_use: sessions are on the database
	codeDiskFull    = "53100" // disk_full
	codeLockTimeout = "55P03" // lock_not_available
	codeNoLocale    = "42809" // wrong_object_type: CREATE DATABASE with a locale that the machine lacks
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

// config parses the URI.
func (d *Database) config() (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(d.URI) // its errors hide the password
	if err != nil {
		return nil, err
	}
	for _, f := range cfg.Fallbacks { // TLS and plain are two entries of one server
		if f.Host != cfg.Host || f.Port != cfg.Port {
			return nil, advise(errors.New("the URI names several servers"), "name the one to be backed up")
		}
	}
	if cfg.Database == "" {
		cfg.Database = cfg.User // as libpq does
	}
	if cfg.Database == d.maintenance() {
		return nil, advise(fmt.Errorf("%q is the maintenance database", cfg.Database), "name another database by Maintenance")
	}
	if len(cfg.Database) > maxIdentifier {
		return nil, fmt.Errorf("the database's name is longer than %d bytes", maxIdentifier)
	}
	cfg.Tracer = d.tracer
	cfg.RuntimeParams["application_name"] = "aspupdate"
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	return cfg, nil
}

func (d *Database) maintenance() string { return cmp.Or(d.Maintenance, "postgres") }

func (d *Database) drainTimeout() time.Duration {
	return cmp.Or(max(0, d.DrainTimeout), 30*time.Second)
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
		err = advise(fmt.Errorf("%w: %q is not a superuser, and the fence, CONNECTION LIMIT 0, lets only superusers in", backup.ErrPermission, cfg.User),
			"connect as a superuser that the application does not use")
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// to connects to a database of the same server. No statement waits for a lock for
// ever or is stopped by limits for ordinary users, and no text depends on the
// settings of a database.
func (s *session) to(ctx context.Context, database string) (*pgx.Conn, error) {
	cfg := s.cfg.Copy()
	cfg.Database = database
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	encoding := "UTF8"
	if conn.PgConn().ParameterStatus("server_encoding") == "SQL_ASCII" {
		encoding = "SQL_ASCII" // its names may be any bytes, and are passed back as they are
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

// begin opens a session that excludes those of other programs, and finishes or
// undoes what a killed run left.
func (d *Database) begin(ctx context.Context) (*session, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	// Held until the session ends: the server frees it if this process dies.
	if _, err = s.Exec(ctx, "SELECT pg_advisory_lock($1)", lockKey(s.name)); err != nil {
		if sqlState(err) == codeLockTimeout {
			err = advise(fmt.Errorf("%w: another program backs it up or restores it: %w", backup.ErrBusy, err), "wait for it to end")
		}
	} else {
		err = s.recover(ctx)
	}
	if err != nil {
		s.close()
		return nil, failed("recover database", s.name, err)
	}
	return s, nil
}

// lockKey returns the number of the lock that guards a database's name.
func lockKey(database string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("aspupdate/" + database))
	return int64(h.Sum64()) //nolint:gosec // any 64 bits will do
}

func (s *session) close() { closeConn(s.Conn) }

// closeConn closes a connection in order, even if the call's own ctx has ended.
func closeConn(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

// settle finishes or undoes what a failed call left, in a session of its own and
// even if ctx has ended.
func (d *Database) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	s, err := d.begin(ctx)
	if err != nil {
		return fmt.Errorf("what is half made stays until the next call: %w", err)
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

// dbInfo describes a database, with the settings that this package has made.
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

// openLimit returns the connection limit that is in force when the database is open.
func (i *dbInfo) openLimit() (int, error) {
	if !i.closed() {
		return i.limit, nil
	}
	limit, err := strconv.Atoi(i.settings[setLimit])
	if err != nil {
		return 0, fmt.Errorf("invalid setting %s of %q: %w", setLimit, i.name, err)
	}
	return limit, nil
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
		name, value, _ := strings.Cut(s, "=")
		i.settings[name] = value
	}
	return i, nil
}

// find returns the database of that name, nil if there is none.
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
		return nil, nil //nolint:nilnil // none is a valid result
	}
	return i, err
}

// live returns the live database, and fails if there is none.
func (s *session) live(ctx context.Context) (*dbInfo, error) {
	i, err := s.find(ctx, s.name)
	if err == nil && i == nil {
		err = fmt.Errorf("database %q does not exist", s.name)
	}
	return i, err
}
