package demo

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
)

// exitRolledBack is the exit code of update for "failed and rolled back".
const exitRolledBack = 5

// publish announces and publishes a release, with its hash pinned.
func (s *show) publish(c change) error {
	s.say("   the vendor publishes %s", c.Version)
	if err := s.server.publish(c); err != nil {
		return err
	}
	return s.writeConfig()
}

// writeConfig writes the configuration that the update command reads.
func (s *show) writeConfig() error {
	return os.WriteFile(s.config(), []byte(s.configuration()), 0o600)
}

// configuration returns the configuration of a site, with its own directories
// below root.
func (v *vendor) configuration(program, root, state string, site installation) string {
	var b strings.Builder
	b.WriteString(v.place(program, root, state, site))
	fmt.Fprintf(&b, "\n[[sqlite]]\npath = '%s'\n", site.database())
	fmt.Fprintf(&b, "\n[[distribution]]\nname = '%s'\narguments = ['demo', 'install', '--dir', '%s']\n", distribution, site)
	fmt.Fprintf(&b, "probe = { http = '%s', interval = '100ms', steady = '1s' }\n\n", site.url("/version"))
	b.WriteString(v.hashes())
	return b.String()
}

// place returns the part of a configuration with directories, server and the commands of
// the application.
func (v *vendor) place(program, root, state string, site installation) string {
	var b strings.Builder
	command := func(key, what string) {
		fmt.Fprintf(&b, "%s = ['%s', 'demo', '%s', '--dir', '%s']\n", key, program, what, site)
	}
	fmt.Fprintf(&b, "state = '%s'\narchive = '%s'\nbackups = '%s'\nlive = ['%s']\n", state,
		filepath.Join(root, "archive"), filepath.Join(root, "backups"), site)
	fmt.Fprintf(&b, "\n[server]\naddress = '127.0.0.1:%d'\nuser = '%s'\npassword_env = '%s'\n", v.port, v.user, PasswordVariable)
	b.WriteString("\n[window]\nany_time = 'this is the demo'\n")
	b.WriteString("\n[deadlines]\nprobe = '4s'\n\n[application]\n")
	command("close", "close")
	command("open", "open")
	command("stop", "stop")
	command("start", "start")
	command("status", "status")
	return b.String()
}

// hashes returns the part of a configuration with the pinned hashes of the releases.
func (v *vendor) hashes() string {
	var b strings.Builder
	b.WriteString("[distribution.sha256]\n")
	for v, sum := range v.sums {
		fmt.Fprintf(&b, "'%s' = '%s'\n", v, sum)
	}
	return b.String()
}

func (s *show) config() string { return filepath.Join(s.root, "aspupdate.toml") }

// aspupdate returns a command of this program as its own process. Secrets are
// passed in the environment, never as arguments.
func (s *show) aspupdate(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.self, append([]string{name}, args...)...)
	cmd.Env = append(os.Environ(), "ASPUPDATE_CONFIG="+s.config(), PasswordVariable+"="+s.server.password)
	cmd.Env = append(cmd.Env, s.env...)
	cmd.WaitDelay = 10 * time.Second
	w := &indenter{w: s.out}
	cmd.Stdout, cmd.Stderr = w, w
	return cmd
}

// expect runs a command, and returns an error unless it exits with this code.
func (s *show) expect(cmd *exec.Cmd, want int) error {
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return err
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		return fmt.Errorf("%s exited with code %d instead of %d", cmd.Args[1], got, want)
	}
	return nil
}

// verify checks that the application is healthy at a version, that the user can
// write, and that every acknowledged write is in the database.
func (s *show) verify(ctx context.Context, want string) (err error) {
	db, err := s.site.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	got, err := s.site.healthy(ctx, db)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("version %s is installed instead of %s", got, want)
	}
	before := s.user.count()
	if err := s.site.until(ctx, "let the user write again", func() bool { return s.user.count() > before }); err != nil {
		return err
	}
	acked := s.user.count()
	var kept int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM entry WHERE id BETWEEN 1 AND ? AND text = 'entry ' || id", acked).Scan(&kept); err != nil {
		return err
	}
	if kept != acked {
		return fmt.Errorf("%d of %d acknowledged writes are lost", acked-kept, acked)
	}
	s.say("   version %s is healthy, all %d acknowledged writes are in the database, the user keeps writing", got, acked)
	return nil
}

// equalsSnapshot compares the live database with the newest sealed snapshot:
// the schema, and every row but those that the user wrote since.
func (s *show) equalsSnapshot() (err error) {
	store := &backup.Store{Dir: filepath.Join(s.root, "backups")}
	all, err := store.List()
	if err != nil || len(all) == 0 {
		return errors.Join(err, errors.New("no snapshot found"))
	}
	last := all[len(all)-1]
	dir, err := store.Path(last.ID)
	if err != nil {
		return err
	}
	copied, err := os.MkdirTemp(s.root, "compare-") // SQLite may write beside the database
	if err != nil {
		return err
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		return err
	}
	sealed, err := sql.Open("sqlite", filepath.Join(copied, last.Files[0].Path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sealed.Close()) }()
	live, err := s.site.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, live.Close()) }()
	var newest int
	if err := sealed.QueryRow("SELECT coalesce(max(id), 0) FROM entry").Scan(&newest); err != nil {
		return err
	}
	for _, q := range []string{
		"SELECT type || name || coalesce(sql, '') FROM sqlite_schema ORDER BY 1",
		"SELECT key || value FROM meta ORDER BY 1",
		fmt.Sprintf("SELECT id || text || district FROM entry WHERE id <= %d ORDER BY id", newest),
	} {
		a, err := column(sealed, q)
		if err != nil {
			return err
		}
		b, err := column(live, q)
		if err != nil {
			return err
		}
		if a != b {
			return fmt.Errorf("the live database differs from the snapshot: %s", q)
		}
	}
	return nil
}

// column returns the first column of a query, one row a line.
func column(db *sql.DB, query string) (text string, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var b strings.Builder
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return "", err
		}
		b.WriteString(s + "\n")
	}
	return b.String(), rows.Err()
}

// An indenter marks the lines of a process, which the demo prints among its own.
type indenter struct {
	w      io.Writer
	middle bool // of a line
}

func (i *indenter) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if !i.middle {
			if _, err := io.WriteString(i.w, "   | "); err != nil {
				return 0, err
			}
		}
		if _, err := i.w.Write(line); err != nil {
			return 0, err
		}
		i.middle = line[len(line)-1] != '\n'
	}
	return len(p), nil
}
