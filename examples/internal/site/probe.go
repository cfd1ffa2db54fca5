package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/version"
)

// A probeConfig describes a probe. The version comes from one of command, sql
// and file, or else from the answer of http. Whatever else is given must succeed
// first: a port that accepts connections, a page.
type probeConfig struct {
	TCP     string   `toml:"tcp"`      // host:port that must accept connections
	HTTP    string   `toml:"http"`     // answers with the version in its first line
	Body    string   `toml:"body"`     // sent to http with POST
	Status  int      `toml:"status"`   // that http must answer with; 0 means 200
	Text    string   `toml:"text"`     // regular expression that the answer must match; its first group is the version
	NotText string   `toml:"not_text"` // regular expression that the answer must not match
	Command []string `toml:"command"`  // prints the version in its first line
	SQL     string   `toml:"sql"`      // returns the version
	InDB    string   `toml:"in"`       // the name of the [[postgres]] or [[mssql]] that sql queries, or its pattern: then all answer the same version
	Role    string   `toml:"role"`     // with whose rights; "" means those of the database's owner, for a [[postgres]]
	File    string   `toml:"file"`     // a Windows program or library that has the version

	Headers map[string]string `toml:"headers"` // of the request to http

	sources []source // that sql queries

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
		p = install.ProbeFunc(c.query)
	case c.File != "":
		p = install.FileProbe{Path: c.File}
	case len(c.Command) > 0:
		p = install.CommandProbe{Path: c.Command[0], Args: c.Command[1:], Env: roles.Environment(c.Environment...)}
	}
	if c.HTTP != "" {
		h := install.HTTPProbe{URL: c.HTTP, Header: http.Header{}, Body: c.Body, Status: c.Status, Then: p}
		for name, value := range c.Headers {
			h.Header.Set(name, value)
		}
		if c.Text != "" {
			h.Text = regexp.MustCompile(c.Text) // checked by Load
		}
		if c.NotText != "" {
			h.Not = regexp.MustCompile(c.NotText)
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
	switch {
	case sources > 1 || sources == 0 && c.HTTP == "":
		return errors.New("give one source of the version: command, sql or file, or http alone")
	case c.HTTP == "" && (c.Status != 0 || c.Text != ""):
		return errors.New("status and text need http")
	case c.HTTP == "" && (c.NotText != "" || c.Body != "" || len(c.Headers) > 0):
		return errors.New("not_text, body and headers need http")
	case (c.SQL == "") != (c.InDB == ""):
		return errors.New("give both sql and in, the name of the [[postgres]] or [[mssql]] to query, or its pattern")
	case c.Role != "" && c.SQL == "":
		return errors.New("role needs sql")
	}
	for _, e := range []struct{ key, text string }{{"text", c.Text}, {"not_text", c.NotText}} {
		re, err := regexp.Compile(e.text)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", e.key, err)
		case e.key == "not_text" && e.text != "" && re.MatchString(""):
			return fmt.Errorf("not_text = %q matches every answer, so that none would be healthy", e.text)
		}
	}
	for name, value := range c.Headers {
		if !headerName.MatchString(name) || strings.ContainsFunc(value, unicode.IsControl) {
			return fmt.Errorf("headers: %q cannot be sent: write a name such as SOAPAction, and a value in one line", name)
		}
	}
	if c.Steady != nil && *c.Steady == 0 {
		return errors.New("steady = \"0s\": an application that dies at once would be committed; give a time, such as \"1s\"")
	}
	return nil
}

// headerName matches the names of headers: RFC 9110, section 5.6.2.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// connect finds the databases that sql queries.
func (c *probeConfig) connect(of *Config) error {
	if c.SQL == "" || c.InDB == "" { // check reports one without the other
		return nil
	}
	c.sources = nil
	for _, p := range of.Postgres {
		if c.InDB == cmp.Or(p.Databases, p.Name) {
			c.sources = append(c.sources, source{p.names(), p.secret})
		}
	}
	if c.sources != nil {
		return nil
	}
	for _, p := range of.MSSQL {
		if c.InDB == cmp.Or(p.Databases, p.Name) {
			c.sources = append(c.sources, source{p.names(), p.secret})
		}
	}
	switch {
	case c.sources == nil:
		return fmt.Errorf("in = %q: no [[postgres]] or [[mssql]] has this name, or this pattern in databases", c.InDB)
	case c.Role == "":
		return fmt.Errorf("in = %q is a [[mssql]], where %w", c.InDB, errNoRole)
	}
	return nil
}

// errNoRole means that a query would run with the rights of a sysadmin.
var errNoRole = errors.New("sql needs role, a user of the database with whose rights it runs: CREATE USER asp_probe WITHOUT LOGIN; GRANT SELECT ON about TO asp_probe")
