package postgres

import (
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/progress"
)

// Database is a database on a PostgreSQL server, a [backup.Target]. Its
// methods may not run at the same time for one database; on the server a lock
// keeps two programs from it.
type Database struct {
	// URI says where the database is and who the maintenance role is: a URI,
	// key=value words, or a service, as libpq and pgx read them; what it leaves
	// out comes from the PG* variables and the password file. The password
	// never becomes part of a command line, an error or an event.
	URI string `json:"-"`
	// Maintenance is the database to be connected to while this one is
	// copied, renamed or dropped; "" means postgres.
	Maintenance string
	// Bin is the folder of pg_dump and pg_restore; "" means that they are
	// looked for in the usual places and in PATH, and that those of the
	// server's own major version are taken before newer ones. Older ones
	// cannot read the server.
	Bin string
	// Drain is how long sessions that were told to end may take; 0 means 30 s.
	Drain time.Duration
	// InPlace dumps the database itself, without the clone, where the server
	// has no room for one. A restore then takes as long as pg_restore.
	InPlace bool
	// Checksums makes backups count and sum the rows of every table, in SQL and in
	// the very state that is dumped, whatever their order, and every restore
	// and proof of such a backup compare them. That costs a full read of the
	// database each time, of a restore by the clone too. Without it, what comes back
	// is compared in all but the rows, and the dump is guarded by its SHA-256.
	Checksums bool
	// Observe, if set, is told what is being done, in order and one event at a
	// time. It may be the function that the store has, too.
	Observe func(backup.Event) `json:"-"`

	tracer pgx.QueryTracer // tests cut runs short at each statement
}

// String tells server and database, and neither role nor password.
func (d Database) String() string {
	cfg, err := pgx.ParseConfig(d.URI)
	if err != nil { // which the error may show
		return "postgres"
	}
	return "postgres " + net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))) + " " + cfg.Database
}

// GoString is String: %#v shows no password either.
func (d Database) GoString() string { return "postgres.Database{" + d.String() + "}" }

// LogValue is String for log/slog.
func (d Database) LogValue() slog.Value { return slog.StringValue(d.String()) }

var (
	_ backup.Target  = (*Database)(nil)
	_ backup.Tidier  = (*Database)(nil)
	_ backup.Sizer   = (*Database)(nil)
	_ backup.Counter = (*Database)(nil)
	_ backup.Prover  = (*Database)(nil)
)

// What Database.Observe is told beside what the store's is.
const (
	StageShared  backup.Stage = "shared"   // Note says which superuser Close ended a session of, whom no fence of the database holds
	StageClone   backup.Stage = "clone"    // the database is copied on the server, or its clone back
	StageNoClone backup.Stage = "no clone" // Note says why: the dump is made in place, or is what is restored
	StageDump    backup.Stage = "dump"     // pg_dump writes; Done is before compression
	StageLoad    backup.Stage = "load"     // pg_restore reads; the last indexes come after the last byte
	StageCompare backup.Stage = "compare"  // what was restored, with the manifest
	StageSwap    backup.Stage = "swap"     // the restored database gets the live name
)

func (d *Database) tell(stage backup.Stage, note string) {
	if d.Observe != nil {
		d.Observe(backup.Event{Stage: stage, Note: note, At: time.Now().UTC()})
	}
}

// meter tells how far a stage is.
func (d *Database) meter(stage backup.Stage, total int64) *progress.Meter {
	if d.Observe == nil {
		return nil
	}
	return progress.New(total, time.Now, func(p progress.Point) {
		d.Observe(backup.Event{Stage: stage, Done: p.Done, Total: p.Total, Rate: p.Rate, Left: p.Left, At: p.At.UTC()})
	})
}

var (
	// ErrRights says that the maintenance role is no superuser.
	ErrRights = errors.New("the maintenance role may not do this")
	// ErrBusy says that sessions of others use the database and did not go,
	// or that another program is at work on it.
	ErrBusy = errors.New("the database is in use")
	// ErrMissing says that the server or this machine lacks something that is
	// needed: a role, an extension, a program of the right version.
	ErrMissing = errors.New("something is missing")
	// ErrDiffers says that what was restored is not what was backed up. The
	// live database was not touched.
	ErrDiffers = errors.New("the restored database differs from the backup")
)
