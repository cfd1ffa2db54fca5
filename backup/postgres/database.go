package postgres

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/progress"
)

// Database is a database on a PostgreSQL server, a [backup.Target]. Its methods
// must not be called concurrently for one database; on the server a lock keeps
// other programs from that.
//
// The errors wrap [backup.ErrBusy], [backup.ErrPermission], [backup.ErrNoSpace],
// [backup.ErrIncompatible] or [backup.ErrMismatch] where they apply.
type Database struct {
	// URI names the database and the maintenance role: a URI, key=value words, or
	// a service, as libpq and pgx read them. What it leaves out is taken from the
	// PG* variables and the password file. The password never becomes part of a
	// command line, an error or an event.
	URI string `json:"-"`
	// Maintenance is the database to connect to while this one is copied, renamed
	// or dropped; "" means postgres.
	Maintenance string
	// Bin is the directory of pg_dump and pg_restore. If it is "", the usual
	// directories and PATH are searched: programs of the server's own major version are
	// preferred to newer ones, and older ones cannot read the server.
	Bin string
	// Checksums makes backups count and sum the rows of every table, in SQL and in
	// the very state that is dumped, and every restore and proof of such a backup
	// compare them. That costs a full read of the database each time, even of a
	// restore from the clone. Without it, all but the rows is compared, and the
	// dump is protected by its SHA-256.
	Checksums bool
	// NoClone dumps the database itself, and makes no clone of it on the server. A backup takes less
	// time and space, and a restore, which then loads the dump, more time.
	NoClone bool
	// AsSuperuser names objects of the database that the maintenance role may
	// restore, and run their code, because only superusers can: functions in C,
	// for example. A backup is refused with [backup.ErrPermission] while one is not named.
	AsSuperuser []string
	// Reader is the role with whose rights Ask queries; "" means the owner of the database. It
	// needs no more than SELECT on what is queried, and need not be able to log in.
	Reader string
	// Observe, if set, is called with each event, in order. It may be the same
	// function as the store's. The kinds of events, besides warnings, are
	// "clone", "dump", "load", "compare" and "swap".
	Observe func(backup.Event) `json:"-"`

	drainTimeout time.Duration   // how long terminated sessions may take to end; 0 means 30 s
	tracer       pgx.QueryTracer // tests interrupt runs at each statement
}

// label is server and database.
func (d Database) label() string {
	cfg, err := pgx.ParseConfig(d.URI)
	if err != nil { // which may contain the password
		return "postgres"
	}
	return "postgres " + net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))) + " " + cfg.Database
}

// Format implements [fmt.Formatter]: no verb, not even %#v, prints login and password.
func (d Database) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, d.label()) }

var (
	_ backup.Target  = (*Database)(nil)
	_ backup.Tidier  = (*Database)(nil)
	_ backup.Sizer   = (*Database)(nil)
	_ backup.Counter = (*Database)(nil)
	_ backup.Prover  = (*Database)(nil)
)

// Kinds of events.
const (
	eventClone   backup.EventKind = "clone"   // the database is copied on the server, or its clone back
	eventDump    backup.EventKind = "dump"    // pg_dump writes; Done is before compression
	eventLoad    backup.EventKind = "load"    // pg_restore reads; the last indexes come after the last byte
	eventCompare backup.EventKind = "compare" // the restored database, with the manifest
	eventSwap    backup.EventKind = "swap"    // the restored database gets the live name
)

var eventTexts = map[backup.EventKind]string{
	eventClone: "copying on the server", eventDump: "dumping", eventLoad: "restoring the dump",
	eventCompare: "comparing", eventSwap: "swapping",
}

// begins reports that a stage begins.
func (s *session) begins(kind backup.EventKind) {
	if s.d.Observe != nil {
		s.d.Observe(backup.Event{Time: time.Now().UTC(), Kind: kind, Text: s.name + ": " + eventTexts[kind]})
	}
}

func (s *session) warn(text string) {
	if s.d.Observe != nil {
		s.d.Observe(backup.Event{Time: time.Now().UTC(), Kind: backup.EventWarning, Text: s.name + ": " + text})
	}
}

// meter reports the progress of a stage.
func (s *session) meter(kind backup.EventKind, total int64) *progress.Meter {
	if s.d.Observe == nil {
		return nil
	}
	return progress.New(total, time.Now, func(p progress.Point) {
		s.d.Observe(backup.Event{Time: p.At.UTC(), Kind: kind, Text: s.name + ": " + eventTexts[kind] + ", " + p.String(),
			Done: p.Done, Total: p.Total, Rate: p.Rate, Left: p.Left})
	})
}

// failed wraps err with the operation, or returns nil if err is nil.
func failed(op, database string, err error) error {
	if err == nil {
		return nil
	}
	return &backup.Error{Op: op, Subject: database, Err: err}
}

// advise returns err with what to do next.
func advise(err error, next string) error { return &backup.Error{Err: err, Next: next} }
