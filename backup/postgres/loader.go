package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
)

// A dump is loaded by a login of its own, not by the maintenance role: loading rows runs
// functions of the database's owner (in checks, generated columns, domains, partition
// keys, indexes), and so does reading some of its statements. SET ROLE would be no cure, since
// such a function can undo it.
//
// The login can run no program and read no file, it is a member of no role, and no one
// knows its password. It owns what it makes, until the superuser hands that over by
// statements that evaluate nothing, and drops the login. One function could still
// change what belongs to another owner, or a setting of the session in which the next
// statements of the dump are read. So while the login is in, the server refuses every
// change of the structure that is made from within a function, after a change of such a
// setting, or by any other role. It cannot refuse changes of roles: a function may give the
// login a password that its owner knows, or make him a member of it. So no one can log in any more
// when ANALYZE runs functions, and a copy is not handed over before all others are out, nor
// if the password or the members have changed.

// A login is a role that exists while a dump is loaded.
type login struct {
	role, password, host string
	verifier             string // what the server keeps of the password
}

// loaderRole returns the name of the login for a database. It is always the same, so that
// pg_hba.conf can name it, and a killed run's is found.
func loaderRole(database string) string {
	sum := sha256.Sum256([]byte(database))
	return fmt.Sprintf("aspupdate_load_%x", sum[:4])
}

const guardSchema = "aspupdate_guard"

// noLibrary is the name of a library that no server has. Its log shows it if somebody tries
// to enter another database as the login.
const noLibrary = "aspupdate_loads_dumps_in_one_database_alone"

// newLogin makes the login for the database name beside.
func (s *session) newLogin(ctx context.Context, name string, entries []*tocEntry) (login, error) {
	l := login{role: loaderRole(s.name), password: rand.Text(), host: s.cfg.Host}
	if err := s.dropLogin(ctx); err != nil {
		return l, err
	}
	role, db := ident(l.role), ident(name)
	var err error
	if l.verifier, err = scramVerifier(l.password); err != nil {
		return l, err
	}
	statements := []string{
		"CREATE ROLE " + role + " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT CONNECTION LIMIT 10 PASSWORD " + literal(l.verifier),
		// It enters no other database, whatever password a function gives it: a session ends before its
		// first statement if a library is missing, and only superusers change this setting.
		"ALTER ROLE " + role + " SET session_preload_libraries = " + literal(noLibrary),
		"ALTER ROLE " + role + " IN DATABASE " + db + " SET session_preload_libraries FROM CURRENT",
		"REVOKE ALL ON DATABASE " + db + " FROM PUBLIC",
		"GRANT CONNECT, CREATE, TEMPORARY ON DATABASE " + db + " TO " + role,
		"ALTER DATABASE " + db + " CONNECTION LIMIT 10",
	}
	if s.limited { // so that it can hand over what the login makes
		statements = append(statements, "GRANT "+role+" TO CURRENT_USER")
	}
	spaces := map[string]bool{}
	for _, e := range entries {
		if e.tablespace != "" {
			spaces[e.tablespace] = true
		}
	}
	for _, space := range slices.Sorted(maps.Keys(spaces)) {
		statements = append(statements, "GRANT CREATE ON TABLESPACE "+ident(space)+" TO "+role)
	}
	return l, s.together(ctx, statements...)
}

// dropLogin drops the login of this or of a killed run, if there is one.
func (s *session) dropLogin(ctx context.Context) error {
	role := loaderRole(s.name)
	var exists bool
	if err := s.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).Scan(&exists); err != nil || !exists {
		return err
	}
	err := s.lockOut(ctx, role) // even if it stays
	if err == nil {
		// Its rights on databases and tablespaces. Those within a copy went with it.
		err = s.together(ctx, "DROP OWNED BY "+ident(role))
	}
	if err == nil {
		_, err = s.Exec(ctx, "DROP ROLE "+ident(role))
	}
	if err != nil {
		err = fmt.Errorf("cannot drop the role %q, which loads dumps: %w", role, err)
	}
	return err
}

