package site

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of probe.sql

	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/version"
)

// A probeConfig describes a probe. The version comes from one of command, sql
// and file, or else from the answer of http. Whatever else is given must succeed
// first: a port that accepts connections, a page.
type probeConfig struct {
	TCP     string   `toml:"tcp"`     // host:port that must accept connections
	HTTP    string   `toml:"http"`    // answers with the version in its first line
	Status  int      `toml:"status"`  // that http must answer with; 0 means 200
	Text    string   `toml:"text"`    // regular expression that the answer must match; its first group is the version
	Command []string `toml:"command"` // prints the version in its first line
	SQL     string   `toml:"sql"`     // returns the version
	InDB    string   `toml:"in"`      // the name of the [[postgres]] that sql queries
	File    string   `toml:"file"`    // a Windows program or library that has the version
	secret  `toml:"-"`

	Installed   string          `toml:"installed"`   // a path that exists exactly if it is installed; for a first installation
	Environment []string        `toml:"environment"` // names of variables of this process that the command gets
	Interval    strict.Duration `toml:"interval"`
}

// newProbe returns the probe of one distribution.
func newProbe(c probeConfig, observe func(install.Event)) roles.Probe {
	return roles.Probe{Probe: c.probe(), Installed: c.Installed, Interval: time.Duration(c.Interval), Observe: observe}
}

// ask returns the version that is installed and healthy, the zero version if
// nothing is installed.
func (d distributionConfig) ask(ctx context.Context) (version.Version, error) {
	text, err := newProbe(d.Probe, nil).Version(ctx)
	if err != nil {
		return version.Version{}, err
	}
	v, err := parseOrZero(text)
	if err != nil {
		err = fmt.Errorf("the probe reports %q: %w", text, err)
	}
	return v, err
}

// probe returns the probe that the configuration describes.
func (c probeConfig) probe() (p install.Probe) {
	switch {
	case c.SQL != "":
		p = install.ProbeFunc(func(ctx context.Context) (string, error) {
			db, err := sql.Open("pgx", c.value())
			if err != nil {
				return "", errors.New("the connection string of the database is invalid") // and may hold a password
			}
			defer func() { _ = db.Close() }() // an open connection would block a backup
			return install.SQLProbe{DB: db, Query: c.SQL}.Version(ctx)
		})
	case c.File != "":
		p = install.FileProbe{Path: c.File}
	case len(c.Command) > 0:
		p = install.CommandProbe{Path: c.Command[0], Args: c.Command[1:], Env: roles.Environment(c.Environment...)}
	}
	if c.HTTP != "" {
		h := install.HTTPProbe{URL: c.HTTP, Status: c.Status, Then: p}
		if c.Text != "" {
			h.Text = regexp.MustCompile(c.Text) // checked by Load
		}
		p = h
	}
	if c.TCP != "" {
		p = install.TCPProbe{Addr: c.TCP, Then: p}
	}
	return p
}

func (c probeConfig) check() error {
	sources := 0
	for _, given := range []bool{len(c.Command) > 0, c.SQL != "", c.File != ""} {
		if given {
			sources++
		}
	}
	_, err := regexp.Compile(c.Text)
	switch {
	case sources > 1 || sources == 0 && c.HTTP == "":
		return errors.New("give one source of the version: command, sql or file, or http alone")
	case c.HTTP == "" && (c.Status != 0 || c.Text != ""):
		return errors.New("status and text need http")
	case (c.SQL == "") != (c.InDB == ""):
		return errors.New("give both sql and in, the name of the [[postgres]] to query")
	case err != nil:
		return fmt.Errorf("text: %w", err)
	}
	return nil
}

// connect finds the database that sql queries.
func (c *probeConfig) connect(databases []postgresConfig) error {
	if c.SQL == "" || c.InDB == "" { // check reports one without the other
		return nil
	}
	for _, db := range databases {
		if db.Name == c.InDB {
			c.secret = db.secret
			return nil
		}
	}
	return fmt.Errorf("in = %q: no [[postgres]] has this name", c.InDB)
}
