package site

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// A migrateConfig describes how one database is restructured for a new version of
// its distribution (R11).
type migrateConfig struct {
	Database    string   `toml:"database"`    // the name of a [[postgres]] or [[mssql]], or its pattern, or the name of the file of a [[sqlite]] or [[command]]
	Command     []string `toml:"command"`     // restructures it, {database} is its name; without one the application does it by itself
	GoesOn      bool     `toml:"goes_on"`     // command only starts the restructuring
	HTTP        string   `toml:"http"`        // instead of command: a request with POST starts the restructuring; {database} is its name in the three
	Body        string   `toml:"body"`        // sent to http
	Structure   []string `toml:"structure"`   // prints the version that the structure is of
	SQL         string   `toml:"sql"`         // instead of it, for a [[postgres]] or [[mssql]]: returns that version
	DoneHTTP    string   `toml:"done_http"`   // instead of it: answers with that version
	Text        string   `toml:"text"`        // regular expression that the answer of done_http must match; its first group is the version
	Role        string   `toml:"role"`        // with whose rights sql runs; "" means those of the database's owner, for a [[postgres]]
	Environment []string `toml:"environment"` // names of variables of this process that both commands get

	Headers map[string]string `toml:"headers"` // of the requests to http and done_http
}

// count counts the conditions that hold.
func count(given ...bool) (n int) {
	for _, g := range given {
		if g {
			n++
		}
	}
	return n
}

// A database is one that can be restructured.
type database struct {
	name, data string // data is the name of its dataset
	secret
}

// kind returns the word before the name of the dataset.
func (d database) kind() string {
	kind, _, _ := strings.Cut(d.data, " ")
	return kind
}

// databases returns those of a name: several for the pattern of a [[postgres]] or [[mssql]], none
// if nothing has it.
func (c *Config) databases(name string) (list []database) {
	for _, p := range c.Postgres {
		if name == cmp.Or(p.Databases, p.Name) {
			list = append(list, database{p.Name, p.names().data(), p.secret})
		}
	}
	if list != nil {
		return list
	}
	for _, p := range c.MSSQL {
		if name == cmp.Or(p.Databases, p.Name) {
			list = append(list, database{p.Name, p.names().data(), p.secret})
		}
	}
	for _, p := range c.SQLite {
		if filepath.Base(p.Path) == name && list == nil {
			list = append(list, database{name: name, data: "sqlite " + name})
		}
	}
	for _, p := range c.Commands {
		if filepath.Base(p.Live) == name && list == nil {
			list = append(list, database{name: name, data: "command " + name})
		}
	}
	return list
}

// checkMigrations checks how the databases of all distributions are restructured.
func (c *Config) checkMigrations() (m mistakes) {
	seen := map[string]bool{}
	for _, d := range c.Distributions {
		for _, one := range d.Migrate {
			of := func(err error) {
				m.add(fmt.Errorf("distribution %s: migrate %q: %w", d.Name, one.Database, err))
			}
			var kind string
			list := c.databases(one.Database)
			if len(list) > 0 {
				kind = list[0].kind()
			}
			switch {
			case len(list) == 0:
				of(errors.New("database names no [[postgres]], [[mssql]], [[sqlite]] or [[command]]: what is restructured must come back in a rollback"))
			case seen[one.Database]:
				of(errors.New("this database is given twice"))
			case count(len(one.Structure) > 0, one.SQL != "", one.DoneHTTP != "") != 1:
				of(errors.New("give one of structure, sql and done_http, which report the version that the structure is of"))
			case len(one.Command) > 0 && one.HTTP != "":
				of(errors.New("command and http exclude each other: give one, which starts the restructuring"))
			case one.HTTP == "" && one.Body != "" || one.HTTP == "" && one.DoneHTTP == "" && len(one.Headers) > 0:
				of(errors.New("body needs http, and headers need http or done_http"))
			case one.DoneHTTP == "" && one.Text != "":
				of(errors.New("text needs done_http"))
			case one.SQL != "" && kind != "postgres" && kind != "mssql":
				of(errors.New("sql is for a [[postgres]] or [[mssql]]: give a command in structure"))
			case one.Role != "" && one.SQL == "":
				of(errors.New("role needs sql"))
			case one.SQL != "" && kind == "mssql" && one.Role == "":
				of(errNoRole)
			case one.GoesOn && len(one.Command) == 0:
				of(errors.New("goes_on needs command"))
			default:
				if err := one.checkHTTP(list); err != nil {
					of(err)
				}
			}
			seen[one.Database] = true
		}
	}
	m = append(m, c.checkParallel()...)
	m.when(c.Parallel < 0, "parallel = %d: give how many databases and directories are worked on at a time", c.Parallel)
	return m
}

