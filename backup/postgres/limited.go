package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
)

// From PostgreSQL 15 on the maintenance role need not be a superuser. It then owns what is closed, too, and
// keeps others out by taking their right to connect: no limit would let it in. It hands over what the login has
// made by REASSIGN OWNED, which needs one owner for all of it; an event trigger, which keeps
// owners apart while a dump is loaded, only a superuser can make. What it cannot do is found by Versions.

// limitedSince is the first version whose servers let a role that is not a superuser make our settings.
const limitedSince = 150000

// sufficient fails if a maintenance role that is not a superuser lacks a right that it needs for every database.
func (s *session) sufficient(ctx context.Context) error {
	if s.version < limitedSince {
		return advise(fmt.Errorf("%w: %q is not a superuser, which the maintenance role must be before PostgreSQL %d", backup.ErrPermission, s.me, limitedSince/10000),
			"connect as a superuser that the application does not use")
	}
	role := ident(s.me)
	parameters := append(strings.Fields(setLimit+" "+setOwner+" "+setGrants+" "+setKind+" "+setSnapshot+" "+setSwapping), "session_preload_libraries")
	missing, err := collect[struct{ SQL string }](ctx, s.Conn, `SELECT 'ALTER ROLE ' || $1 || ' CREATEDB' FROM pg_roles WHERE rolname = current_user AND NOT rolcreatedb
		UNION ALL SELECT 'ALTER ROLE ' || $1 || ' CREATEROLE' FROM pg_roles WHERE rolname = current_user AND NOT rolcreaterole
		UNION ALL SELECT 'GRANT ' || r || ' TO ' || $1 FROM unnest('{pg_read_all_data,pg_monitor,pg_signal_backend}'::text[]) r WHERE NOT pg_has_role(r, 'USAGE')
		UNION ALL SELECT 'GRANT SET ON PARAMETER ' || p || ' TO ' || $1 FROM unnest($2::text[]) p WHERE NOT has_parameter_privilege(p, 'SET')
		UNION ALL SELECT 'GRANT ' || quote_ident(pg_get_userbyid(datdba)) || ' TO ' || $1 FROM pg_database d JOIN pg_roles o ON o.oid = datdba
			WHERE datname = $3 AND NOT o.rolsuper AND NOT pg_has_role(datdba, 'USAGE')
		UNION ALL SELECT 'GRANT CREATE ON TABLESPACE ' || quote_ident(spcname) || ' TO ' || $1 FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace
			WHERE datname = $3 AND spcname <> 'pg_default' AND NOT has_tablespace_privilege(t.oid, 'CREATE')`, role, parameters, s.name)
	if err != nil || len(missing) == 0 {
		return err
	}
	var list []string
	for _, m := range missing {
		list = append(list, m.SQL)
	}
	return advise(fmt.Errorf("%w: %q is not a superuser, and lacks rights that a maintenance role needs", backup.ErrPermission, s.me),
		"as a superuser run: "+strings.Join(list, "; ")+"; or connect as a superuser that the application does not use")
}

// foreseeLimited fails if the database holds what only a superuser can back up or restore.
func (s *session) foreseeLimited(ctx context.Context, conn *pgx.Conn, live *dbInfo, list []privileged) error {
	t, err := s.tenure(ctx, live)
	if err != nil {
		return err
	}
	var needs []string
	if t.super {
		needs = append(needs, "the database, which belongs to the superuser "+strconv.Quote(t.owner))
	}
	for _, p := range list {
		needs = append(needs, p.What)
	}
	// What belongs to an extension, or to an object such as a table, is made with it.
	more, err := collect[struct{ What string }](ctx, conn, `WITH me AS (SELECT oid, rolbypassrls FROM pg_roles WHERE rolname = current_user),
		made AS (
			SELECT 'pg_class'::regclass::oid AS classid, oid AS objid, relowner AS owner FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'S', 'f', 'p')
			UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc UNION ALL SELECT 'pg_type'::regclass, oid, typowner FROM pg_type WHERE typtype <> 'm'
			UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'public'
			UNION ALL SELECT 'pg_largeobject'::regclass, oid, lomowner FROM pg_largeobject_metadata
			UNION ALL SELECT 'pg_operator'::regclass, oid, oprowner FROM pg_operator UNION ALL SELECT 'pg_collation'::regclass, oid, collowner FROM pg_collation
			UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvowner FROM pg_foreign_server UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxowner FROM pg_statistic_ext
			UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner FROM pg_conversion
			UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictowner FROM pg_ts_dict UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgowner FROM pg_ts_config
			UNION ALL SELECT 'pg_publication'::regclass, oid, pubowner FROM pg_publication UNION ALL SELECT 'pg_event_trigger'::regclass, oid, evtowner FROM pg_event_trigger),
		special AS (
			SELECT 'pg_event_trigger'::regclass::oid AS classid, oid AS objid FROM pg_event_trigger
			UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication p WHERE puballtables OR EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = p.oid)
			UNION ALL SELECT 'pg_cast'::regclass, oid FROM pg_cast UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
			UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE NOT typisdefined
			UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
			UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
			UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
			UNION ALL SELECT 'pg_class'::regclass, c.oid FROM pg_class c, me WHERE relforcerowsecurity AND NOT rolbypassrls),
		free AS (SELECT classid, objid, ' of ' || pg_get_userbyid(owner) AS whose FROM made WHERE owner <> (SELECT oid FROM pg_roles WHERE rolname = $1)
			UNION ALL SELECT classid, objid, '' FROM special)
		SELECT pg_describe_object(classid, objid, 0) || whose FROM free WHERE (objid >= 16384 OR classid = 'pg_largeobject'::regclass)
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = free.classid AND d.objid = free.objid AND deptype IN ('e', 'i'))
		UNION ALL SELECT 'extension ' || extname || ', which is not trusted' FROM pg_extension WHERE extname <> 'plpgsql'
			AND NOT EXISTS (SELECT FROM pg_available_extension_versions WHERE name = extname AND trusted)`, t.owner)
	if err != nil {
		return err
	}
	for _, m := range more {
		needs = append(needs, m.What)
	}
	if len(needs) > 0 {
		slices.Sort(needs)
		rest := ""
		if len(needs) > 20 {
			needs, rest = needs[:20], fmt.Sprintf(" and %d more", len(needs)-20)
		}
		return advise(fmt.Errorf("%w: %q is not a superuser, and cannot back up and restore what needs one, or belongs to another role than %q: %q%s",
			backup.ErrPermission, s.me, t.owner, needs, rest), "connect as a superuser that the application does not use")
	}
	f, err := s.describe(ctx, live)
	if err == nil {
		f.Limit, err = live.openLimit()
	}
	if err == nil {
		_, err = s.rehearse(ctx, live.name, f)
	}
	if err != nil {
		return advise(fmt.Errorf("%w: %q is not a superuser, and cannot restore the settings or rights of the database: %w", backup.ErrPermission, s.me, err),
			"connect as a superuser that the application does not use")
	}
	return nil
}

