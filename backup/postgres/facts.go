package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
)

// facts are what the manifest keeps of a database besides its dump: what pg_dump
// leaves out, and what the restored database is compared with.
type facts struct {
	Database string `json:"database"`
	Server   string `json:"server"`          // version
	SystemID string `json:"system"`          // identifies the cluster
	Clone    string `json:"clone,omitempty"` // database that was dumped and is kept until Tidy
	CloneOID uint32 `json:"clone_oid,omitempty"`
	NoClone  string `json:"no_clone,omitempty"` // why there is none although one was wanted
	Closed   bool   `json:"closed"`             // whether it was closed to users
	Bytes    int64  `json:"bytes"`              // on the server, indexes included

	Owner    string    `json:"owner"`
	Limit    int       `json:"connection_limit"`   // in force when open
	Template bool      `json:"template,omitempty"` // IS_TEMPLATE
	Comment  string    `json:"comment,omitempty"`
	Grants   *[]grant  `json:"grants"` // nil: what PostgreSQL grants by default
	Settings []setting `json:"settings,omitempty"`
	Locale   locale    `json:"locale"`

	Roles      []string     `json:"roles"` // that own something or were granted something
	Extensions []extension  `json:"extensions,omitempty"`
	NoPublic   bool         `json:"no_public,omitempty"` // the schema public was dropped
	Checksums  bool         `json:"checksums,omitempty"` // whether rows were counted and summed
	Tables     []table      `json:"tables"`
	Way        int          `json:"way,omitempty"`        // of reading Tables, and of writing the dump
	Made       *derived     `json:"made,omitempty"`       // nil before PostgreSQL 12
	Privileged []privileged `json:"privileged,omitempty"` // what only a superuser can restore
	Unlogged   bool         `json:"unlogged,omitempty"`   // whether there are tables that a crash of the server empties

	DumpSHA256 string `json:"dump_sha256"` // of the dump before compression
	DumpBytes  int64  `json:"dump_bytes"`
}

// A grant is one privilege on the database.
type grant struct {
	Grantor   string `json:"grantor"`
	Grantee   string `json:"grantee"` // "" is PUBLIC
	Privilege string `json:"privilege"`
	Grantable bool   `json:"grantable,omitempty"`
}

// A setting is one of ALTER DATABASE … SET, or of ALTER ROLE … IN DATABASE … SET.
type setting struct {
	Role  string `json:"role,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A locale is what a database is created with and cannot be changed later.
type locale struct {
	Encoding   string `json:"encoding"`
	Collate    string `json:"collate"`
	Ctype      string `json:"ctype"`
	Provider   string `json:"provider,omitempty"` // c, i or b; "" before PostgreSQL 15
	Locale     string `json:"locale,omitempty"`   // of the provider
	Rules      string `json:"rules,omitempty"`
	Tablespace string `json:"tablespace"`
}

// An extension is installed in the database.
type extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Schema  string `json:"schema"`
}

// readFacts returns what a backup made by this package says about its database.
func readFacts(m backup.Meta) (facts, error) {
	var f facts
	if err := m.Decode(kind, &f); err != nil {
		return facts{}, err
	}
	if f.Database == "" || f.Owner == "" {
		return facts{}, fmt.Errorf("%w: the detail in the manifest lacks the database or the owner", backup.ErrIncompatible)
	}
	return f, nil
}

// describe reads what the shared catalogs know of a database, which is all but what is
// inside it.
func (s *session) describe(ctx context.Context, i *dbInfo) (facts, error) {
	t, err := s.tenure(ctx, i)
	if err != nil {
		return facts{}, err
	}
	f := facts{Database: i.name, Owner: t.owner, Grants: t.grants, Limit: i.limit}
	if i.comment != nil {
		f.Comment = *i.comment
	}
	for _, read := range []func(context.Context, *dbInfo, *facts) error{s.readDatabase, s.readSettings, s.readRoles} {
		if err := read(ctx, i, &f); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (s *session) readDatabase(ctx context.Context, i *dbInfo, f *facts) error {
	var row map[string]any // the names of some columns depend on the version
	err := s.QueryRow(ctx, `SELECT current_setting('server_version'), (SELECT system_identifier::text FROM pg_control_system()),
		pg_encoding_to_char(encoding), datcollate, datctype, spcname, to_jsonb(d) - 'datacl', pg_database_size(d.oid)
		FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE d.oid = $1`, i.oid).
		Scan(&f.Server, &f.SystemID, &f.Locale.Encoding, &f.Locale.Collate, &f.Locale.Ctype, &f.Locale.Tablespace, &row, &f.Bytes)
	text := func(key string) string {
		v, _ := row[key].(string)
		return v
	}
	f.Template, _ = row["datistemplate"].(bool)
	f.Locale.Provider = text("datlocprovider")
	f.Locale.Locale = cmp.Or(text("datlocale"), text("daticulocale"))
	f.Locale.Rules = text("daticurules")
	return err
}

func (s *session) readSettings(ctx context.Context, i *dbInfo, f *facts) (err error) {
	f.Settings, err = collect[setting](ctx, s.Conn, `SELECT CASE setrole WHEN 0 THEN '' ELSE pg_get_userbyid(setrole) END, split_part(c, '=', 1),
		substr(c, strpos(c, '=') + 1) FROM pg_db_role_setting, unnest(setconfig) c WHERE setdatabase = $1 AND NOT starts_with(c, $2)`, i.oid, setPrefix)
	slices.SortFunc(f.Settings, func(a, b setting) int { return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name)) })
	return err
}

// readRoles comes after readSettings.
func (s *session) readRoles(ctx context.Context, i *dbInfo, f *facts) error {
	roles, err := collect[struct{ Name string }](ctx, s.Conn, `SELECT DISTINCT pg_get_userbyid(refobjid) FROM pg_shdepend
		WHERE refclassid = 'pg_authid'::regclass AND dbid = $1`, i.oid)
	f.Roles = []string{f.Owner} // pg_shdepend lacks the first superuser
	for _, r := range roles {
		f.Roles = append(f.Roles, r.Name)
	}
	if f.Grants != nil { // perhaps kept in a setting, and not in force
		for _, g := range *f.Grants {
			f.Roles = append(f.Roles, g.Grantor)
			if g.Grantee != "" {
				f.Roles = append(f.Roles, g.Grantee)
			}
		}
	}
	for _, st := range f.Settings {
		if st.Role != "" {
			f.Roles = append(f.Roles, st.Role)
		}
	}
	slices.Sort(f.Roles)
	f.Roles = slices.Compact(f.Roles)
	return err
}

// readInside reads what is inside a database, through a connection to it.
func readInside(ctx context.Context, q pgx.Tx, version int, f *facts) (err error) {
	if f.Extensions, err = extensions(ctx, q); err != nil {
		return err
	}
	err = q.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public'),
		EXISTS (SELECT FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u')`).Scan(&f.NoPublic, &f.Unlogged)
	if err != nil {
		return err
	}
	if f.Tables, err = tables(ctx, q, version, f.Checksums); err != nil {
		return err
	}
	f.Made, err = countDerived(ctx, q, version)
	return err
}

func extensions(ctx context.Context, q querier) ([]extension, error) {
	return collect[extension](ctx, q, `SELECT extname, extversion, nspname FROM pg_extension e
		JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1`)
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
