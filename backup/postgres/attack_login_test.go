package postgres

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A function that runs while a dump is loaded gives the login a password that its owner knows, who then
// tries to enter other databases as the login.
func TestAttackOnOtherDatabasesAsTheLogin(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	other := a.name + " other"
	a.admin(t, "postgres", "CREATE DATABASE "+ident(other))
	t.Cleanup(func() { a.admin(t, "postgres", "DROP DATABASE "+ident(other)+" WITH (FORCE)") })
	a.admin(t, other, `CREATE TABLE secrets (n int); INSERT INTO secrets VALUES (1); GRANT SELECT ON secrets TO PUBLIC;
		ALTER TABLE secrets ENABLE ROW LEVEL SECURITY`)
	a.mine(t, `CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql AS $x$ BEGIN
			IF current_user LIKE 'aspupdate%' THEN PERFORM pg_sleep(3); END IF; RETURN $1; END $x$;
		CREATE FUNCTION changes(int) RETURNS int LANGUAGE plpgsql AS $x$ BEGIN
			IF current_user LIKE 'aspupdate%' THEN ALTER ROLE CURRENT_USER PASSWORD 'known'; END IF; RETURN $1; END $x$;
		CREATE TABLE a_first (n int CHECK (changes(n) = n)); INSERT INTO a_first VALUES (1);
		CREATE TABLE b_slow (n int CHECK (slow(n) = n)); INSERT INTO b_slow VALUES (1)`)
	snap := a.take(t)
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	tried, in, refused, rights := 0, []string{}, 0, ""
	var racing sync.WaitGroup
	racing.Go(func() {
		for ctx.Err() == nil {
			for _, database := range []string{other, "postgres"} {
				conn, err := pgx.Connect(ctx, a.c.URI(loaderRole(a.name), "known", database))
				mu.Lock()
				tried++
				if err == nil {
					in = append(in, database)
					closeConn(conn)
				} else if strings.Contains(err.Error(), noLibrary) {
					refused++
				}
				mu.Unlock()
			}
			if conn, err := pgx.Connect(ctx, a.c.Admin("postgres")); err == nil {
				var now string
				if conn.QueryRow(ctx, `SELECT concat_ws(' ', rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolinherit) FROM pg_roles WHERE rolname = $1`, loaderRole(a.name)).Scan(&now) == nil {
					mu.Lock()
					rights = now
					mu.Unlock()
				}
				closeConn(conn)
			}
		}
	})
	_, err := a.store.Prove(t.Context(), snap.ID, a.db)
	stop()
	racing.Wait()
	require.ErrorIs(t, err, backup.ErrMismatch, "the password has changed")
	require.Empty(t, in, "of %d tries", tried)
	require.Positive(t, refused, "the password was right, of %d tries", tried)
	require.Equal(t, "f f f f f f", rights)
}

// That the login cannot connect is known before users are kept out, and what is missing is said in
// words that help.
func TestCheckTriesTheLoginThatLoadsDumps(t *testing.T) {
	t.Parallel()
	c := realtest.Postgres(t)
	w := &world{c: c, name: "app", db: &Database{URI: c.Admin("app"), Bin: c.Bin}}
	w.admin(t, "postgres", "CREATE DATABASE app")
	require.NoError(t, w.db.check(t.Context()))
	hba := filepath.Join(c.Data, "pg_hba.conf")
	rules := "host all postgres 127.0.0.1/32 md5\n"
	reload := func(text string) {
		require.NoError(t, os.WriteFile(hba, []byte(text), 0o600))
		w.admin(t, "postgres", "SELECT pg_reload_conf()")
		require.Eventually(t, func() bool { // the server reads it a little later
			conn := w.connect(t, c.Admin("postgres"))
			defer closeConn(conn)
			var n int
			return conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_hba_file_rules").Scan(&n) == nil && n == strings.Count(text, "\n")
		}, 20*time.Second, 50*time.Millisecond)
		time.Sleep(100 * time.Millisecond)
	}
	reload(rules)
	for range 2 {
		err := w.db.check(t.Context())
		require.ErrorIs(t, err, backup.ErrPermission)
		m := regexp.MustCompile(`pg_hba\.conf, and reload that: (host all aspupdate_load_[0-9a-f]{8} 127\.0\.0\.1/32 scram-sha-256)`).FindStringSubmatch(err.Error())
		require.NotNil(t, m, err.Error())
		require.Equal(t, []string{"app"}, w.databases(t))
		conn := w.connect(t, c.Admin("postgres"))
		var left int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'aspupdate%'").Scan(&left))
		closeConn(conn)
		require.Zero(t, left)
		rules = m[1] + "\n" + rules
	}
	reload(rules[strings.Index(rules, "\n")+1:]) // once
	require.NoError(t, w.db.check(t.Context()))
}

