package postgres

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/backup"
)

// Restore implements [backup.Target]. What is restored has the owner, the grants,
// the settings, the comment and the connection limit of the backup, and is
// closed to users if the live database is. Sessions on the live database are
// terminated at the swap.
//
// A backup of a database of another name is restored only if the server has no
// database of this name. After an error the live database is as it was.
//
// If what was restored differs from the backup, the error wraps [backup.ErrMismatch],
// and has a method Beside: the restored database stays beside the live one, closed to all
// but superusers, until the next restore or Tidy.
func (d *Database) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	return d.restore(ctx, dir, m, nil)
}

// RestoreDiffering is Restore for a person who has seen these differences and accepted
// them. What an earlier Restore kept beside is put in place, if it is still there and differs in just
// this way; otherwise the backup is restored anew.
func (d *Database) RestoreDiffering(ctx context.Context, dir string, m backup.Meta, accepted []string) (backup.Restored, error) {
	return d.restore(ctx, dir, m, accepted)
}

func (d *Database) restore(ctx context.Context, dir string, m backup.Meta, accepted []string) (backup.Restored, error) {
	f, err := readFacts(m)
	if err != nil {
		return nil, err
	}
	s, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.restore(ctx, dir, f, accepted)
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

func (s *session) restore(ctx context.Context, dir string, f facts, accepted []string) (*restored, error) {
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
	name, err := s.differing(ctx, f, accepted)
	if err != nil {
		return nil, err
	}
	if name == "" {
		if err := s.space(ctx, f.Locale.Tablespace, f.Bytes); err != nil {
			return nil, err
		}
		name = besideName(s.name, kindNew, newMark())
		if err := s.build(ctx, name, dir, f, accepted); err != nil {
			return nil, err
		}
	}
	fresh, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if fresh == nil {
		return nil, errors.New("the restored copy is gone")
	}
	t, err := s.tenureOf(ctx, f)
	if err != nil {
		return nil, err
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
		arrives: name, closed: closed, limit: f.Limit, tenure: t, attributes: attributes(s.name, f),
	})
}

// build makes the database name from the clone or else from the dump, and
// compares it with the backup. One from the dump that differs in another way than accepted
// is kept beside.
func (s *session) build(ctx context.Context, name, dir string, f facts, accepted []string) error {
	why := s.cloneUnusable(ctx, f)
	if why == "" {
		s.begins(eventClone)
		got, err := s.buildFrom(ctx, name, f, func() error {
			statement, err := s.copyStatement(ctx, name, f.Clone)
			if err == nil {
				_, err = s.Exec(ctx, statement)
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
	diff := f.differences(got)
	if len(diff) == 0 || slices.Equal(diff, accepted) {
		return nil
	}
	return s.keepBeside(ctx, name, f, diff)
}

// buildFromDump makes the database name from the dump and describes the result.
func (s *session) buildFromDump(ctx context.Context, name, dir string, f facts) (facts, error) {
	t, err := s.d.findTools(ctx, s.version)
	if err != nil {
		return facts{}, err
	}
	build := func() (facts, error) {
		return s.buildFrom(ctx, name, f, func() error {
			_, err := s.Exec(ctx, s.createStatement(name, f))
			return err
		}, func() error { return s.load(ctx, t, name, filepath.Join(dir, dumpFile), f) })
	}
	got, err := build()
	if err != nil && s.inParts && ctx.Err() == nil && !errors.Is(err, backup.ErrMismatch) && !errors.Is(err, backup.ErrDamaged) && !s.full(ctx, f.Locale.Tablespace, err) {
		// Two that make indexes of partitions may wait for each other.
		s.warn("several jobs at a time could not restore the dump, so that it is restored by one: " + err.Error())
		s.serial = true
		if err := s.drop(ctx, name); err != nil {
			return got, err
		}
		got, err = build()
	}
	if err != nil && !errors.Is(err, backup.ErrNoSpace) && s.full(ctx, f.Locale.Tablespace, err) {
		err = advise(fmt.Errorf("%w: %w", backup.ErrNoSpace, err), "free some space on the server")
	}
	return got, err
}

// full reports whether a copy could not be made because the volume of its tablespace is full.
// The programs of PostgreSQL print no code, and what they print may be in any language.
func (s *session) full(ctx context.Context, tablespace string, err error) bool {
	const nothing = 1 << 20 // bytes that are no room for a table
	return sqlState(err) == codeDiskFull || strings.Contains(err.Error(), "No space left on device") ||
		errors.Is(s.space(ctx, tablespace, nothing), backup.ErrNoSpace)
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
	if err := s.seal(ctx, name); err != nil {
		return got, err
	}
	if load != nil {
		if err := load(); err != nil {
			return got, err
		}
	}
	return s.inspect(ctx, name, f)
}

// inspect returns all that can be compared with a backup, of a copy as the swap will leave it.
func (s *session) inspect(ctx context.Context, name string, f facts) (got facts, err error) {
	s.begins(eventCompare)
	if got, err = s.rehearse(ctx, name, f); err != nil {
		return got, err
	}
	return got, s.readAll(ctx, name, f.Checksums, &got)
}

// readAll adds what is inside a database.
func (s *session) readAll(ctx context.Context, name string, sums bool, got *facts) error {
	conn, err := s.to(ctx, name, reading)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	got.Checksums, got.Way = sums, wayOfCopy
	return still(ctx, conn, func(tx pgx.Tx) error { return readInside(ctx, tx, s.version, got) })
}

// Compare fails unless the live database is what was backed up, by what is compared after a restore:
// its rows, its owner, grants and settings, what extensions it has. The error wraps
// [backup.ErrMismatch] if it differs. It is never restored again because of that: what
// changed it may have had a reason.
func (d *Database) Compare(ctx context.Context, _ string, m backup.Meta) (again bool, err error) {
	f, err := readFacts(m)
	if err != nil {
		return false, err
	}
	s, err := d.begin(ctx)
	if err != nil {
		return false, err
	}
	defer s.close()
	return false, failed("compare database", s.name, s.compare(ctx, f))
}

func (s *session) compare(ctx context.Context, f facts) error {
	live, err := s.find(ctx, s.name)
	if err != nil {
		return err
	}
	if live == nil {
		return fmt.Errorf("%w: the database does not exist", backup.ErrMismatch)
	}
	s.begins(eventCompare)
	got, err := s.describe(ctx, live)
	if err != nil {
		return err
	}
	if err := s.readAll(ctx, s.name, f.Checksums, &got); err != nil {
		return err
	}
	return differ(f.differences(got))
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
