package mssql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
)

// Restore implements [backup.Target]. The live database must be closed to users, and
// what is restored is closed too; it has the owner, the options and the users of the
// backup. Sessions on the live database are ended at the swap.
//
// A backup of a database of another name is restored only if the server has no
// database of this name. After an error the live database is as it was.
//
// If what was restored differs from the backup, the error wraps [backup.ErrMismatch], and has a
// method Beside: the restored database stays beside the live one, restricted as that is,
// until the next restore or Tidy.
func (d *Database) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	return d.restore(ctx, dir, m, nil)
}

// RestoreDiffering is Restore for a person who has seen these differences and accepted
// them. The backup is restored anew, which needs no more space than before: what was kept is
// dropped first. It fails if there are others.
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
	defer s.close()
	r, err := s.restore(ctx, dir, f, accepted)
	if err != nil {
		return nil, failed("restore database", s.name, err)
	}
	return r, nil
}

func (s *session) restore(ctx context.Context, dir string, f facts, accepted []string) (*restored, error) {
	if err := s.tested(); err != nil {
		return nil, err
	}
	slot := s.slot()
	live, err := slot.IsLive(ctx)
	if err != nil {
		return nil, err
	}
	var old status
	if live {
		if old, err = s.suitable(ctx); err != nil {
			return nil, err
		}
		if err := s.fenced(ctx); err != nil {
			return nil, err
		}
		if err := s.sameAs(ctx, f, old); err != nil {
			return nil, err
		}
	}
	r, err := slot.Restore(ctx, f.Database, func(name string) error {
		if err := s.build(ctx, name, dir, f, accepted); err != nil {
			return err
		}
		s.begins(eventSwap)
		return nil
	})
	if err != nil {
		return nil, err
	}
	made := s.known[s.name].identity
	if err := s.settleBroker(context.WithoutCancel(ctx)); err != nil {
		s.warn("Service Broker is not as it was: " + err.Error())
	}
	return &restored{d: s.d, place: slot.Place.(*place), Restored: r, old: old.identity, made: made}, nil
}

// sameAs warns if the live database was made since the backup, and not by a restore: an
// installer may do that. It is kept aside in any case.
func (s *session) sameAs(ctx context.Context, f facts, live status) error {
	backedUp := identity{id: f.ID, guid: f.GUID}
	if f.GUID == "" || f.Server != s.server.name || backedUp.is(live.identity) {
		return nil
	}
	made, err := s.madeBy(ctx, s.name, anyMark)
	if err == nil && !made {
		s.warn("the live database is not the one that was backed up: it was made since; it is kept aside like any other")
	}
	return err
}

// Prove implements [backup.Prover]: the backup is restored to a database beside the live
// one that users cannot connect to, checked, compared with the manifest, and dropped.
// Users may go on with the live database meanwhile. It need not exist.
func (d *Database) Prove(ctx context.Context, dir string, m backup.Meta) error {
	f, err := readFacts(m)
	if err != nil {
		return err
	}
	s, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return failed("prove a backup of database", f.Database, s.slot().Try(ctx, func(name string) error { return s.build(ctx, name, dir, f, nil) }))
}

// Compare fails unless the live database is what was backed up, by what is compared after a
// restore: all rows, the catalog, the options, the users. The error wraps [backup.ErrMismatch] if it
// differs. It is never restored again because of that: what changed it may have had a reason.
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
	got, err := s.describe(ctx, s.name)
	if err == nil {
		err = differ(f.differences(got))
	}
	return false, failed("compare database", s.name, err)
}

// build makes the database name from the backup in dir, and compares it.
func (s *session) build(ctx context.Context, name, dir string, f facts, accepted []string) error {
	if s.server.major() < f.Major {
		return advise(fmt.Errorf("%w: the backup is of SQL Server %s, which %s cannot read", backup.ErrIncompatible, f.Version, s.server.version), "restore it on a server of that version or a newer one")
	}
	if err := s.missing(ctx, f); err != nil {
		return err
	}
	if err := s.load(ctx, name, dir, f); err != nil {
		return err
	}
	if err := s.own(ctx, name, f); err != nil {
		return err
	}
	s.begins(eventCheck)
	err := s.inside(ctx, name, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, sqlCheckDB)
		return err
	})
	if err != nil {
		if e, ok := serverError(err); ok && e.Number != 0 && !errors.Is(err, backup.ErrPermission) {
			err = fmt.Errorf("%w: DBCC CHECKDB: %w", backup.ErrDamaged, err)
		}
		return err
	}
	// What follows may fire triggers of the database, which may write: it is compared before.
	s.begins(eventCompare)
	var got contents
	err = s.inside(ctx, name, func(c *sql.Conn) (err error) {
		got, err = read(ctx, c)
		return err
	})
	if err != nil {
		return err
	}
	if err := swap.Unaccepted(f.contents.differences(got), accepted, differ); err != nil {
		return err
	}
	if err := s.remap(ctx, name, f); err != nil {
		return err
	}
	if f.Broker {
		if err := s.mark(ctx, name, true); err != nil {
			return err
		}
	}
	// A restore turns these off. They are the last: a trusted database has rights outside it.
	if err := s.alter(ctx, name, sqlSet(name, "DB_CHAINING", f.Options[optionChain] == "1")); err != nil {
		return err
	}
	if err := s.alter(ctx, name, sqlSet(name, "TRUSTWORTHY", f.Options[optionTrust] == "1")); err != nil {
		return err
	}
	have, err := s.outer(ctx, name)
	if err != nil {
		return err
	}
	have.contents = got
	return swap.Unaccepted(f.differences(have), accepted, differ)
}

