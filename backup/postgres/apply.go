package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
)

// createStatement returns what creates an empty database as the one backed up was created.
// It belongs to the maintenance role.
func (s *session) createStatement(name string, f facts) string {
	l := f.Locale
	sql := "CREATE DATABASE " + ident(name) + " TEMPLATE template0" + s.shutAtFirst() +
		" ENCODING " + literal(l.Encoding) +
		" LC_COLLATE " + literal(l.Collate) + " LC_CTYPE " + literal(l.Ctype)
	if !s.limited || l.Tablespace != "pg_default" { // which only superusers may name
		sql += " TABLESPACE " + ident(l.Tablespace)
	}
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

// attributes returns the statements that set what neither a clone nor pg_restore
// restores: comment and settings. Owner, grants and limit come with the swap, see
// fence; until then the database belongs to the maintenance role.
func attributes(name string, f facts) []string {
	db := ident(name)
	comment := "NULL"
	if f.Comment != "" {
		comment = literal(f.Comment)
	}
	statements := []string{
		"COMMENT ON DATABASE " + db + " IS " + comment,
		"ALTER DATABASE " + db + " IS_TEMPLATE " + strconv.FormatBool(f.Template),
	}
	for _, st := range f.Settings {
		statements = append(statements, settingStatement(db, st))
	}
	return statements
}

// rehearse sets all that the swap will set, describes the database, and undoes that.
func (s *session) rehearse(ctx context.Context, name string, f facts) (got facts, err error) {
	t, err := s.tenureOf(ctx, f)
	if err != nil {
		return got, err
	}
	tx, err := s.Begin(ctx)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx))) }()
	for _, sql := range append(s.give(name, t), attributes(name, f)...) {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return got, fmt.Errorf("%s: %w", sql, err)
		}
	}
	i, err := s.find(ctx, name)
	if err == nil && i == nil {
		err = errors.New("the copy is gone")
	}
	if err != nil {
		return got, err
	}
	return s.describe(ctx, i)
}

// grantStatements grants in the name of the original grantors. A role that could
// pass a privilege on comes before those that it was passed on to.
func grantStatements(db, owner string, grants []grant) []string {
	var out []string
	may := map[string]bool{} // grantee and privilege
	left := slices.Clone(grants)
	for len(left) > 0 {
		var later []grant
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
			break // inconsistent grants; the comparison reports them
		}
		left = later
	}
	return append(out, "RESET ROLE")
}

// listSettings are lists of names, stored with their quotes. Set as one string
// they would become lists of one name.
var listSettings = []string{
	"local_preload_libraries", "search_path", "session_preload_libraries",
	"shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
}

func settingStatement(db string, st setting) string {
	sql := "ALTER DATABASE " + db
	if st.Role != "" {
		sql = "ALTER ROLE " + ident(st.Role) + " IN DATABASE " + db
	}
	// A name of two parts is that of an extension's setting.
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

// splitList splits a stored list of names such as `"$user", public`.
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

// preflight fails if the server lacks what a restore of f needs.
func (s *session) preflight(ctx context.Context, f facts) error {
	extensions := make([]string, len(f.Extensions))
	for i, e := range f.Extensions {
		extensions[i] = e.Name
	}
	for _, c := range []struct {
		query      string
		need       []string
		what, next string
	}{
		{"SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = n)", f.Roles,
			"roles that own parts of the backup or have privileges in it", "create them"},
		{"SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = n)", extensions,
			"extensions", "install them"},
		{"SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM pg_tablespace WHERE spcname = n)", []string{f.Locale.Tablespace},
			"the tablespace", "create it"},
	} {
		missing, err := collect[struct{ Name string }](ctx, s.Conn, c.query, c.need)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return advise(fmt.Errorf("%w: the server lacks %s: %q", backup.ErrIncompatible, c.what, missing), c.next)
		}
	}
	return nil
}
