package postgres

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestRegression builds the database of PostgreSQL's own regression tests and those of its contrib modules, and
// restores each from the clone and from the dump. What comes out must be what plain pg_dump and pg_restore make of
// it, to the last line of another pg_dump, or be refused by Versions.
//
//	ASPUPDATE_SOAK=1 go test ./backup/postgres -run Regression -v -timeout 3h
//
// It needs Debian's source package and headers of the server that is installed, which apt-get downloads into a
// directory of the test's own, and gcc. It says how long each step took, and what our reading costs compared with COPY
// that is thrown away.
func TestRegression(t *testing.T) {
	if os.Getenv("ASPUPDATE_SOAK") != "1" {
		t.Skip("only with ASPUPDATE_SOAK=1")
	}
	r := newRegression(t)
	t.Run("regression", func(t *testing.T) {
		tests, err := os.ReadFile(filepath.Join(r.dir, "regress", "parallel_schedule"))
		require.NoError(t, err)
		var names []string
		for line := range strings.Lines(string(tests)) {
			if list, ok := strings.CutPrefix(line, "test: "); ok {
				names = append(names, strings.Fields(list)...)
			}
		}
		r.build(t, "regression", filepath.Join(r.dir, "regress"), names)
		r.roundTrip(t, "regression")
	})
	makefiles, err := filepath.Glob(filepath.Join(r.dir, "*", "*", "Makefile"))
	require.NoError(t, err)
	for _, makefile := range makefiles {
		dir := filepath.Dir(makefile)
		text, err := os.ReadFile(makefile)
		require.NoError(t, err)
		m := regexp.MustCompile(`(?m)^REGRESS *=(.*)$`).FindSubmatch(bytes.ReplaceAll(text, []byte("\\\n"), nil))
		if m == nil {
			continue
		}
		name := "contrib " + filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			r.build(t, name, dir, strings.Fields(string(m[1])))
			r.roundTrip(t, name)
		})
	}
}

// A regression is a server, and PostgreSQL's tests beside it.
type regression struct {
	c   *realtest.Cluster
	dir string
	env []string
}

