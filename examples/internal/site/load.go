package site

import (
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

// Load reads the file at path strictly and fetches the secrets that it names.
// Its error wraps [ErrConfig] and has every mistake of form, or else of meaning,
// a line each; where an update is pending it also is a [*rollback.Error], since
// nobody ends that one without the configuration. What could be read comes along
// with it where that is enough for [Site.Status].
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no file %s; give one with --config", ErrConfig, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	var c Config
	if err := strict.Decode(path, data, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := errors.Join(c.check()...); err != nil {
		err = fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
		if !filepath.IsAbs(c.State) {
			return nil, err
		}
		if st, serr := rollback.ReadStatus(c.State); serr == nil && st.Pending != nil {
			err = unfinished(*st.Pending, err)
		}
		return &c, err
	}
	return &c, nil
}

// unfinished is why a pending update cannot be brought to its end. Its fence may
// stand.
func unfinished(p rollback.Pending, err error) error {
	outcome := rollback.Interrupted
	if p.Outcome == rollback.NeedsOperator {
		outcome = p.Outcome
	}
	return &rollback.Error{Outcome: outcome, Update: p.Update, Op: string(p.Step), Err: err, Unfenced: true}
}

// mistakes are what is wrong with a configuration.
type mistakes []error

func (m *mistakes) add(err error) {
	if err != nil {
		*m = append(*m, err)
	}
}

// when adds a mistake if it was made.
func (m *mistakes) when(made bool, format string, args ...any) {
	if made {
		*m = append(*m, fmt.Errorf(format, args...))
	}
}

// check finds what is missing and what contradicts itself, and reads what the
// configuration only names. What follows from a mistake is none of its own.
func (c *Config) check() (m mistakes) {
	for _, dir := range []struct{ key, path string }{{"state", c.State}, {"archive", c.Archive}, {"backups", c.Backups}} {
		m.when(dir.path == "", "%s is missing: it wants a folder", dir.key)
		m.when(dir.path != "" && !filepath.IsAbs(dir.path), "%s = %q: it wants an absolute path", dir.key, dir.path)
	}
	m = append(m, c.Server.check()...)
	m = append(m, c.checkData()...)
	m = append(m, c.checkFence()...)
	w := c.Window
	m.when(w.AnyTime == "" && (w.Backup == 0 || w.Checks == 0 || w.Rollback == 0),
		"window wants backup, checks and rollback (R13): how long do they take here, at worst?")
	if _, err := schedule.ParseZone(w.Local); w.Local != "" && err != nil {
		m.add(fmt.Errorf("window.local: %w", err))
	}
	m.add(c.Calendar.read())
	m.add(c.FirstOfYear.check())
	m.when(len(c.Distributions) == 0, "no [[distribution]] is given")
	for i := range c.Distributions {
		m = append(m, c.Distributions[i].check(c.Postgres)...)
	}
	return m
}

// checkData checks what is backed up (R9), and fetches the databases' secrets.
func (c *Config) checkData() (m mistakes) {
	data := len(c.Postgres) + len(c.SQLite) + len(c.Directories) + len(c.Commands)
	m.when(c.NoData == "" && data == 0, "nothing is backed up (R9): give [[postgres]], [[sqlite]], [[directory]] or [[command]], or say why not in no_data")
	m.when(c.NoData != "" && data > 0, "no_data says that nothing is backed up, and there are [[postgres]], [[sqlite]], [[directory]] or [[command]]")
	for i := range c.Postgres {
		p := &c.Postgres[i]
		m.when(p.Name == "", "a [[postgres]] has no name: it wants the database's")
		m.add(p.read("postgres.uri", p.URIEnv, p.URIFile))
	}
	for _, p := range slices.Concat(c.SQLite, c.Directories) {
		m.when(!filepath.IsAbs(p.Path), "path = %q of a [[sqlite]] or [[directory]]: it wants an absolute path", p.Path)
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
	fenced := slices.ContainsFunc(c.Postgres, func(p postgresConfig) bool { return p.Unfenced == "" })
	switch {
	case (len(app.Close) == 0) != (len(app.Open) == 0):
		m.add(errors.New("application.close and application.open come together"))
	case app.NoFence == "" && len(app.Close)+len(app.FenceServices) == 0 && !fenced:
		m.add(errors.New("nothing keeps users out: give application.close and application.open, or application.fence_services, or say why not in application.no_fence"))
	}
	// Nobody would open the database after a crash.
	m.when(app.NoFence != "" && unfenced, "application.no_fence and postgres.unfenced exclude one another: the application's fence is what keeps users out of that database")
	m.when((len(app.Stop) == 0) != (len(app.Start) == 0), "application.stop and application.start come together")
	return m
}

// check checks a distribution, and reads the files that it names.
func (d *distributionConfig) check(databases []postgresConfig) (m mistakes) {
	if d.Name == "" {
		return mistakes{errors.New("a [[distribution]] has no name")}
	}
	of := func(what string, err error) {
		if err != nil {
			m.add(fmt.Errorf("distribution %s: %s%w", d.Name, what, err))
		}
	}
	of("publisher: ", d.Publisher.read())
	of("probe: ", d.Probe.check())
	of("probe: ", d.Probe.connect(databases))
	m.when(d.Publisher.given() && d.Unauthenticated != "", "distribution %s: publisher and unauthenticated are both given", d.Name)
	m.when(d.SHA256File != "" && d.Unauthenticated != "", "distribution %s: sha256_file and unauthenticated exclude one another", d.Name)
	m.when(d.Probe.Installed != "" && !filepath.IsAbs(d.Probe.Installed), "distribution %s: probe.installed = %q: it wants an absolute path", d.Name, d.Probe.Installed)
	m.when(d.Kind != "" && !slices.Contains(install.Kinds(), d.Kind), "distribution %s: kind = %q: allowed are %s", d.Name, d.Kind, strings.Join(install.Kinds(), ", "))
	return m
}

// check checks where the server is and who may be it, and fetches the
// password.
func (s *serverConfig) check() (m mistakes) {
	trusts := 0
	for _, key := range []string{s.TLSCA, s.TLSCertificate, s.TLSInsecure} {
		if key != "" {
			trusts++
		}
	}
	m.when(s.Address == "", "server.address is missing: it wants a host or host:port")
	// What was given is not shown: it may hold a password.
	m.when(strings.ContainsAny(s.Address, "/@ "), "server.address wants a host or host:port alone, such as ftp.example.org:21: server.user, server.password_file and server.root have the rest, server.tls says how it is encrypted")
	known := slices.Contains([]string{"", "none", "explicit", "implicit"}, s.TLS)
	m.when(!known, "server.tls = %q: allowed are none, explicit, implicit", s.TLS)
	m.when(trusts > 1, "server: tls_ca, tls_certificate and tls_insecure exclude one another")
	m.when(trusts > 0 && known && s.TLS != "explicit" && s.TLS != "implicit", "server: tls_ca, tls_certificate and tls_insecure want tls = \"explicit\" or \"implicit\"")
	if trusts == 1 {
		m.add(s.trusted())
	}
	m.add(s.read("server.password", s.PasswordEnv, s.PasswordFile))
	return m
}

// trusted reads which certificate the server may have.
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

// A secret is a value that never prints: nor where fmt reaches it by a field
// that is not exported, and asks for no String.
type secret struct{ at *string }

func (s secret) value() string {
	if s.at == nil {
		return ""
	}
	return *s.at
}

func (secret) String() string   { return "(secret)" }
func (secret) GoString() string { return "(secret)" }

// read fetches it from where the configuration says that it is.
func (s *secret) read(what, env, file string) error {
	switch {
	case env != "" && file != "":
		return fmt.Errorf("%s_env and %s_file are both given", what, what)
	case env != "":
		v, ok := os.LookupEnv(env)
		if !ok {
			return fmt.Errorf("%s_env: the environment has no variable %s", what, env)
		}
		s.at = &v
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s_file: %w", what, err)
		}
		v := strings.TrimRight(string(b), "\r\n")
		s.at = &v
	}
	return nil
}
