package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// createStatement makes an empty database as the backed up one was made.
func createStatement(name string, f Facts) string {
	l := f.Locale
	sql := "CREATE DATABASE " + ident(name) + " TEMPLATE template0 CONNECTION LIMIT 0" +
		" OWNER " + ident(f.Owner) + " ENCODING " + literal(l.Encoding) +
		" LC_COLLATE " + literal(l.Collate) + " LC_CTYPE " + literal(l.Ctype) + " TABLESPACE " + ident(l.Tablespace)
	switch l.Provider {
	case "c":
		sql += " LOCALE_PROVIDER libc"
	case "i":
		sql += " LOCALE_PROVIDER icu ICU_LOCALE " + literal(l.Locale)
		if l.Rules != "" {
			sql += " ICU_RULES " + literal(l.Rules)
		}
	case "b":
		sql += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + literal(l.Locale)
	}
	return sql
}

// apply gives a database what neither a clone nor pg_restore brings: owner,
// comment, rights and settings. All of it or nothing.
func (s *session) apply(ctx context.Context, name string, f Facts) error {
	db := ident(name)
	return pgx.BeginFunc(ctx, s.Conn, func(tx pgx.Tx) error {
		do := func(sql string) error {
			_, err := tx.Exec(ctx, sql)
			if err != nil {
				err = fmt.Errorf("%s: %w", sql, err)
			}
			return err
		}
		comment := "NULL"
		if f.Comment != "" {
			comment = literal(f.Comment)
		}
		statements := []string{
			"ALTER DATABASE " + db + " OWNER TO " + ident(f.Owner),
			"COMMENT ON DATABASE " + db + " IS " + comment,
			"ALTER DATABASE " + db + " IS_TEMPLATE " + strconv.FormatBool(f.Template),
		}
		if f.Grants != nil {
			statements = append(statements,
				"REVOKE ALL ON DATABASE "+db+" FROM PUBLIC",
				"REVOKE ALL ON DATABASE "+db+" FROM "+ident(f.Owner))
			statements = append(statements, grantStatements(db, f.Owner, *f.Grants)...)
		}
		for _, st := range f.Settings {
			statements = append(statements, settingStatement(db, st))
		}
		for _, sql := range statements {
			if err := do(sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// grantStatements grants in the name of whom had granted. Who was allowed to pass a
// right on comes before those that it was passed on to.
func grantStatements(db, owner string, grants []Grant) []string {
	var out []string
	may := map[string]bool{} // grantee and privilege
	left := slices.Clone(grants)
	for len(left) > 0 {
		var later []Grant
		for _, g := range left {
			if g.Grantor != owner && !may[g.Grantor+"\x00"+g.Privilege] {
				later = append(later, g)
				continue
			}
			sql := "GRANT " + g.Privilege + " ON DATABASE " + db + " TO "
			if g.Grantee == "" {
				sql += "PUBLIC"
			} else {
				sql += ident(g.Grantee)
			}
			if g.Grantable {
				sql += " WITH GRANT OPTION"
				may[g.Grantee+"\x00"+g.Privilege] = true
			}
			out = append(out, "SET LOCAL ROLE "+ident(g.Grantor), sql)
		}
		if len(later) == len(left) {
			break // nobody could have granted these; the comparison tells
		}
		left = later
	}
	return append(out, "RESET ROLE")
}

// Settings that are lists of names, stored with their quotes. Set as one
// string they would become a list of one.
var listSettings = []string{
	"local_preload_libraries", "search_path", "session_preload_libraries",
	"shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
}

func settingStatement(db string, st Setting) string {
	sql := "ALTER DATABASE " + db
	if st.Role != "" {
		sql = "ALTER ROLE " + ident(st.Role) + " IN DATABASE " + db
	}
	// A name of two parts is the setting of an extension.
	sql += " SET " + ident(strings.Split(st.Name, ".")...) + " TO "
	if !slices.Contains(listSettings, strings.ToLower(st.Name)) {
		return sql + literal(st.Value)
	}
	names := splitList(st.Value)
	if len(names) == 0 {
		return sql + "''"
	}
	for i := range names {
		names[i] = literal(names[i])
	}
	return sql + strings.Join(names, ", ")
}

// splitList takes a stored list of names apart: `"$user", public`.
func splitList(s string) []string {
	var names []string
	var b strings.Builder
	quoted, any := false, false
	flush := func() {
		if any {
			names = append(names, b.String())
		}
		b.Reset()
		any = false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		case c == '"':
			quoted, any = !quoted, true
		case c == ',' && !quoted:
			flush()
		case strings.IndexByte(" \t\r\n", c) >= 0 && !quoted:
		default:
			b.WriteByte(c)
			any = true
		}
	}
	flush()
	return names
}

// preflight looks for what a restore of f would fail for later.
func (s *session) preflight(ctx context.Context, f Facts) error {
	missing, err := collect[struct{ Name string }](ctx, s.Conn,
		"SELECT r FROM unnest($1::text[]) r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r)", f.Roles)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: the server lacks roles that own parts of the backup or were granted rights: %q: create them", ErrMissing, missing)
	}
	names := make([]string, len(f.Extensions))
	for i, e := range f.Extensions {
		names[i] = e.Name
	}
	missing, err = collect[struct{ Name string }](ctx, s.Conn,
		"SELECT e FROM unnest($1::text[]) e WHERE NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = e)", names)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: the server lacks extensions: %q: install them", ErrMissing, missing)
	}
	var ok bool
	if err := s.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_tablespace WHERE spcname = $1)", f.Locale.Tablespace).Scan(&ok); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: the server lacks the tablespace %s: create it", ErrMissing, strconv.Quote(f.Locale.Tablespace))
	}
	return nil
}
