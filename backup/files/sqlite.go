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
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/owner"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
	"github.com/aspupdate/aspupdate/internal/ctxio"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// SQLite is an SQLite database in a file, a [backup.Target]. Backups are made by
// VACUUM INTO through the caller's own driver: this package links none. VACUUM
// keeps everything but the hidden rowids of tables without an INTEGER PRIMARY
// KEY, on which no program may rely.
//
// A backup may be made while others use the database. Stop the application
// before a restore.
type SQLite struct {
	// Path is the database's file, and not a link to it.
	Path string
	// Open opens the database at path, which is Path or a copy beside it, with
	// the caller's driver, such as
	//
	//	func(path string) (*sql.DB, error) { return sql.Open("sqlite", path) }
	//
	// The handle is closed before the call that needed it returns. The driver must do its
	// work in the goroutine that calls it, as drivers do: on Linux root opens a database in a
	// directory that another account can change with the rights of the database's owner.
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

// sqliteCompanions are the journals of a database. One that is left behind when
// its database is replaced would be replayed into the new one.
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
	s, err := q.slot(ctx)
	if err != nil {
		return backup.Meta{}, err
	}
	m, err := q.backup(ctx, s, dir)
	return m, failed("back up", s.Live, err)
}

func (q *SQLite) backup(ctx context.Context, s *swap.Slot, dir string) (m backup.Meta, err error) {
	held, fi, err := hold(s) // a driver would create an empty database
	if err != nil {
		return m, err
	}
	defer func() { _ = held.Close() }()
	d := sqliteDetail{Path: s.Live, Owner: owner.Of(fi)}
	if err := s.Buildable(); err != nil {
		return m, err
	}
	// Before the update, what a restore would stumble over.
	if err := s.TryFile(ctx, d.Owner); err != nil {
		return m, err
	}
	to := filepath.Join(dir, sqliteFile)
	var engine string
	err = q.withLive(ctx, s, fi, func(c *sql.Conn, ours func(func() error) error) error {
		var mode string
		if err := c.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&engine); err != nil {
			return err
		}
		if err := c.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
			return err
		}
		d.WAL = strings.EqualFold(mode, "wal")
		if err := isOpen(held); err != nil {
			return err
		}
		// VACUUM copies what it can read: a damaged page is found here.
		if report, err := integrity(ctx, c); err != nil {
			return err
		} else if report != "" {
			return &backup.Error{Err: fmt.Errorf("the database is damaged, SQLite reports: %s", report), Next: "repair it before the update"}
		}
		return ours(func() error { // the account may not write there
			_, err := c.ExecContext(ctx, "VACUUM INTO ?", to)
			return err
		})
	})
	if err != nil {
		return m, err
	}
	if d.SHA256, d.Bytes, err = copySum(ctx, to, ""); err != nil {
		return m, err
	}
	detail, err := json.Marshal(d)
	return backup.Meta{
		Kind:   sqliteKind,
		Target: s.Live,
		Engine: "SQLite " + engine,
		Detail: detail,
		Sums:   map[string]string{sqliteFile: d.SHA256},
	}, err
}