// lockOut lets the login connect no more. Its sessions stay.
func (s *session) lockOut(ctx context.Context, role string) error {
	_, err := s.Exec(ctx, "ALTER ROLE "+ident(role)+" NOLOGIN")
	return err
}

// unchanged fails if the login has another password or other memberships than newLogin
// gave it: a function that ran while the dump was loaded has changed them, and its owner may
// have been in.
func (s *session) unchanged(ctx context.Context, l login) error {
	var verifier string
	var members bool
	// A role without superuser is a member itself. Before PostgreSQL 15 each role may take members.
	err := s.QueryRow(ctx, `SELECT coalesce(rolpassword, ''), EXISTS (SELECT FROM pg_auth_members m
		WHERE r.oid IN (m.roleid, m.member) AND pg_get_userbyid(m.member) <> current_user) FROM pg_authid r WHERE rolname = $1`, l.role).Scan(&verifier, &members)
	switch {
	case err != nil:
		return err
	case verifier != l.verifier:
		return fmt.Errorf("%w: loading the dump has changed the password of the role %q, which loads it", backup.ErrMismatch, l.role)
	case members:
		return fmt.Errorf("%w: loading the dump has changed the memberships of the role %q, which loads it", backup.ErrMismatch, l.role)
	}
	return nil
}

