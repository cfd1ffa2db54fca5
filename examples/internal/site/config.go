package site

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// A Config is the one file that describes an installation. Secrets are not in
// it: it names environment variables or files that hold them.
type Config struct {
	State   string   `toml:"state"`   // lock, journal, installers at work
	Archive string   `toml:"archive"` // R10: the archive of versions
	Backups string   `toml:"backups"` // R9: sealed snapshots
	Live    []string `toml:"live"`    // folders that an update replaces

	Server        serverConfig         `toml:"server"`
	Window        windowConfig         `toml:"window"`
	Calendar      calendarConfig       `toml:"calendar"`
	Application   applicationConfig    `toml:"application"`
	Deadlines     deadlinesConfig      `toml:"deadlines"`
	FirstOfYear   requirementsConfig   `toml:"first_of_year"` // R14: an update into a new year is refused without
	Watch         watchConfig          `toml:"watch"`
	Distributions []distributionConfig `toml:"distribution"` // several make a bundle (R4), in the order of installation

	Postgres []postgresConfig `toml:"postgres"`
	SQLite   []pathConfig     `toml:"sqlite"`
	Folders  []pathConfig     `toml:"folder"`
	Commands []commandConfig  `toml:"command"`
	NoData   string           `toml:"no_data"` // why there are none of these four (R9); recorded
}

type serverConfig struct {
	Address string          `toml:"address"` // host or host:port
	User    string          `toml:"user"`
	TLS     string          `toml:"tls"` // "none", "explicit" or "implicit"
	Root    string          `toml:"root"`
	Betas   bool            `toml:"betas"`  // R7
	Settle  strict.Duration `toml:"settle"` // how long a release must have stood still
	secret  `toml:"-"`

	PasswordEnv  string `toml:"password_env"`
	PasswordFile string `toml:"password_file"`

	// At most one; without them the system's roots are trusted.
	TLSCA          string `toml:"tls_ca"`          // a PEM file with the roots to trust
	TLSCertificate string `toml:"tls_certificate"` // SHA-256 of the one certificate to trust
	TLSInsecure    string `toml:"tls_insecure"`    // why any certificate will do; shown at each run
	trust          *tls.Config
}

// windowConfig is the site's estimate (R11) and its zone. The support's hours
// are the regulation's (R13).
type windowConfig struct {
	AnyTime  string          `toml:"any_time"` // why R13 is left out; recorded
	Backup   strict.Duration `toml:"backup"`
	Checks   strict.Duration `toml:"checks"`
	Rollback strict.Duration `toml:"rollback"`
	Typical  bool            `toml:"typical"` // plan with R11's typical times and not its worst
	Local    string          `toml:"local"`   // the site's zone, MSK-1 to MSK+9, shown beside Moscow time

	FirstOfYearExtra strict.Duration `toml:"first_of_year_extra"` // R14: what the year's first version takes longer
}

// applicationConfig is the fence and the application behind it: commands with
// their arguments, services of the system, or both.
type applicationConfig struct {
	Close         []string `toml:"close"` // keeps users out
	Open          []string `toml:"open"`
	FenceServices []string `toml:"fence_services"` // let users in: stopped after close, brought back before open
	Stop          []string `toml:"stop"`
	Start         []string `toml:"start"`
	Services      []string `toml:"services"` // stopped after stop, brought back before start
	NoFence       string   `toml:"no_fence"` // why there is none; recorded
}

type deadlinesConfig struct {
	Fence    strict.Duration `toml:"fence"`
	Snapshot strict.Duration `toml:"snapshot"`
	Install  strict.Duration `toml:"install"`
	Probe    strict.Duration `toml:"probe"`
	Restore  strict.Duration `toml:"restore"`
	Decide   strict.Duration `toml:"decide"`
}

func (d deadlinesConfig) deadlines() rollback.Deadlines {
	return rollback.Deadlines{
		Fence: time.Duration(d.Fence), Snapshot: time.Duration(d.Snapshot), Install: time.Duration(d.Install),
		Probe: time.Duration(d.Probe), Restore: time.Duration(d.Restore), Decide: time.Duration(d.Decide),
	}
}

type distributionConfig struct {
	Name        string   `toml:"name"`
	Kind        string   `toml:"kind"`        // silent arguments and exit codes; "auto" asks the file, empty is "plain"
	Entry       string   `toml:"entry"`       // the file to run, where a variant is a folder or a zip archive
	Launcher    []string `toml:"launcher"`    // the program that opens the installer, if it is none itself
	Arguments   []string `toml:"arguments"`   // visible to everybody on the machine
	Environment []string `toml:"environment"` // names of variables that the installer gets from ours
	Remove      []string `toml:"remove"`      // takes a first installation off again
	Unelevated  bool     `toml:"unelevated"`  // the installer needs no elevated rights, although its kind usually does

	SHA256          map[string]string `toml:"sha256"`          // pinned hashes of Setup by version
	SHA256FullSetup map[string]string `toml:"sha256_full"`     // and of FullSetup
	SHA256File      string            `toml:"sha256_file"`     // or a file in sha256sum's format with hashes of asp/7.13.100/Setup.exe and the like
	Unauthenticated string            `toml:"unauthenticated"` // why files without a pinned hash are taken; recorded

	Publisher publisherConfig `toml:"publisher"` // whose signature vouches for a file without a pinned hash

	Probe probeConfig `toml:"probe"`
}

