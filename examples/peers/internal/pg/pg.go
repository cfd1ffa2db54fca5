//go:build linux

// Package pg starts a PostgreSQL server for a comparison and fills its databases.
package pg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The databases that Fill knows.
const (
	Mix     = "mix"     // text, JSON with a GIN index, photos that do not compress
	Pgbench = "pgbench" // rows that compress very well
)

// A Server is a server on loopback that syncs what it writes.
type Server struct{ *realtest.Cluster }

// Start starts a server whose files are below the directory parent.
func Start(parent string) (_ *Server, err error) {
	before := os.Getenv("TMPDIR") // in which the server's directory is created
	if err := os.Setenv("TMPDIR", parent); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Setenv("TMPDIR", before)) }()
	c, err := realtest.StartPostgres("fsync=on", "full_page_writes=on", "shared_buffers=128MB", "max_wal_size=2GB", "max_connections=100")
	return &Server{c}, err
}

// Tool runs one of PostgreSQL's programs and returns its output and its time.
func (s *Server) Tool(ctx context.Context, name string, args ...string) (string, time.Duration, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, name), args...)
	cmd.Env = append(os.Environ(), "PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(s.Port), "PGUSER=postgres", "PGPASSWORD="+s.Password, "LC_ALL=C.UTF-8")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	began := time.Now()
	out, err := cmd.Output()
	took := time.Since(began)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w: %s", name, err, stderr.String())
	}
	return strings.TrimSpace(string(out)), took, nil
}

// SQL runs a statement in a database.
func (s *Server) SQL(ctx context.Context, database, sql string) error {
	_, err := s.Text(ctx, database, sql)
	return err
}

// Text runs a statement and returns what psql prints, without a header.
func (s *Server) Text(ctx context.Context, database, sql string) (string, error) {
	out, _, err := s.Tool(ctx, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql)
	return out, err
}

// Fill creates a database that the role owner has filled: Pgbench, or as Mix.
// Scale 1 is 2.2 or 1.3 GB. The role has the superuser's password.
func (s *Server) Fill(ctx context.Context, name, owner string, scale float64) error {
	if err := s.SQL(ctx, "postgres", "CREATE DATABASE "+name+" OWNER "+owner); err != nil {
		return err
	}
	if name == Pgbench {
		_, _, err := s.Tool(ctx, "pgbench", "-i", "-q", "-U", owner, "-s", strconv.Itoa(max(1, int(150*scale))), name)
		return err
	}
	err := s.SQL(ctx, name, "SET ROLE "+owner+";"+fmt.Sprintf(`
		CREATE TABLE people (id serial PRIMARY KEY, name text, about jsonb);
		INSERT INTO people (name, about) SELECT 'Имя ' || md5(g::text), jsonb_build_object('g', g, 'm', md5((g * 7)::text), 't', repeat('слово ', 20))
			FROM generate_series(1, %d) g;
		CREATE INDEX ON people (name);
		CREATE INDEX ON people USING gin (about);
		CREATE TABLE photos (id int PRIMARY KEY, person int REFERENCES people, photo bytea);
		INSERT INTO photos SELECT g, g, (SELECT string_agg(decode(md5(random()::text || g || i), 'hex'), '') FROM generate_series(1, 640) i)
			FROM generate_series(1, %d) g`, max(100, int(1_330_000*scale)), max(10, int(40_000*scale))))
	if err != nil {
		return err
	}
	return s.SQL(ctx, name, "VACUUM ANALYZE")
}

// Settle lets the server and the system write their buffers, so that no run pays
// for the one before.
func (s *Server) Settle(ctx context.Context) error {
	err := s.SQL(ctx, "postgres", "CHECKPOINT")
	_, serr := exec.CommandContext(ctx, "sync").Output()
	return errors.Join(err, serr)
}
