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
// change what belongs to another owner. So while the login is in, the server refuses to
// it every change of the structure that is made from within a function. It cannot
// refuse changes of roles: a function may give the login a password that its owner knows. So
// no one can log in any more when ANALYZE runs functions, and a copy is not handed over if the
// password has changed.

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
		_, err = s.Exec(ctx, "DROP OWNED BY "+ident(role))
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

// unchanged fails if the login has another password than newLogin gave it: a function that
// ran while the dump was loaded has changed it, and its owner may have been in.
func (s *session) unchanged(ctx context.Context, l login) error {
	var verifier string
	if err := s.QueryRow(ctx, "SELECT coalesce(rolpassword, '') FROM pg_authid WHERE rolname = $1", l.role).Scan(&verifier); err != nil {
		return err
	}
	if verifier != l.verifier {
		return fmt.Errorf("%w: loading the dump has changed the password of the role %q, which loads it", backup.ErrMismatch, l.role)
	}
	return nil
}

// asLogin connects as the login.
func (s *session) asLogin(ctx context.Context, l *login, database string) (*pgx.Conn, error) {
	as := s.loading(*l)
	conn, err := as.to(ctx, database, loading)
	if err != nil && (strings.HasPrefix(l.host, "/") || strings.HasPrefix(l.host, "@")) {
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

// guard makes the server refuse to the login every change of the structure that does
// not come from its client, but from within a function: the context of such a
// statement has more than one line. It also lets the login make objects in the schemas that
// exist, which are those of extensions and public.
func (s *session) guard(ctx context.Context, conn *pgx.Conn, l login) error {
	statements := []string{
		"CREATE SCHEMA " + guardSchema,
		"CREATE FUNCTION " + guardSchema + `.refuse() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $guard$
			DECLARE stack text;
			BEGIN
				IF session_user = ` + literal(l.role) + ` THEN
					GET DIAGNOSTICS stack = PG_CONTEXT;
					IF strpos(stack, chr(10)) > 0 THEN
						RAISE EXCEPTION '% within a function, while a dump is loaded', tg_tag;
					END IF;
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