// Counts implements [backup.Counter]: the rows of each table.
func (q *SQLite) Counts(ctx context.Context) (map[string]int64, error) {
	s, err := q.slot(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := q.counts(ctx, s)
	return counts, failed("count the rows of", s.Live, err)
}

func (q *SQLite) counts(ctx context.Context, s *swap.Slot) (map[string]int64, error) {
	held, fi, err := hold(s) // a driver would create an empty database
	if err != nil {
		return nil, err
	}
	defer func() { _ = held.Close() }()
	counts := map[string]int64{}
	err = q.withLive(ctx, s, fi, func(c *sql.Conn, _ func(func() error) error) error {
		err := query(ctx, c, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`, nil, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			counts[name] = 0
			return err
		})
		if err != nil {
			return err
		}
		if err := isOpen(held); err != nil {
			return err
		}
		for name := range counts {
			var n int64
			if err := c.QueryRowContext(ctx, `SELECT count(*) FROM `+quoted(name)).Scan(&n); err != nil {
				return fmt.Errorf("table %s: %w", name, err)
			}
			counts[name] = n
		}
		return nil
	})
	return counts, err
}

// Restore implements [backup.Target]. A backup of another database is restored
// only if nothing exists at Path.
func (q *SQLite) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	s, from, build, err := q.builder(ctx, dir, m)
	if err != nil {
		return nil, err
	}
	return restore(ctx, s, from, build)
}

// Prove implements [backup.Prover]. The copy is made beside the database, and
// SQLite checks it.
func (q *SQLite) Prove(ctx context.Context, dir string, m backup.Meta) error {
	s, _, build, err := q.builder(ctx, dir, m)
	if err != nil {
		return err
	}
	return failed("prove a backup of", s.Live, s.Try(ctx, build))
}

// builder returns the function that copies the backup, and the path that was backed up.
func (q *SQLite) builder(ctx context.Context, dir string, m backup.Meta) (s *swap.Slot, from string, build builder, err error) {
	if s, err = q.slot(ctx); err != nil {
		return nil, "", nil, err
	}
	var d sqliteDetail
	if err := m.Decode(sqliteKind, &d); err != nil {
		return nil, "", nil, err
	}
	return s, d.Path, func(path string) error {
		return s.Build(path, &d.Owner, func(file string) error { return q.build(ctx, filepath.Join(dir, sqliteFile), file, d) })
	}, nil
}

// build copies the backup to the new file path, checks it, and sets what VACUUM
// INTO left out.
func (q *SQLite) build(ctx context.Context, from, path string, d sqliteDetail) error {
	sum, _, err := copySum(ctx, from, path)
	if err != nil {
		return err
	}
	if sum != d.SHA256 {
		return fmt.Errorf("%w: SHA-256 is %s, backed up with %s", backup.ErrDamaged, sum, d.SHA256)
	}
	err = q.with(ctx, path, func(c *sql.Conn) error {
		if report, err := integrity(ctx, c); err != nil {
			return err
		} else if report != "" {
			return fmt.Errorf("%w: SQLite reports: %s", backup.ErrDamaged, report)
		}
		if !d.WAL {
			return nil
		}
		var answer string
		if err := c.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&answer); err != nil {
			return err
		}
		if !strings.EqualFold(answer, "wal") {
			return fmt.Errorf("cannot switch on the write-ahead log, the journal mode is %s", answer)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The swap relies on a new database without journals.
	if fi, err := os.Stat(path + "-wal"); err == nil && fi.Size() > 0 {
		return &backup.Error{Err: errors.New("the driver left a write-ahead log behind"), Next: "let Open return a new handle each time"}
	}
	return nil
}

// isOpen fails if the driver has opened another file than the one that is held.
func isOpen(held *os.File) error {
	if !tree.Opened(held) {
		return &backup.Error{Err: errors.New("the file was replaced while it was opened"), Next: "stop the application first"}
	}
	return nil
}

// integrity returns the first damage that SQLite finds, "" if there is none. A
// row that breaks a constraint is none: the application lives with it.
func integrity(ctx context.Context, c *sql.Conn) (report string, err error) {
	err = query(ctx, c, "PRAGMA integrity_check(1000000)", nil, func(scan func(...any) error) error {
		var line string
		err := scan(&line)
		if report == "" && line != "ok" && !strings.HasPrefix(line, "NULL value in ") && !strings.HasPrefix(line, "CHECK constraint failed in ") {
			report = line
		}
		return err
	})
	return report, err
}

// hold refers to the database's file until it is closed. Its companions are
// files as well, or are not there: SQLite would follow a link.
func hold(s *swap.Slot) (*os.File, fs.FileInfo, error) {
	root, err := s.Open()
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = root.Close() }()
	name := filepath.Base(s.Live)
	for _, c := range sqliteCompanions {
		if fi, err := root.Lstat(name + c); err == nil && !fi.Mode().IsRegular() {
			return nil, nil, fmt.Errorf("%s is not a regular file", s.Live+c)
		}
	}
	held, err := tree.Hold(root, name)
	if err != nil {
		return nil, nil, err
	}
	fi, err := held.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, nil, errors.Join(err, held.Close())
	}
	return held, fi, nil
}

// Tidy implements [backup.Tidier]: it removes what restores kept aside.
func (q *SQLite) Tidy(ctx context.Context) error {
	s, err := q.slot(ctx)
	if err != nil {
		return err
	}
	return failed("tidy", s.Live, s.Tidy(ctx))
}

// Needs implements [backup.Sizer].
func (q *SQLite) Needs(ctx context.Context) ([]backup.Need, error) {
	s, err := swap.At(q.Path, sqliteCompanions...)
	if err != nil {
		return nil, err
	}
	if err := s.Buildable(); err != nil {
		return nil, failed("prepare a restore of", s.Live, err)
	}
	var n int64
	for _, c := range append([]string{""}, sqliteCompanions...) {
		fi, err := os.Stat(s.Live + c)
		switch {
		case err == nil:
			n += fi.Size()
		case c == "":
			return nil, err
		}
		if c == "" && durable.MayTry(ctx) {
			if err := s.TryFile(ctx, owner.Of(fi)); err != nil {
				return nil, failed("prepare a restore of", s.Live, err)
			}
		}
	}
	return s.Needs(n), nil
}

// slot resolves the path and finishes or undoes what a killed run left.
func (q *SQLite) slot(ctx context.Context) (*swap.Slot, error) {
	s, err := swap.At(q.Path, sqliteCompanions...)
	if err != nil {
		return nil, err
	}
	if q.Open == nil {
		return nil, &backup.Error{Op: "open", Subject: s.Live, Err: errors.New("no driver given"), Next: "set Open"}
	}
	return s, failed("recover", s.Live, s.Recover(ctx))
}

// withLive calls use with one connection to the live database. SQLite opens it and its
// companions by their paths, and makes those that are missing: where another account could
// lead these to a directory of root, it has the rights of the database's owner alone. ours
// calls a function with those of this process.
func (q *SQLite) withLive(ctx context.Context, s *swap.Slot, fi fs.FileInfo, use func(c *sql.Conn, ours func(func() error) error) error) error {
	as := owner.Of(fi)
	if private.Check(filepath.Dir(s.Live)) == nil {
		as = owner.Owner{} // which changes nothing
	}
	return as.As(func(ours func(func() error) error) error {
		return q.with(ctx, s.Live, func(c *sql.Conn) error { return use(c, ours) })
	})
}

// with calls use with one connection to the database at path.
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

// sameDatabase fails unless the handle is of the file at path. Drivers read a
// path with a question mark in it as a file and its options, and create an empty
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
		return &backup.Error{Err: fmt.Errorf("the handle that Open returned is of the file %q", file), Next: "let Open escape the path as the driver requires"}
	}
	return nil
}

// copySum hashes the file from and, if to is not "", copies it to the new file to.
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
