package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// clone copies the live database on the server, for a quick rollback. A database
// has at most one clone, that of its newest backup: earlier ones are dropped
// first, as are those of runs that were killed.
//
// If no clone can be made, f says why and the dump is made in place. But if
// the database is open, clone fails, see dumpable.
func (s *session) clone(ctx context.Context, live *dbInfo, f *facts) error {
	err := s.dropOurs(ctx, func(kind string, _ bool) bool { return kind == kindClone })
	if err == nil {
		// A clone must leave the space that a rollback needs, see Needs.
		err = s.space(ctx, f.Locale.Tablespace, 3*f.Bytes)
	}
	if err != nil {
		f.NoClone = err.Error()
		return s.dumpable(ctx, live)
	}
	s.begins(eventClone)
	name := besideName(s.name, kindClone, newMark())
	// The server waits five seconds for sessions that are just ending.
	statement, err := s.copyStatement(ctx, name, s.name)
	if err != nil {
		return err
	}
	_, err = s.Exec(ctx, statement)
	switch sqlState(err) {
	case codeInUse, codeDiskFull:
		f.NoClone = err.Error()
		return s.dumpable(ctx, live)
	}
	if err != nil {
		return fmt.Errorf("cannot copy it on the server: %w", err)
	}
	i, err := s.find(ctx, name)
	if err == nil && i == nil {
		err = errors.New("the copy is gone")
	}
	if err == nil {
		err = s.seal(ctx, name)
	}
	if err == nil {
		f.Clone, f.CloneOID = name, i.oid
	}
	return err
}

// dumpable fails with ErrBusy if the database itself cannot be dumped: users could put
// something else in the place of what pg_dump reads by name, which would then be run by
// a superuser.
func (s *session) dumpable(ctx context.Context, live *dbInfo) error {
	if fenced, err := s.fenced(ctx, live); err != nil || fenced {
		return err
	}
	return advise(fmt.Errorf("%w: an open database is not dumped itself, but only its clone", backup.ErrBusy), "close it first")
}

// copyStatement returns the statement that copies a database that has no sessions. Only superusers
// can connect to the copy. If the system's collations are newer than the database's
// indexes, the server copies it only if the old version is stated, which is
// true of the copy as well.
func (s *session) copyStatement(ctx context.Context, name, template string) (string, error) {
	sql := "CREATE DATABASE " + ident(name) + " TEMPLATE " + ident(template) + s.shutAtFirst()
	if s.version < 150000 { // always copies files, and keeps no version of a database's collation
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

// space fails with ErrNoSpace if bytes do not fit on the volume of a tablespace: a
// server that cannot write its log stops. A volume that is not
// on this machine is not checked.
func (s *session) space(ctx context.Context, tablespace string, bytes int64) error {
	dir, err := s.place(ctx, tablespace)
	if err != nil || dir == "" {
		return err
	}
	v, err := durable.VolumeOf(dir)
	if err == nil && v.Free < bytes {
		err = advise(fmt.Errorf("%w: %s has %d MB free and %d MB are needed", backup.ErrNoSpace, dir, v.Free/1e6, bytes/1e6+1), "free some space")
	}
	return err
}

// place returns the directory of a tablespace, "" if it is not on this machine.
func (s *session) place(ctx context.Context, tablespace string) (string, error) {
	dir, err := s.dataDir(ctx)
	if err != nil || dir == "" {
		return "", err
	}
	var own string // "" if it is in the data directory
	err = s.QueryRow(ctx, "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = $1", tablespace).Scan(&own)
	if err != nil || own == "" {
		return dir, err
	}
	return own, nil
}
