// Package demo runs the whole flow of the regulation on this machine in a
// minute: an FTP server, an application with a database and a user who never
// stops writing, installers that are real programs, and the real update command
// as its own process, which is killed once in the middle.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/rollback"
)

// Commands returns the hidden subcommands of demo that its configuration calls.
func Commands() []*cli.Command {
	dir := &cli.StringFlag{Name: "dir", Required: true, Usage: "the application's `DIRECTORY`"}
	database := &cli.StringFlag{Name: "database", Required: true, Usage: "the `NAME` of a database"}
	hidden := func(name string, flags []cli.Flag, run func(i installation, ctx context.Context, database string) error) *cli.Command {
		return &cli.Command{Name: name, Hidden: true, Flags: flags, Action: func(ctx context.Context, cmd *cli.Command) error {
			return run(installation(cmd.String("dir")), ctx, cmd.String("database"))
		}}
	}
	of := func(name string, run func(installation, context.Context) error) *cli.Command {
		return hidden(name, []cli.Flag{dir}, func(i installation, ctx context.Context, _ string) error { return run(i, ctx) })
	}
	ofOne := func(name string, run func(office, context.Context, string) error) *cli.Command {
		return hidden(name, []cli.Flag{dir, database}, func(i installation, ctx context.Context, database string) error { return run(office{i}, ctx, database) })
	}
	return []*cli.Command{
		of("app", installation.serve),
		of("start", installation.start),
		of("stop", installation.stop),
		of("status", installation.status),
		of("close", installation.closeEntry),
		of("open", installation.openEntry),
		of("install", installation.install),
		ofOne("restructure", office.restructureOne),
		ofOne("structure", office.structureOf),
	}
}

// A show is a running demo.
type show struct {
	out    io.Writer
	root   string
	self   string // this program
	site   installation
	server *vendor
	user   *user
	state  string

	configuration func() string
	env           []string // more of the environment
}

// limit is of the whole demo, which takes seconds: it only ends one that hangs.
const limit = 20 * time.Minute

// Run plays the three acts, and returns nil only if each ended as expected. It
// prints to out, and with keep leaves its directory in place.
func Run(ctx context.Context, out io.Writer, keep bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := setUp(ctx, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.tearDown(keep || err != nil)) }()
	for _, act := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"Act 1: a good release", s.good},
		{"Act 2: a broken release, whose installer reports success", s.broken},
		{"Act 3: the updater is killed in the middle of the installer", s.killed},
	} {
		s.say("\n== %s ==", act.title)
		if err := act.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", act.title, err)
		}
	}
	s.say("\nAll three acts ended as expected: %d writes were acknowledged to the user, and every one is in the database.", s.user.count())
	return nil
}

// begin makes the directory of a show below dir, and starts the vendor's server.
func begin(out io.Writer, dir, program string) (s *show, err error) {
	root, err := os.MkdirTemp(dir, "aspupdate-demo-")
	if err != nil {
		return nil, err
	}
	s = &show{out: out, root: root, self: program, site: installation(filepath.Join(root, "site")), state: filepath.Join(root, "state")}
	s.server, err = openVendor(filepath.Join(root, "ftp"), program)
	if err != nil {
		err = errors.Join(err, s.tearDown(false))
	}
	return s, err
}

// installed archives the Setup of the version that is installed: the server keeps no
// history (R10), it came with the installation.
func (s *show) installed(ctx context.Context, c change) error {
	setup, err := s.server.build(filepath.Join(s.root, "from-support"), c)
	if err == nil {
		err = s.writeConfig()
	}
	if err != nil {
		return err
	}
	return s.expect(s.aspupdate(ctx, "archive", "import", "--distribution", distribution, "--version", c.Version, setup), 0)
}

// setUp starts the vendor's server, the application at version 7.12.100 and
// its user.
func setUp(ctx context.Context, out io.Writer) (_ *show, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s, err := begin(out, "", self)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.tearDown(false))
		}
	}()
	s.configuration = func() string { return s.server.configuration(s.self, s.root, s.state, s.site) }
	s.say("The scene: an application at version 7.12.100 with an SQLite database, a user who never stops writing,")
	s.say("and the vendor's FTP server, all below %s.", s.root)
	first := change{Version: "7.12.100", Statements: []string{
		"CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
	}}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.site.create(port, s.self), s.site.apply(ctx, first)); err != nil {
		return nil, err
	}
	if err := s.site.start(ctx); err != nil {
		return nil, err
	}
	s.user = startUser(2*time.Millisecond, func(ctx context.Context, id int) error { return s.site.post(ctx, fmt.Sprintf("/write?id=%d", id)) })
	return s, s.installed(ctx, first)
}

