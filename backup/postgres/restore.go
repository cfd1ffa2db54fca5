package postgres

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
)

// Restore implements [backup.Target]. What is restored has the owner, the
// rights, the settings, the comment and the connection limit of the backup, and
// is closed to users if the live database is. Who is connected to the live
// database at the swap is disconnected.
//
// A backup of a database of another name is restored only where the server
// has no database of this one's. The error wraps ErrMissing, ErrDiffers or
// ErrBusy, and the live database is as it was.
func (d *Database) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	f, err := ReadFacts(m)
	if err != nil {
		return nil, err
	}
	s, err := d.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("restoring: %w", err)
	}
	r, err := s.restore(ctx, dir, f)
	s.close()
	if err == nil {
		return r, nil
	}
	err = fmt.Errorf("restoring the database %q: %w", s.name, err)
	if serr := d.settle(ctx); serr != nil {
		return nil, errors.Join(err, serr)
	}
	if r != nil && r.happened(ctx) {
		return r, nil // the answer to COMMIT was lost, not the swap
	}
	return nil, err
}

func (s *session) restore(ctx context.Context, dir string, f Facts) (*restored, error) {
	live, err := s.find(ctx, s.name)
	if err != nil {
		return nil, err
	}
	if live != nil && f.Database != s.name {
		return nil, fmt.Errorf("%w: it is of the database %q", backup.ErrUnfit, f.Database)
	}
	if err := s.preflight(ctx, f); err != nil {
		return nil, err
	}
	if err := s.room(ctx, f.Locale.Tablespace, f.Bytes); err != nil {
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
	s.tell(StageSwap, "")
	// From here on the outcome can be in doubt: r goes along with the error.
	return r, s.swap(ctx, swap{
		live: live, aside: besideName(s.name, kindOld, newMark()), asideKind: kindOld,
		arrives: name, closed: closed, limit: f.Limit,
	})
}

// build makes the database name from the clone, or else from the dump, and
// compares it with the backup. Whatever is wrong with the clone, the dump is
// what counts.
func (s *session) build(ctx context.Context, name, dir string, f Facts) error {
	why := s.cloneUnfit(ctx, f)
	if why == "" {
		s.tell(StageClone, "")
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
		why = "the clone is of no use: " + err.Error()
		if i, ferr := s.find(ctx, name); ferr != nil {
			return errors.Join(err, ferr)
		} else if i != nil {
			if derr := s.drop(ctx, name); derr != nil {
				return errors.Join(err, derr)
			}
		}
	}
	s.tell(StageNoClone, why)
	got, err := s.buildFromDump(ctx, name, dir, f)
	if err != nil {
		return err
	}
	return differ(f.differences(got))
}

// buildFromDump makes the database name from the dump and tells what it has
// become.
func (s *session) buildFromDump(ctx context.Context, name, dir string, f Facts) (Facts, error) {
	t, err := s.d.findTools(ctx, s.version)
	if err != nil {
		return Facts{}, err
	}
	return s.buildFrom(ctx, name, f, func() error {
		_, err := s.Exec(ctx, createStatement(name, f))
		return err
	}, func() error { return s.load(ctx, t, name, filepath.Join(dir, dumpFile), f) })
}

func (s *session) buildFrom(ctx context.Context, name string, f Facts, create, load func() error) (got Facts, err error) {
	if err := create(); err != nil {
		switch sqlState(err) {
		case codeDiskFull:
			err = fmt.Errorf("%w: make room on the server: %w", ErrMissing, err)
		case codeNoLocale:
			err = fmt.Errorf("%w: install the locale on the server's machine: %w", ErrMissing, err)
		}
		return got, fmt.Errorf("making the copy beside: %w", err)
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

// inspect tells all that can be compared with a backup.
func (s *session) inspect(ctx context.Context, name string, checksums bool) (got Facts, err error) {
	s.tell(StageCompare, "")
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
	err = look(ctx, conn, s.version, &got)
	return got, err
}

// differ makes an error of what differs, nil if nothing does.
func differ(lists ...[]string) error {
	diff := slices.Concat(lists...)
	if len(diff) == 0 {
		return nil
	}
	more := ""
	if len(diff) > 5 {
		more = fmt.Sprintf(" and %d more", len(diff)-5)
		diff = diff[:5]
	}
	return fmt.Errorf("%w: %s%s", ErrDiffers, strings.Join(diff, "; "), more)
}

// cloneUnfit says why the way back is not by the clone of that backup, "" if it
// is: the clone is there, on the same cluster, and was shut all the time.
func (s *session) cloneUnfit(ctx context.Context, f Facts) string {
	if f.Clone == "" || kindOf(s.name, f.Clone) != kindClone {
		return "the backup has no clone"
	}
	if f.Unlogged && !f.Checksums {
		return "it has unlogged tables, which a crash of the server empties in the clone, too"
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
		return "the server is another one"
	}
	return ""
}
