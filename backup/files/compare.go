package files

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
)

// Unchanged reports whether nothing in the directory was changed since the backup, owners and
// times included. It reads the files only if the times, sizes and owners are the same.
func (d *Directory) Unchanged(ctx context.Context, m backup.Meta) (bool, error) {
	var detail directoryDetail
	if err := m.Decode(directoryKind, &detail); err != nil || !detail.Attrs || detail.Stamp == "" {
		return false, err
	}
	s, err := d.slot(ctx)
	if err != nil || s.Live != detail.Path {
		return false, err
	}
	root, err := s.Open()
	if err != nil {
		return false, failed("compare", s.Live, err)
	}
	defer func() { _ = root.Close() }()
	name := filepath.Base(s.Live)
	same, err := stamped(ctx, root, name, detail.Stamp)
	if err != nil || !same {
		return false, failed("compare", s.Live, err)
	}
	found, err := scan{}.read(ctx, root, name)
	return err == nil && found.digest == detail.Digest && found.stamp == detail.Stamp, failed("compare", s.Live, err)
}

// Compare fails unless the directory is what was backed up, by its contents and
// modes. The error wraps [backup.ErrMismatch] if it differs, and does
// not if it could not be read. A directory that a Setup has changed may be restored again.
func (d *Directory) Compare(ctx context.Context, _ string, m backup.Meta) (again bool, err error) {
	var detail directoryDetail
	if err := m.Decode(directoryKind, &detail); err != nil {
		return false, err
	}
	if !detail.Attrs {
		return false, errors.ErrUnsupported // earlier versions recorded less
	}
	s, err := d.slot(ctx)
	if err != nil {
		return true, err
	}
	root, err := s.Open()
	if err != nil {
		return true, failed("compare", s.Live, err)
	}
	defer func() { _ = root.Close() }()
	found, err := scan{}.read(ctx, root, filepath.Base(s.Live))
	if err == nil && found.digest != detail.Digest {
		err = fmt.Errorf("%w: it is not what was backed up", backup.ErrMismatch)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", backup.ErrMismatch, err)
	}
	return true, failed("compare", s.Live, err)
}

// Compare fails unless the database is what was backed up, by its schema and all its rows. The
// error wraps [backup.ErrMismatch] if it differs. It is never restored again because of that: what
// changed it may have had a reason.
func (q *SQLite) Compare(ctx context.Context, dir string, m backup.Meta) (again bool, err error) {
	var d sqliteDetail
	if err := m.Decode(sqliteKind, &d); err != nil {
		return false, err
	}
	s, err := q.slot(ctx)
	if err != nil {
		return false, err
	}
	return false, failed("compare", s.Live, q.compare(ctx, s, filepath.Join(dir, sqliteFile), d))
}

func (q *SQLite) compare(ctx context.Context, s *swap.Slot, from string, d sqliteDetail) error {
	held, fi, err := hold(s)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", backup.ErrMismatch, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = held.Close() }()
	// The caller's driver opens a copy, as for a restore: it may change what it opens.
	want := map[string]content{}
	err = s.Try(ctx, func(path string) error {
		return s.Build(path, &d.Owner, func(file string) error {
			if err := q.build(ctx, from, file, d); err != nil {
				return err
			}
			return q.with(ctx, file, func(c *sql.Conn) (err error) { want, err = readTables(ctx, c); return err })
		})
	})
	if err != nil {
		return err
	}
	var got map[string]content
	err = q.withLive(ctx, s, fi, func(c *sql.Conn, _ func(func() error) error) (err error) {
		if err := isOpen(held); err != nil {
			return err
		}
		got, err = readTables(ctx, c)
		return err
	})
	if err != nil {
		return err
	}
	return differing(want, got)
}

// A content is what a table holds, how something of the schema is made, or a number in the header.
type content struct {
	sql  string
	rows int64
	sum  [4]uint64 // of the hashes of its rows, in whatever order
}