// own gives a copy, which belongs to the login that restored it, the owner that the database had.
// A trigger of the database would be fired by that, with the rights of our login: those are
// disabled meanwhile. A member of db_owner could make another one at that moment, so that this
// session is the only one until the copy has its owner. What is compared afterwards includes
// which triggers are enabled.
func (s *session) own(ctx context.Context, name string, f facts) error {
	h, err := s.hold(name)
	if err != nil {
		return err
	}
	const async = "AUTO_UPDATE_STATISTICS_ASYNC" // its thread could be the only session
	updates := f.Options[optionAsync] == "1"
	if updates {
		if err := s.alter(ctx, name, sqlSet(name, async, false)); err != nil {
			return err
		}
	}
	err = s.within(ctx, name, func(c *sql.Conn) error {
		run := func(statement string) error {
			_, err := c.ExecContext(ctx, guarded(statement, h))
			return err
		}
		if err := run(sqlAlone(name)); err != nil {
			return err
		}
		triggers, err := texts(ctx, c, sqlTriggers)
		if err != nil {
			return err
		}
		steps := []string{sqlOwner(name, f.Owner)}
		if len(triggers) > 0 {
			steps = []string{sqlSetTriggers("DISABLE", triggers), steps[0], sqlSetTriggers("ENABLE", triggers)}
		}
		for _, statement := range append(steps, sqlRestrict(name, 0)) {
			if err := run(statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !updates {
		return err
	}
	return s.alter(ctx, name, sqlSet(name, async, true))
}

// texts returns the first column of what a statement selects.
func texts(ctx context.Context, c *sql.Conn, statement string) (list []string, err error) {
	rows, err := c.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// remap gives users their logins by name, where the numbers of logins differ: on
// another server, or for a login that was made again.
func (s *session) remap(ctx context.Context, name string, f facts) error {
	have, err := s.users(ctx, name)
	if err != nil {
		return err
	}
	return s.inside(ctx, name, func(c *sql.Conn) error {
		for _, u := range f.Users {
			if slices.Contains(have, u) {
				continue
			}
			if _, err := c.ExecContext(ctx, sqlMap(u.Name, u.Login)); err != nil {
				return fmt.Errorf("cannot give the user %q its login: %w", u.Name, err)
			}
		}
		return nil
	})
}

// load has the server restore the backup file.
func (s *session) load(ctx context.Context, name, dir string, f facts) error {
	e, err := s.newFile()
	if err != nil {
		return err
	}
	defer e.remove()
	if err := s.put(ctx, dir, e, f.SHA256); err != nil {
		return err
	}
	if err := s.verify(ctx, e); err != nil {
		return err
	}
	files, err := s.inFile(ctx, e)
	if err != nil {
		return err
	}
	if len(files) != len(f.Files) {
		return fmt.Errorf("%w: the backup has %d files, and the database had %d", backup.ErrMismatch, len(files), len(f.Files))
	}
	for i := range files {
		at := slices.IndexFunc(f.Files, func(each file) bool { return each.Name == files[i].Name && each.Log == files[i].Log })
		if at < 0 {
			return fmt.Errorf("%w: the backup has the file %q, and the database had not", backup.ErrMismatch, files[i].Name)
		}
		files[i].Path = s.beside(name, i, f, f.Files[at])
	}
	s.begins(eventLoad)
	if err := s.aboutFile(s.exec(ctx, sqlRestore(name, e.path, files))); err != nil {
		return err
	}
	st, ours, err := s.beOne(ctx, name, "new", name[strings.LastIndexByte(name, '_')+1:])
	if err != nil {
		return err
	}
	if !ours {
		return fmt.Errorf("%w: the server reports that it has restored to %q, and that is another database", backup.ErrBusy, name)
	}
	s.known[name] = st
	return nil
}

// beside returns the path of the i-th file of a new database: in the directory of the
// file that it is a copy of or, on another server, in that server's own.
func (s *session) beside(name string, i int, f facts, of file) string {
	dir, separator := parent(of.Path), "/"
	if f.Server != s.server.name && s.server.data != "" {
		dir = strings.TrimRight(s.server.data, `\/`)
	}
	if strings.Contains(dir, `\`) || len(dir) == 2 && dir[1] == ':' {
		separator = `\`
	}
	extension := ".mdf"
	switch {
	case of.Log:
		extension = ".ldf"
	case i > 0:
		extension = ".ndf"
	}
	mark := name[strings.LastIndexByte(name, '_')+1:]
	return fmt.Sprintf("%s%s%s_%s_%d%s", strings.TrimRight(dir, `\/`), separator, safeName(s.name), mark, i+1, extension)
}

// inFile returns the files in a backup. Versions of the server list different columns.
func (s *session) inFile(ctx context.Context, e exchanged) (list []file, err error) {
	err = s.rows(ctx, sqlFileList(e.path), nil, func(r *sql.Rows) error {
		columns, err := r.Columns()
		if err != nil {
			return err
		}
		var name, kind sql.NullString
		into := make([]any, len(columns))
		for i, c := range columns {
			switch strings.ToLower(c) {
			case "logicalname":
				into[i] = &name
			case "type":
				into[i] = &kind
			default:
				into[i] = new(any)
			}
		}
		if err := r.Scan(into...); err != nil {
			return err
		}
		list = append(list, file{Name: name.String, Log: strings.TrimSpace(kind.String) == "L"})
		return nil
	})
	return list, s.aboutFile(err)
}
