package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// good publishes a release after which all databases are restructured, four at a time.
func (s *aspShow) good(ctx context.Context) error {
	first := s.atOnce()
	if err := s.hold(s.Names[:first]...); err != nil {
		return err
	}
	if err := s.publish(change{Version: "7.13.100", Slow: []string{s.Names[first], s.Names[len(s.Names)-1]}, Pause: 200 * time.Millisecond, Statements: []string{
		"ALTER TABLE entry ADD COLUMN office TEXT NOT NULL DEFAULT ''",
		"UPDATE entry SET district = 'Tula'",
	}}); err != nil {
		return err
	}
	u, err := s.updating(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(s.midway(ctx, u, first), s.behind(ctx, "7.13.100")); err != nil {
		return errors.Join(err, u.kill())
	}
	if n := len(s.lines("requests")); n != first {
		return errors.Join(fmt.Errorf("%d databases are being restructured at a time instead of %d", n, first), u.kill())
	}
	s.say("   %d databases are being restructured, the version page shows 7.13.100 already, and no user is in", first)
	if err := errors.Join(s.hold(), <-u.ended); err != nil {
		return err
	}
	return s.verify(ctx, "7.13.100")
}

// behind checks that the databases differ behind the closed entry, that the version
// page does not show that, and that the user goes on asking and is not let in.
func (s *aspShow) behind(ctx context.Context, version string) error {
	v, err := s.site.ask(ctx, http.MethodGet, "/version")
	if err == nil && v != version {
		err = fmt.Errorf("the version page shows %s instead of %s", v, version)
	}
	page, perr := s.site.ask(ctx, http.MethodPost, "/maintenance/login")
	if perr == nil && !strings.Contains(page, differ) {
		perr = fmt.Errorf("no database differs: %s", page)
	}
	if err := errors.Join(err, perr); err != nil {
		return err
	}
	asked, in, _, err := s.seen()
	if err != nil {
		return err
	}
	err = s.until(ctx, "see the user ask again", func() bool { now, _, _, _ := s.seen(); return now >= asked+10 })
	if _, now, _, _ := s.seen(); now != in {
		err = errors.Join(err, errors.New("a user was let in while databases differed"))
	}
	return err
}

// broken publishes a release that cannot restructure one of the databases. All come back.
func (s *aspShow) broken(ctx context.Context) error {
	acked := s.user.count()
	before, err := s.contents(acked)
	if err != nil {
		return err
	}
	if err := s.publish(change{Version: "7.13.200", Statements: []string{
		"CREATE TABLE guardian AS SELECT id FROM entry",
		"CREATE UNIQUE INDEX one_text ON entry (text)", // one database has a text twice
	}}); err != nil {
		return err
	}
	if err := s.expect(s.aspupdate(ctx, "update"), exitRolledBack); err != nil {
		return err
	}
	after, err := s.contents(acked)
	if err != nil {
		return err
	}
	for i := range before {
		if after[i] != before[i] {
			return fmt.Errorf("%s is not what it was: it has %q instead of %q", s.Names[i], after[i], before[i])
		}
	}
	s.say("   all %d databases are what they were", len(before))
	return s.verify(ctx, s.installedVersion())
}

// installedVersion returns the version that was installed before the second act.
func (s *aspShow) installedVersion() string {
	if s.Short {
		return "7.12.100"
	}
	return "7.13.100"
}

// interrupted kills the updater while one database is being restructured. What is done is
// not begun again, and recover goes on with the rest.
func (s *aspShow) interrupted(ctx context.Context) error {
	if err := s.hold(s.Names[s.killed-1]); err != nil {
		return err
	}
	if err := s.publish(change{Version: "7.13.300", Statements: []string{
		"DROP TABLE IF EXISTS guardian", "CREATE TABLE guardian AS SELECT id, text FROM entry",
	}}); err != nil {
		return err
	}
	u, err := s.updating(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(s.midway(ctx, u, 1), s.behind(ctx, "7.13.300")); err != nil {
		return errors.Join(err, u.kill())
	}
	if err := s.until(ctx, "restructure the databases before", func() bool { return len(s.lines("restructured")) >= s.killed-1 }); err != nil {
		return errors.Join(err, u.kill())
	}
	if err := u.kill(); err != nil {
		return err
	}
	done := s.lines("restructured")
	s.say("   updater %d killed: database %d is half restructured, %d are done", u.Process.Pid, s.killed, len(done))
	if err := errors.Join(s.behind(ctx, "7.13.300"), s.hold()); err != nil {
		return err
	}
	if err := s.expect(s.aspupdate(ctx, "recover"), 0); err != nil {
		return err
	}
	begun := map[string]int{}
	for _, name := range s.lines("requests") {
		begun[name]++
	}
	for _, name := range done {
		if begun[name] != 1 {
			return fmt.Errorf("%s was restructured, and begun %d times", name, begun[name])
		}
	}
	s.say("   recover went on with the rest, and began none of the %d again", len(done))
	return s.verify(ctx, "7.13.300")
}

// hold makes the restructuring of databases wait before its end, and forgets what was
// noted of earlier ones.
func (s *aspShow) hold(names ...string) error {
	if len(names) == 0 {
		return s.site.write("hold", nil)
	}
	return errors.Join(s.site.write("held", nil), s.site.write("requests", nil), s.site.write("restructured", nil), s.site.write("hold", []byte(strings.Join(names, "\n"))))
}

// lines returns what the application has noted.
func (s *aspShow) lines(log string) []string { return strings.Fields(s.site.read(log)) }

// midway waits until the restructuring of so many databases is held.
func (s *aspShow) midway(ctx context.Context, u updater, count int) error {
	return s.until(ctx, "hold a restructuring", func() bool {
		return len(s.lines("held")) == count || len(u.ended) > 0
	})
}

func (s *aspShow) until(ctx context.Context, what string, done func() bool) error {
	return s.site.until(ctx, what, done)
}

// contents returns what is in each database, of what the user has entered only the
// first entries.
func (s *aspShow) contents(entries int) (list []string, err error) {
	schema := "SELECT type || name || coalesce(sql, '') FROM sqlite_schema ORDER BY 1"
	if s.Postgres != nil {
		schema = "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns WHERE table_schema = 'public'" +
			" UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
	}
	for i := range s.Names {
		var text string
		err := s.onBase(i, func(db *sql.DB) error {
			for _, query := range []string{schema, "SELECT version FROM about", fmt.Sprintf("SELECT id || ' ' || text || ' ' || district FROM entry WHERE id <= %d ORDER BY id", entries)} {
				part, err := column(db, query)
				if err != nil {
					return err
				}
				text += part
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, nil
}

// verify checks that every database is at a version, that the user is in and can write, and
// that every acknowledged entry is in its database.
func (s *aspShow) verify(ctx context.Context, want string) error {
	before := s.user.count()
	if err := s.until(ctx, "let the user write again", func() bool { return s.user.count() > before }); err != nil {
		return err
	}
	_, _, commits, err := s.seen()
	if err != nil {
		return err
	}
	acked, kept := s.user.count(), 0
	for i := range s.Names {
		if err := s.onBase(i, func(db *sql.DB) error {
			v, err := structure(ctx, db)
			if err != nil {
				return err
			}
			if v != want {
				return fmt.Errorf("its structure is of version %s instead of %s", v, want)
			}
			var n int
			err = db.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM entry WHERE id BETWEEN 1 AND %d AND id %% %d = %d AND text = 'entry ' || id", acked, len(s.Names), i)).Scan(&n)
			kept += n
			return err
		}); err != nil {
			return err
		}
	}
	if kept != acked {
		return fmt.Errorf("%d of %d acknowledged writes are lost", acked-kept, acked)
	}
	if seen := append([]string{"7.12.100"}, commits...); seen[len(seen)-1] != want {
		return fmt.Errorf("the last commit that was seen is of version %s instead of %s", seen[len(seen)-1], want)
	}
	s.say("   all %d databases are at version %s, all %d acknowledged writes are in them, the user keeps writing", len(s.Names), want, acked)
	return nil
}
