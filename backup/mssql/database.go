package mssql

import (
	"database/sql/driver"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/microsoft/go-mssqldb/msdsn"

	"github.com/aspupdate/aspupdate/backup"
)

// Database is a database on a SQL Server, a [backup.Target]. Its methods must
// not be called concurrently for one database; on the server a lock keeps other
// programs from that.
//
// The errors wrap [backup.ErrBusy], [backup.ErrPermission], [backup.ErrNoSpace],
// [backup.ErrIncompatible], [backup.ErrDamaged] or [backup.ErrMismatch] where they apply.
type Database struct {
	// URI names the database and the maintenance login, which must be a sysadmin,
	// as go-mssqldb reads it: sqlserver://login:password@host/instance?database=asp.
	// On Windows without a login it is this account's. The name of the database is
	// written as the server has it, in letter case too. The password never becomes
	// part of a statement, an error or an event.
	URI string `json:"-"`
	// Dir is a directory in which the server's account and this program can
	// both read and write. Backup files pass through it; none stays there.
	Dir string
	// ServerDir is Dir as the server's account sees it, such as \\app\exchange
	// for a server on another machine; "" means the same path.
	ServerDir string
	// Notice is how long open transactions may take to end when the database
	// is closed to users; 0 ends them at once.
	Notice time.Duration
	// OwnersOut confirms that something else keeps out those logins of the
	// application that own the database, or are members of its role db_owner.
	// RESTRICTED_USER does not: without OwnersOut, Check refuses such a database, and
	// one to which a sysadmin is connected.
	OwnersOut bool
	// Tested is what SelfTest returned. Backup and Restore are refused if that was on
	// another server, or on another version of it. The caller stores it.
	Tested Tested
	// Observe, if set, is called with each event, in order. It may be the same
	// function as the store's. The kinds of events, besides warnings, are "drain",
	// "dump", "copy", "check", "load", "compare" and "swap".
	Observe func(backup.Event) `json:"-"`

	name      string                                       // of the database, instead of that in URI; SelfTest's
	scratch   bool                                         // belongs to a SelfTest, which needs no earlier one
	drain     time.Duration                                // how long ended sessions may take to go; 0 means 30 s
	interval  time.Duration                                // between two attempts; 0 means 100 ms
	connector func(msdsn.Config) (driver.Connector, error) // tests replace it
}

// Tested is the record of a SelfTest that passed.
type Tested struct {
	Server  string    `json:"server"`  // as SERVERPROPERTY('ServerName') has it
	Version string    `json:"version"` // product version and edition
	Time    time.Time `json:"time"`    // UTC
}

var (
	_ backup.Target  = (*Database)(nil)
	_ backup.Tidier  = (*Database)(nil)
	_ backup.Sizer   = (*Database)(nil)
	_ backup.Counter = (*Database)(nil)
	_ backup.Prover  = (*Database)(nil)
)

// label is server and database.
func (d Database) label() string {
	cfg, err := d.config()
	if err != nil { // which may contain the password
		return "mssql"
	}
	host := cfg.Host
	if cfg.Port != 0 {
		host = net.JoinHostPort(host, fmt.Sprint(cfg.Port))
	}
	if cfg.Instance != "" {
		host += `\` + cfg.Instance
	}
	return "mssql " + host + " " + cfg.Database
}

// Format implements [fmt.Formatter]: no verb, not even %#v, prints login and password.
func (d Database) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, d.label()) }

// Kinds of events.
const (
	eventDrain   backup.EventKind = "drain"   // users are put out
	eventDump    backup.EventKind = "dump"    // the server writes the backup
	eventCopy    backup.EventKind = "copy"    // the file goes to the store, or back
	eventCheck   backup.EventKind = "check"   // the server checks a backup, or a restored database
	eventLoad    backup.EventKind = "load"    // the server restores
	eventCompare backup.EventKind = "compare" // the restored database, with the manifest
	eventSwap    backup.EventKind = "swap"    // the restored database gets the live name
)

var eventTexts = map[backup.EventKind]string{
	eventDrain: "putting users out", eventDump: "the server writes the backup", eventCopy: "copying the backup file",
	eventCheck: "the server checks", eventLoad: "the server restores", eventCompare: "comparing", eventSwap: "swapping",
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

// failed wraps err with the operation, or returns nil if err is nil.
func failed(op, database string, err error) error {
	if err == nil {
		return nil
	}
	return &backup.Error{Op: op, Subject: database, Err: err}
}

// advise returns err with what to do next.
func advise(err error, next string) error { return &backup.Error{Err: err, Next: next} }
