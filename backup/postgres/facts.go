package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
)

// Facts are what the manifest keeps of a database beside its dump: what
// pg_dump leaves out, and what the restored one is compared with.
type Facts struct {
	Database string `json:"database"`
	Server   string `json:"server"`          // version
	SystemID string `json:"system"`          // tells one cluster from another
	Clone    string `json:"clone,omitempty"` // database that was dumped and stays until Tidy
	CloneOID uint32 `json:"clone_oid,omitempty"`
	NoClone  string `json:"no_clone,omitempty"` // why there is none although one was wanted
	Closed   bool   `json:"closed"`             // whether users were kept out
	Bytes    int64  `json:"bytes"`              // on the server, indexes included

	Owner    string    `json:"owner"`
	Limit    int       `json:"connection_limit"`   // in force when open
	Template bool      `json:"template,omitempty"` // IS_TEMPLATE
	Comment  string    `json:"comment,omitempty"`
	Grants   *[]Grant  `json:"grants"` // nil: what PostgreSQL grants by default
	Settings []Setting `json:"settings,omitempty"`
	Locale   Locale    `json:"locale"`

	Roles      []string    `json:"roles"` // that own something or were granted something
	Extensions []Extension `json:"extensions,omitempty"`
	NoPublic   bool        `json:"no_public,omitempty"` // the schema public was dropped
	Checksums  bool        `json:"checksums,omitempty"` // whether rows were counted and summed, see Database.Checksums
	Tables     []Table     `json:"tables"`
	Made       *Made       `json:"made,omitempty"`     // nil before PostgreSQL 12
	Unlogged   bool        `json:"unlogged,omitempty"` // whether there are tables that a crash of the server empties

	DumpSHA256 string `json:"dump_sha256"` // of the dump before compression
	DumpBytes  int64  `json:"dump_bytes"`
}

// A Grant is one right on the database.
type Grant struct {
	Grantor   string `json:"grantor"`
	Grantee   string `json:"grantee"` // "" is PUBLIC
	Privilege string `json:"privilege"`
	Grantable bool   `json:"grantable,omitempty"`
}