// checkHTTP checks the requests that are sent for databases. The addresses are not shown: they
// may hold a password.
func (one migrateConfig) checkHTTP(list []database) error {
	for _, db := range list {
		db.name = cmp.Or(db.name, "asp") // a pattern has no name yet
		for _, e := range []struct{ key, address string }{{"http", one.HTTP}, {"done_http", one.DoneHTTP}} {
			u, err := url.Parse(db.address(e.address))
			if e.address != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
				return fmt.Errorf("%s: write it as http://host/path or https://host/path", e.key)
			}
		}
		for _, p := range []probeConfig{one.start(db), one.done(db)} {
			if p.HTTP == "" {
				continue
			}
			if err := p.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkParallel refuses data within a directory that is worked on at the same time.
func (c *Config) checkParallel() (m mistakes) {
	if c.Parallel < 2 {
		return nil
	}
	type data struct{ block, path string }
	var all []data
	for _, d := range c.Directories {
		all = append(all, data{"directory", d.Path})
	}
	for _, d := range c.SQLite {
		all = append(all, data{"sqlite", d.Path})
	}
	for _, d := range c.Commands {
		if len(d.List) == 0 { // else it is a name
			all = append(all, data{"command", d.Live})
		}
	}
	for i, outer := range all[:len(c.Directories)] {
		for j, inner := range all {
			rel, err := filepath.Rel(outer.path, inner.path)
			m.when(i != j && err == nil && filepath.IsLocal(rel), "parallel = %d: [[%s]] %s is in [[directory]] %s, and they would be worked on at the same time: omit parallel, or leave one of them out", c.Parallel, inner.block, inner.path, outer.path)
		}
	}
	return m
}

// placeholder stands for the name of the database in commands and requests that restructure.
const placeholder = "{database}"

// of returns arguments with the name of a database.
func (d database) of(argv []string) (list []string) {
	for _, a := range argv {
		list = append(list, strings.ReplaceAll(a, placeholder, d.name))
	}
	return list
}

// address returns a URL with the name of a database, whatever part of it that stands in.
func (d database) address(text string) string {
	return strings.ReplaceAll(text, placeholder, strings.ReplaceAll(url.QueryEscape(d.name), "+", "%20"))
}

// escapes write a name as text in what a request sends, by its type.
var escapes = []struct {
	in     string // the media type, or the end of its name
	escape func(name string) string
}{
	{"xml", func(name string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(name)) // a Builder does not fail
		return b.String()
	}},
	{"json", func(name string) string {
		b, _ := json.Marshal(name) // a string cannot fail
		return string(b[1 : len(b)-1])
	}},
	{"application/x-www-form-urlencoded", url.QueryEscape},
}

// escape returns what writes a name in the body, nil if that is not known for its type.
func (one migrateConfig) escape() func(name string) string {
	kind := "text/xml" // what HTTPProbe sends
	for name, value := range one.Headers {
		if strings.EqualFold(name, "Content-Type") {
			kind, _, _ = strings.Cut(strings.ToLower(value), ";")
		}
	}
	for _, e := range escapes {
		if strings.HasSuffix(strings.TrimSpace(kind), e.in) {
			return e.escape
		}
	}
	return nil
}

// verbatim returns the texts that a name is put into as it is.
func (one migrateConfig) verbatim() []string {
	list := slices.Concat(one.Command, one.Structure, slices.Collect(maps.Values(one.Headers)))
	if one.escape() == nil {
		list = append(list, one.Body)
	}
	return list
}

// headers returns those of a request for a database.
func (one migrateConfig) headers(d database) map[string]string {
	list := maps.Clone(one.Headers)
	for name, value := range list {
		list[name] = strings.ReplaceAll(value, placeholder, d.name)
	}
	return list
}

// start describes the request that starts the restructuring of a database.
func (one migrateConfig) start(d database) probeConfig {
	name := d.name
	if escape := one.escape(); escape != nil {
		name = escape(name)
	}
	return probeConfig{HTTP: d.address(one.HTTP), Body: strings.ReplaceAll(one.Body, placeholder, name), Headers: one.headers(d)}
}

// done describes the probe that reports the version that the structure of a database is of.
func (one migrateConfig) done(d database) probeConfig {
	p := probeConfig{
		Command: d.of(one.Structure), Environment: one.Environment, HTTP: d.address(one.DoneHTTP), Text: one.Text,
		SQL: one.SQL, Role: one.Role, sources: []source{{names{kind: d.kind(), name: d.name}, d.secret}},
	}
	if p.HTTP != "" {
		p.Headers = one.headers(d)
	}
	return p
}

// starter returns the function that sends the request of a configuration, nil without one.
func (c probeConfig) starter(transport http.RoundTripper) func(ctx context.Context) error {
	if c.HTTP == "" {
		return nil
	}
	h := c.probe().(install.HTTPProbe)
	h.Transport = posting{transport}
	h.Then = install.ProbeFunc(func(context.Context) (string, error) { return "", nil }) // what the answer contains does not count
	return func(ctx context.Context) error {
		for end := time.Now().Add(serverStart); ; {
			_, err := h.Version(ctx)
			if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() && ctx.Err() == nil {
				if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" {
					return nil // it was sent, and may answer when it has done everything: the structure says when
				}
			}
			// What was not sent is sent again, and what a server before the application has answered
			// while that starts: it does no harm where the first request has arrived after all.
			if e, ok := errors.AsType[*net.OpError](err); !errors.Is(err, errStarting) && (!ok || e.Op != "dial") || time.Now().After(end) {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(time.Second):
			}
		}
	}
}

