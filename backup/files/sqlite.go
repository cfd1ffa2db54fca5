package files

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/owner"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// SQLite is an SQLite database in a file, a [backup.Target]. Backups are made
// by VACUUM INTO through the caller's own driver: this package brings none.
// VACUUM keeps everything but the hidden rowids of tables that have no
// INTEGER PRIMARY KEY, which SQLite promises to nobody.
//
// A backup may be made while others use the database; for a restore the
// application is stopped.
type SQLite struct {
	// Path is the database's file. It is not a link.
	Path string
	// Open opens the database at path, which is Path or a copy beside it, by
	// the caller's driver, such as
	//
	//	func(path string) (*sql.DB, error) { return sql.Open("sqlite", path) }
	//
	// The handle is closed when the call that asked for it ends.
	Open func(path string) (*sql.DB, error)
}

var (
	_ backup.Target  = (*SQLite)(nil)
	_ backup.Tidier  = (*SQLite)(nil)
	_ backup.Sizer   = (*SQLite)(nil)
	_ backup.Counter = (*SQLite)(nil)
	_ backup.Prover  = (*SQLite)(nil)
)

const (
	sqliteKind = "sqlite"
	sqliteFile = "database.sqlite"
)

// The journals of an SQLite database. One that stays behind when its database
// is replaced would be replayed into the new one.
var sqliteCompanions = []string{"-wal", "-shm", "-journal"}

type sqliteDetail struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	WAL    bool   `json:"wal"` // VACUUM INTO makes a copy without a write-ahead log
	owner.Owner
}

// Backup implements [backup.Target].
func (q *SQLite) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	s, err := q.ready(ctx)
	if err != nil {
		return backup.Meta{}, err
	}
	meta, err := q.backup(ctx, s, dir)
	if err != nil {
		return backup.Meta{}, fmt.Errorf("backing up %s: %w", s.Live, err)
	}
	return meta, nil
}