// A Setting is one of ALTER DATABASE … SET, or of ALTER ROLE … IN DATABASE … SET.
type Setting struct {
	Role  string `json:"role,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Locale is what a database is created with and cannot be changed later.
type Locale struct {
	Encoding   string `json:"encoding"`
	Collate    string `json:"collate"`
	Ctype      string `json:"ctype"`
	Provider   string `json:"provider,omitempty"` // c, i or b; "" before PostgreSQL 15
	Locale     string `json:"locale,omitempty"`   // of the provider
	Rules      string `json:"rules,omitempty"`
	Tablespace string `json:"tablespace"`
}

// An Extension is installed in the database.
type Extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Schema  string `json:"schema"`
}

// A Table is the fingerprint of a table, of a sequence, or of all large
// objects together. The sum does not depend on the order of rows. Without
// checksums, tables have neither rows nor sum, and large objects are counted
// only; a sequence always has its value.
type Table struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Rows   int64  `json:"rows,omitempty"`
	Sum    string `json:"sum,omitempty"`
	Moved  bool   `json:"moved,omitempty"` // a sequence that was used while the dump was made: no snapshot holds it still
}

// Made counts what a restore makes of the rows of plain tables.
type Made struct {
	Way         int   `json:"way"` // in which they are counted: others are not to be compared
	Indexes     int64 `json:"indexes"`
	Constraints int64 `json:"constraints"` // keys, foreign keys, checks and exclusions
	Triggers    int64 `json:"triggers"`
}

// ReadFacts returns what a backup made by this package tells of its database.
func ReadFacts(m backup.Meta) (Facts, error) {
	if m.Kind != kind {
		return Facts{}, fmt.Errorf("%w: it is of a %q and this is a %q", backup.ErrUnfit, m.Kind, kind)
	}
	var f Facts
	if err := json.Unmarshal(m.Detail, &f); err != nil {
		return Facts{}, fmt.Errorf("%w: its detail cannot be read: %w", backup.ErrUnfit, err)
	}
	if f.Database == "" || f.Owner == "" {
		return Facts{}, fmt.Errorf("%w: its detail lacks the database or the owner", backup.ErrUnfit)
	}
	return f, nil
}

// describe reads what the shared catalogs know of a database: all but
// what is inside it.
func (s *session) describe(ctx context.Context, i *dbInfo) (Facts, error) {
	f := Facts{Database: i.name, Owner: i.owner, Limit: i.limit}
	if i.comment != nil {
		f.Comment = *i.comment
	}
	// The columns of the provider have changed their names over the versions.
	var row map[string]any
	var hasACL bool
	err := s.QueryRow(ctx, `SELECT current_setting('server_version'), (SELECT system_identifier::text FROM pg_control_system()),
		pg_encoding_to_char(encoding), datcollate, datctype, spcname, to_jsonb(d) - 'datacl', datacl IS NOT NULL, pg_database_size(d.oid)
		FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE d.oid = $1`, i.oid).
		Scan(&f.Server, &f.SystemID, &f.Locale.Encoding, &f.Locale.Collate, &f.Locale.Ctype, &f.Locale.Tablespace, &row, &hasACL, &f.Bytes)
	if err != nil {
		return f, err
	}
	text := func(keys ...string) string {
		for _, k := range keys {
			if v, ok := row[k].(string); ok {
				return v
			}
		}
		return ""
	}
	f.Template, _ = row["datistemplate"].(bool)
	f.Locale.Provider = text("datlocprovider")
	f.Locale.Locale = text("datlocale", "daticulocale")
	f.Locale.Rules = text("daticurules")

	if hasACL {
		grants, err := collect[Grant](ctx, s.Conn, `SELECT pg_get_userbyid(grantor),
			CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee) END, privilege_type, is_grantable
			FROM pg_database, aclexplode(datacl) WHERE oid = $1`, i.oid)
		if err != nil {
			return f, err
		}
		slices.SortFunc(grants, func(a, b Grant) int {
			return cmp.Or(cmp.Compare(a.Grantor, b.Grantor), cmp.Compare(a.Grantee, b.Grantee), cmp.Compare(a.Privilege, b.Privilege))
		})
		f.Grants = &grants
	}
	settings, err := collect[Setting](ctx, s.Conn, `SELECT CASE setrole WHEN 0 THEN '' ELSE pg_get_userbyid(setrole) END, split_part(c, '=', 1),
		substr(c, strpos(c, '=') + 1) FROM pg_db_role_setting, unnest(setconfig) c WHERE setdatabase = $1 AND NOT starts_with(c, $2)`, i.oid, setPrefix)
	if err != nil {
		return f, err
	}
	slices.SortFunc(settings, func(a, b Setting) int { return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name)) })
	f.Settings = settings

	roles, err := collect[struct{ Name string }](ctx, s.Conn, `SELECT DISTINCT pg_get_userbyid(refobjid) FROM pg_shdepend
		WHERE refclassid = 'pg_authid'::regclass AND (dbid = $1 OR dbid = 0 AND classid = 'pg_database'::regclass AND objid = $1)`, i.oid)
	if err != nil {
		return f, err
	}
	f.Roles = []string{f.Owner} // the first superuser is in no dependency
	for _, r := range roles {
		f.Roles = append(f.Roles, r.Name)
	}
	for _, st := range settings {
		if st.Role != "" {
			f.Roles = append(f.Roles, st.Role)
		}
	}
	slices.Sort(f.Roles)
	f.Roles = slices.Compact(f.Roles)
	return f, nil
}

// look reads what is inside a database, through a connection to it.
func look(ctx context.Context, q querier, version int, f *Facts) (err error) {
	f.Extensions, err = collect[Extension](ctx, q, `SELECT extname, extversion, nspname FROM pg_extension e
		JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1`)
	if err != nil {
		return err
	}
	if err := q.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')").Scan(&f.NoPublic); err != nil {
		return err
	}
	if f.Tables, err = sums(ctx, q, version, f.Checksums); err != nil {
		return err
	}
	if f.Made, err = made(ctx, q, version); err != nil {
		return err
	}
	return q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u')").Scan(&f.Unlogged)
}

// made leaves partitions out, whose share of what their parent has is counted
// otherwise after a restore, and an index that is not valid, which pg_dump leaves out.
func made(ctx context.Context, q querier, version int) (*Made, error) {
	if version < 120000 {
		return nil, nil
	}
	m := Made{Way: 1}
	err := q.QueryRow(ctx, `WITH plain AS (
			SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
			WHERE relkind = 'r' AND NOT relispartition AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
			AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'))
		SELECT (SELECT count(*) FROM plain JOIN pg_index ON indrelid = oid WHERE indisvalid AND indisready),
			(SELECT count(*) FROM plain p JOIN pg_constraint ON conrelid = p.oid WHERE conparentid = 0 AND
				(contype IN ('f', 'c') OR contype IN ('p', 'u', 'x') AND EXISTS (SELECT FROM pg_index WHERE indexrelid = conindid AND indisvalid AND indisready))),
			(SELECT count(*) FROM plain p JOIN pg_trigger ON tgrelid = p.oid WHERE NOT tgisinternal)`).Scan(&m.Indexes, &m.Constraints, &m.Triggers)
	return &m, err
}

type relation struct{ Schema, Name, Kind string }

// relations are the tables and sequences whose rows pg_dump dumps.
func relations(ctx context.Context, q querier) ([]relation, error) {
	return collect[relation](ctx, q, `SELECT nspname, relname, relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'S') AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
		AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') ORDER BY 1, 2`)
}

