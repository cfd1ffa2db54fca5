package site

import (
	"cmp"
	"crypto/tls"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// A Config is the one file that describes an installation. Secrets are not in
// it: it names environment variables or files that hold them.
type Config struct {
	State   string   `toml:"state"`   // lock, journal, running installers
	Archive string   `toml:"archive"` // R10: the archive of versions
	Backups string   `toml:"backups"` // R9: sealed snapshots
	Live    []string `toml:"live"`    // directories that an update replaces

	Server        serverConfig         `toml:"server"`
	Window        windowConfig         `toml:"window"`
	Calendar      calendarConfig       `toml:"calendar"`
	Application   applicationConfig    `toml:"application"`
	Deadlines     deadlinesConfig      `toml:"deadlines"`
	FirstOfYear   requirementsConfig   `toml:"first_of_year"` // R14: required before an update into a new year
	Notify        notifyConfig         `toml:"notify"`
	Announce      announceConfig       `toml:"announce"`     // who is notified before users are kept out
	Copies        copiesConfig         `toml:"copies"`       // the second place
	Distributions []distributionConfig `toml:"distribution"` // several make a bundle (R4), in the order of installation

	Postgres    []postgresConfig `toml:"postgres"`
	MSSQL       []mssqlConfig    `toml:"mssql"`
	SQLite      []pathConfig     `toml:"sqlite"`
	Directories []pathConfig     `toml:"directory"`
	Folders     []pathConfig     `toml:"folder"` // Directories, as the first version called them
	Commands    []commandConfig  `toml:"command"`
	NoData      string           `toml:"no_data"` // the reason for none of these (R9); recorded

	Parallel int `toml:"parallel"` // how many datasets are backed up, restored and restructured at a time; 0 means 1

	// The reason why an update may start although no backup of a database was ever
	// restored and compared (R9); recorded.
	Unproven string `toml:"unproven"`
	// The reason why a rollback ends although the previous version's Setup has changed a
	// database that was restored.
	SetupWrites string `toml:"setup_writes"`

	file string // it was read from
}

// kept returns the directories that keep what a rollback needs, and the marks by
// which an old copy of the state is recognized.
func (c *Config) kept() []string { return []string{c.Archive, c.Backups} }

type serverConfig struct {
	Address string          `toml:"address"` // host or host:port
	User    string          `toml:"user"`
	TLS     string          `toml:"tls"` // "none", "explicit" or "implicit"
	Root    string          `toml:"root"`
	Betas   bool            `toml:"betas"`  // R7
	Settle  strict.Duration `toml:"settle"` // how long a release must have been seen unchanged
	secret  `toml:"-"`

	URL       string `toml:"url"`       // instead of address: https://host/directory, a web server's index pages
	Directory string `toml:"directory"` // instead of a server: a stick, or a share that is mounted here
	Account   string `toml:"account"`   // for a server that asks for one (ACCT)

	// How to connect.
	Proxy            string          `toml:"proxy"` // socks5://user@host:1080 or http://host:3128; empty means ALL_PROXY
	ProxyPasswordEnv string          `toml:"proxy_password_env"`
	ProxyFile        string          `toml:"proxy_password_file"`
	PASV             bool            `toml:"pasv"`     // never EPSV
	Timeout          strict.Duration `toml:"timeout"`  // how long the server may be silent
	Attempts         int             `toml:"attempts"` // of what fails for the moment
	RateKB           int64           `toml:"rate_kb"`  // the most KB a second of a download
	proxyAuth        secret
	via              dialFunc

	PasswordEnv  string `toml:"password_env"`
	PasswordFile string `toml:"password_file"`

	// At most one; without them the system's roots are trusted.
	TLSCA          string `toml:"tls_ca"`          // a PEM file with the roots to trust
	TLSCertificate string `toml:"tls_certificate"` // SHA-256 of the one certificate to trust
	TLSInsecure    string `toml:"tls_insecure"`    // the reason to accept any certificate; shown at each run
	trust          *tls.Config
}

// A windowConfig has the site's estimate (R11), its zone, and when it has no updates. The
// support hours are those of the regulation (R13).
type windowConfig struct {
	AnyTime       string          `toml:"any_time"` // the reason to ignore R13; recorded
	Backup        strict.Duration `toml:"backup"`
	Checks        strict.Duration `toml:"checks"`
	Rollback      strict.Duration `toml:"rollback"`
	Restructuring strict.Duration `toml:"restructuring"` // of all databases together; 0 means R11's
	Typical       bool            `toml:"typical"`       // plan with R11's typical times instead of the longest
	Local         string          `toml:"local"`         // the site's zone, MSK-1 to MSK+9, shown beside Moscow time

	FirstOfYearExtra strict.Duration `toml:"first_of_year_extra"` // R14: added for the first version of a year

	WorkingSaturdays bool     `toml:"working_saturdays"` // support works on weekend days that a decree makes working days
	QuietHours       []string `toml:"quiet_hours"`       // in the site's zone, when it does not need the application (R12): "18:00-24:00", "sat,sun 10:00-19:00"
	Blackouts        []string `toml:"blackouts"`         // days in the site's zone without updates: "2026-12-25..2027-01-10 annual reports"
	quiet            []schedule.Daily
	blackout         []schedule.Period
}

// An applicationConfig describes the fence and the application behind it:
// commands with their arguments, services of the system, or both.
type applicationConfig struct {
	Close         []string `toml:"close"` // keeps users out
	Open          []string `toml:"open"`
	FenceStatus   []string `toml:"fence_status"`   // reports whether users are in: 0 yes, 1 or 3 no
	FenceServices []string `toml:"fence_services"` // that let users in: closed after close, opened before open
	Stop          []string `toml:"stop"`
	Start         []string `toml:"start"`
	Status        []string `toml:"status"`      // reports whether it runs: 0 yes, 1 or 3 no
	Services      []string `toml:"services"`    // stopped after stop, started before start
	Environment   []string `toml:"environment"` // names of variables of this process that the commands get
	NoFence       string   `toml:"no_fence"`    // the reason for having none; recorded

	Nginx nginxConfig `toml:"nginx"` // the outermost part of the fence
	IIS   iisConfig   `toml:"iis"`   // the same on Windows
}

type deadlinesConfig struct {
	Fence    strict.Duration `toml:"fence"`
	Snapshot strict.Duration `toml:"snapshot"`
	Install  strict.Duration `toml:"install"`
	Migrate  strict.Duration `toml:"migrate"`
	Probe    strict.Duration `toml:"probe"`
	Restore  strict.Duration `toml:"restore"`
	Decide   strict.Duration `toml:"decide"`
}

func (d deadlinesConfig) deadlines() rollback.Deadlines {
	return rollback.Deadlines{
		Fence: time.Duration(d.Fence), Snapshot: time.Duration(d.Snapshot), Install: time.Duration(d.Install),
		Migrate: time.Duration(d.Migrate), Probe: time.Duration(d.Probe), Restore: time.Duration(d.Restore), Decide: time.Duration(d.Decide),
	}
}

type distributionConfig struct {
	Name        string            `toml:"name"`
	Kind        string            `toml:"kind"`           // decides silent arguments and exit codes; "auto" or empty detects it
	Entry       string            `toml:"entry"`          // the file to run, if a variant is a directory or a zip archive
	Launcher    []string          `toml:"launcher"`       // the program that opens the installer, if it is not a program
	Arguments   []string          `toml:"arguments"`      // visible to every user of the machine
	Environment []string          `toml:"environment"`    // names of variables of this process that the installer gets
	Remove      []string          `toml:"remove"`         // removes a version
	Unelevated  bool              `toml:"unelevated"`     // the installer needs no elevated rights, unlike its kind
	Codes       map[string]string `toml:"codes"`          // what exit codes mean, besides those of the kind: ok, reboot-needed, busy, canceled or failed
	CodePage    string            `toml:"code_page"`      // of what the installer prints; empty finds it out for each line
	Leaves      bool              `toml:"leaves_running"` // programs that the installer starts and that are not in live may outlive it

	SHA256          map[string]string `toml:"sha256"`          // pinned hashes of Setup, by version
	SHA256FullSetup map[string]string `toml:"sha256_full"`     // and of FullSetup
	SHA256File      string            `toml:"sha256_file"`     // or a file as sha256sum writes it, with paths such as asp/7.13.100/Setup.exe
	Unauthenticated string            `toml:"unauthenticated"` // the reason to accept files without a pinned hash; recorded

	Publisher publisherConfig `toml:"publisher"` // whose signature vouches for a file without a pinned hash

	Probe   probeConfig     `toml:"probe"`
	Migrate []migrateConfig `toml:"migrate"` // the databases that are restructured for a new version (R11)
}

type postgresConfig struct {
	Name      string   `toml:"name"`      // of the database
	Databases string   `toml:"databases"` // instead of it: a pattern of names; what it matches is in each plan
	Except    []string `toml:"except"`    // patterns of names that Databases does not match

	URIEnv  string `toml:"uri_env"`  // variable with the maintenance role's connection string
	URIFile string `toml:"uri_file"` // or a file with it
	secret  `toml:"-"`

	// Backups make no clone on the server: users are out for less time in an update, and for
	// more in a rollback, which loads the dump.
	NoClone bool `toml:"no_clone"`

	// The reason why the database keeps users out only for its snapshot:
	// installer or probe log in with the application's own role, so that the
	// database cannot distinguish them from users. Then only the application's
	// fence keeps users out.
	Unfenced string `toml:"unfenced"`
}

// entry reports whether the application's own fence is given.
func (a *applicationConfig) entry() bool {
	return len(a.Close)+len(a.FenceServices) > 0 || a.Nginx.on() || a.IIS.on()
}

// unfenced returns the names of the databases that keep users out only for
// their snapshot, or the pattern of them.
func (c *Config) unfenced() (names []string) {
	for _, p := range servers(c.Postgres) {
		if p.Unfenced != "" {
			names = append(names, cmp.Or(p.Databases, p.Name))
		}
	}
	return names
}

// withoutClone returns the names, or the patterns, of the databases that have no clone.
func (c *Config) withoutClone() (names []string) {
	for _, p := range servers(c.Postgres) {
		if p.NoClone {
			names = append(names, cmp.Or(p.Databases, p.Name))
		}
	}
	return names
}

type pathConfig struct {
	Path string `toml:"path"`
}