// differing returns an error with what differs, nil if nothing does.
func differing(want, got map[string]content) error {
	maps.DeleteFunc(got, func(name string, c content) bool {
		if want[name] != c {
			return false
		}
		delete(want, name)
		return true
	})
	var list []string
	for name, w := range want {
		switch g, ok := got[name]; {
		case !ok:
			list = append(list, name+" is missing")
		case g.sql != w.sql:
			list = append(list, fmt.Sprintf("%s is now %q", name, g.sql[:min(len(g.sql), 200)]))
		default:
			list = append(list, fmt.Sprintf("%s has %d rows, backed up with %d, and not the same ones", name, g.rows, w.rows))
		}
		delete(got, name)
	}
	for name := range got {
		list = append(list, name+" is not in the backup")
	}
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	more := ""
	if len(list) > 5 {
		more = fmt.Sprintf(" and %d more", len(list)-5)
		list = list[:5]
	}
	return fmt.Errorf("%w: %s%s", backup.ErrMismatch, strings.Join(list, "; "), more)
}

// readTables reads the schema and all rows, without what ANALYZE notes. Of a virtual table it
// reads what that keeps in ordinary ones.
func readTables(ctx context.Context, c *sql.Conn) (map[string]content, error) {
	for _, pragma := range []string{"PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF"} {
		if _, err := c.ExecContext(ctx, pragma); err != nil {
			return nil, err
		}
	}
	all, tables := map[string]content{}, []string{}
	for _, field := range []string{"user_version", "application_id"} { // in which applications keep their own version
		var value string
		if err := c.QueryRowContext(ctx, "PRAGMA "+field).Scan(&value); err != nil {
			return nil, err
		}
		all[field] = content{sql: value}
	}
	err := query(ctx, c, `SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_stat%' ESCAPE '\'`, nil, func(scan func(...any) error) error {
		var kind, name, made string
		if err := scan(&kind, &name, &made); err != nil {
			return err
		}
		all[kind+" "+name] = content{sql: made}
		if kind == "table" && !strings.HasPrefix(strings.ToUpper(made), "CREATE VIRTUAL ") {
			tables = append(tables, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		of, err := rows(ctx, c, table)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", table, err)
		}
		of.sql = all["table "+table].sql
		all["table "+table] = of
	}
	return all, nil
}

// rows reads the rows of a table. The unary plus hides a column's declared type, by which a
// driver may convert a value.
func rows(ctx context.Context, c *sql.Conn, table string) (of content, err error) {
	var columns []string
	err = query(ctx, c, `SELECT name FROM pragma_table_info(?)`, []any{table}, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		columns = append(columns, "+"+quoted(name))
		return err
	})
	if err != nil {
		return of, err
	}
	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	err = query(ctx, c, `SELECT `+strings.Join(columns, ", ")+` FROM `+quoted(table), nil, func(scan func(...any) error) error {
		if err := scan(targets...); err != nil {
			return err
		}
		row := sha256.New()
		for _, v := range values {
			switch v := v.(type) {
			case float64:
				_, _ = fmt.Fprintf(row, "real %x\n", math.Float64bits(v))
			case string:
				_, _ = fmt.Fprintf(row, "text %d\n", len(v))
				_, _ = io.WriteString(row, v)
			case []byte:
				_, _ = fmt.Fprintf(row, "blob %d\n", len(v))
				_, _ = row.Write(v)
			default: // an integer or NULL
				_, _ = fmt.Fprintf(row, "%T %v\n", v, v)
			}
		}
		hash := row.Sum(nil)
		for i := range of.sum {
			of.sum[i] += binary.LittleEndian.Uint64(hash[8*i:])
		}
		of.rows++
		return nil
	})
	return of, err
}

// query calls each with the scan function of each row.
func query(ctx context.Context, c *sql.Conn, text string, args []any, each func(scan func(...any) error) error) (err error) {
	rows, err := c.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return nil
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