// shutAtFirst is how a new database keeps others out from its first moment on.
func (s *session) shutAtFirst() string {
	if s.limited {
		return " ALLOW_CONNECTIONS false"
	}
	return " CONNECTION LIMIT 0"
}

// seal lets the maintenance role into a new database, and no one else but superusers.
func (s *session) seal(ctx context.Context, name string) error {
	if !s.limited {
		return nil
	}
	return s.together(ctx, "REVOKE ALL ON DATABASE "+ident(name)+" FROM PUBLIC", "ALTER DATABASE "+ident(name)+" ALLOW_CONNECTIONS true")
}

// revokes returns the statements that leave the right to connect to the maintenance role alone, which owns the
// database by now.
func (s *session) revokes(name string, t tenure) []string {
	statements := []string{"REVOKE ALL ON DATABASE " + ident(name) + " FROM PUBLIC"}
	if t.grants == nil {
		return statements
	}
	var roles []string
	for _, g := range *t.grants {
		if g.Grantee != "" && g.Grantee != s.me && g.Grantee != t.owner {
			roles = append(roles, g.Grantee)
		}
	}
	slices.Sort(roles)
	for _, role := range slices.Compact(roles) {
		statements = append(statements, "REVOKE ALL ON DATABASE "+ident(name)+" FROM "+ident(role)+" CASCADE")
	}
	return statements
}

// canFence fails if the fence would not stop everybody.
func (s *session) canFence(ctx context.Context, t tenure) error {
	if !s.limited {
		return nil
	}
	if t.super {
		return advise(fmt.Errorf("%w: the database belongs to a superuser", backup.ErrPermission), "give it to a role of its own")
	}
	var member *string
	err := s.QueryRow(ctx, "SELECT min(rolname) FROM pg_roles WHERE NOT rolsuper AND rolcanlogin AND rolname <> current_user AND pg_has_role(oid, current_user, 'MEMBER')").Scan(&member)
	if err == nil && member != nil {
		err = advise(fmt.Errorf("%w: the role %q is a member of the maintenance role %q, and no fence of that stops it", backup.ErrPermission, *member, s.me), "revoke the membership")
	}
	return err
}

// admittedTo names a role that can connect to a database besides superusers and the maintenance role.
func (s *session) admittedTo(ctx context.Context, name string) (who string, err error) {
	err = s.QueryRow(ctx, `SELECT coalesce((SELECT min(rolname) FROM pg_roles WHERE NOT rolsuper AND rolcanlogin AND rolname <> current_user
		AND has_database_privilege(oid, $1, 'CONNECT')), '')`, name).Scan(&who)
	return who, err
}

// handOverAll gives all that the login has made to the owner of the database.
func handOverAll(ctx context.Context, conn *pgx.Conn, l login, owner string, entries []*tocEntry) error {
	for _, e := range entries {
		if e.owner != "" && e.owner != owner && slices.Contains(owned, e.desc) && (e.desc != "SCHEMA" || e.tag != "public") {
			return advise(fmt.Errorf("%w: %s belongs to %q, and only a superuser can restore what belongs to another role than the database", backup.ErrPermission, e, e.owner),
				"connect as a superuser that the application does not use")
		}
	}
	// The owner must be able to make things in their schemas. The dump's rights of schemas come after.
	type schema struct {
		Name string
		Made bool
	}
	schemas, err := collect[schema](ctx, conn, `SELECT nspname::text, pg_get_userbyid(nspowner) = $1 FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`, l.role)
	if err != nil {
		return err
	}
	var statements, after []string
	for _, n := range schemas {
		statements = append(statements, "GRANT CREATE ON SCHEMA "+ident(n.Name)+" TO "+ident(owner))
		if !n.Made {
			after = append(after, "REVOKE CREATE ON SCHEMA "+ident(n.Name)+" FROM "+ident(owner))
		}
	}
	statements = append(statements, "REASSIGN OWNED BY "+ident(l.role)+" TO "+ident(owner), "DROP OWNED BY "+ident(l.role))
	for _, sql := range append(statements, after...) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}
