package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
)

// An ASP is the demo of a site that is shaped as the vendor's application, see office:
// twenty databases, restructured four at a time after an installer that leaves the
// application running.
type ASP struct {
	Keep     bool     // leave the directory in place
	Program  string   // aspupdate; "" is this program
	Dir      string   // where the demo's directory is made; "" is the system's for temporary files
	Names    []string // of the databases; nil means twenty files of SQLite
	Postgres *Postgres
	Short    bool // without the first act
}

// Postgres is a server in the place of the SQLite files. It has the databases of Names, which
// are empty, and their names begin with asp_.
type Postgres struct {
	Application string // how the application connects to {database}
	Maintenance string // how aspupdate connects to any database
}

// atOnce returns how many databases are restructured at a time: four, and fewer than all.
func (a ASP) atOnce() int { return min(4, len(a.Names)-1) }

// maintenanceVariable is the environment variable with Postgres.Maintenance.
const maintenanceVariable = "ASPUPDATE_DEMO_URI"

// An aspShow is a running ASP.
type aspShow struct {
	*show
	ASP
	office        office
	fails, killed int // which database fails in the second act, and at which the updater is killed in the third

	mu      sync.Mutex // guards what the user sees
	asked   int        // how often the user tried to log in
	in      int        // and was in
	commits []string   // the versions that were committed since
	wrong   []string   // what must never be
}

// Run plays the three acts, and returns nil only if each ended as expected and the user
// was never in while a database differed. It prints to out.
func (a ASP) Run(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := a.setUp(ctx, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.tearDown(a.Keep || err != nil)) }()
	acts := []struct {
		title string
		play  func(context.Context) error
	}{
		{"Act 1: a good release", s.good},
		{fmt.Sprintf("Act 2: a release for which database %d of %d cannot be restructured", s.fails, len(s.Names)), s.broken},
		{fmt.Sprintf("Act 3: the updater is killed in the middle of restructuring database %d", s.killed), s.interrupted},
	}
	if a.Short {
		acts = acts[1:]
	}
	for _, act := range acts {
		s.say("\n== %s ==", act.title)
		if err := act.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", act.title, err)
		}
	}
	return s.end()
}

func (a ASP) setUp(ctx context.Context, out io.Writer) (s *aspShow, err error) {
	if a.Program == "" {
		if a.Program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	if a.Names == nil {
		for i := range 20 {
			a.Names = append(a.Names, fmt.Sprintf("asp_%02d", i+1))
		}
	}
	of, err := begin(out, a.Dir, a.Program)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, of.tearDown(false))
		}
	}()
	s = &aspShow{show: of, ASP: a, office: office{of.site}, fails: min(13, len(a.Names)), killed: min(7, len(a.Names)-1)}
	s.configuration = s.configure
	s.say("The scene: an application at version 7.12.100 with %d databases, a user who logs in and writes without end,", len(a.Names))
	s.say("and the vendor's FTP server, all below %s.", s.root)
	s.say("An installer replaces the program and leaves it running; each database is restructured afterwards.")
	first := change{Version: "7.12.100"}
	if err := s.install(ctx, first); err != nil {
		return nil, err
	}
	s.user = startUser(50*time.Millisecond, s.visit)
	return s, s.installed(ctx, first)
}