// Programs get the variables that were named for them, and their paths and modes of connections, but no
// password of anything else.
func TestProgramsGetTheVariablesThatWereNamed(t *testing.T) {
	w := newWorld(t)
	seen := filepath.Join(t.TempDir(), "seen")
	bin := t.TempDir()
	for _, name := range []string{"pg_dump", "pg_restore"} {
		script := "#!/bin/sh\n{ echo \"= " + name + " $1\"; env; } >> '" + seen + "'\nexec '" + w.c.Bin + "/" + name + "' \"$@\"\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755))
	}
	t.Setenv("SITE_FTP_PASSWORD", "hunter2")
	t.Setenv("PGPASSWORD", "hunter2")
	t.Setenv("PGOPTIONS", "-c work_mem=hunter2")
	t.Setenv("LD_PRELOAD_OF_MINE", "hunter2")
	t.Setenv("PGCONNECT_TIMEOUT", "77")
	w.db.Bin = bin
	u, err := url.Parse(w.db.URI)
	require.NoError(t, err)
	password, _ := u.User.Password()
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context()))
	w.restore(t, snap)
	b, err := os.ReadFile(seen)
	require.NoError(t, err)
	text := string(b)
	for _, run := range []string{"pg_dump --version", "pg_dump --format", "pg_restore --list", "pg_restore --no-owner"} {
		require.Contains(t, text, "= "+run)
	}
	require.NotContains(t, text, "hunter2")
	require.Contains(t, text, "PGCONNECT_TIMEOUT=77")
	require.Contains(t, text, "PGPASSWORD="+password)
	for _, part := range strings.Split(text, "\n= ") {
		if strings.Contains(part, "--version\n") || strings.Contains(part, "pg_restore --list") {
			require.NotContains(t, part, "PGPASSWORD", "what connects to nothing")
		}
	}
}

// A database that an earlier version of this package closed belongs to its owner still.
func TestAClosedDatabaseOfAnEarlierVersionIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := "ALTER DATABASE " + ident(w.name)
	w.admin(t, "postgres", db+" SET "+setLimit+" = '17'")
	w.admin(t, "postgres", db+" CONNECTION LIMIT 0")
	closed, err := w.db.Closed(t.Context())
	require.NoError(t, err)
	require.True(t, closed)
	require.NoError(t, w.db.Close(t.Context()), "which takes it over")
	w.admin(t, "postgres", db+" OWNER TO "+ident(w.role))
	closed, err = w.db.Closed(t.Context())
	require.NoError(t, err)
	require.False(t, closed, "the owner can open what was taken from him")
	require.NoError(t, w.db.Close(t.Context()))
	require.NoError(t, w.db.Open(t.Context()))
	closed, err = w.db.Closed(t.Context())
	require.NoError(t, err)
	require.False(t, closed)
	require.NoError(t, (&attack{world: w}).elsewhere(t, db+" CONNECTION LIMIT 17"))
}

