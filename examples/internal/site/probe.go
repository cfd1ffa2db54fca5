package site

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/aspupdate/aspupdate/backup/postgres"
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
	Role    string   `toml:"role"`    // with whose rights; "" means those of the database's owner
	File    string   `toml:"file"`    // a Windows program or library that has the version
	secret  `toml:"-"`

	Installed   string          `toml:"installed"`   // a path that exists exactly if it is installed; for a first installation
	Environment []string        `toml:"environment"` // names of variables of this process that the command gets
	Interval    strict.Duration `toml:"interval"`

	Steady *strict.Duration `toml:"steady"` // how long it must stay healthy; nil is steadyDefault
}

// steadyDefault is how long every distribution must stay healthy.
const steadyDefault = 30 * time.Second

// steady returns how long all distributions must stay healthy: the longest of
// what they need.
func (c *Config) steady() time.Duration {
	longest := time.Duration(0)
	for _, d := range c.Distributions {
		own := steadyDefault
		if d.Probe.Steady != nil {
			own = time.Duration(*d.Probe.Steady)
		}
		longest = max(longest, own)
	}
	return longest
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
			version, err := (&postgres.Database{URI: c.value(), Reader: c.Role}).Ask(ctx, c.SQL)
			if err != nil {
				err = fmt.Errorf("the database does not answer the version query: %w", err)
			}
			return version, err
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
	case c.Role != "" && c.SQL == "":
		return errors.New("role needs sql")
	case err != nil:
		return fmt.Errorf("text: %w", err)
	case c.Steady != nil && *c.Steady == 0:
		return errors.New("steady = \"0s\": an application that dies at once would be committed; give a time, such as \"1s\"")
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
