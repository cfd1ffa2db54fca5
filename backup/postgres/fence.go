package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aspupdate/aspupdate/backup"
)

// Close is the database's half of the fence: it closes the database to all roles
// but superusers (CONNECTION LIMIT 0), terminates the sessions on it, and returns
// when none is left. The limit that was in force is kept in the database, in the
// same transaction, so that Open finds it after any crash. Close may be repeated.
//
// The error wraps [backup.ErrBusy] if sessions stay or keep coming back, those of
// a superuser, whom no limit stops, or if there is a prepared transaction. If a
// superuser's session was terminated and did not come back at once, Close
// succeeds with a warning: it may come back later, and write what a rollback loses.
func (d *Database) Close(ctx context.Context) error {
	s, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return failed("close database", s.name, s.shut(ctx))
}

func (s *session) shut(ctx context.Context) error {
	live, err := s.live(ctx)
	if err != nil {
		return err
	}
	limit, err := live.openLimit()
	if err != nil {
		return err
	}
	if err := s.together(ctx, fence(s.name, true, limit)...); err != nil {
		return err
	}
	super, err := s.empty(ctx, s.name)
	if err == nil && super != "" {
		s.warn("a superuser was connected, whom the fence does not stop: " + super + ": keep that program out, or give it another role")
	}
	return err
}

// fence returns the statements that close a database, or open it with that limit.
func fence(name string, closed bool, limit int) []string {
	db := "ALTER DATABASE " + ident(name)
	if closed {
		return []string{
			db + " SET " + setLimit + " = " + literal(strconv.Itoa(limit)),
			db + " CONNECTION LIMIT 0",
		}
	}
	return []string{
		db + " CONNECTION LIMIT " + strconv.Itoa(limit),
		db + " RESET " + setLimit,
	}
}

// Open undoes Close: it restores the previous connection limit. It does
// nothing if the database is not closed.
func (d *Database) Open(ctx context.Context) error {
	s, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return failed("open database", s.name, s.open(ctx))
}

func (s *session) open(ctx context.Context) error {
	live, err := s.live(ctx)
	if err != nil || !live.closed() {
		return err
	}
	limit, err := live.openLimit()
	if err != nil {
		return err
	}
	return s.together(ctx, fence(s.name, false, limit)...)
}

// Closed reports whether the database is closed. It changes nothing.
func (d *Database) Closed(ctx context.Context) (bool, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return false, err
	}
	defer s.close()
	live, err := s.live(ctx)
	return err == nil && live.closed() && live.limit == 0, err
}

// drain terminates the sessions on a database until none is listed. It names a
// superuser with one of them, "" if there was none.
func (s *session) drain(ctx context.Context, name string) (super string, err error) {
	type terminated struct {
		Who   string
		Super bool
		Sent  bool
	}
	deadline := time.Now().Add(s.d.drainTimeout())
	for {
		list, err := collect[terminated](ctx, s.Conn, `SELECT coalesce(usename || ' (' || application_name || ')', 'a background worker'),
			coalesce((SELECT rolsuper FROM pg_roles r WHERE r.oid = usesysid), false), pg_terminate_backend(pid)
			FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`, name)
		if err != nil || len(list) == 0 {
			return super, err
		}
		for _, t := range list {
			if t.Super {
				super = t.Who
			}
		}
		if time.Now().After(deadline) {
			return super, advise(fmt.Errorf("%w: %d sessions stay or keep coming back, such as that of %s", backup.ErrBusy, len(list), list[0].Who),
				"stop that program (no limit stops a superuser)")
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return super, err
		}
	}
}

// empty drains a database until no session is left, not even one that is just
// logging in, and until no superuser comes back at once. It names a superuser
// that had a session, "" if none had.
func (s *session) empty(ctx context.Context, name string) (super string, err error) {
	deadline := time.Now().Add(s.d.drainTimeout())
	for {
		drained, err := s.drain(ctx, name)
		super = cmp.Or(drained, super)
		if err == nil {
			err = s.tryRename(ctx, name)
		}
		inUse := sqlState(err) == codeInUse
		switch {
		case err == nil && drained == "":
			return super, nil
		case err == nil:
			err = advise(fmt.Errorf("%w: a superuser keeps coming back, and no limit stops one", backup.ErrBusy), "stop that program: "+super)
		case inUse:
			err = fmt.Errorf("%w: sessions or prepared transactions remain: %w", backup.ErrBusy, err)
		default:
			return super, err
		}
		if time.Now().After(deadline) {
			return super, err
		}
		if !inUse { // the server itself waits while the database is in use
			if err := pause(ctx, 200*time.Millisecond); err != nil {
				return super, err
			}
		}
	}
}

// tryRename renames a database and undoes that. Unlike the list of sessions,
// renaming detects those that are just logging in: the server fails with
// codeInUse, or makes them wait and then meet the new limit.
func (s *session) tryRename(ctx context.Context, name string) error {
	tx, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "ALTER DATABASE "+ident(name)+" RENAME TO "+ident(besideName(name, kindOld, newMark())))
	if rerr := tx.Rollback(ctx); err == nil {
		return rerr
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