// One of command, sql and file tells the version, or else the answer of http.
// What is given besides must be so first: a port that answers, a page.
type probeConfig struct {
	TCP     string   `toml:"tcp"`     // host:port that must take connections
	HTTP    string   `toml:"http"`    // answers with the version in its first line
	Status  int      `toml:"status"`  // that http answers with; 200 if none is given
	Text    string   `toml:"text"`    // regular expression that the answer must hold; its first group is the version
	Command []string `toml:"command"` // prints the version in its first line
	SQL     string   `toml:"sql"`     // returns the version
	InDB    string   `toml:"in"`      // which of [[postgres]] is asked by sql
	File    string   `toml:"file"`    // a program or library for Windows that has the version
	secret  `toml:"-"`

	Installed   string          `toml:"installed"`   // a path that is there exactly if it is installed; for a first installation
	Environment []string        `toml:"environment"` // names of variables that the command gets from ours
	Every       strict.Duration `toml:"every"`
}

type postgresConfig struct {
	Name    string `toml:"name"`     // of the database
	URIEnv  string `toml:"uri_env"`  // variable with the maintenance role's connection string
	URIFile string `toml:"uri_file"` // or a file with it
	secret  `toml:"-"`

	// Why the database itself keeps users out for the snapshot alone: installer
	// or probe come in by the application's own role, which it could not tell
	// from users. The application's fence is then what counts.
	Unfenced string `toml:"unfenced"`
}

// Unfenced names the databases that keep users out for their snapshot alone.
func (c *Config) Unfenced() (names []string) {
	for _, p := range c.Postgres {
		if p.Unfenced != "" {
			names = append(names, p.Name)
		}
	}
	return names
}

type pathConfig struct {
	Path string `toml:"path"`
}

// A secret is a value that never prints.
type secret struct{ value string }

func (secret) String() string   { return "(secret)" }
func (secret) GoString() string { return "(secret)" }

// Load reads the file at path strictly and fetches the secrets that it names.
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
	err = c.check()
	if err == nil {
		err = errors.Join(c.secrets(), c.Server.trusted())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	return &c, nil
}

