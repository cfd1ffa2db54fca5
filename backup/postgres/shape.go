package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Shape returns what decides, apart from its rows, whether a dump of the database can be
// restored: the major versions of the server and of pg_dump, encoding, locale, and
// the extensions with their versions. Backups have it as Meta.Shape, so that the
// proof of one counts for the next ones until that changes.
func (d *Database) Shape(ctx context.Context) (string, error) {
	s, err := d.connect(ctx, reading)
	if err != nil {
		return "", err
	}
	defer s.close()
	shape, err := s.shape(ctx)
	return shape, failed("describe database", s.name, err)
}

func (s *session) shape(ctx context.Context) (string, error) {
	live, err := s.live(ctx)
	if err != nil {
		return "", err
	}
	t, err := s.d.findTools(ctx, s.version)
	if err != nil {
		return "", err
	}
	var f facts
	if err := s.readDatabase(ctx, live, &f); err != nil {
		return "", err
	}
	conn, err := s.to(ctx, s.name, reading)
	if err != nil {
		return "", err
	}
	defer closeConn(conn)
	err = still(ctx, conn, func(tx pgx.Tx) (err error) {
		f.Extensions, err = extensions(ctx, tx)
		return err
	})
	return f.shape(t), err
}

func (f facts) shape(t tools) string {
	parts := []string{"PostgreSQL " + major(f.Server), fmt.Sprintf("pg_dump %d", t.major), f.Locale.Encoding, f.Locale.Collate}
	if f.Locale.Provider != "" && f.Locale.Provider != "c" {
		parts = append(parts, "locale provider "+f.Locale.Provider+" "+f.Locale.Locale)
	}
	for _, e := range f.Extensions {
		parts = append(parts, e.Name+" "+e.Version)
	}
	return strings.Join(parts, ", ")
}