// sums fingerprints what pg_dump dumps the rows of; deep says whether the rows
// are read. Materialized views are computed anew by a restore, and the tables
// of an extension are its own.
func sums(ctx context.Context, q querier, version int, deep bool) ([]Table, error) {
	relations, err := relations(ctx, q)
	if err != nil {
		return nil, err
	}
	tables := []Table{}
	for _, r := range relations {
		from := ident(r.Schema, r.Name)
		// ROW(x.*) and not x: a column may be named x.
		query := `SELECT count(*), coalesce(sum(hashtextextended(ROW(x.*)::text COLLATE "C", 0)), 0)::text FROM ONLY ` + from + " x"
		if r.Kind == "S" {
			query = sequenceValue + from
		}
		t := Table{Schema: printable(r.Schema), Name: printable(r.Name)}
		if r.Kind == "r" && !deep {
			tables = append(tables, t)
			continue
		}
		if err := one(ctx, q, query, &t.Rows, &t.Sum); err != nil {
			return nil, fmt.Errorf("reading %s: %w", from, err)
		}
		tables = append(tables, t)
	}
	// A restore may cut large objects into other pages where there are holes:
	// zeros do not count.
	t := Table{Schema: "pg_catalog", Name: largeObjects}
	if err := q.QueryRow(ctx, "SELECT count(*) FROM pg_largeobject_metadata").Scan(&t.Rows); err != nil {
		return nil, err
	}
	if deep && version >= 140000 { // trimming bytes came with 14
		err := q.QueryRow(ctx, `SELECT coalesce(sum(hashtextextended(loid || ' ' || pageno || ' ' || encode(d, 'hex'), 0)), 0)::text
			FROM (SELECT loid, pageno, rtrim(data, '\x00'::bytea) d FROM pg_largeobject) p WHERE d <> ''`).Scan(&t.Sum)
		if err != nil {
			return nil, err
		}
	}
	return append(tables, t), nil
}

// one reads one row. In a transaction it gives the locks back: the server has
// only so many, and there may be any number of tables.
func one(ctx context.Context, q querier, query string, to ...any) error {
	tx, ok := q.(pgx.Tx)
	if !ok {
		return q.QueryRow(ctx, query).Scan(to...)
	}
	savepoint, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	return errors.Join(savepoint.QueryRow(ctx, query).Scan(to...), savepoint.Rollback(ctx))
}

