package mssql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
)

const kind = "mssql"

// facts are what the manifest keeps of a backup besides its file.
type facts struct {
	Database string `json:"database"`
	Server   string `json:"server"`
	Version  string `json:"version"` // of the product, with the edition
	Major    int    `json:"major"`
	SHA256   string `json:"sha256"` // of the backup file
	Bytes    int64  `json:"bytes"`  // of the database's files

	// The database that was backed up, see identity.
	ID   int    `json:"id,omitempty"`
	GUID string `json:"guid,omitempty"`

	Owner   string            `json:"owner"`
	Broker  bool              `json:"broker"` // enabled
	Options map[string]string `json:"options"`
	Files   []file            `json:"files"`
	Users   []user            `json:"users"`
	contents
}

// A file is one of a database's files.
type file struct {
	Name string `json:"name"` // in the database
	Path string `json:"path"` // on the server
	Log  bool   `json:"log"`
}

// A user of a database has a login.
type user struct{ Name, Login string }

// contents describe what is in a database.
type contents struct {
	Tables  []table           `json:"tables"`
	Catalog map[string]string `json:"catalog"` // sums of lists of objects, by kind
}

// A table has a number of rows, and a sum over those columns that have one.
type table struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	Sum    int64  `json:"sum"`
}

func (t table) String() string { return ident(t.Schema, t.Name) }

// describe returns all facts of a database but those about the backup file.
func (s *session) describe(ctx context.Context, name string) (f facts, err error) {
	if f, err = s.outer(ctx, name); err != nil {
		return f, err
	}
	err = s.inside(ctx, name, func(c *sql.Conn) error {
		f.contents, err = read(ctx, c)
		return err
	})
	return f, err
}

// outer returns what the server knows about a database.
func (s *session) outer(ctx context.Context, name string) (f facts, err error) {
	st, err := s.status(ctx, name)
	if err != nil {
		return f, err
	}
	f = facts{Database: name, ID: st.id, GUID: st.guid, Server: s.server.name, Version: s.server.full(), Major: s.server.major(), Owner: st.owner, Broker: st.broker != 0,
		Options: map[string]string{}}
	err = s.rows(ctx, sqlOptions(), []any{name}, func(r *sql.Rows) error {
		var option, value string
		err := r.Scan(&option, &value)
		f.Options[option] = value
		return err
	})
	if err != nil {
		return f, err
	}
	if f.Files, f.Bytes, err = s.files(ctx, name); err != nil {
		return f, err
	}
	f.Users, err = s.users(ctx, name)
	return f, err
}

func (s *session) files(ctx context.Context, name string) (list []file, total int64, err error) {
	err = s.rows(ctx, sqlFiles, []any{name}, func(r *sql.Rows) error {
		var f file
		var kind, bytes int64
		err := r.Scan(&f.Name, &f.Path, &kind, &bytes)
		f.Log = kind == 1
		list = append(list, f)
		total += bytes
		return err
	})
	return list, total, err
}

func (s *session) users(ctx context.Context, name string) (list []user, err error) {
	err = s.rows(ctx, sqlUsers(name), nil, func(r *sql.Rows) error {
		var u user
		err := r.Scan(&u.Name, &u.Login)
		list = append(list, u)
		return err
	})
	return list, err
}

// read reads all rows of all tables, and the catalog.
func read(ctx context.Context, c *sql.Conn) (k contents, err error) {
	if k.Tables, err = count(ctx, c, true); err != nil {
		return k, err
	}
	k.Catalog = map[string]string{}
	for _, of := range slices.Sorted(maps.Keys(catalog)) {
		var lines []string
		for _, query := range catalog[of] {
			err := each(ctx, c, query, nil, func(r *sql.Rows) error {
				line, err := joined(r)
				lines = append(lines, line)
				return err
			})
			if err != nil {
				return k, fmt.Errorf("cannot list %s: %w", of, err)
			}
		}
		slices.Sort(lines)
		h := sha256.New()
		for _, line := range lines {
			_, _ = fmt.Fprintf(h, "%d %s\n", len(line), line)
		}
		k.Catalog[of] = fmt.Sprint(len(lines), " ", hex.EncodeToString(h.Sum(nil)))
	}
	return k, nil
}

// joined returns the columns of a row as one text.
func joined(r *sql.Rows) (string, error) {
	columns, err := r.Columns()
	if err != nil {
		return "", err
	}
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := r.Scan(into...); err != nil {
		return "", err
	}
	line, err := json.Marshal(values)
	return string(line), err
}

