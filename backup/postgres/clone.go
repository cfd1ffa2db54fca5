package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// clone copies the live database on the server, as the quick way back. A
// database has at most one clone, that of its newest backup: the ones
// before it go first, also what a run left that was killed before its backup
// was sealed.
//
// Where no clone can be made that is no reason to go without a backup: f says
// why, and the dump is made in place. It is one where the database is open and
// in use: nobody keeps users out, who would lose what they enter from now on,
// and that has to be meant.
func (s *session) clone(ctx context.Context, live *dbInfo, f *Facts) error {
	err := s.dropOurs(ctx, func(kind string, _ bool) bool { return kind == kindClone })
	if err == nil {
		// What the clone takes may not be what a way back needs, see Needs.
		err = s.room(ctx, f.Locale.Tablespace, 3*f.Bytes)
	}
	if err != nil {
		f.NoClone = err.Error()
		return s.unused(ctx, live)
	}
	s.tell(StageClone, "")
	name := besideName(s.name, kindClone, newMark())
	// Sessions that are just ending get five seconds from the server.
	statement, err := s.copyStatement(ctx, name, s.name)
	if err != nil {
		return err
	}
	_, err = s.Exec(ctx, statement)
	switch sqlState(err) {
	case codeInUse, codeDiskFull:
		f.NoClone = err.Error()
		return s.unused(ctx, live)
	}
	if err != nil {
		return fmt.Errorf("copying it on the server: %w", err)
	}
	i, err := s.find(ctx, name)
	if err == nil && i == nil {
		err = errors.New("the copy is gone")
	}
	if err == nil {
		f.Clone, f.CloneOID = name, i.oid
	}
	return err
}

// unused refuses, with ErrBusy, a database that is open and in use.
func (s *session) unused(ctx context.Context, live *dbInfo) error {
	if live.closed() {
		return nil
	}
	var n int
	err := s.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'", s.name).Scan(&n)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: %d sessions are on it: close it first, or set InPlace", ErrBusy, n)
	}
	return err
}

// copyStatement copies a database that nobody uses. It opens to superusers alone.
// Where the system's collations are newer than the database's indexes the server
// copies it only if told the old version, which is true of the copy as well.
func (s *session) copyStatement(ctx context.Context, name, template string) (string, error) {
	sql := "CREATE DATABASE " + ident(name) + " TEMPLATE " + ident(template) + " CONNECTION LIMIT 0"
	if s.version < 150000 { // knows no other way to copy, and no version of a database's collation
		return sql, nil
	}
	var collation *string
	if err := s.QueryRow(ctx, "SELECT datcollversion FROM pg_database WHERE datname = $1", template).Scan(&collation); err != nil {
		return "", err
	}
	if collation != nil {
		sql += " COLLATION_VERSION " + literal(*collation)
	}
	return sql + " STRATEGY FILE_COPY", nil
}

// room refuses, with ErrMissing, what would fill the disk that a tablespace
// lies on: a server whose log finds no room stops. Of a disk that cannot be
// seen from here nothing is known.
func (s *session) room(ctx context.Context, tablespace string, bytes int64) error {
	dir, err := s.place(ctx, tablespace)
	if err != nil || dir == "" {
		return err
	}
	v, err := durable.VolumeOf(dir)
	if err == nil && v.Free < bytes {
		err = fmt.Errorf("%w: %s has %d MB free and %d MB are needed: make room", ErrMissing, dir, v.Free>>20, bytes>>20)
	}
	return err
}

// place returns the folder of a tablespace, "" if it cannot be seen from here.
func (s *session) place(ctx context.Context, tablespace string) (string, error) {
	dir, err := s.folder(ctx)
	if err != nil || dir == "" {
		return "", err
	}
	var own string // "" for that which lies in the server's folder
	err = s.QueryRow(ctx, "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = $1", tablespace).Scan(&own)
	if err != nil || own == "" {
		return dir, err
	}
	return own, nil
}
