package postgres

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Codes of SQLSTATE that are handled.
const (
	codeInUse       = "55006" // object_in_use: sessions are on the database
	codeDiskFull    = "53100" // disk_full
	codeLockTimeout = "55P03" // lock_not_available
	codeInternal    = "XX000" // internal_error: among others that another session has changed the same row of a catalog just now
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
	d    *Database
	cfg  *pgx.ConnConfig
	name string // of the live database

	version   int  // server_version_num
	restricts bool // the server can refuse views, see [restrict]
	proving   bool // what is loaded is dropped again
	inParts   bool // a dump could not be restored by several jobs at a time
	serial    bool // no dump is

	me      string // the maintenance role
	limited bool   // it is not a superuser, see limited.go
}

// config parses the URI of a database that can be backed up.
func (d *Database) config() (*pgx.ConnConfig, error) {
	cfg, err := d.parsed()
	if err != nil {
		return nil, err
	}
	if cfg.Database == d.maintenance() {
		return nil, advise(fmt.Errorf("%q is the maintenance database", cfg.Database), "name another database by Maintenance")
	}
	if len(cfg.Database) > maxIdentifier {
		return nil, fmt.Errorf("the database's name is longer than %d bytes", maxIdentifier)
	}
	return cfg, nil
}

// parsed parses the URI.
func (d *Database) parsed() (*pgx.ConnConfig, error) {
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
	if cfg.RequireAuth == "" && cfg.Password != "" && !onSocket(cfg.Host) && !provesServer(cfg) {
		// What listens on the port while the server is down gets no password, and is not
		// believed to be the server.
		cfg.RequireAuth = passwordKept
	}
	cfg.Tracer = d.tracer
	return cfg, nil
}

// passwordKept are the methods by which a server learns no password.
const passwordKept = "scram-sha-256,md5" //nolint:gosec // methods, no credentials

// provesServer reports whether each way to the server proves by TLS that it is the one that was named.
func provesServer(cfg *pgx.ConnConfig) bool {
	verified := func(t *tls.Config) bool { return t != nil && !t.InsecureSkipVerify }
	return verified(cfg.TLSConfig) && !slices.ContainsFunc(cfg.Fallbacks, func(f *pgconn.FallbackConfig) bool { return !verified(f.TLSConfig) })
}

func (d *Database) maintenance() string { return cmp.Or(d.Maintenance, "postgres") }

func (d *Database) drainFor() time.Duration {
	return cmp.Or(max(0, d.drainTimeout), 30*time.Second)
}

// begin opens a session that excludes those of other programs, and finishes or
// undoes what a killed run left.
func (d *Database) begin(ctx context.Context) (*session, error) {
	s, err := d.connect(ctx, writing)
	if err != nil {
		return nil, err
	}
	if err = s.exclude(ctx); err == nil {
		err = s.recover(ctx)
	}
	if err != nil {
		s.close()
		return nil, failed("recover database", s.name, err)
	}
	return s, nil
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
	return contended(ctx, func() error { return s.transaction(ctx, statements...) })
}

// contended repeats a change of what all databases of a server share, such as rights on a tablespace: another
// session, as of a restore at the same time, may change the same row, and the server then refuses one of them.
func contended(ctx context.Context, change func() error) error {
	const tries = 10
	for try := 1; ; try++ {
		err := change()
		if sqlState(err) != codeInternal || try == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		}
	}
}

func (s *session) transaction(ctx context.Context, statements ...string) error {
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
	super    bool // whether the owner is a superuser
	limit    int
	allow    bool
	comment  *string
	settings map[string]string // those named aspupdate.*
}

// closed reports whether Close was called, and not Open since.
func (i *dbInfo) closed() bool {
	_, ok := i.settings[setLimit]
	return ok
}

// mine reports whether no one but a superuser or this maintenance role owns the database: another owner
// could have made its settings.
func (s *session) mine(i *dbInfo) bool { return i.super || s.limited && i.owner == s.me }

// fenced reports whether the database is closed, and only a superuser or the maintenance role can open
// it. Another owner could have made the settings as well.
func (s *session) fenced(ctx context.Context, i *dbInfo) (bool, error) {
	if !s.limited || !i.closed() || i.owner != s.me {
		return i.closed() && i.limit == 0 && i.super, nil
	}
	who, err := s.admittedTo(ctx, i.name)
	return who == "", err
}

// closedBefore reports whether an earlier version of this package closed the database: it
// left it to its owner. Servers let only superusers, and roles that were granted
// it, make such a setting.
func (i *dbInfo) closedBefore() bool {
	_, held := i.settings[setOwner]
	return i.closed() && i.limit == 0 && !held
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

const infoQuery = `SELECT d.oid, d.datname, pg_get_userbyid(d.datdba), coalesce((SELECT rolsuper FROM pg_roles r WHERE r.oid = d.datdba), false), d.datconnlimit, d.datallowconn, shobj_description(d.oid, 'pg_database'),
	ARRAY(SELECT c FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setdatabase = d.oid AND s.setrole = 0 AND starts_with(c, $1))
	FROM pg_database d `

func scanInfo(row pgx.CollectableRow) (*dbInfo, error) {
	i := &dbInfo{settings: map[string]string{}}
	var settings []string
	if err := row.Scan(&i.oid, &i.name, &i.owner, &i.super, &i.limit, &i.allow, &i.comment, &settings); err != nil {
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
