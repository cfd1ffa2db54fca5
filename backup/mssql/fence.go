package mssql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/aspupdate/aspupdate/backup"
)

// States of a database, as sys.databases has them.
const (
	online     = "ONLINE"
	restricted = "RESTRICTED_USER"
	multi      = "MULTI_USER"
)

// status describes a database.
type status struct {
	identity
	state, access, owner string
	readOnly             int
	broker               int
}

// status returns sql.ErrNoRows if the database does not exist.
func (s *session) status(ctx context.Context, name string) (st status, err error) {
	err = s.row(ctx, sqlStatus, []any{name}, &st.id, &st.created, &st.guid, &st.state, &st.access, &st.readOnly, &st.owner, &st.broker)
	return st, err
}

// live returns the status of the live database, and fails if there is none.
func (s *session) live(ctx context.Context) (status, error) {
	st, err := s.status(ctx, s.name)
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("database %q does not exist: %w", s.name, fs.ErrNotExist)
	}
	return st, err
}

// A client is a session of others on a database.
type client struct {
	id       int
	since    string
	login    string
	program  string
	sysadmin int
}

func (c client) String() string {
	if c.program == "" {
		return c.login
	}
	return c.login + " (" + c.program + ")"
}

// clients returns the sessions on the database with that number.
func (s *session) clients(ctx context.Context, id int) (list []client, err error) {
	err = s.rows(ctx, sqlSessions, []any{id}, func(r *sql.Rows) error {
		var c client
		err := r.Scan(&c.id, &c.since, &c.login, &c.program, &c.sysadmin)
		list = append(list, c)
		return err
	})
	return list, err
}

// killed remembers which sessions were ended. A number that is in use again is
// another session, and each is ended once: see KILL.
type killed map[string]bool

// kill ends the sessions on a database, and returns who they were.
func (s *session) kill(ctx context.Context, id int, done killed) ([]client, error) {
	list, err := s.clients(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		key := fmt.Sprint(c.id, " ", c.since)
		if done[key] {
			continue
		}
		if err := s.exec(ctx, sqlKill(c.id)); err != nil && !number(err, errNoProcess) {
			return nil, err
		}
		done[key] = true
	}
	return list, nil
}

// alone runs a statement that needs a database without sessions. It ends them, and
// tries again while others come back. The first of what is held is that database.
func (s *session) alone(ctx context.Context, statement string, held ...hold) error {
	done := killed{}
	for deadline := time.Now().Add(s.d.drainFor()); ; {
		who, err := s.kill(ctx, held[0].id, done)
		if err != nil {
			return err
		}
		if err = s.exec(ctx, guarded(statement, held...)); !number(err, errNotExclusive, errInUse) {
			return err
		}
		if time.Now().After(deadline) {
			if len(who) > 0 {
				err = advise(err, "stop that program: "+who[0].String())
			}
			return err
		}
		if err := s.d.pause(ctx); err != nil {
			return err
		}
	}
}

// Close is the database's half of the fence: only sysadmins, the owner, and the
// members of dbcreator and db_owner may connect from then on (RESTRICTED_USER). Open
// transactions get Notice to end; then all sessions are ended, and Close returns
// when none is left. It may be repeated.
//
// The error wraps [backup.ErrBusy] if sessions stay or keep coming back. If that of a
// sysadmin was ended and did not come back at once, Close succeeds with a warning.
func (d *Database) Close(ctx context.Context) error {
	s, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return failed("close database", s.name, s.shut(ctx))
}

func (s *session) shut(ctx context.Context) error {
	st, err := s.live(ctx)
	if err != nil {
		return err
	}
	if err := st.usable(); err != nil {
		return err
	}
	s.begins(eventDrain)
	if err := s.exec(ctx, guarded(sqlRestrict(s.name, s.d.Notice), hold{s.name, st.identity})); err != nil {
		return err
	}
	var admin *client
	done, quiet := killed{}, 0
	for deadline := time.Now().Add(s.d.drainFor()); ; {
		who, err := s.kill(ctx, st.id, done)
		if err != nil {
			return err
		}
		quiet++
		for _, c := range who {
			quiet = 0
			if c.sysadmin != 0 {
				admin = &c
			}
		}
		if quiet == 3 { // they do not come back at once
			break
		}
		if len(who) > 0 && time.Now().After(deadline) {
			return advise(fmt.Errorf("%w: %d sessions stay or keep coming back, such as that of %s", backup.ErrBusy, len(who), who[0]), s.howToKeepOut(who[0]))
		}
		if err := s.d.pause(ctx); err != nil {
			return err
		}
	}
	if admin != nil {
		s.warn("a sysadmin was connected, whom no fence stops: " + admin.String() + ": keep that program out, or give it another login")
	}
	return nil
}

func (s *session) howToKeepOut(c client) string {
	if c.login == s.server.login { // which we need as it is
		return "stop that program, or give it another login"
	}
	if c.sysadmin != 0 {
		return "stop that program, or ALTER SERVER ROLE [sysadmin] DROP MEMBER " + ident(c.login)
	}
	return "stop that program, or USE " + ident(s.name) + "; ALTER ROLE [db_owner] DROP MEMBER of the user of " + ident(c.login)
}

// Open undoes Close. It does nothing if the database is open.
func (d *Database) Open(ctx context.Context) error {
	s, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	return failed("open database", s.name, s.admit(ctx))
}

func (s *session) admit(ctx context.Context) error {
	st, err := s.live(ctx)
	if err != nil || st.access == multi {
		return err
	}
	return s.exec(ctx, guarded(sqlAdmit(s.name), hold{s.name, st.identity}))
}

// Closed reports whether the database is closed and no one is in but sysadmins,
// whom no fence stops. It changes nothing.
func (d *Database) Closed(ctx context.Context) (bool, error) {
	s, err := d.connect(ctx)
	if err != nil {
		return false, err
	}
	defer s.close()
	err = s.fenced(ctx)
	if errors.Is(err, backup.ErrBusy) {
		return false, nil
	}
	return err == nil, failed("check the fence of database", s.name, err)
}

// fenced fails with ErrBusy unless the database is closed and no one is in.
func (s *session) fenced(ctx context.Context) error {
	st, err := s.live(ctx)
	if err != nil {
		return err
	}
	if st.access != restricted {
		return advise(fmt.Errorf("%w: the database is open to users", backup.ErrBusy), "close it first")
	}
	list, err := s.clients(ctx, st.id)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.sysadmin == 0 {
			return advise(fmt.Errorf("%w: a session of %s is on the closed database", backup.ErrBusy, c), s.howToKeepOut(c))
		}
	}
	return nil
}
