package postgres

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/aspupdate/aspupdate/backup"
)

// Restore implements [backup.Target]. What is restored has the owner, the grants,
// the settings, the comment and the connection limit of the backup, and is
// closed to users if the live database is. Sessions on the live database are
// terminated at the swap.
//
// A backup of a database of another name is restored only if the server has no
// database of this name. After an error the live database is as it was.
func (d *Database) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	f, err := readFacts(m)
	if err != nil {
		return nil, err
	}
	s, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.restore(ctx, dir, f)
	s.close()
	if err == nil {
		return r, nil
	}
	err = failed("restore database", s.name, err)
	if serr := d.settle(ctx); serr != nil {
		return nil, errors.Join(err, serr)
	}
	if r != nil && r.happened(ctx) {
		return r, nil // the answer to COMMIT was lost, not the swap
	}
	return nil, err
}

func (s *session) restore(ctx context.Context, dir string, f facts) (*restored, error) {
	live, err := s.find(ctx, s.name)
	if err != nil {
		return nil, err
	}
	if live != nil && f.Database != s.name {
		return nil, fmt.Errorf("%w: the snapshot is of the database %q, and %q exists", backup.ErrIncompatible, f.Database, s.name)
	}
	if err := s.preflight(ctx, f); err != nil {
		return nil, err
	}
	if err := s.space(ctx, f.Locale.Tablespace, f.Bytes); err != nil {
		return nil, err
	}
	name := besideName(s.name, kindNew, newMark())
	if err := s.build(ctx, name, dir, f); err != nil {
		return nil, err
	}
	fresh, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if fresh == nil {
		return nil, errors.New("the restored copy is gone")
	}
	r := &restored{d: s.d, fresh: fresh.oid}
	closed := f.Closed
	if live != nil {
		r.old, closed = live.oid, live.closed()
	}
	s.begins(eventSwap)
	// From here on the outcome can be unknown: r is returned with the error.
	return r, s.swap(ctx, swap{
		live: live, aside: besideName(s.name, kindOld, newMark()), asideKind: kindOld,
		arrives: name, closed: closed, limit: f.Limit,
	})
}

// build makes the database name from the clone or else from the dump, and
// compares it with the backup.
func (s *session) build(ctx context.Context, name, dir string, f facts) error {
	why := s.cloneUnusable(ctx, f)
	if why == "" {
		s.begins(eventClone)
		got, err := s.buildFrom(ctx, name, f, func() error {
			statement, err := s.copyStatement(ctx, name, f.Clone)
			if err == nil {
				_, err = s.Exec(ctx, statement+" OWNER "+ident(f.Owner))
			}
			return err
		}, nil)
		if err == nil {
			err = differ(f.differences(got))
		}
		if err == nil {
			return nil
		}
		why = "the clone cannot be used: " + err.Error()
		if i, ferr := s.find(ctx, name); ferr != nil {
			return errors.Join(err, ferr)
		} else if i != nil {
			if derr := s.drop(ctx, name); derr != nil {
				return errors.Join(err, derr)
			}
		}
	}
	s.warn("restoring from the dump: " + why)
	got, err := s.buildFromDump(ctx, name, dir, f)
	if err != nil {
		return err
	}
	return differ(f.differences(got))
}

// buildFromDump makes the database name from the dump and describes the result.
func (s *session) buildFromDump(ctx context.Context, name, dir string, f facts) (facts, error) {
	t, err := s.d.findTools(ctx, s.version)
	if err != nil {
		return facts{}, err
	}
	return s.buildFrom(ctx, name, f, func() error {
		_, err := s.Exec(ctx, createStatement(name, f))
		return err
	}, func() error { return s.load(ctx, t, name, filepath.Join(dir, dumpFile), f) })
}

func (s *session) buildFrom(ctx context.Context, name string, f facts, create, load func() error) (got facts, err error) {
	if err := create(); err != nil {
		switch sqlState(err) {
		case codeDiskFull:
			err = advise(fmt.Errorf("%w: %w", backup.ErrNoSpace, err), "free some space on the server")
		case codeNoLocale:
			err = advise(fmt.Errorf("%w: %w", backup.ErrIncompatible, err), "install the locale on the server's machine")
		}
		return got, fmt.Errorf("cannot make a copy beside: %w", err)
	}
	if err := s.together(ctx, "ALTER DATABASE "+ident(name)+" SET "+setKind+" = "+literal(kindNew)); err != nil {
		return got, err
	}
	if load != nil {
		if err := load(); err != nil {
			return got, err
		}
	}
	if err := s.apply(ctx, name, f); err != nil {
		return got, err
	}
	return s.inspect(ctx, name, f.Checksums)
}

// inspect returns all that can be compared with a backup.
func (s *session) inspect(ctx context.Context, name string, checksums bool) (got facts, err error) {
	s.begins(eventCompare)
	i, err := s.find(ctx, name)
	if err == nil && i == nil {
		err = errors.New("the copy is gone")
	}
	if err != nil {
		return got, err
	}
	if got, err = s.describe(ctx, i); err != nil {
		return got, err
	}
	conn, err := s.to(ctx, name)
	if err != nil {
		return got, err
	}
	defer closeConn(conn)
	got.Checksums = checksums
	err = readInside(ctx, conn, s.version, &got)
	return got, err
}

// cloneUnusable says why that backup's clone cannot be used, "" if it can: it
// exists on the same cluster and never allowed connections.
func (s *session) cloneUnusable(ctx context.Context, f facts) string {
	if f.Clone == "" || kindOf(s.name, f.Clone) != kindClone {
		return "the backup has no clone"
	}
	if f.Unlogged && !f.Checksums {
		return "it has unlogged tables, which a crash of the server empties in the clone too"
	}
	i, err := s.findOID(ctx, f.CloneOID)
	if err != nil || i == nil || i.name != f.Clone {
		return "the clone is gone"
	}
	if i.allow || i.settings[setKind] != kindClone {
		return "the clone was opened"
	}
	var system string
	err = s.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&system)
	if err != nil || system != f.SystemID {
		return "it is on another server"
	}
	return ""
}
