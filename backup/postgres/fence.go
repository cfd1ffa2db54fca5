package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aspupdate/aspupdate/backup"
)

// Close is the database's half of the fence: it closes the database to all roles
// but superusers (CONNECTION LIMIT 0), terminates the sessions on it, and returns
// when none is left. Its owner could lift the limit; so the maintenance role owns
// the database until Open. Limit, owner and grants that were in force are kept in the database, in the
// same transaction, so that Open finds them after any crash. Close may be repeated.
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
	t, err := s.tenure(ctx, live)
	if err != nil {
		return err
	}
	if err := s.canFence(ctx, t); err != nil {
		return err
	}
	if err := s.together(ctx, s.fence(s.name, true, limit, t)...); err != nil {
		return err
	}
	super, err := s.empty(ctx, s.name)
	if err == nil && super != "" {
		s.warn("a superuser was connected, whom the fence does not stop: " + super + ": keep that program out, or give it another role")
	}
	return err
}

// fence returns the statements that close a database, or open it with that limit
// and for that owner.
func (s *session) fence(name string, closed bool, limit int, t tenure) []string {
	db := "ALTER DATABASE " + ident(name)
	if closed && s.limited {
		return append(append(s.hold(name, t), s.revokes(name, t)...), db+" SET "+setLimit+" = "+literal(strconv.Itoa(limit)))
	}
	if closed {
		return append(s.hold(name, t),
			db+" SET "+setLimit+" = "+literal(strconv.Itoa(limit)),
			db+" CONNECTION LIMIT 0")
	}
	return append(s.give(name, t),
		db+" CONNECTION LIMIT "+strconv.Itoa(limit),
		db+" RESET "+setLimit)
}

// Open undoes Close: it restores the previous connection limit, owner and grants. It does
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
	t, err := s.tenure(ctx, live)
	if err != nil {
		return err
	}
	return s.together(ctx, s.fence(s.name, false, limit, t)...)
}

// Closed reports whether the database is closed and no one is in but superusers, whom no
// fence stops. It is false if the owner could open it, too, unless an earlier version of this
// package closed it, which left it to the owner; Close takes it over. It changes nothing.
func (d *Database) Closed(ctx context.Context) (bool, error) {
	err := d.checkClosed(ctx)
	if errors.Is(err, backup.ErrBusy) {
		return false, nil
	}
	return err == nil, err
}

// checkClosed returns nil if the database is still closed and no one is in but
// superusers, whom no fence stops. The error wraps [backup.ErrBusy] if somebody is, or could be. It
// changes nothing.
func (d *Database) checkClosed(ctx context.Context) error {
	s, err := d.connect(ctx, reading)
	if err != nil {
		return err
	}
	defer s.close()
	return failed("check the fence of database", s.name, s.checkFence(ctx))
}

func (s *session) checkFence(ctx context.Context) error {
	live, err := s.live(ctx)
	if err != nil {
		return err
	}
	fenced, err := s.fenced(ctx, live)
	if err != nil {
		return err
	}
	if !fenced && !live.closedBefore() {
		return advise(fmt.Errorf("%w: the database is open, or its owner %q can open it", backup.ErrBusy, live.owner), "close it again; what was entered meanwhile is not in the snapshot")
	}
	inside, err := collect[struct{ Who string }](ctx, s.Conn, `SELECT usename || ' (' || application_name || ')' FROM pg_stat_activity a
		WHERE datname = $1 AND backend_type = 'client backend' AND NOT coalesce((SELECT rolsuper FROM pg_roles r WHERE r.oid = usesysid), false) AND NOT ($2 AND usename = current_user)`, s.name, s.limited)
	if err == nil && len(inside) > 0 {
		err = advise(fmt.Errorf("%w: %d sessions are on the closed database, such as that of %s", backup.ErrBusy, len(inside), inside[0].Who), "end them; what they entered is not in the snapshot")
	}
	return err
}

// drain terminates the sessions on a database until none is listed. It names a
// superuser with one of them, "" if there was none.
func (s *session) drain(ctx context.Context, name string) (super string, err error) {
	type terminated struct {
		Who   string
		Super bool
		Sent  bool
	}
	deadline := time.Now().Add(s.d.drainFor())
	for {
		list, err := collect[terminated](ctx, s.Conn, `SELECT coalesce(usename || ' (' || application_name || ')', 'a background worker'),
			super, CASE WHEN $2 AND super THEN false ELSE pg_terminate_backend(pid) END
			FROM pg_stat_activity, LATERAL (SELECT coalesce((SELECT rolsuper FROM pg_roles r WHERE r.oid = usesysid), false) AS super) s
			WHERE datname = $1 AND pid <> pg_backend_pid() AND (backend_type = 'client backend' OR NOT $2)`, name, s.limited) // the server ends its own workers when the database is renamed
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
	deadline := time.Now().Add(s.d.drainFor())
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
