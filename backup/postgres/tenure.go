package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// A tenure is who owns a database and who was granted something on it. While a database is
// closed, and while it is a copy beside, it belongs to the maintenance role: an
// owner can lift the connection limit, connect, and change what is in it.
type tenure struct {
	owner  string
	super  bool     // whether the owner is a superuser, from whom nothing needs to be held back
	grants *[]grant // nil: what PostgreSQL grants by default
}

// tenure returns that of a database when it is open.
func (s *session) tenure(ctx context.Context, i *dbInfo) (tenure, error) {
	owner, held := i.settings[setOwner]
	if !held || !s.mine(i) {
		t := tenure{owner: i.owner, super: i.super}
		var err error
		t.grants, err = s.readGrants(ctx, i)
		return t, err
	}
	t := tenure{owner: owner}
	if text, ok := i.settings[setGrants]; ok {
		if err := json.Unmarshal([]byte(text), &t.grants); err != nil {
			return t, fmt.Errorf("invalid setting %s of %q: %w", setGrants, i.name, err)
		}
	}
	return t, nil
}

// tenureOf returns that of a backup.
func (s *session) tenureOf(ctx context.Context, f facts) (tenure, error) {
	t := tenure{owner: f.Owner, grants: f.Grants}
	err := s.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND rolsuper)", f.Owner).Scan(&t.super)
	return t, err
}

// hold returns the statements that make the maintenance role the owner and keep
// who it was.
func (s *session) hold(name string, t tenure) []string {
	db := "ALTER DATABASE " + ident(name)
	if t.super {
		return s.give(name, t)
	}
	keep := db + " RESET " + setGrants
	if t.grants != nil {
		text, _ := json.Marshal(t.grants) // plain values
		keep = db + " SET " + setGrants + " = " + literal(string(text))
	}
	return []string{db + " SET " + setOwner + " = " + literal(t.owner), keep, db + " OWNER TO CURRENT_USER"}
}

// give returns the statements that hand the database over, and forget what hold kept.
func (s *session) give(name string, t tenure) []string {
	db := ident(name)
	statements := []string{
		"ALTER DATABASE " + db + " OWNER TO " + ident(t.owner),
		"ALTER DATABASE " + db + " RESET " + setOwner,
		"ALTER DATABASE " + db + " RESET " + setGrants,
	}
	if t.grants == nil && s.limited {
		statements = append(statements, "GRANT CONNECT, TEMPORARY ON DATABASE "+db+" TO PUBLIC")
	}
	if t.grants != nil {
		statements = append(statements,
			"REVOKE ALL ON DATABASE "+db+" FROM PUBLIC",
			"REVOKE ALL ON DATABASE "+db+" FROM "+ident(t.owner))
		statements = append(statements, grantStatements(db, t.owner, *t.grants)...)
	}
	return statements
}

// readGrants returns what the server knows about a database now.
func (s *session) readGrants(ctx context.Context, i *dbInfo) (*[]grant, error) {
	var given bool
	if err := s.QueryRow(ctx, "SELECT datacl IS NOT NULL FROM pg_database WHERE oid = $1", i.oid).Scan(&given); err != nil || !given {
		return nil, err
	}
	grants, err := collect[grant](ctx, s.Conn, `SELECT pg_get_userbyid(grantor),
		CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee) END, privilege_type, is_grantable
		FROM pg_database, aclexplode(datacl) WHERE oid = $1`, i.oid)
	sortGrants(grants)
	return &grants, err
}

func sortGrants(grants []grant) {
	slices.SortFunc(grants, func(a, b grant) int {
		return cmp.Or(cmp.Compare(a.Grantor, b.Grantor), cmp.Compare(a.Grantee, b.Grantee), cmp.Compare(a.Privilege, b.Privilege))
	})
}

// grantsOf returns nil for grants that are what PostgreSQL grants by default: they
// may be spelled out or not.
func grantsOf(owner string, grants *[]grant) *[]grant {
	if grants == nil {
		return nil
	}
	byDefault := []grant{{owner, "", "CONNECT", false}, {owner, "", "TEMPORARY", false}}
	for _, p := range []string{"CONNECT", "CREATE", "TEMPORARY"} {
		byDefault = append(byDefault, grant{owner, owner, p, false})
	}
	sortGrants(byDefault)
	if slices.Equal(byDefault, *grants) {
		return nil
	}
	return grants
}
