package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/backup"
)

// A swap gives the live name to another database.
type swap struct {
	live      *dbInfo // nil if there is none
	aside     string  // the name that it gets
	asideKind string
	arrives   string // the name of the one that takes its place
	closed    bool   // whether that is closed to users
	limit     int    // its connection limit when open
	tenure    tenure // likewise

	attributes []string // statements that complete it
}

// swap first allows no connections, then terminates all sessions, then renames in
// one transaction. Otherwise clients that reconnect win the race. After a crash
// in between recover allows connections again, because of setSwapping.
func (s *session) swap(ctx context.Context, w swap) error {
	var statements []string
	if w.live != nil {
		live, aside := "ALTER DATABASE "+ident(s.name), "ALTER DATABASE "+ident(w.aside)
		if err := s.together(ctx, live+" SET "+setSwapping+" = 'yes'", live+" ALLOW_CONNECTIONS false"); err != nil {
			return err
		}
		// What is kept aside belongs to the maintenance role, too. Its limit is not
		// changed: it says whether the database was closed.
		t, err := s.tenure(ctx, w.live)
		if err != nil {
			return err
		}
		if !t.super && w.live.settings[setOwner] == "" {
			statements = append(statements, s.hold(s.name, t)...)
		}
		statements = append(statements,
			live+" RENAME TO "+ident(w.aside),
			aside+" RESET "+setSwapping,
			aside+" SET "+setKind+" = "+literal(w.asideKind))
	}
	statements = append(statements, "ALTER DATABASE "+ident(w.arrives)+" RENAME TO "+ident(s.name))
	statements = append(statements, w.attributes...)
	statements = append(statements, s.fence(s.name, w.closed, w.limit, w.tenure)...)
	statements = append(statements,
		"ALTER DATABASE "+ident(s.name)+" RESET "+setKind,
		"ALTER DATABASE "+ident(s.name)+" RESET "+setSnapshot,
		"ALTER DATABASE "+ident(s.name)+" ALLOW_CONNECTIONS true")

	deadline := time.Now().Add(s.d.drainFor())
	for {
		for _, name := range []string{s.name, w.arrives} {
			if _, err := s.drain(ctx, name); err != nil {
				return err
			}
		}
		err := s.together(ctx, statements...)
		if sqlState(err) != codeInUse {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: sessions or prepared transactions remain: %w", backup.ErrBusy, err)
		}
	}
}

// restored is what Restore returns. It holds the OIDs of databases, which
// renaming does not change.
type restored struct {
	d     *Database
	fresh uint32 // what was restored
	old   uint32 // what was live before, 0 if nothing was
	done  bool
}

// happened reports whether the restored database has the live name.
func (r *restored) happened(ctx context.Context) bool {
	s, err := r.d.connect(context.WithoutCancel(ctx), reading)
	if err != nil {
		return false
	}
	defer s.close()
	live, err := s.find(context.WithoutCancel(ctx), s.name)
	return err == nil && live != nil && live.oid == r.fresh
}

// Undo implements [backup.Restored]. The database that was live before is closed
// to users if the restored one is.
func (r *restored) Undo(ctx context.Context) error {
	return r.finish(ctx, "undo the restore of database", (*session).undo)
}

// Discard implements [backup.Restored].
func (r *restored) Discard(ctx context.Context) error {
	return r.finish(ctx, "discard what was live before the restore of database", (*session).discard)
}

func (r *restored) finish(ctx context.Context, op string, do func(*session, context.Context, *restored) error) error {
	if r.done {
		return nil
	}
	s, err := r.d.begin(ctx)
	if err != nil {
		return err
	}
	err = do(s, ctx, r)
	s.close()
	if err != nil {
		return errors.Join(failed(op, s.name, err), r.d.settle(ctx))
	}
	r.done = true
	return nil
}

func (s *session) undo(ctx context.Context, r *restored) error {
	live, err := s.find(ctx, s.name)
	if err != nil {
		return err
	}
	if r.old == 0 {
		return s.giveUp(ctx, live, r)
	}
	if live != nil && live.oid == r.old {
		return nil // an earlier Undo, whose answer was lost
	}
	old, err := s.findOID(ctx, r.old)
	if err != nil {
		return err
	}
	if old == nil || old.settings[setKind] != kindOld {
		return errors.New("the database that was live before is gone: nothing to go back to")
	}
	limit, err := old.openLimit()
	if err != nil {
		return err
	}
	t, err := s.tenure(ctx, old)
	if err != nil {
		return err
	}
	w := swap{
		tenure: t,
		live:   live, aside: besideName(s.name, kindNew, newMark()), asideKind: kindNew,
		arrives: old.name, closed: old.closed(), limit: limit,
	}
	if live != nil {
		w.closed = live.closed()
	}
	if err := s.swap(ctx, w); err != nil {
		return err
	}
	return s.recover(ctx) // drops what was restored
}

// giveUp drops what was restored where nothing was live before.
func (s *session) giveUp(ctx context.Context, live *dbInfo, r *restored) error {
	if live == nil || live.oid != r.fresh {
		return nil
	}
	aside := besideName(s.name, kindNew, newMark())
	if _, err := s.empty(ctx, s.name); err != nil {
		return err
	}
	err := s.together(ctx,
		"ALTER DATABASE "+ident(s.name)+" RENAME TO "+ident(aside),
		"ALTER DATABASE "+ident(aside)+" SET "+setKind+" = "+literal(kindNew))
	if err != nil {
		return err
	}
	return s.recover(ctx)
}

func (s *session) discard(ctx context.Context, r *restored) error {
	if r.old == 0 {
		return nil
	}
	old, err := s.findOID(ctx, r.old)
	if err != nil || old == nil {
		return err
	}
	if old.settings[setKind] != kindOld || kindOf(s.name, old.name) != kindOld {
		return fmt.Errorf("%q is no longer what was kept aside, and was not dropped", old.name)
	}
	return s.drop(ctx, old.name)
}