// Materialized views over foreign tables are computed with the rights of their owner once his user
// mapping exists; a proof does not connect to other machines.
func TestR15MaterializedViewsOverForeignTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := ident(w.role)
	w.admin(t, w.name, fmt.Sprintf(`CREATE EXTENSION postgres_fdw; GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO %[1]s; GRANT CREATE ON SCHEMA public TO %[1]s;
		CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '%[2]d', dbname 'postgres'); ALTER SERVER here OWNER TO %[1]s;
		CREATE USER MAPPING FOR %[1]s SERVER here OPTIONS (user %[3]s, password %[4]s);
		SET ROLE %[1]s;
		CREATE FOREIGN TABLE roles (rolname name) SERVER here OPTIONS (schema_name 'pg_catalog', table_name 'pg_roles');
		CREATE VIEW of_roles AS SELECT rolname FROM roles;
		CREATE MATERIALIZED VIEW far AS SELECT count(*) > 0 AS any_of_them FROM of_roles; CREATE UNIQUE INDEX ON far (any_of_them);
		CREATE MATERIALIZED VIEW farther AS SELECT any_of_them FROM far;
		CREATE TABLE parent (rolname name) PARTITION BY LIST (rolname); CREATE FOREIGN TABLE child PARTITION OF parent DEFAULT SERVER here OPTIONS (schema_name 'pg_catalog', table_name 'pg_roles');
		CREATE MATERIALIZED VIEW by_parent AS SELECT count(*) > 0 AS any_of_them FROM parent;
		CREATE MATERIALIZED VIEW near AS SELECT 1 AS n`, role, w.c.Port, literal(w.role), literal(w.password)))
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context())) // the dump alone
	_, err := w.store.Prove(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	w.admin(t, w.name, "DROP MATERIALIZED VIEW far CASCADE; DROP MATERIALIZED VIEW near")
	w.restore(t, snap)
	conn := w.connect(t, w.c.Admin(w.name))
	defer closeConn(conn)
	for _, view := range []string{"far", "farther", "by_parent", "near"} {
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+view).Scan(&n), view)
		require.Equal(t, 1, n, view)
	}
}

// What only a superuser can make after the rows is named by Check, and refused without a waiver.
func TestOnlyNamedTriggersAndIndexesAreMadeByASuperuser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, `CREATE EXTENSION tcn; REVOKE EXECUTE ON FUNCTION triggered_change_notification() FROM PUBLIC; CREATE EXTENSION pg_trgm; REVOKE EXECUTE ON FUNCTION show_trgm(text) FROM PUBLIC;
		CREATE TABLE told (id int PRIMARY KEY, name text); INSERT INTO told VALUES (1, 'a');
		CREATE INDEX told_name ON told (show_trgm(name));
		CREATE TRIGGER tell AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION triggered_change_notification()`)
	err := w.db.check(t.Context())
	require.ErrorIs(t, err, backup.ErrPermission)
	require.ErrorContains(t, err, "trigger tell on public.told")
	require.ErrorContains(t, err, "index public.told_name")
	w.db.AsSuperuser = []string{"trigger tell on public.told", "index public.told_name"}
	require.NoError(t, w.db.check(t.Context()))
	before := w.state(t)
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context()))
	another := *w.db
	another.AsSuperuser = nil
	_, err = w.store.Prove(t.Context(), snap.ID, &another)
	require.ErrorIs(t, err, backup.ErrPermission)
	w.admin(t, w.name, "DROP TABLE told")
	w.restore(t, snap)
	require.Equal(t, before, w.state(t))
}

// Whoever listens on the server's port while the server is down learns no password, and is
// not believed to be the server.
func TestAttackByWhoListensInTheServersPlace(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string][]byte{
		"asks for the password": {'R', 0, 0, 0, 8, 0, 0, 0, 3},
		"asks for nothing":      {'R', 0, 0, 0, 8, 0, 0, 0, 0, 'Z', 0, 0, 0, 5, 'I'},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			heard := make(chan []byte, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					heard <- nil
					return
				}
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				first := make([]byte, 4<<10)
				_, _ = conn.Read(first)
				_, _ = conn.Write(reply)
				all, _ := io.ReadAll(conn)
				heard <- all
			}()
			db := &Database{URI: "postgres://postgres:hunter2@" + l.Addr().String() + "/app?sslmode=disable"}
			_, err = db.Counts(t.Context())
			require.ErrorContains(t, err, "require_auth")
			require.NoError(t, l.Close())
			require.NotContains(t, string(<-heard), "hunter2")
		})
	}
}

// What is sent as the login that loads dumps is rows: only the server that has made it gets them.
func TestAttackByWhoListensForADump(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := w.db.connect(t.Context(), reading)
	require.NoError(t, err)
	defer s.close()
	require.True(t, s.listensHere(t.Context()))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 4<<10))
		_, _ = conn.Write([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 0, 'Z', 0, 0, 0, 5, 'I'})
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}()
	as := s.loading(login{role: "aspupdate_load", password: "hunter2", host: "127.0.0.1"})
	as.cfg.Port = uint16(l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // of a TCP listener
	_, err = as.to(t.Context(), "app", loading)
	require.ErrorContains(t, err, "require_auth")
	require.Contains(t, as.command("app", "pg_restore", "").Env, "PGREQUIREAUTH=scram-sha-256")
}
