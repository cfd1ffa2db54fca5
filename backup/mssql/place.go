package mssql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/aspupdate/aspupdate/backup"
)

// A place is the server, whose names are databases. See package swap for the names and
// for what a crash between two renames leaves.
type place struct{ s *session }

// List returns only what is proven to be what its name says, see prove.
func (p *place) List(ctx context.Context) ([]string, error) { return p.s.prove(ctx) }

func (s *session) names(ctx context.Context) (list []string, err error) {
	err = s.rows(ctx, sqlNames, nil, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		list = append(list, name)
		return err
	})
	return list, err
}

// Rename relies on what the server has afterwards: an answer can be lost after the
// rename.
func (p *place) Rename(ctx context.Context, from, to string) error {
	h, err := p.s.hold(from)
	if err != nil {
		return err
	}
	err = p.s.alone(ctx, sqlRename(from, to), h)
	st, serr := p.s.status(context.WithoutCancel(ctx), to)
	switch {
	case serr != nil && ignoreNone(serr) != nil:
		return errors.Join(err, serr)
	case serr == nil && h.is(st.identity):
		delete(p.s.known, from)
		p.s.known[to] = st
		return nil
	case err != nil:
		return fmt.Errorf("cannot rename %q to %q: %w", from, to, err)
	}
	return fmt.Errorf("the server reports that %q was renamed, and has no %q", from, to)
}

// Drop drops what was live before a restore only while what is live is known.
func (p *place) Drop(ctx context.Context, name string) error {
	h, err := p.s.hold(name)
	if err != nil {
		return err
	}
	held := []hold{h}
	if strings.HasPrefix(name, p.s.name+"_aspupdate_old_") {
		live, err := p.s.hold(p.s.name)
		if err != nil {
			return fmt.Errorf("%q is not dropped: %w", name, err)
		}
		held = append(held, live)
	}
	err = p.s.alone(ctx, sqlDrop(name), held...)
	st, serr := p.s.status(context.WithoutCancel(ctx), name)
	switch {
	case errors.Is(serr, sql.ErrNoRows) || serr == nil && st.id != h.id:
		delete(p.s.known, name)
		return nil
	case serr != nil:
		return errors.Join(err, serr)
	case err != nil:
		return fmt.Errorf("cannot drop %q: %w", name, err)
	}
	return fmt.Errorf("the server reports that %q was dropped, and still has it", name)
}

// ignoreNone returns err unless it says that the database does not exist.
func ignoreNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// Tidy implements [backup.Tidier]: it drops what restores kept aside. It fails if no
// database has the live name.
func (d *Database) Tidy(ctx context.Context) error {
	s, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return failed("tidy database", s.name, s.slot().Tidy(ctx))
}

// settleBroker disables Service Broker in databases that are kept aside, and marks
// those, see markBroker; it enables the broker of the live database if that is
// marked. Only one of several databases with the same identifier can have it
// enabled, and a copy has that of its original.
func (s *session) settleBroker(ctx context.Context) error {
	names, err := s.prove(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		st := s.known[name]
		if name == s.name {
			continue
		}
		if st.state != online || st.broker == 0 {
			continue
		}
		if err := s.mark(ctx, name, true); err != nil {
			return err
		}
		if err := s.alone(ctx, sqlBroker(name, false), hold{name, st.identity}); err != nil {
			return err
		}
	}
	live, ok := s.known[s.name]
	if !ok || live.state != online {
		return nil
	}
	if marked, err := s.marked(ctx, s.name); err != nil || !marked {
		return err
	}
	if live.broker == 0 {
		if err := s.alone(ctx, sqlBroker(s.name, true), hold{s.name, live.identity}); err != nil {
			return err
		}
	}
	return s.mark(ctx, s.name, false)
}

func (s *session) marked(ctx context.Context, name string) (bool, error) {
	var n int
	err := s.row(ctx, sqlMarked(name, markBroker), nil, &n)
	return n != 0, err
}

// mark sets or removes the mark of a database.
func (s *session) mark(ctx context.Context, name string, on bool) error {
	marked, err := s.marked(ctx, name)
	if err != nil || marked == on {
		return err
	}
	statement := sqlUnmark
	if on {
		statement = sqlMark
	}
	return s.inside(ctx, name, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, statement)
		return err
	})
}

var _ backup.Restored = (*restored)(nil)

// restored is what Restore returns. Each of its calls has a session of its own.
type restored struct {
	d     *Database
	place *place
	backup.Restored
	old  identity // of what was live, if anything was
	made identity // of what was restored
	done bool
}

// Undo implements [backup.Restored]. The database must be closed to users, and be the
// one that was restored.
func (r *restored) Undo(ctx context.Context) error {
	return r.finish(ctx, func(s *session) error {
		st, err := s.status(ctx, s.name)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case r.old.is(st.identity): // an earlier Undo that was cut short, which the next call has finished
			return nil
		case !r.made.is(st.identity):
			return fmt.Errorf("%w: what is live is not what this restore has put there; nothing is undone", backup.ErrIncompatible)
		case st.access != restricted:
			return s.fenced(ctx)
		}
		if err := r.Restored.Undo(ctx); err != nil {
			return err
		}
		if err := s.settleBroker(ctx); err != nil {
			s.warn("Service Broker is not as it was: " + err.Error())
		}
		return nil
	})
}

// Discard implements [backup.Restored].
func (r *restored) Discard(ctx context.Context) error {
	return r.finish(ctx, func(*session) error { return r.Restored.Discard(ctx) })
}

func (r *restored) finish(ctx context.Context, do func(*session) error) error {
	if r.done {
		return nil
	}
	s, err := r.d.begin(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	r.place.s = s
	err = failed("finish the restore of database", s.name, do(s))
	r.done = err == nil
	return err
}
