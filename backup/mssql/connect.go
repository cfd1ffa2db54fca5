package mssql

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
)

// A session is what one call of a method does on the server. It keeps a
// connection to master with the lock of the database, and makes another one if that
// is lost. A statement is never sent twice: what a lost one did is read from the server.
type session struct {
	d      *Database
	cfg    msdsn.Config
	name   string // of the live database
	db     *sql.DB
	conn   *sql.Conn // nil: not connected
	locks  bool      // whether the connection holds the lock
	server server

	known   map[string]status // what prove has found
	doubted []string          // names of which it has warned
}

// server is what the server says of itself.
type server struct {
	name, version, edition string
	login                  string
	engine                 int // EngineEdition
	sysadmin               int
	data                   string // directory of new databases
}

// full is the version in [Tested].
func (s server) full() string { return s.version + " " + s.edition }

func (s server) major() int {
	first, _, _ := strings.Cut(s.version, ".")
	n, _ := strconv.Atoi(first)
	return n
}

// program is how sessions of ours are named.
const program = "aspupdate"

// config parses the URI.
func (d *Database) config() (msdsn.Config, error) {
	cfg, err := msdsn.Parse(d.URI)
	if err != nil { // its text may have the password
		return cfg, advise(errors.New("invalid URI"), "write sqlserver://login:password@host/instance?database=name, with %XX for special characters")
	}
	cfg.Database = cmp.Or(d.name, cfg.Database)
	cfg.LogFlags = 0
	cfg.DisableRetry = true // a statement is never sent twice
	cfg.AppName = program
	cfg.FailOverPartner, cfg.ReadOnlyIntent = "", false
	return cfg, nil
}

// maxName is the longest name, in UTF-16 units, that leaves room for what a
// restore adds to it.
const maxName = 128 - len("_aspupdate_undone_") - 12

// system are the databases of the server itself.
var system = []string{"master", "model", "msdb", "tempdb"}