// newRegression skips the test if the source package cannot be had.
func newRegression(t *testing.T) *regression {
	t.Helper()
	c, err := realtest.StartPostgres("wal_level=logical", "max_wal_size=1GB", "shared_buffers=128MB")
	if err != nil {
		realtest.Skip(t, "no PostgreSQL server: %v", err)
	}
	t.Cleanup(c.Stop)
	major := filepath.Base(filepath.Dir(c.Bin))
	r := &regression{c: c, dir: filepath.Join(realtest.SharedDir(t), "tests")}
	down := t.TempDir()
	skip := func(what string, cmd *exec.Cmd) {
		cmd.Dir = down
		if out, err := cmd.CombinedOutput(); err != nil {
			realtest.Skip(t, "%s: %v: %s", what, err, out)
		}
	}
	for _, dir := range []string{"lists/partial", "cache/archives/partial", "none"} {
		require.NoError(t, os.MkdirAll(filepath.Join(down, dir), 0o755))
	}
	// The machine's own mirror, with its sources.
	sources, err := os.ReadFile("/etc/apt/sources.list.d/debian.sources")
	if err != nil {
		realtest.Skip(t, "no list of Debian's packages: %v", err)
	}
	sources, _, _ = bytes.Cut(sources, []byte("\n\n")) // without the updates of security
	sources = bytes.ReplaceAll(append(sources, '\n'), []byte("Types: deb\n"), []byte("Types: deb deb-src\n"))
	require.NoError(t, os.WriteFile(filepath.Join(down, "of.sources"), sources, 0o600))
	apt := func(args ...string) *exec.Cmd {
		return exec.Command("apt-get", append([]string{"-o", "Dir::Etc::sourcelist=" + filepath.Join(down, "of.sources"), "-o", "Dir::Etc::sourceparts=" + filepath.Join(down, "none"),
			"-o", "Dir::State::lists=" + filepath.Join(down, "lists"), "-o", "Dir::Cache=" + filepath.Join(down, "cache"), "-o", "APT::Sandbox::User=root"}, args...)...)
	}
	skip("cannot list the source packages", apt("update"))
	skip("cannot download the source package", apt("source", "--download-only", "postgresql-"+major))
	skip("cannot download the headers", apt("download", "postgresql-server-dev-"+major))
	skip("cannot unpack the source package", exec.Command("sh", "-c", "tar -xf *.orig.tar.* --wildcards '*/src/test/regress' '*/contrib' '*/src/pl' && dpkg -x postgresql-server-dev-*.deb dev"))
	skip("cannot lay out the tests", exec.Command("sh", "-c", fmt.Sprintf("mkdir -p %[1]s/lib %[1]s/pl && mv postgresql-*/src/test/regress postgresql-*/contrib %[1]s/ && mv postgresql-*/src/pl/plpgsql/src %[1]s/pl/plpgsql && mkdir -p %[1]s/regress/results"+
		" && ln -s $(%[2]s/pg_config --pkglibdir)/refint.so $(%[2]s/pg_config --pkglibdir)/autoinc.so %[1]s/lib/", r.dir, c.Bin)))
	skip("cannot build regress.so", exec.Command("sh", "-c", fmt.Sprintf("gcc -O2 -fPIC -shared -I dev/usr/include/postgresql/%s/server -o %[2]s/lib/regress.so %[2]s/regress/regress.c", major, r.dir)))
	skip("cannot hand the tests to the server", exec.Command("chown", "-R", "--reference="+c.Data, r.dir)) // COPY reads and writes there
	r.env = append(os.Environ(), "PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(c.Port), "PGUSER=postgres", "PGPASSWORD="+c.Password, "PGTZ=PST8PDT", "PGDATESTYLE=Postgres, MDY",
		"PGOPTIONS=-c intervalstyle=postgres_verbose", "PG_LIBDIR="+filepath.Join(r.dir, "lib"), "PG_DLSUFFIX=.so")
	return r
}

// run runs a client, and returns what it prints.
func (r *regression) run(t *testing.T, env []string, dir string, in io.Reader, name string, args ...string) (out []byte, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(r.c.Bin, name), args...)
	cmd.Env, cmd.Dir, cmd.Stdin = slices.Concat(r.env, env), dir, in
	var text bytes.Buffer
	cmd.Stdout = &text
	err = cmd.Run()
	return text.Bytes(), err
}

// build makes a database as pg_regress does. What it prints is not compared: some tests fail on any other machine.
func (r *regression) build(t *testing.T, name, dir string, tests []string) {
	t.Helper()
	db := ident(name)
	r.sql(t, "postgres", "CREATE DATABASE "+db+" TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	for _, set := range []string{"lc_messages TO 'C'", "lc_monetary TO 'C'", "lc_numeric TO 'C'", "lc_time TO 'C'", "bytea_output TO 'hex'", "timezone_abbreviations TO 'Default'"} {
		r.sql(t, "postgres", "ALTER DATABASE "+db+" SET "+set)
	}
	env := []string{"PG_ABS_SRCDIR=" + dir, "PG_ABS_BUILDDIR=" + dir}
	for _, test := range tests {
		in, err := os.Open(filepath.Join(dir, "sql", test+".sql"))
		if err != nil {
			continue // made from a template when PostgreSQL is built
		}
		_, _ = r.run(t, env, dir, in, "psql", "-X", "-q", "-d", name, "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on", "-c", "SET statement_timeout = '60s'", "-f", "-")
		_ = in.Close()
	}
}

func (r *regression) sql(t *testing.T, database, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.c.Admin(database))
	require.NoError(t, err)
	defer closeConn(conn)
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// dump is the database as text.
func (r *regression) dump(t *testing.T, name string) string {
	t.Helper()
	out, err := r.run(t, nil, "", nil, "pg_dump", "-d", name)
	require.NoError(t, err)
	return restrictLine.ReplaceAllString(string(out), "")
}