// tearDown stops the user, the server and the application, and removes the
// directory unless keep is set.
func (s *show) tearDown(keep bool) error {
	if s.user != nil {
		s.user.leave()
	}
	if s.server != nil {
		s.server.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := s.site.stop(ctx)
	if keep {
		s.say("The directory is kept: %s", s.root)
		return err
	}
	return errors.Join(err, durable.RemoveAll(s.root))
}

func (s *show) say(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format+"\n", args...) }

// good publishes a release that installs, migrates the database and is
// committed.
func (s *show) good(ctx context.Context) error {
	if err := s.publish(change{Version: "7.13.100", Statements: []string{
		"ALTER TABLE entry ADD COLUMN district TEXT NOT NULL DEFAULT ''",
		"UPDATE entry SET district = 'Tula' WHERE id % 2 = 0",
		"UPDATE entry SET district = 'Kaluga' WHERE id % 2 = 1",
	}}); err != nil {
		return err
	}
	if err := s.expect(s.aspupdate(ctx, "update"), 0); err != nil {
		return err
	}
	return s.verify(ctx, "7.13.100")
}

// broken publishes a release whose installer destroys data and exits with 0. The
// probe detects it, and the update is rolled back.
func (s *show) broken(ctx context.Context) error {
	if err := s.publish(change{Version: "7.13.200", Statements: []string{
		"DELETE FROM entry WHERE id % 2 = 0",
		"ALTER TABLE entry DROP COLUMN text",
	}}); err != nil {
		return err
	}
	if err := s.expect(s.aspupdate(ctx, "update"), exitRolledBack); err != nil {
		return err
	}
	if err := s.equalsSnapshot(); err != nil {
		return err
	}
	s.say("   the live database equals the sealed snapshot, row for row")
	return s.verify(ctx, "7.13.100")
}

// killed kills the updater while its installer is running. The installer keeps
// running, and recover finishes the update.
func (s *show) killed(ctx context.Context) error {
	slow := change{Version: "7.13.300", Pause: 600 * time.Millisecond}
	for i := range 5 {
		slow.Statements = append(slow.Statements, fmt.Sprintf("CREATE TABLE guardian_%d AS SELECT id, text FROM entry", i))
	}
	if err := s.publish(slow); err != nil {
		return err
	}
	updater, err := s.updating(ctx)
	if err != nil {
		return err
	}
	if err := s.midway(ctx, updater.ended); err != nil {
		return errors.Join(err, updater.kill()) // it must not outlive the demo
	}
	if err := updater.kill(); err != nil {
		return err
	}
	if !s.site.migrating() {
		return errors.New("the installer exited before the updater was killed; this machine is too slow for the demo")
	}
	s.say("   updater %d killed, its installer is still running", updater.Process.Pid)
	if st, err := rollback.ReadStatus(s.state); err != nil || st.Pending == nil {
		return errors.Join(errors.New("no update is pending after the kill"), err)
	}
	if err := s.expect(s.aspupdate(ctx, "recover"), 0); err != nil {
		return err
	}
	return s.verify(ctx, "7.13.300")
}

// An updater is the update command as a process that is running.
type updater struct {
	*exec.Cmd
	ended chan error
}

// updating starts it.
func (s *show) updating(ctx context.Context) (updater, error) {
	u := updater{s.aspupdate(ctx, "update"), make(chan error, 1)}
	if err := u.Start(); err != nil {
		return u, err
	}
	go func() { u.ended <- u.Wait() }()
	return u, nil
}

// kill fails if it has exited before.
func (u updater) kill() error {
	if err := u.Process.Kill(); err != nil {
		return fmt.Errorf("kill the updater: %w", err)
	}
	if err := <-u.ended; err == nil {
		return errors.New("the updater exited before it was killed")
	}
	return nil
}

// midway waits until the installer is changing the database.
func (s *show) midway(ctx context.Context, ended <-chan error) error {
	for {
		st, err := rollback.ReadStatus(s.state)
		if err == nil && st.Pending != nil && st.Pending.Step == "install" && s.site.migrating() {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the updater exited before it could be killed: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
