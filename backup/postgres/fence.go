package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Close is the database's half of the fence: it keeps out every role but
// superusers (CONNECTION LIMIT 0), ends the sessions that are there and
// returns when none is left. The limit that was in force is kept in the
// database itself, in the same transaction, so that Open finds it after
// any crash. Repeating it does no harm.
//
// The error wraps ErrBusy where sessions do not go or keep coming: those of a
// superuser, which no limit stops, or a prepared transaction. One of a superuser
// that went and did not come back at once is told of as StageShared: it may
// come back later, and write what a way back loses.
func (d *Database) Close(ctx context.Context) error {
	s, err := d.begin(ctx)
	if err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	defer s.close()
	if err := s.shut(ctx); err != nil {
		return fmt.Errorf("closing the database %q: %w", s.name, err)
	}
	return nil
}

func (s *session) shut(ctx context.Context) error {
	live, err := s.live(ctx)
	if err != nil {
		return err
	}
	limit := live.limit
	if live.closed() {
		limit, err = strconv.Atoi(live.settings[setLimit])
		if err != nil {
			return fmt.Errorf("its setting %s is no number: %w", setLimit, err)
		}
	}
	if err := s.together(ctx, fence(s.name, true, limit)...); err != nil {
		return err
	}
	super, err := s.empty(ctx, s.name)
	if err == nil && super != "" {
		s.tell(StageShared, "a superuser was on it, whom the fence does not hold: "+super+": keep that program away, or give it a role of its own")
	}
	return err
}

// fence returns what closes a database, or opens it with that limit.
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

// Open lifts what Close did: the limit that was in force before is in force
// again. A database that is not closed stays as it is.
func (d *Database) Open(ctx context.Context) error {
	s, err := d.begin(ctx)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	defer s.close()
	live, err := s.live(ctx)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if !live.closed() {
		return nil
	}
	limit, err := strconv.Atoi(live.settings[setLimit])
	if err == nil {
		err = s.together(ctx, fence(s.name, false, limit)...)
	}
	if err != nil {
		return fmt.Errorf("opening the database %q: %w", s.name, err)
	}
	return nil
}

// Closed reports whether Close is in force. It changes nothing.
func (d *Database) Closed(ctx context.Context) (bool, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return false, err
	}
	defer s.close()
	live, err := s.live(ctx)
	return err == nil && live.closed() && live.limit == 0, err
}

// drain ends the sessions on a database and waits until the list is empty. It
// names a superuser whose was among them, "" if none was.
func (s *session) drain(ctx context.Context, name string) (super string, err error) {
	type ended struct {
		Who   string
		Super bool
		Told  bool
	}
	deadline := time.Now().Add(s.d.drainTime())
	for {
		list, err := collect[ended](ctx, s.Conn, `SELECT coalesce(usename || ' (' || application_name || ')', 'a background worker'),
			coalesce((SELECT rolsuper FROM pg_roles r WHERE r.oid = usesysid), false), pg_terminate_backend(pid)
			FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`, name)
		if err != nil || len(list) == 0 {
			return super, err
		}
		for _, e := range list {
			if e.Super {
				super = e.Who
			}
		}
		if time.Now().After(deadline) {
			return super, fmt.Errorf("%w: %d sessions stay or keep coming, such as that of %s: stop that program (no limit stops a superuser)",
				ErrBusy, len(list), list[0].Who)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return super, err
		}
	}
}

// empty drains a database and proves that it is empty. The list of sessions lacks
// those that are just logging in; renaming does count them, and makes
// newcomers wait and then meet the new limit. So it is tried and taken back.
// It names a superuser that was there, "" if none was.
func (s *session) empty(ctx context.Context, name string) (super string, err error) {
	deadline := time.Now().Add(s.d.drainTime())
	for {
		again, err := s.drain(ctx, name)
		if again != "" {
			super = again
		}
		if err != nil {
			return super, err
		}
		tx, err := s.Begin(ctx)
		if err != nil {
			return super, err
		}
		_, err = tx.Exec(ctx, "ALTER DATABASE "+ident(name)+" RENAME TO "+ident(besideName(name, kindOld, newMark())))
		if rerr := tx.Rollback(ctx); err == nil {
			err = rerr
		}
		if err == nil && again == "" {
			return super, nil
		}
		if err != nil && sqlState(err) != codeInUse {
			return super, err
		}
		if time.Now().After(deadline) {
			if err == nil {
				return super, fmt.Errorf("%w: a superuser keeps coming, and no limit stops one: stop that program, %s", ErrBusy, super)
			}
			return super, fmt.Errorf("%w: sessions or prepared transactions stay: %w", ErrBusy, err)
		}
		if err == nil {
			// It was a superuser's, whom nothing keeps from coming back: see
			// whether it does.
			if err := pause(ctx, 200*time.Millisecond); err != nil {
				return super, err
			}
		}
	}
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