// check finds what is missing and what contradicts itself.
func (c *Config) check() error {
	for name, path := range map[string]string{"state": c.State, "archive": c.Archive, "backups": c.Backups} {
		switch {
		case path == "":
			return fmt.Errorf("%s is missing: it wants a folder", name)
		case !filepath.IsAbs(path):
			return fmt.Errorf("%s = %q: it wants an absolute path", name, path)
		}
	}
	unfenced := slices.ContainsFunc(c.Postgres, func(p postgresConfig) bool { return p.Unfenced != "" })
	fenced := slices.ContainsFunc(c.Postgres, func(p postgresConfig) bool { return p.Unfenced == "" })
	data := len(c.Postgres) + len(c.SQLite) + len(c.Folders) + len(c.Commands)
	switch {
	case c.Server.Address == "":
		return errors.New("server.address is missing: it wants a host or host:port")
	case !slices.Contains([]string{"", "none", "explicit", "implicit"}, c.Server.TLS):
		return fmt.Errorf("server.tls = %q: allowed are none, explicit, implicit", c.Server.TLS)
	case c.Server.trusts() > 1:
		return errors.New("server: tls_ca, tls_certificate and tls_insecure exclude one another")
	case c.Server.trusts() > 0 && c.Server.TLS != "explicit" && c.Server.TLS != "implicit":
		return errors.New("server: tls_ca, tls_certificate and tls_insecure want tls = \"explicit\" or \"implicit\"")
	case len(c.Distributions) == 0:
		return errors.New("no [[distribution]] is given")
	case c.Application.NoFence == "" && len(c.Application.Close)+len(c.Application.FenceServices) == 0 && !fenced:
		return errors.New("nothing keeps users out: give application.close and application.open, or application.fence_services, or say why not in application.no_fence")
	case c.Application.NoFence != "" && unfenced: // nobody would open the database after a crash
		return errors.New("application.no_fence and postgres.unfenced exclude one another: the application's fence is what keeps users out of that database")
	case c.NoData == "" && data == 0:
		return errors.New("nothing is backed up (R9): give [[postgres]], [[sqlite]], [[folder]] or [[command]], or say why not in no_data")
	case c.NoData != "" && data > 0:
		return errors.New("no_data says that nothing is backed up, and there are [[postgres]], [[sqlite]], [[folder]] or [[command]]")
	case (len(c.Application.Close) == 0) != (len(c.Application.Open) == 0):
		return errors.New("application.close and application.open come together")
	case (len(c.Application.Stop) == 0) != (len(c.Application.Start) == 0):
		return errors.New("application.stop and application.start come together")
	}
	if c.Window.AnyTime == "" && (c.Window.Backup == 0 || c.Window.Checks == 0 || c.Window.Rollback == 0) {
		return errors.New("window wants backup, checks and rollback (R13): how long do they take here, at worst?")
	}
	if err := c.Calendar.read(); err != nil {
		return err
	}
	if _, err := schedule.ParseZone(c.Window.Local); c.Window.Local != "" && err != nil {
		return fmt.Errorf("window.local: %w", err)
	}
	if err := c.FirstOfYear.check(); err != nil {
		return err
	}
	for i := range c.Distributions {
		d := &c.Distributions[i]
		if err := d.Publisher.read(); err != nil {
			return fmt.Errorf("distribution %s: publisher: %w", d.Name, err)
		}
		if err := d.Probe.check(); err != nil {
			return fmt.Errorf("distribution %s: probe: %w", d.Name, err)
		}
		switch {
		case d.Name == "":
			return errors.New("a [[distribution]] has no name")
		case d.Publisher.given() && d.Unauthenticated != "":
			return fmt.Errorf("distribution %s: publisher and unauthenticated are both given", d.Name)
		case d.Probe.Installed != "" && !filepath.IsAbs(d.Probe.Installed):
			return fmt.Errorf("distribution %s: probe.installed = %q: it wants an absolute path", d.Name, d.Probe.Installed)
		case d.SHA256File != "" && d.Unauthenticated != "":
			return fmt.Errorf("distribution %s: sha256_file and unauthenticated exclude one another", d.Name)
		case d.Kind != "" && !slices.Contains(install.Kinds(), d.Kind):
			return fmt.Errorf("distribution %s: kind = %q: allowed are %s", d.Name, d.Kind, strings.Join(install.Kinds(), ", "))
		}
	}
	for _, p := range c.Postgres {
		if p.Name == "" {
			return errors.New("a [[postgres]] has no name: it wants the database's")
		}
	}
	for _, p := range slices.Concat(c.SQLite, c.Folders) {
		if !filepath.IsAbs(p.Path) {
			return fmt.Errorf("path = %q of a [[sqlite]] or [[folder]]: it wants an absolute path", p.Path)
		}
	}
	for _, p := range c.Commands {
		if err := p.target().Check(); err != nil {
			return fmt.Errorf("a [[command]]: %w", err)
		}
	}
	return nil
}

// trusts counts the ways in which server certificates are to be checked.
func (s serverConfig) trusts() (n int) {
	for _, key := range []string{s.TLSCA, s.TLSCertificate, s.TLSInsecure} {
		if key != "" {
			n++
		}
	}
	return n
}

// trusted reads which certificate the server may have.
func (s *serverConfig) trusted() error {
	key, err := "", error(nil)
	switch {
	case s.TLSCA != "":
		key = "tls_ca"
		s.trust, err = fetch.TrustCA(s.TLSCA)
	case s.TLSCertificate != "":
		key = "tls_certificate"
		s.trust, err = fetch.TrustCertificate(s.TLSCertificate)
	case s.TLSInsecure != "":
		key = "tls_insecure"
		s.trust, err = fetch.TrustAnyCertificate(s.TLSInsecure)
	}
	if err != nil {
		return fmt.Errorf("server.%s: %w", key, err)
	}
	return nil
}

// secrets reads what the config only names.
func (c *Config) secrets() error {
	var err error
	if c.Server.value, err = readSecret("server.password", c.Server.PasswordEnv, c.Server.PasswordFile); err != nil {
		return err
	}
	for i := range c.Postgres {
		p := &c.Postgres[i]
		if p.value, err = readSecret("postgres.uri", p.URIEnv, p.URIFile); err != nil {
			return err
		}
	}
	for i := range c.Distributions {
		if err := c.Distributions[i].Probe.connect(c.Postgres); err != nil {
			return fmt.Errorf("distribution %s: probe: %w", c.Distributions[i].Name, err)
		}
	}
	return nil
}

func readSecret(what, env, file string) (string, error) {
	switch {
	case env != "" && file != "":
		return "", fmt.Errorf("%s_env and %s_file are both given", what, what)
	case env != "":
		v, ok := os.LookupEnv(env)
		if !ok {
			return "", fmt.Errorf("%s_env: the environment has no variable %s", what, env)
		}
		return v, nil
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", what, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	return "", nil
}