// install makes the application and its databases.
func (s *aspShow) install(ctx context.Context, c change) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	if err := s.site.create(port, s.self); err != nil {
		return err
	}
	if s.Postgres != nil {
		s.env = append(s.env, maintenanceVariable+"="+s.Postgres.Maintenance)
		if err := s.site.write("server", []byte(s.Postgres.Application)); err != nil {
			return err
		}
	}
	if err := s.site.write("databases", []byte(strings.Join(s.Names, "\n"))); err != nil {
		return err
	}
	for i := range s.Names {
		statements := []string{
			"CREATE TABLE about (version TEXT NOT NULL)", "INSERT INTO about VALUES ('" + c.Version + "')",
			"CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT NOT NULL, district TEXT NOT NULL DEFAULT '')",
		}
		if i == s.fails-1 { // the release of the second act does not expect that
			statements = append(statements, "INSERT INTO entry (id, text) VALUES (-1, 'a citizen')", "INSERT INTO entry (id, text) VALUES (-2, 'a citizen')")
		}
		if err := s.onBase(i, func(db *sql.DB) error {
			for _, text := range statements {
				if _, err := db.ExecContext(ctx, text); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return s.office.install(ctx, c)
}

// configure returns the configuration of the site.
func (s *aspShow) configure() string {
	var b strings.Builder
	fmt.Fprintf(&b, "parallel = %d\n", s.atOnce())
	if s.Postgres != nil {
		b.WriteString("unproven = 'this is the demo'\n")
	}
	b.WriteString(s.server.place(s.self, s.root, s.state, s.site))
	migrate := func(database, name string) {
		command := func(what string) string {
			return fmt.Sprintf("['%s', 'demo', '%s', '--dir', '%s', '--database', '%s']", s.self, what, s.site, name)
		}
		fmt.Fprintf(&b, "\n[[distribution.migrate]]\ndatabase = '%s'\ncommand = %s\nstructure = %s\n", database, command("restructure"), command("structure"))
	}
	if s.Postgres != nil {
		fmt.Fprintf(&b, "\n[[postgres]]\ndatabases = 'asp_*'\nuri_env = '%s'\nunfenced = 'the application itself restructures them'\n", maintenanceVariable)
	} else {
		for _, name := range s.Names {
			fmt.Fprintf(&b, "\n[[sqlite]]\npath = '%s'\n", s.site.path(name+".db"))
		}
	}
	// The version page alone would be healthy as soon as the program is replaced.
	fmt.Fprintf(&b, "\n[[distribution]]\nname = '%s'\nleaves_running = true\narguments = ['demo', 'install', '--dir', '%s']\n", distribution, s.site)
	fmt.Fprintf(&b, "probe = { http = '%s', body = 'login', text = 'версия (\\S+)', not_text = '%s', interval = '100ms', steady = '1s' }\n\n", s.site.url("/maintenance/login"), differ)
	b.WriteString(s.server.hashes())
	if s.Postgres != nil {
		migrate("asp_*", "{database}")
		return b.String()
	}
	for _, name := range s.Names {
		migrate(name+".db", name)
	}
	return b.String()
}

// onBase does something with a database, past the application.
func (s *aspShow) onBase(i int, do func(*sql.DB) error) (err error) {
	db, err := s.office.connect(s.Names[i])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := do(db); err != nil {
		return fmt.Errorf("%s: %w", s.Names[i], err)
	}
	return nil
}

// visit is what the user does all the time: logs in, reads the page, and writes to one of
// the databases. Before that it is checked whether there was a commit.
func (s *aspShow) visit(ctx context.Context, id int) error {
	s.watch(ctx)
	page, err := s.site.ask(ctx, http.MethodPost, "/login")
	s.mu.Lock()
	s.asked++
	if err == nil {
		s.in++
		if strings.Contains(page, differ) {
			s.wrong = append(s.wrong, "a user was in while databases differed: "+page)
		}
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.site.post(ctx, fmt.Sprintf("/write?database=%s&id=%d", s.Names[id%len(s.Names)], id))
}

// watch asks the application about its databases when a version was committed.
func (s *aspShow) watch(ctx context.Context) {
	st, err := rollback.ReadStatus(s.state)
	v := string(st.Committed[distribution].Version)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || v == "" || v == "7.12.100" || len(s.commits) > 0 && s.commits[len(s.commits)-1] == v {
		return
	}
	page, err := s.site.ask(ctx, http.MethodPost, "/maintenance/login")
	if err != nil {
		return // asked again at the next visit
	}
	s.commits = append(s.commits, v)
	if strings.Contains(page, differ) || !strings.HasSuffix(page, " "+v) {
		s.wrong = append(s.wrong, fmt.Sprintf("version %s was committed while databases differed: %s", v, page))
	}
}

// seen returns what the user has seen, with an error if that must not be.
func (s *aspShow) seen() (asked, in int, commits []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrong) > 0 {
		err = errors.New(s.wrong[0])
	}
	return s.asked, s.in, slices.Clone(s.commits), err
}

// end prints what was promised and what was checked.
func (s *aspShow) end() error {
	s.user.leave()
	asked, in, commits, err := s.seen()
	if err != nil {
		return err
	}
	if want := []string{"7.13.100", "7.13.300"}; !s.Short && !slices.Equal(commits, want) {
		return fmt.Errorf("the commits of %v were seen instead of those of %v", commits, want)
	}
	s.say("\nWhat was promised              What was checked")
	s.say("no user in a differing site    the user asked %d times, was in %d times, and never while a database differed", asked, in)
	s.say("no commit of a differing site  at each of %d commits every database had the new structure", len(commits))
	if !s.Short {
		s.say("%d at a time                    so many were being restructured, and no other was begun", s.atOnce())
	}
	s.say("one failure takes all back     all %d databases had their structure and their rows again", len(s.Names))
	s.say("what is done stays done        after the kill only what was left was restructured")
	s.say("nothing is lost                all %d acknowledged writes are in the databases", s.user.count())
	s.say("\nAll acts ended as expected.")
	return nil
}