// aloneIn ends the sessions of all others in the database of conn, and waits until they have
// ended. Only a superuser can open another.
func (s *session) aloneIn(ctx context.Context, conn *pgx.Conn) error {
	const others = "FROM pg_stat_activity WHERE datname = $1 AND pid <> $2 AND backend_type = 'client backend'"
	database, pid := conn.Config().Database, int(conn.PgConn().PID())
	for deadline := time.Now().Add(30 * time.Second); ; {
		var left int
		err := s.QueryRow(ctx, "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) "+others+") q", database, pid).Scan(&left)
		if err != nil || left == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d sessions in %q do not end", left, database)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// asLogin connects as the login.
func (s *session) asLogin(ctx context.Context, l *login, database string) (*pgx.Conn, error) {
	as := s.loading(*l)
	conn, err := as.to(ctx, database, loading)
	if err != nil && onSocket(l.host) && s.listensHere(ctx) {
		// Sockets are often for roles that are named like accounts.
		l.host = "127.0.0.1"
		if again, aerr := s.loading(*l).to(ctx, database, loading); aerr == nil {
			return again, nil
		}
	}
	if err != nil {
		err = s.admitted(ctx, l.role, err)
	}
	return conn, err
}

// onSocket reports whether a host is the path of a socket.
func onSocket(host string) bool { return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") }

// listensHere reports whether the server itself listens on 127.0.0.1. Where it does not,
// any account may.
func (s *session) listensHere(ctx context.Context) (here bool) {
	err := s.QueryRow(ctx, `SELECT string_to_array(replace(current_setting('listen_addresses'), ' ', ''), ',') && '{*,0.0.0.0,localhost,127.0.0.1}'`).Scan(&here)
	return err == nil && here
}

// admitted explains why the login cannot connect.
func (s *session) admitted(ctx context.Context, role string, err error) error {
	address := "127.0.0.1/32"
	var own, mask *string // nil on a socket
	if qerr := s.QueryRow(ctx, "SELECT host(inet_client_addr()), masklen(inet_client_addr())::text").Scan(&own, &mask); qerr == nil && own != nil {
		address = *own + "/" + *mask
	}
	return advise(fmt.Errorf("%w: the role %q, which loads dumps, cannot connect: %w", backup.ErrPermission, role, err),
		fmt.Sprintf("let it connect with a password: put this line above the others in the server's pg_hba.conf, and reload that: host all %s %s scram-sha-256", role, address))
}

// tryLogin makes the login and an empty database for it, connects, and drops both: that a dump
// can be loaded must be known before users are kept out.
func (s *session) tryLogin(ctx context.Context) error {
	name := besideName(s.name, kindNew, newMark())
	if _, err := s.Exec(ctx, "CREATE DATABASE "+ident(name)+" TEMPLATE template0"+s.shutAtFirst()); err != nil {
		return err
	}
	if err := s.together(ctx, "ALTER DATABASE "+ident(name)+" SET "+setKind+" = "+literal(kindNew)); err != nil {
		return err
	}
	if err := s.seal(ctx, name); err != nil {
		return err
	}
	l, err := s.newLogin(ctx, name, nil)
	if err != nil {
		return err
	}
	conn, err := s.asLogin(ctx, &l, name)
	if err != nil {
		return err
	}
	closeConn(conn)
	if err := s.drop(ctx, name); err != nil {
		return err
	}
	return s.dropLogin(ctx)
}

// loading returns a session whose programs and connections are the login's.
func (s *session) loading(l login) *session {
	as := *s
	as.cfg = s.cfg.Copy()
	as.cfg.User, as.cfg.Password, as.cfg.Host = l.role, l.password, l.host
	// Only the server that keeps the verifier can answer so: a dump is sent to no other.
	as.cfg.RequireAuth = "scram-sha-256"
	as.cfg.Fallbacks = nil
	for _, f := range s.cfg.Fallbacks {
		other := *f
		other.Host = l.host
		as.cfg.Fallbacks = append(as.cfg.Fallbacks, &other)
	}
	return &as
}

// scramVerifier returns what the server keeps of a password. The password itself
// would be in the server's log if that has statements.
func scramVerifier(password string) (string, error) {
	const rounds = 4096
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails, see crypto/rand
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, b64(salt), b64(stored[:]), b64(mac("Server Key"))), nil
}

// guard makes the server refuse every change of the structure that does not come from the
// login's client or a superuser. A function of the login's session is none: the context of such
// a statement has more than one line. Nor may it have changed how the client's next statements are
// read. It also lets the login make objects in the schemas that exist, which are those of
// extensions and public.
//
// The function of the guard has no search_path of its own, to see the session's. So
// each name in it has its schema.
func (s *session) guard(ctx context.Context, conn *pgx.Conn, l login) error {
	var changed strings.Builder
	for _, c := range s.loadersSettings() {
		fmt.Fprintf(&changed, "WHEN pg_catalog.current_setting(%s) OPERATOR(pg_catalog.<>) %s THEN %[1]s\n", literal(c[0]), c[1])
	}
	statements := []string{
		"CREATE SCHEMA " + guardSchema,
		"CREATE FUNCTION " + guardSchema + `.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $guard$
			DECLARE stack pg_catalog.text;
			DECLARE setting pg_catalog.text;
			BEGIN
				IF (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) session_user) THEN
					RETURN;
				END IF;
				IF session_user OPERATOR(pg_catalog.<>) ` + literal(l.role) + ` THEN
					RAISE EXCEPTION '% by another role, while a dump is loaded', tg_tag;
				END IF;
				GET DIAGNOSTICS stack = PG_CONTEXT;
				IF pg_catalog.strpos(stack, pg_catalog.chr(10)) OPERATOR(pg_catalog.>) 0 THEN
					RAISE EXCEPTION '% within a function, while a dump is loaded', tg_tag;
				END IF;
				setting := CASE ` + changed.String() + ` END;
				IF setting IS NOT NULL THEN
					RAISE EXCEPTION 'a function has changed the setting %, while a dump is loaded', setting;
				END IF;
			END $guard$`,
		"CREATE EVENT TRIGGER " + guardSchema + " ON ddl_command_start EXECUTE FUNCTION " + guardSchema + ".refuse()",
		"ALTER EVENT TRIGGER " + guardSchema + " ENABLE ALWAYS",
	}
	if s.limited { // it cannot, and there is only one owner
		statements = nil
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return s.admit(ctx, conn, l)
}

// loadersSettings are those that say how a statement of a dump is read, each with the
// expression of the value that it has in pg_restore's sessions.
func (s *session) loadersSettings() (list [][2]string) {
	list = [][2]string{{"search_path", "''"}, {"client_encoding", "pg_catalog.current_setting('server_encoding')"}}
	p := s.protocol(loading)
	for _, name := range []string{
		"role", "standard_conforming_strings", "backslash_quote", "array_nulls", "transform_null_equals", "quote_all_identifiers",
		"timezone", "datestyle", "intervalstyle", "bytea_output", "extra_float_digits", "xmloption", "xmlbinary",
	} {
		list = append(list, [2]string{name, literal(p[name])})
	}
	return list
}

// admit grants the login what exists so far and its objects are made in or from.
func (s *session) admit(ctx context.Context, conn *pgx.Conn, l login) error {
	statements, err := collect[struct{ SQL string }](ctx, conn, `SELECT format('GRANT ALL ON SCHEMA %I TO %I', nspname, $1::text) FROM pg_namespace
			WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname <> $2
			AND pg_get_userbyid(nspowner) <> $1
		UNION ALL SELECT format('GRANT USAGE ON FOREIGN DATA WRAPPER %I TO %I', fdwname, $1::text) FROM pg_foreign_data_wrapper`, l.role, guardSchema)
	if err != nil {
		return err
	}
	for _, st := range statements {
		if _, err := conn.Exec(ctx, st.SQL); err != nil {
			return err
		}
	}
	return nil
}

// handOver gives what the login has made to its owners, and takes all rights from the
// login. No statement evaluates anything of theirs.
func (s *session) handOver(ctx context.Context, conn *pgx.Conn, l login, entries []*tocEntry, p plan, f facts) error {
	// Only the superuser is in from here on.
	db := ident(conn.Config().Database)
	open := []string{"ALTER DATABASE " + db + " CONNECTION LIMIT 0", "GRANT CONNECT, TEMPORARY ON DATABASE " + db + " TO PUBLIC"}
	if s.limited { // only this role is in: the login cannot log in any more
		open = []string{"ALTER DATABASE " + db + " CONNECTION LIMIT -1"}
	}
	for _, sql := range open {
		if _, err := s.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if _, err := s.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", l.role); err != nil {
		return err
	}
	if !s.limited {
		if err := s.aloneIn(ctx, conn); err != nil {
			return err
		}
	}
	if err := s.unchanged(ctx, l); err != nil {
		return err
	}
	if s.limited {
		return handOverAll(ctx, conn, l, f.Owner, entries)
	}
	for _, sql := range []string{"DROP EVENT TRIGGER " + guardSchema, "DROP SCHEMA " + guardSchema + " CASCADE"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	objects := map[string]string{} // owners of large objects
	var later []*tocEntry
	for _, e := range entries {
		switch {
		case e.owner == "", slices.Contains(p.last, strconv.Itoa(e.id)): // made later, with its owner
		case e.desc == "BLOB" || e.desc == "BLOB METADATA":
			for _, oid := range strings.Fields(e.tag + " " + e.defn) {
				if _, err := strconv.ParseUint(oid, 10, 32); err == nil {
					objects[oid] = e.owner
				}
			}
		case e.desc == "SEQUENCE": // one that belongs to a column follows its table
			later = append(later, e)
		default:
			if err := handOverOne(ctx, conn, e); err != nil {
				return err
			}
		}
	}
	for _, e := range later {
		if err := handOverOne(ctx, conn, e); err != nil {
			return err
		}
	}
	mine, err := collect[struct{ OID string }](ctx, conn, "SELECT oid::text FROM pg_largeobject_metadata WHERE pg_get_userbyid(lomowner) = $1", l.role)
	if err != nil {
		return err
	}
	for _, o := range mine {
		if objects[o.OID] == "" {
			continue // reported below
		}
		if _, err := conn.Exec(ctx, "ALTER LARGE OBJECT "+o.OID+" OWNER TO "+ident(objects[o.OID])); err != nil {
			return err
		}
	}
	left, err := collect[struct{ What string }](ctx, conn, `SELECT pg_describe_object(classid, objid, 0) FROM pg_shdepend
		WHERE refclassid = 'pg_authid'::regclass AND pg_get_userbyid(refobjid) = $1 AND deptype = 'o'
		AND NOT EXISTS (SELECT FROM pg_type t WHERE classid = 'pg_type'::regclass AND t.oid = objid AND typtype = 'm')
		AND NOT EXISTS (SELECT FROM pg_operator o WHERE classid = 'pg_operator'::regclass AND o.oid = objid AND oprcode = 0)
		AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 5`, l.role)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: loading the dump has made what is not in it: %q", backup.ErrMismatch, left)
	}
	// The type of several ranges does not follow its range type, and no statement
	// gives it to another owner. An operator that only exists as the commutator or the negator of another one is
	// not in the dump. After a plain pg_restore both are the superuser's.
	if _, err := conn.Exec(ctx, "REASSIGN OWNED BY "+ident(l.role)+" TO CURRENT_USER"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "DROP OWNED BY "+ident(l.role)) // its rights, nothing else
	return err
}

// owned are the kinds of entries that have an owner of their own.
var owned = []string{
	"AGGREGATE", "COLLATION", "CONVERSION", "DOMAIN", "FOREIGN DATA WRAPPER", "FOREIGN TABLE", "FUNCTION", "MATERIALIZED VIEW", "OPERATOR",
	"OPERATOR CLASS", "OPERATOR FAMILY", "PROCEDURAL LANGUAGE", "PROCEDURE", "PUBLICATION", "SCHEMA", "SEQUENCE", "SERVER", "STATISTICS", "TABLE",
	"TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY", "TYPE", "VIEW",
}

func handOverOne(ctx context.Context, conn *pgx.Conn, e *tocEntry) error {
	if !slices.Contains(owned, e.desc) {
		return nil
	}
	what, ok := strings.CutPrefix(strings.TrimRight(e.drop, "; \n"), "DROP ")
	what = strings.TrimSuffix(what, " CASCADE") // a type's
	switch {
	case e.desc == "SCHEMA": // the dump drops all but public
		what = "SCHEMA " + ident(e.tag)
	case !ok || !strings.HasPrefix(what, e.desc): // a column's sequence follows its table
		return nil
	}
	// As a prepared statement it is one statement, whatever its text.
	if _, err := conn.Exec(ctx, "ALTER "+what+" OWNER TO "+ident(e.owner)); err != nil {
		return fmt.Errorf("cannot hand over %s: %w", e, err)
	}
	return nil
}

var entryOfError = regexp.MustCompile(`from TOC entry ([0-9]+);`)

// needsSuperuser names the object that a refused statement of a dump comes from.
func needsSuperuser(err error, entries []*tocEntry) error {
	if err == nil || !strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "must be superuser") && !strings.Contains(err.Error(), "must be owner") {
		return err
	}
	next := "restore by hand"
	if m := entryOfError.FindStringSubmatch(err.Error()); m != nil {
		i := slices.IndexFunc(entries, func(e *tocEntry) bool { return strconv.Itoa(e.id) == m[1] })
		if i >= 0 && entries[i].section != sectionData {
			next = fmt.Sprintf("if you trust the owner of the database with the server, name %q in AsSuperuser; otherwise restore by hand", entries[i])
		}
	}
	return errors.Join(err, advise(fmt.Errorf("%w: a statement of the dump needs more rights than the role has that loads it", backup.ErrPermission), next))
}
