package site

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/mssql"
	"github.com/aspupdate/aspupdate/examples/internal/strict"
)

// An mssqlConfig describes a SQL Server database.
type mssqlConfig struct {
	Name      string   `toml:"name"`      // of the database
	Databases string   `toml:"databases"` // instead of it: a pattern of names; what it matches is in each plan
	Except    []string `toml:"except"`    // patterns of names that Databases does not match

	URIEnv  string `toml:"uri_env"`  // variable with the maintenance login's connection string
	URIFile string `toml:"uri_file"` // or a file with it
	secret  `toml:"-"`

	Dir       string          `toml:"dir"`        // through which backup files pass; the server's account and this one can write there
	ServerDir string          `toml:"server_dir"` // dir, as the server sees it; empty means the same
	Notice    strict.Duration `toml:"notice"`     // how long open transactions may take to end
	OwnersOut string          `toml:"owners_out"` // why owners of the database may stay able to connect: the application's fence keeps its users out
}

// A SelfTest is what is known of the self-test on the server of a [[mssql]]. Without one that
// passed on that server, in its present version, an update is refused.
type SelfTest struct {
	Data    string    `json:"data"`
	Server  string    `json:"server,omitempty"` // on which it has passed
	Version string    `json:"version,omitempty"`
	Time    time.Time `json:"time,omitzero"`
	Text    string    `json:"text"`

	err error // why it failed now
}

// neverRun is said wherever the backups of SQL Server are: what was tested, and by whom.
const neverRun = "the authors have not run backups of SQL Server on a real server; an update is refused until the self-test of aspupdate prove has run them on yours"

// check checks a [[mssql]], and reads its secret.
func (c *mssqlConfig) check(app applicationConfig) (m mistakes) {
	m.add(c.read("mssql.uri", c.URIEnv, c.URIFile))
	m.when(c.URIEnv == "" && c.URIFile == "", "%s: give uri_file or uri_env", c.names().block())
	if _, err := databaseURI("mssql", c.value(), ""); err != nil && c.names().open() && c.at != nil {
		m.add(err)
	}
	m.when(!filepath.IsAbs(c.Dir), "mssql.dir = %q: give an absolute path of a directory in which the server's account and this one can write", c.Dir)
	m.when(c.OwnersOut != "" && !app.entry(), "mssql.owners_out needs application.close and application.open, or application.fence_services, or application.nginx, or application.iis: only they keep those users out")
	return m
}

// mssqlTarget returns the database as a target.
func (s *Site) mssqlTarget(c mssqlConfig) *mssql.Database {
	db := &mssql.Database{
		URI: c.value(), Dir: c.Dir, ServerDir: c.ServerDir, Notice: time.Duration(c.Notice), OwnersOut: c.OwnersOut != "", Observe: s.Observe.Backup,
	}
	db.Tested, _ = s.tested(c) // without one the target refuses
	return db
}

// testedFile returns the file of the record, one for all databases of a pattern: the test is of
// their server.
func (s *Site) testedFile(c mssqlConfig) string {
	name := url.QueryEscape(cmp.Or(c.Databases, c.Name))
	if sum := sha256.Sum256([]byte(name)); len(name) > 200 { // names of files end at 255
		name = hex.EncodeToString(sum[:])
	}
	return filepath.Join(s.Config.State, "selftests", name+".json")
}

// tested returns the record of the self-test that passed last.
func (s *Site) tested(c mssqlConfig) (t mssql.Tested, err error) {
	text, err := readFile(s.testedFile(c))
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	return t, err
}

// selfTest runs the self-test if none has passed on this server in its present version, and keeps its
// record. It touches no database of others.
func (s *Site) selfTest(ctx context.Context, c mssqlConfig) error {
	db := s.mssqlTarget(c)
	server, err := db.Check(ctx)
	switch {
	case err == nil:
		return nil
	case server == "" || server == spoken(db.Tested): // the test is not what is missing
		return err
	}
	t, err := db.SelfTest(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(t)
	if err == nil {
		err = replaceFile(s.testedFile(c), text)
	}
	return err
}

// testAgain runs the self-test if the server has another version than the one on which it
// has passed, as after a restart within an update.
func (s *Site) testAgain(c mssqlConfig) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	db := s.mssqlTarget(c)
	if server, _ := db.Check(ctx); server == "" || server == spoken(db.Tested) { // what else is wrong, the update says
		return nil
	}
	return s.selfTest(ctx, c)
}

// testAll runs the self-tests that are due, and returns what is known of each server, by dataset.
func (s *Site) testAll(ctx context.Context) map[string]SelfTest {
	errs := map[string]error{}
	for _, c := range servers(s.Config.MSSQL) {
		errs[c.names().block()] = s.selfTest(ctx, c)
	}
	all := map[string]SelfTest{}
	list, err := s.SelfTests()
	for _, c := range s.Config.MSSQL {
		for _, t := range list {
			if t.Data == c.names().block() {
				t.err = errors.Join(errs[t.Data], err)
				all[c.names().data()] = t
			}
		}
	}
	return all
}

// spoken returns a record as Check names a server.
func spoken(t mssql.Tested) string { return "SQL Server " + t.Version + " on " + t.Server }

// ready fails if the database could not be backed up or restored, or if no self-test has
// passed on its server. It changes nothing.
func (s *Site) ready(ctx context.Context, c mssqlConfig) (server string, err error) {
	db := s.mssqlTarget(c)
	server, err = db.Check(ctx)
	if err != nil && server != "" && server != spoken(db.Tested) && errors.Is(err, backup.ErrIncompatible) {
		err = fmt.Errorf("%s: %w: no self-test has passed on it; %s", c.names().block(), ErrUntested, neverRun)
		if !db.Tested.Time.IsZero() {
			err = fmt.Errorf("%s: %w: the self-test has passed on %s, and this is %s", c.names().block(), ErrUntested, spoken(db.Tested), server)
		}
	}
	return server, err
}

// SelfTests returns what is known of the servers of the [[mssql]]. It connects to none.
func (s *Site) SelfTests() (list []SelfTest, err error) {
	for _, c := range servers(s.Config.MSSQL) {
		t, terr := s.tested(c)
		err = errors.Join(err, terr)
		one := SelfTest{Data: c.names().block(), Server: t.Server, Version: t.Version, Time: t.Time, Text: neverRun}
		if !t.Time.IsZero() {
			one.Text = fmt.Sprintf("the self-test has passed on %s, version %s, on %s", t.Server, t.Version, s.Config.Clock().Time(t.Time))
		}
		list = append(list, one)
	}
	return list, err
}

// warnUntested reports where a plan relies on backups that were never run.
func (s *Site) warnUntested() {
	list, err := s.SelfTests()
	for _, t := range list {
		if s.Observe.Warn != nil && (t.Time.IsZero() || err != nil) {
			s.Observe.Warn(t.Data + ": " + t.Text)
		}
	}
}

// exists reports whether the database exists, or cannot be asked.
func (c mssqlConfig) exists(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err := (&mssql.Database{URI: c.value()}).Needs(ctx)
	return !errors.Is(err, fs.ErrNotExist)
}

// dirs returns where a server on this machine keeps the database.
func (c mssqlConfig) dirs(ctx context.Context) (dirs []string, err error) {
	needs, err := (&mssql.Database{URI: c.value()}).Needs(ctx)
	for _, n := range needs {
		if n.For == backup.ForRestored && n.Path != "" {
			dirs = append(dirs, n.Path)
		}
	}
	return dirs, err
}
