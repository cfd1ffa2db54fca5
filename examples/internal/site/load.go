package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// Load reads the file at path and the secrets that it names. Unknown keys are
// errors. The error wraps [ErrConfig] and lists every syntax error, or if
// there is none every semantic error, one per line. If an update is pending it
// is also a [*rollback.Error], since that update cannot end without the
// configuration. Load returns an incomplete Config with the error if it is
// enough for [Site.Status].
//
// The file, those that it names, and their parents must not be open to changes
// by other accounts, since they decide what runs; a file with a secret must not
// be readable for them either. So a
// configuration in a foreign working directory is refused.
func Load(path string) (*Config, error) {
	if err := install.Private(path, false).Run(context.Background()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: file %s not found; give one with --config", ErrConfig, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	var c Config
	places, err := strict.Decode(path, data, &c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if c.file, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c.Directories, c.Folders = append(c.Directories, c.Folders...), nil
	m, server := c.check(), c.Server.check()
	if err := errors.Join(placed(path, places, append(server, m...))...); err != nil {
		err = fmt.Errorf("%w: %w", ErrConfig, err)
		if !filepath.IsAbs(c.State) {
			return nil, err
		}
		if st, serr := rollback.ReadStatus(c.State); serr == nil && st.Pending != nil {
			err = unfinished(*st.Pending, err)
		}
		if len(m) == 0 {
			err = &ServerError{err}
		}
		return &c, err
	}
	return &c, nil
}

// unfinished returns the error for a pending update that cannot be finished. Its
// fence may be closed.
func unfinished(p rollback.Pending, err error) error {
	outcome := rollback.Interrupted
	if p.Outcome == rollback.NeedsOperator {
		outcome = p.Outcome
	}
	return &rollback.Error{Outcome: outcome, Update: p.Update, Op: string(p.Step), Err: err, Unfenced: true}
}

// mistakes are the errors of a configuration.
type mistakes []error

func (m *mistakes) add(err error) {
	if err != nil {
		*m = append(*m, err)
	}
}

// placed returns the mistakes with the place of the key that each names first.
func placed(path string, places strict.Places, m mistakes) mistakes {
	out := make(mistakes, len(m))
	for i, err := range m {
		in := ""
		if of, ok := errors.AsType[inTable](err); ok {
			in = of.table
		}
		out[i] = fmt.Errorf("%s:%s%w", path, cmp.Or(places.Of(in, err.Error()), " "), err)
	}
	return out
}

// An inTable is a mistake in one table of a list.
type inTable struct {
	error
	table string // as in strict.Places
}

func (e inTable) Unwrap() error { return e.error }

// when adds a mistake if the condition holds.
func (m *mistakes) when(condition bool, format string, args ...any) {
	if condition {
		*m = append(*m, fmt.Errorf(format, args...))
	}
}

// check reports what is missing and what contradicts itself, and reads the files
// and variables that the configuration names. It does not report what only
// follows from another mistake.
func (c *Config) check() (m mistakes) {
	for _, dir := range []struct{ key, path string }{{"state", c.State}, {"archive", c.Archive}, {"backups", c.Backups}} {
		m.when(dir.path == "", "%s is missing: give a directory", dir.key)
		m.when(dir.path != "" && !filepath.IsAbs(dir.path), "%s = %q: give an absolute path", dir.key, dir.path)
	}
	m = append(m, c.checkData()...)
	m = append(m, c.checkFence()...)
	w := c.Window
	m.when(w.AnyTime == "" && (w.Backup == 0 || w.Checks == 0 || w.Rollback == 0),
		"window needs backup, checks and rollback (R13): the longest that each takes here")
	if _, err := schedule.ParseZone(w.Local); w.Local != "" && err != nil {
		m.add(fmt.Errorf("window.local: %w", err))
	}
	m = append(m, c.Window.read()...)
	m.add(c.Calendar.readEpochs())
	m.add(readable("calendar.decrees", c.Calendar.Decrees))
	m.add(c.Calendar.read())
	m.add(c.FirstOfYear.check())
	m = append(m, c.Copies.check()...)
	m = append(m, c.Notify.check()...)
	m = append(m, c.Announce.check()...)
	m.when(len(c.Distributions) == 0, "no [[distribution]] is given")
	for i := range c.Distributions {
		for _, err := range c.Distributions[i].check(c) {
			m.add(inTable{err, fmt.Sprintf("distribution.%d", i)})
		}
	}
	m = append(m, c.checkMigrations()...)
	return m
}

// checkData checks what is backed up (R9), and reads the secrets of the databases.
func (c *Config) checkData() (m mistakes) {
	data := len(c.Postgres) + len(c.MSSQL) + len(c.SQLite) + len(c.Directories) + len(c.Commands)
	m.when(c.NoData == "" && data == 0, "nothing is backed up (R9): give [[postgres]], [[mssql]], [[sqlite]], [[directory]] or [[command]], or the reason for none in no_data")
	m.when(c.NoData != "" && data > 0, "no_data excludes [[postgres]], [[mssql]], [[sqlite]], [[directory]] and [[command]]")
	for i := range c.Postgres {
		p := &c.Postgres[i]
		for _, err := range p.names().check() {
			m.add(inTable{err, fmt.Sprintf("postgres.%d", i)})
		}
		m.add(p.read("postgres.uri", p.URIEnv, p.URIFile))
	}
	for i := range c.MSSQL {
		for _, err := range c.MSSQL[i].names().check() {
			m.add(inTable{err, fmt.Sprintf("mssql.%d", i)})
		}
		m = append(m, c.MSSQL[i].check(c.Application)...)
	}
	for _, p := range slices.Concat(c.SQLite, c.Directories) {
		m.when(!filepath.IsAbs(p.Path), "path = %q of a [[sqlite]] or [[directory]]: give an absolute path", p.Path)
	}
	for _, p := range c.Commands {
		if err := p.target().Check(); err != nil {
			m.add(fmt.Errorf("a [[command]]: %w", err))
		}
	}
	return m
}

// checkFence checks what keeps users out.
func (c *Config) checkFence() (m mistakes) {
	app := c.Application
	unfenced := slices.ContainsFunc(c.Postgres, func(p postgresConfig) bool { return p.Unfenced != "" })
	fenced := slices.ContainsFunc(c.Postgres, func(p postgresConfig) bool { return p.Unfenced == "" }) || len(c.MSSQL) > 0
	switch {
	case (len(app.Close) == 0) != (len(app.Open) == 0):
		m.add(errors.New("give both application.close and application.open, or neither"))
	case app.NoFence == "" && !app.entry() && !fenced:
		m.add(errors.New("nothing keeps users out: give application.close and application.open, or application.fence_services, or application.nginx, or application.iis, or the reason for none in application.no_fence"))
	}
	m = append(m, app.Nginx.check()...)
	m = append(m, app.IIS.check()...)
	// Without a fence a crash would leave the database closed.
	m.when(app.NoFence != "" && unfenced, "application.no_fence and postgres.unfenced exclude each other: only the application's fence keeps users out of that database")
	m.when((len(app.Stop) == 0) != (len(app.Start) == 0), "give both application.stop and application.start, or neither")
	m.when(len(app.FenceStatus) > 0 && len(app.Close) == 0, "application.fence_status reports what application.close and application.open did: give them")
	m.when(len(app.Status) > 0 && len(app.Stop) == 0, "application.status reports what application.stop and application.start did: give them")
	return m
}

// check checks a distribution, and reads the files that it names.
func (d *distributionConfig) check(of *Config) (m mistakes) {
	if d.Name == "" {
		return mistakes{errors.New("a [[distribution]] has no name")}
	}
	add := func(what string, err error) {
		if err != nil {
			m.add(fmt.Errorf("distribution %s: %s%w", d.Name, what, err))
		}
	}
	add("", readable("publisher.roots", d.Publisher.Roots))
	add("", readable("sha256_file", d.SHA256File))
	_, err := d.codes()
	add("", err)
	add("publisher: ", d.Publisher.read())
	add("probe: ", d.Probe.check())
	add("probe: ", d.Probe.connect(of))
	m.when(d.Publisher.given() && d.Unauthenticated != "", "distribution %s: publisher and unauthenticated exclude each other", d.Name)
	m.when(d.SHA256File != "" && d.Unauthenticated != "", "distribution %s: sha256_file and unauthenticated exclude each other", d.Name)
	m.when(d.Probe.Installed != "" && !filepath.IsAbs(d.Probe.Installed), "distribution %s: probe.installed = %q: give an absolute path", d.Name, d.Probe.Installed)
	m.when(d.CodePage != "" && !slices.Contains(codePages, d.CodePage), "distribution %s: code_page = %q: allowed are %s", d.Name, d.CodePage, strings.Join(codePages, ", "))
	m.when(d.Kind != "" && !slices.Contains(install.Kinds(), d.Kind), "distribution %s: kind = %q: allowed are %s", d.Name, d.Kind, strings.Join(install.Kinds(), ", "))
	return m
}

// check checks the address of the server and its certificate, and reads the
// password.
func (s *serverConfig) check() (m mistakes) {
	trusts := 0
	for _, key := range []string{s.TLSCA, s.TLSCertificate, s.TLSInsecure} {
		if key != "" {
			trusts++
		}
	}
	m.when(s.Address == "" && s.Directory == "" && s.URL == "", "server.address is missing: give a host or host:port, or a directory in server.directory, or a web server in server.url")
	m.when(s.URL != "" && (s.Address != "" || s.Directory != "" || s.TLS != "" || s.Account != "" || s.PASV), "server.url excludes server.address, server.directory, server.tls, server.account and server.pasv")
	m.when(s.URL != "" && !isWebAddress(s.URL), "server.url: write it as https://host/directory; the user belongs into server.user, the password into server.password_file")
	m.when(s.Directory != "" && (s.Address != "" || s.Proxy != ""), "server.directory excludes server.address and server.proxy")
	m.when(s.Directory != "" && !filepath.IsAbs(s.Directory), "server.directory = %q: give an absolute path", s.Directory)
	m.when(s.Attempts < 0 || s.RateKB < 0, "server.attempts and server.rate_kb are not negative")
	// The address is not shown: it may hold a password.
	m.when(strings.ContainsAny(s.Address, "/@ "), "server.address must be a host or host:port alone, such as ftp.example.org:21; the rest belongs into server.user, server.password_file, server.root and server.tls")
	known := slices.Contains([]string{"", "none", "explicit", "implicit"}, s.TLS)
	m.when(!known, "server.tls = %q: allowed are none, explicit, implicit", s.TLS)
	m.when(trusts > 1, "server: tls_ca, tls_certificate and tls_insecure exclude each other")
	m.when(trusts > 0 && known && s.URL == "" && s.TLS != "explicit" && s.TLS != "implicit", "server: tls_ca, tls_certificate and tls_insecure need tls = \"explicit\" or \"implicit\"")
	m.add(readable("server.tls_ca", s.TLSCA))
	if trusts == 1 {
		m.add(s.trusted())
	}
	m.add(s.read("server.password", s.PasswordEnv, s.PasswordFile))
	m.add(s.proxyAuth.read("server.proxy_password", s.ProxyPasswordEnv, s.ProxyFile))
	if s.Directory == "" {
		var err error
		s.via, err = s.dial()
		m.add(err)
	}
	return m
}

// trusted reads which certificates are trusted.
func (s *serverConfig) trusted() error {
	key, err := "", error(nil)
	switch {
	case s.TLSCA != "":
		key = "tls_ca"
		s.trust, err = ftp.TrustCA(s.TLSCA)
	case s.TLSCertificate != "":
		key = "tls_certificate"
		s.trust, err = ftp.TrustCertificate(s.TLSCertificate)
	case s.TLSInsecure != "":
		key = "tls_insecure"
		s.trust, err = ftp.TrustAnyCertificate(s.TLSInsecure)
	}
	if err != nil {
		return fmt.Errorf("server.%s: %w", key, err)
	}
	return nil
}

// A secret is a value that is never printed. It is a pointer because fmt does
// not call String on fields that are not exported, and prints an address then.
type secret struct{ at *string }

func (s secret) value() string {
	if s.at == nil {
		return ""
	}
	return *s.at
}

func (secret) String() string   { return "(secret)" }
func (secret) GoString() string { return "(secret)" }

// read reads the secret from the environment variable or the file.
func (s *secret) read(what, env, file string) error {
	switch {
	case env != "" && file != "":
		return fmt.Errorf("%s_env and %s_file exclude each other", what, what)
	case env != "":
		v, ok := os.LookupEnv(env)
		if !ok {
			return fmt.Errorf("%s_env: the environment variable %s is not set", what, env)
		}
		s.at = &v
	case file != "":
		v, err := readSecret(what+"_file", file)
		if err != nil {
			return err
		}
		s.at = &v
	}
	return nil
}