// serverStart is how long an application that was just started may refuse connections.
const serverStart = 5 * time.Minute

// posting sends every request with POST, and takes every success for status 200.
type posting struct{ http.RoundTripper }

func (p posting) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Method = http.MethodPost
	resp, err := p.RoundTripper.RoundTrip(r)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode/100 == 2:
		resp.StatusCode = http.StatusOK
	case resp.StatusCode == http.StatusGatewayTimeout: // it was sent, and goes on
		resp.StatusCode = http.StatusOK
	case slices.Contains([]int{http.StatusBadGateway, http.StatusServiceUnavailable}, resp.StatusCode):
		return nil, errors.Join(fmt.Errorf("%w: %s", errStarting, resp.Status), resp.Body.Close())
	}
	return resp, nil
}

// errStarting is what a server answers that stands before an application, as IIS or nginx, while that
// is not there.
var errStarting = errors.New("the server has no answer of the application")

// migrations returns those of a distribution whose databases take part in the
// update: in a first installation its FullSetup makes them.
func (s *Site) migrations(d distributionConfig, data []rollback.Dataset) (list []rollback.Migration) {
	for _, one := range d.Migrate {
		for _, db := range s.Config.databases(one.Database) {
			if !slices.ContainsFunc(data, func(d rollback.Dataset) bool { return d.Name == db.data }) {
				continue
			}
			list = append(list, rollback.Migration{Name: db.data, Migrator: roles.Migrator{
				Command: roles.Command{Argv: db.of(one.Command), Environment: one.Environment, State: s.records(), Output: s.restructuring(db)},
				Start:   one.start(db).starter(http.DefaultTransport), GoesOn: one.GoesOn || one.HTTP != "", Structure: one.done(db).probe(),
			}})
		}
	}
	return list
}

// restructuring returns the function that shows what a command prints that restructures a
// database, without the database's password: a screen may be photographed.
func (s *Site) restructuring(db database) func(text string) {
	show := s.Observe.Output
	if show == nil {
		return nil
	}
	return func(text string) {
		if password := db.value(); password != "" {
			text = strings.ReplaceAll(text, password, "***")
		}
		show(db.data, text)
	}
}