// Counts implements [backup.Counter]: the rows of each table.
func (q *SQLite) Counts(ctx context.Context) (map[string]int64, error) {
	s, err := q.ready(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(s.Live); err != nil { // a driver would make an empty database
		return nil, fmt.Errorf("counting rows: %w", err)
	}
	counts := map[string]int64{}
	err = q.with(ctx, s.Live, func(c *sql.Conn) error {
		rows, err := c.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
		if err != nil {
			return err
		}
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return errors.Join(err, rows.Close())
			}
			counts[name] = 0
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for name := range counts {
			var n int64
			if err := c.QueryRowContext(ctx, `SELECT count(*) FROM "`+strings.ReplaceAll(name, `"`, `""`)+`"`).Scan(&n); err != nil {
				return fmt.Errorf("counting %s: %w", name, err)
			}
			counts[name] = n
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

func (q *SQLite) backup(ctx context.Context, s *swap.Slot, dir string) (backup.Meta, error) {
	fi, err := os.Lstat(s.Live) // a driver would make an empty database
	if err != nil {
		return backup.Meta{}, err
	}
	if !fi.Mode().IsRegular() {
		return backup.Meta{}, errors.New("it is no regular file")
	}
	d := sqliteDetail{Path: s.Live, Owner: owner.Of(fi)}
	to := filepath.Join(dir, sqliteFile)
	var engine string
	err = q.with(ctx, s.Live, func(c *sql.Conn) error {
		var mode string
		if err := c.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&engine); err != nil {
			return err
		}
		if err := c.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
			return err
		}
		d.WAL = strings.EqualFold(mode, "wal")
		_, err := c.ExecContext(ctx, "VACUUM INTO ?", to)
		return err
	})
	if err != nil {
		return backup.Meta{}, err
	}
	if d.SHA256, d.Bytes, err = copySum(ctx, to, ""); err != nil {
		return backup.Meta{}, err
	}
	detail, err := json.Marshal(d)
	if err != nil {
		return backup.Meta{}, err
	}
	return backup.Meta{
		Kind:   sqliteKind,
		Target: s.Live,
		Engine: "SQLite " + engine,
		Detail: detail,
		Sums:   map[string]string{sqliteFile: d.SHA256},
	}, nil
}

// Restore implements [backup.Target]. A backup of another database is
// restored only where nothing is under Path.
func (q *SQLite) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	s, err := q.ready(ctx)
	if err != nil {
		return nil, err
	}
	var d sqliteDetail
	if err := fits(m, sqliteKind, &d); err != nil {
		return nil, err
	}
	return restore(ctx, s, d.Path, func(fresh string) error {
		return q.build(ctx, filepath.Join(dir, sqliteFile), fresh, d)
	})
}

// Prove implements [backup.Prover]. The copy is made beside the database, and
// SQLite is asked to check it.
func (q *SQLite) Prove(ctx context.Context, dir string, m backup.Meta) error {
	s, err := q.ready(ctx)
	if err != nil {
		return err
	}
	var d sqliteDetail
	if err := fits(m, sqliteKind, &d); err != nil {
		return err
	}
	return prove(ctx, s, func(fresh string) error {
		return q.build(ctx, filepath.Join(dir, sqliteFile), fresh, d)
	})
}

// build copies the backup to fresh, checks it, and gives it back what VACUUM
// INTO left out.
func (q *SQLite) build(ctx context.Context, from, fresh string, d sqliteDetail) error {
	sum, _, err := copySum(ctx, from, fresh)
	if err != nil {
		return err
	}
	if sum != d.SHA256 {
		return fmt.Errorf("%w: SHA-256 is %s, backed up was %s", backup.ErrDamaged, sum, d.SHA256)
	}
	err = q.with(ctx, fresh, func(c *sql.Conn) error {
		var answer string
		if err := c.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
			return err
		}
		if answer != "ok" {
			return fmt.Errorf("%w: SQLite says: %s", backup.ErrDamaged, answer)
		}
		if !d.WAL {
			return nil
		}
		if err := c.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&answer); err != nil {
			return err
		}
		if !strings.EqualFold(answer, "wal") {
			return fmt.Errorf("the write-ahead log cannot be switched on, the mode is %s", answer)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The swap counts on a new database without journals.
	if fi, err := os.Stat(fresh + "-wal"); err == nil && fi.Size() > 0 {
		return errors.New("the driver left a write-ahead log behind: does Open return a handle of its own?")
	}
	for _, c := range sqliteCompanions {
		if err := os.RemoveAll(fresh + c); err != nil {
			return err
		}
	}
	if err := d.Give(fresh); err != nil {
		return err
	}
	return durable.SyncTree(fresh)
}

// Tidy implements [backup.Tidier]: what restores kept aside is removed.
func (q *SQLite) Tidy(ctx context.Context) error {
	s, err := q.ready(ctx)
	if err != nil {
		return err
	}
	return s.Tidy(ctx)
}

// Needs implements [backup.Sizer].
func (q *SQLite) Needs(context.Context) ([]backup.Need, error) {
	s, err := swap.At(q.Path, sqliteCompanions...)
	if err != nil {
		return nil, err
	}
	var n int64
	for _, c := range append([]string{""}, sqliteCompanions...) {
		if fi, err := os.Stat(s.Live + c); err == nil {
			n += fi.Size()
		} else if c == "" {
			return nil, err
		}
	}
	return swap.Needs(s.Live, n), nil
}

func (q *SQLite) ready(ctx context.Context) (*swap.Slot, error) {
	s, err := swap.At(q.Path, sqliteCompanions...)
	if err != nil {
		return nil, err
	}
	if q.Open == nil {
		return nil, errors.New("no way to open the database: set Open")
	}
	return s, s.Recover(ctx)
}

// with lends one connection to the database at path.
func (q *SQLite) with(ctx context.Context, path string, use func(*sql.Conn) error) (err error) {
	db, err := q.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := sameDatabase(ctx, conn, path); err != nil {
		return err
	}
	return use(conn)
}

// sameDatabase makes sure that the handle is of the file at path. Drivers read a path
// with a question mark in it as a file and its options, and make an empty
// database there, which would be backed up instead.
func sameDatabase(ctx context.Context, c *sql.Conn, path string) error {
	var file string
	if err := c.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&file); err != nil {
		return err
	}
	want, err := os.Stat(path)
	if err != nil {
		return err
	}
	if got, err := os.Stat(file); err != nil || !os.SameFile(got, want) {
		return fmt.Errorf("the handle that Open returned is of %q: let Open escape the path as the driver wants it", file)
	}
	return nil
}

// copySum hashes the file from and copies it to the new file to, "" for none.
func copySum(ctx context.Context, from, to string) (string, int64, error) {
	in, err := os.Open(from)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = in.Close() }()
	sum := sha256.New()
	var out io.Writer = sum
	if to != "" {
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return "", 0, err
		}
		defer func() { _ = f.Close() }()
		out = io.MultiWriter(sum, f)
	}
	n, err := io.Copy(out, ctxio.Reader(ctx, in))
	return hex.EncodeToString(sum.Sum(nil)), n, err
}