func (r *regression) roundTrip(t *testing.T, name string) {
	t.Helper()
	began := time.Now()
	lap := func(what string) {
		t.Logf("%s: %.1f s", what, time.Since(began).Seconds())
		began = time.Now()
	}
	original := r.dump(t, name)

	// What plain tools make of it.
	archive, err := r.run(t, nil, "", nil, "pg_dump", "-Fc", "-d", name)
	require.NoError(t, err)
	lap("plain pg_dump")
	r.sql(t, "postgres", "CREATE DATABASE plain TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	defer r.sql(t, "postgres", "DROP DATABASE plain")
	began = time.Now()
	_, plainErr := r.run(t, nil, "", bytes.NewReader(archive), "pg_restore", "-d", "plain")
	lap("plain pg_restore")
	plain := r.dump(t, "plain")

	w := &world{c: r.c, name: name, store: &backup.Store{Dir: filepath.Join(t.TempDir(), "store")}}
	w.db = &Database{URI: r.c.Admin(name), Bin: r.c.Bin, Checksums: true}
	w.waive(t)
	began = time.Now()
	if err := w.db.check(t.Context()); err != nil {
		t.Logf("foreseen: %v", err)
		return
	}
	lap("Versions")
	snap := w.take(t)
	lap("Take")
	_, proof := w.store.Prove(t.Context(), snap.ID, w.db)
	lap("Prove")
	if plainErr == nil {
		require.NoError(t, proof)
	}
	r.sql(t, name, "CREATE TABLE public.aspupdate_change (n int)")
	_, err = w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	lap("Restore from the clone")
	require.True(t, original == r.dump(t, name), "the clone differs")
	require.NoError(t, w.db.Tidy(t.Context()))
	began = time.Now()
	_, err = w.store.Restore(t.Context(), snap.ID, w.db)
	lap("Restore from the dump")
	if proof == nil {
		require.NoError(t, err, "proven, and not restored")
	}
	if err == nil {
		require.True(t, plain == r.dump(t, name), "the dump is restored otherwise than by pg_restore")
	}
	require.NoError(t, w.db.Tidy(t.Context()))
	r.reading(t, w)
}

// reading says what sums of rows, and counts, cost compared with the same COPY that is thrown away.
func (r *regression) reading(t *testing.T, w *world) {
	t.Helper()
	s, err := w.db.connect(t.Context(), reading)
	require.NoError(t, err)
	defer s.close()
	conn, err := s.to(t.Context(), w.name, reading)
	require.NoError(t, err)
	defer closeConn(conn)
	best := map[string]time.Duration{}
	require.NoError(t, still(t.Context(), conn, func(tx pgx.Tx) error {
		list, err := relations(t.Context(), tx)
		require.NoError(t, err)
		byTable, err := columns(t.Context(), tx, s.version)
		require.NoError(t, err)
		measure := func(what string, do func()) {
			began := time.Now()
			do()
			if took := time.Since(began); best[what] == 0 || took < best[what] {
				best[what] = took
			}
		}
		for range 5 {
			measure("COPY", func() {
				for _, rel := range list {
					if rel.Kind == "r" {
						savepoint, err := tx.Begin(t.Context())
						require.NoError(t, err)
						_, err = tx.Conn().PgConn().CopyTo(t.Context(), io.Discard, rel.copyOut(byTable[rel.OID]))
						require.NoError(t, err)
						require.NoError(t, savepoint.Rollback(t.Context()))
					}
				}
			})
			measure("sums", func() {
				_, err := sumRows(t.Context(), tx, s.version, list)
				require.NoError(t, err)
			})
			measure("counts", func() {
				_, err := countRows(t.Context(), tx, s.version, list)
				require.NoError(t, err)
			})
		}
		return nil
	}))
	t.Logf("reading, by plain COPY: sums %.2f, counts %.2f", best["sums"].Seconds()/best["COPY"].Seconds(), best["counts"].Seconds()/best["COPY"].Seconds())
}