// count counts the rows of all tables, and sums them if asked.
func count(ctx context.Context, c *sql.Conn, sums bool) (tables []table, err error) {
	ids := map[int]int{}
	err = each(ctx, c, sqlTables, nil, func(r *sql.Rows) error {
		var id int
		var t table
		err := r.Scan(&id, &t.Schema, &t.Name)
		ids[id] = len(tables)
		tables = append(tables, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	columns := make([][]string, len(tables))
	if sums {
		err = each(ctx, c, sqlColumns, nil, func(r *sql.Rows) error {
			var id int
			var name string
			err := r.Scan(&id, &name)
			if i, ok := ids[id]; ok {
				columns[i] = append(columns[i], name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range tables {
		t := &tables[i]
		if err := c.QueryRowContext(ctx, sqlSum(t.Schema, t.Name, columns[i])).Scan(&t.Rows, &t.Sum); err != nil {
			return nil, fmt.Errorf("cannot count the rows of %s: %w", t, err)
		}
	}
	return tables, nil
}

// Counts implements [backup.Counter].
func (d *Database) Counts(ctx context.Context) (map[string]int64, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	counts := map[string]int64{}
	if _, err = s.live(ctx); err == nil {
		err = s.inside(ctx, s.name, func(c *sql.Conn) error {
			tables, err := count(ctx, c, false)
			for _, t := range tables {
				counts[t.String()] = t.Rows
			}
			return err
		})
	}
	if err != nil {
		return nil, failed("count the rows of database", s.name, err)
	}
	return counts, nil
}

// readFacts decodes the manifest's detail.
func readFacts(m backup.Meta) (f facts, err error) {
	if err := m.Decode(kind, &f); err != nil {
		return f, failed("read the manifest of", m.Target, err)
	}
	if f.Database == "" || !sumForm.MatchString(f.SHA256) || len(f.Files) == 0 {
		return f, failed("read the manifest of", m.Target, fmt.Errorf("%w: it lacks what a restore needs", backup.ErrIncompatible))
	}
	return f, nil
}

var sumForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// differences returns how a restored database differs from the backup.
func (f facts) differences(got facts) (diff []string) {
	compare := func(what string, want, have any) {
		w, _ := json.Marshal(want) // plain values
		h, _ := json.Marshal(have)
		if string(w) != string(h) {
			diff = append(diff, fmt.Sprintf("%s is %s, backed up with %s", what, h, w))
		}
	}
	compare("owner", f.Owner, got.Owner)
	for _, option := range slices.Sorted(maps.Keys(f.Options)) {
		compare(option, f.Options[option], got.Options[option])
	}
	if !slices.Equal(f.Users, got.Users) {
		compare("the list of users with their logins", f.Users, got.Users)
	}
	return append(diff, f.contents.differences(got.contents)...)
}

func (k contents) differences(got contents) (diff []string) {
	have := map[string]table{}
	for _, t := range got.Tables {
		have[t.String()] = t
	}
	for _, t := range k.Tables {
		switch h, ok := have[t.String()]; {
		case !ok:
			diff = append(diff, t.String()+" is missing")
		case h != t:
			diff = append(diff, fmt.Sprintf("%s has %d rows with sum %d, backed up with %d and %d", t, h.Rows, h.Sum, t.Rows, t.Sum))
		}
		delete(have, t.String())
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		diff = append(diff, name+" is not in the backup")
	}
	for _, of := range slices.Sorted(maps.Keys(k.Catalog)) {
		if k.Catalog[of] != got.Catalog[of] {
			diff = append(diff, "the list of "+of+" differs")
		}
	}
	return diff
}

// differ returns an error with what differs, nil if nothing does.
func differ(diff []string) error {
	if len(diff) == 0 {
		return nil
	}
	more := ""
	if len(diff) > 5 {
		more = fmt.Sprintf(" and %d more", len(diff)-5)
		diff = diff[:5]
	}
	return fmt.Errorf("%w: %s%s", backup.ErrMismatch, strings.Join(diff, "; "), more)
}

// missing returns the logins that the server does not have.
func (s *session) missing(ctx context.Context, f facts) error {
	names := []string{f.Owner}
	for _, u := range f.Users {
		names = append(names, u.Login)
	}
	slices.Sort(names)
	var errs []error
	for _, login := range slices.Compact(names) {
		var n int
		if err := s.row(ctx, sqlLogin, []any{login}, &n); err != nil {
			return err
		}
		if n == 0 {
			errs = append(errs, advise(fmt.Errorf("%w: the server lacks the login %q", backup.ErrIncompatible, login), "CREATE LOGIN "+ident(login)))
		}
	}
	return errors.Join(errs...)
}