// differences says in what the restored database differs from the backup.
func (f Facts) differences(got Facts) []string {
	var diff []string
	compare := func(what string, want, have any) {
		w, _ := json.Marshal(want) // plain values
		h, _ := json.Marshal(have)
		if string(w) != string(h) {
			diff = append(diff, fmt.Sprintf("%s is %s, backed up was %s", what, h, w))
		}
	}
	compare("owner", f.Owner, got.Owner)
	compare("comment", f.Comment, got.Comment)
	compare("rights", f.Grants, got.Grants)
	compare("IS_TEMPLATE", f.Template, got.Template)
	if !slices.EqualFunc(f.Settings, got.Settings, sameSetting) { // none is nil or empty
		compare("settings", f.Settings, got.Settings)
	}
	want := f.Locale
	if want.Provider == "" && got.Locale.Provider == "c" { // what PostgreSQL 15 calls the only one of before
		want.Provider = "c"
	}
	compare("locale", want, got.Locale)
	places := func(list []Extension) (out []string) {
		for _, e := range list {
			out = append(out, e.Name+" in "+e.Schema)
		}
		return out
	}
	compare("the list of extensions", places(f.Extensions), places(got.Extensions))
	if f.Made != nil && got.Made != nil && f.Made.Way == got.Made.Way && major(f.Server) == major(got.Server) { // each version counts in its own way
		compare("what is made of the rows", f.Made, got.Made)
	}
	key := func(t Table) string { return ident(t.Schema, t.Name) }
	have := map[string]Table{}
	for _, t := range got.Tables {
		have[key(t)] = t
	}
	for _, t := range f.Tables {
		h, ok := have[key(t)]
		switch {
		case !ok:
			diff = append(diff, key(t)+" is missing")
		case t.Moved, t.Name == largeObjects && t.Rows == h.Rows && (t.Sum == "" || h.Sum == ""): // one of two servers sums none
		case h != t && t.Sum == "" && h.Sum == "":
			diff = append(diff, fmt.Sprintf("%s has %d objects, backed up were %d", key(t), h.Rows, t.Rows))
		case h != t:
			diff = append(diff, fmt.Sprintf("%s has %d rows with sum %s, backed up were %d with %s", key(t), h.Rows, h.Sum, t.Rows, t.Sum))
		}
		delete(have, key(t))
	}
	for name := range have {
		diff = append(diff, name+" was not there")
	}
	slices.Sort(diff)
	return diff
}

const largeObjects = "pg_largeobject"

// sameSetting: a list is written with other spaces by SET than by SET FROM CURRENT.
func sameSetting(a, b Setting) bool {
	a.Value, b.Value = strings.ReplaceAll(a.Value, ", ", ","), strings.ReplaceAll(b.Value, ", ", ",")
	return a == b
}

// sequences are the values of all sequences by schema and name: the newest ones,
// in every snapshot.
func sequences(ctx context.Context, q querier) (map[[2]string]string, error) {
	relations, err := relations(ctx, q)
	if err != nil {
		return nil, err
	}
	values := map[[2]string]string{}
	for _, r := range relations {
		if r.Kind != "S" {
			continue
		}
		var rows int64
		var value string
		if err := one(ctx, q, sequenceValue+ident(r.Schema, r.Name), &rows, &value); err != nil {
			return nil, fmt.Errorf("reading %s: %w", ident(r.Schema, r.Name), err)
		}
		values[[2]string{printable(r.Schema), printable(r.Name)}] = value
	}
	return values, nil
}

const sequenceValue = "SELECT 1, last_value || CASE WHEN is_called THEN ' used' ELSE '' END FROM "

func major(server string) string {
	v, _, _ := strings.Cut(server, ".")
	return v
}

// extensionVersions says which extensions came back in another version: pg_restore
// takes the newest that the server has. A way back cannot depend on that.
func (f Facts) extensionVersions(got Facts) (diff []string) {
	for _, e := range f.Extensions {
		for _, h := range got.Extensions {
			if h.Name == e.Name && h.Version != e.Version {
				diff = append(diff, fmt.Sprintf("the extension %q is version %s, backed up was %s", e.Name, h.Version, e.Version))
			}
		}
	}
	return diff
}

// printable spells a name that is no UTF-8 in a way that JSON keeps.
func printable(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func collect[T any](ctx context.Context, q querier, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

func cutSetting(s string) (name, value string) {
	name, value, _ = strings.Cut(s, "=")
	return name, value
}