// connect opens a session that changes nothing.
func (d *Database) connect(ctx context.Context) (*session, error) {
	cfg, err := d.config()
	if err != nil {
		return nil, err
	}
	s := &session{d: d, cfg: cfg, name: cfg.Database}
	switch {
	case s.name == "":
		return nil, advise(errors.New("the URI names no database"), "add ?database=name")
	case slices.ContainsFunc(system, func(n string) bool { return strings.EqualFold(n, s.name) }):
		return nil, advise(fmt.Errorf("%w: %s is the server's own database", backup.ErrIncompatible, s.name), "name the application's database")
	case len(utf16.Encode([]rune(s.name))) > maxName:
		return nil, fmt.Errorf("the database's name is longer than %d characters: a restore makes longer names beside it", maxName)
	}
	if s.db, err = s.open("master"); err != nil {
		return nil, err
	}
	if err := s.know(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// open prepares connections to a database. None is kept once it is closed: a
// connection that waits in a pool would keep the database in use.
func (s *session) open(database string) (*sql.DB, error) {
	cfg := s.cfg
	cfg.Database = database
	var c driver.Connector = mssql.NewConnectorConfig(cfg)
	if s.d.connector != nil {
		var err error
		if c, err = s.d.connector(cfg); err != nil {
			return nil, err
		}
	}
	db := sql.OpenDB(c)
	db.SetMaxIdleConns(-1)
	return db, nil
}

func (s *session) close() {
	s.disconnect()
	_ = s.db.Close()
}

func (s *session) disconnect() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// on returns the connection to master, with the lock if the session needs it.
func (s *session) on(ctx context.Context) (*sql.Conn, error) {
	if s.conn != nil {
		return s.conn, nil
	}
	c, err := s.db.Conn(ctx)
	if err != nil {
		return nil, explain(err)
	}
	if s.locks {
		if err := s.d.lock(ctx, c, s.name); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	s.conn = c
	return c, nil
}

// lock takes the lock of a database. If our own connection was lost, the server may
// hold its lock for a moment.
func (d *Database) lock(ctx context.Context, c *sql.Conn, database string) error {
	for deadline := time.Now().Add(d.drainFor()); ; {
		var result int
		if err := c.QueryRowContext(ctx, sqlLock, "aspupdate "+database).Scan(&result); err != nil {
			return explain(err)
		}
		switch {
		case result >= 0:
			return nil
		case result != -1 || time.Now().After(deadline):
			return fmt.Errorf("%w: another program backs it up or restores it", backup.ErrBusy)
		}
		if err := d.pause(ctx); err != nil {
			return err
		}
	}
}

// exec runs a statement in master.
func (s *session) exec(ctx context.Context, statement string) error {
	c, err := s.on(ctx)
	if err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, statement)
	return s.judged(err)
}

// row runs a query in master that returns one row.
func (s *session) row(ctx context.Context, query string, args []any, into ...any) error {
	c, err := s.on(ctx)
	if err != nil {
		return err
	}
	err = c.QueryRowContext(ctx, query, args...).Scan(into...)
	return s.judged(err)
}

// rows runs a query in master. scan is called for each row.
func (s *session) rows(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	c, err := s.on(ctx)
	if err != nil {
		return err
	}
	return s.judged(each(ctx, c, query, args, scan))
}

// judged explains err, and gives the connection up unless the server has answered.
func (s *session) judged(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if e, ok := serverError(err); !ok || e.Class >= 20 {
		s.disconnect()
	}
	return explain(err)
}

// each runs a query. Errors can follow rows, and further results.
func each(ctx context.Context, c *sql.Conn, query string, args []any, scan func(*sql.Rows) error) (err error) {
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	for rows.NextResultSet() {
		continue
	}
	return rows.Err()
}

// inside calls use with a connection of its own to a database. What is in there belongs
// to others, and evaluates what they wrote: the connection acts as the owner
// of the database, who has no rights outside it, and cannot become a sysadmin again.
func (s *session) inside(ctx context.Context, database string, use func(c *sql.Conn) error) error {
	return s.within(ctx, database, func(c *sql.Conn) error {
		if _, err := c.ExecContext(ctx, sqlAsOwner); err != nil {
			return fmt.Errorf("cannot act as the owner of %s: %w", database, explain(err))
		}
		return use(c)
	})
}

// within is inside without the change of rights.
func (s *session) within(ctx context.Context, database string, use func(c *sql.Conn) error) error {
	db, err := s.open(database)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	c, err := db.Conn(ctx)
	if err != nil {
		return explain(err)
	}
	defer func() { _ = c.Close() }()
	return explain(use(c))
}

// know finds out what the server is.
func (s *session) know(ctx context.Context) error {
	v := &s.server
	return s.row(ctx, sqlServer, nil, &v.name, &v.version, &v.edition, &v.engine, &v.login, &v.sysadmin, &v.data)
}

// begin opens a session that excludes those of other programs, and finishes or
// undoes what a killed run left.
func (d *Database) begin(ctx context.Context) (*session, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	s.disconnect()
	s.locks = true
	if err = s.supported(); err == nil {
		err = s.recover(ctx)
	}
	if err != nil {
		s.close()
		return nil, failed("recover database", s.name, err)
	}
	return s, nil
}

// recover finishes what a killed run left. A broker that cannot be enabled must not
// lock users out: Open comes here too.
func (s *session) recover(ctx context.Context) error {
	names, err := s.names(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(names, s.name) {
		for _, n := range names {
			if strings.EqualFold(n, s.name) {
				return advise(fmt.Errorf("the server has the database as %q, and not as %q", n, s.name), "write the name as the server has it")
			}
		}
	}
	if err := s.slot().Recover(ctx); err != nil {
		return err
	}
	if err := s.cleanDir(); err != nil {
		s.warn("a file of a killed run stays in the exchange directory: " + err.Error())
	}
	if err := s.settleBroker(ctx); err != nil {
		s.warn("Service Broker is not as it was: " + err.Error())
	}
	return ctx.Err()
}

func (s *session) slot() *swap.Slot {
	return &swap.Slot{Live: s.name, Place: &place{s}, Mark: s.newMark}
}

func (d *Database) drainFor() time.Duration { return cmp.Or(max(0, d.drain), 30*time.Second) }

// Numbers of errors that are handled.
const (
	errNotExclusive  = 5030 // the database cannot be locked exclusively
	errInUse         = 3702 // cannot be dropped: in use
	errNoProcess     = 6106 // KILL: no such session
	errNoCompression = 1844 // the edition cannot compress backups
	errNoObject      = 208
	errNoDevice      = 3201  // cannot open the backup device
	errReplaced      = 51001 // see sqlGuard
)

// kinds maps numbers of errors to those of package backup.
var kinds = map[int32]error{
	229: backup.ErrPermission, 262: backup.ErrPermission, 300: backup.ErrPermission, 916: backup.ErrPermission, 5011: backup.ErrPermission,
	15247: backup.ErrPermission, 18456: backup.ErrPermission, errNoDevice: backup.ErrPermission,
	1101: backup.ErrNoSpace, 1105: backup.ErrNoSpace, 3257: backup.ErrNoSpace, 5149: backup.ErrNoSpace, 9002: backup.ErrNoSpace,
	3169: backup.ErrIncompatible,
	3183: backup.ErrDamaged, 3189: backup.ErrDamaged, 3203: backup.ErrDamaged, 3241: backup.ErrDamaged, 3242: backup.ErrDamaged,
	3243: backup.ErrDamaged, 3187: backup.ErrDamaged,
	errNotExclusive: backup.ErrBusy, errInUse: backup.ErrBusy, errReplaced: backup.ErrBusy,
}

// noSpace is what Windows and Linux say of a full disk, by number, within error 3202.
var noSpace = regexp.MustCompile(`(?i)\b(error|status) ?[:=]? ?(112|28)\b|\b112\(|\b28\(`)

func serverError(err error) (mssql.Error, bool) { return errors.AsType[mssql.Error](err) }

// number reports whether the server has sent one of the errors.
func number(err error, numbers ...int32) bool {
	e, ok := serverError(err)
	if !ok {
		return false
	}
	for _, each := range append(slices.Clone(e.All), e) {
		if slices.Contains(numbers, each.Number) {
			return true
		}
	}
	return false
}

// explain adds what kind of error the server has sent.
func explain(err error) error {
	e, ok := serverError(err)
	if !ok {
		return err
	}
	for _, each := range append(slices.Clone(e.All), e) {
		kind := kinds[each.Number]
		if each.Number == 3202 && noSpace.MatchString(each.Message) {
			kind = backup.ErrNoSpace
		}
		if kind != nil && !errors.Is(err, kind) {
			return fmt.Errorf("%w: %w", kind, err)
		}
	}
	return err
}

// pause waits between two attempts.
func (d *Database) pause(ctx context.Context) error {
	t := time.NewTimer(cmp.Or(d.interval, 100*time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
