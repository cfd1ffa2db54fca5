package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/https"
	"github.com/aspupdate/aspupdate/fetch/local"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/version"
)

var (
	// ErrConfig is wrapped by every error about the configuration. Nothing was
	// changed.
	ErrConfig = errors.New("configuration")
	// ErrNothing means that there is nothing to do.
	ErrNothing = errors.New("nothing to do")
	// ErrPrevious means that the Setup of the installed version is not in the
	// archive (R10).
	ErrPrevious = errors.New("R10: a rollback needs the Setup of the installed version")
	// ErrNotFetched means that a release is on the server and not in the
	// archive.
	ErrNotFetched = errors.New("on the server, but not in the archive yet: fetch it first")
	// ErrUntested means that the self-test of a [[mssql]] has not passed on its server,
	// in its present version.
	ErrUntested = errors.New("not tested on this SQL Server")
	// ErrNotVouched means that the configuration has neither a hash nor a
	// publisher for a file, nor a reason to accept it without.
	ErrNotVouched = errors.New("pin its hash in distribution.sha256 or sha256_file or its publisher in distribution.publisher, or give the reason to accept it without in distribution.unauthenticated")
)

// A ServerError is about nothing but [server] in the configuration. What needs no
// server can be done.
type ServerError struct{ error }

// Unwrap returns the error about the configuration.
func (e *ServerError) Unwrap() error { return e.error }

// A Site is an installation as its configuration describes it. Only Config is
// required. A Site has no state of its own: it reads the disk and the server each
// time. It is used by one goroutine at a time.
type Site struct {
	Config *Config
	// First means that nothing is installed yet: FullSetup is installed (R3).
	First bool
	// AnyTime is the reason to ignore the support hours (R13); recorded. If it
	// is empty, the configuration decides.
	AnyTime string
	// Unproven is the reason to update without a proven backup of a database (R9);
	// recorded. If it is empty, the configuration decides.
	Unproven string
	// Offline means that the server is not asked: what is in the archive is what
	// there is (R10). Version chooses one of its versions; zero means the newest.
	Offline bool
	Version version.Version
	Observe Observe

	opening  bool            // a person lets users in, see [Site.Open]
	patterns Patterns        // with the databases that they were replaced by
	data     map[string]bool // of a pending first installation; nil means all
	// source returns the source that remembers what the server cannot do: a
	// function, because fmt would print the password in a field.
	source func() fetch.Source
}

// Observe has the functions that receive events, in order, on the calling
// goroutine. Each may be nil.
type Observe struct {
	Find     func(fetch.Event)
	Server   func(fetch.Event)
	Archive  func(archive.Event)
	Watch    func(fetch.Event)
	Backup   func(backup.Event) // concurrently, from other goroutines, where several datasets are backed up or restored at a time
	Install  func(install.Event)
	Output   func(data, text string) // what an installer prints, or for a dataset what restructures it, without control characters; from goroutines of their own
	Rollback func(rollback.Event)
	Warn     func(text string) // a person should know this at each run
	Replaced func(err error)   // a release was replaced during its download; the server is listed again
}

// Source returns the vendor's server, or the directory in its place.
func (s *Site) Source() fetch.Source {
	if s.source == nil {
		var src fetch.Source
		switch c := s.Config.Server; {
		case c.Directory != "":
			src = &local.Source{Dir: c.Directory, Timeout: time.Duration(c.Timeout)}
		case c.URL != "":
			src = &https.Source{Base: c.URL, Client: c.webClient(), Timeout: time.Duration(c.Timeout)}
		default:
			src = s.ftpServer()
		}
		s.source = func() fetch.Source { return src }
	}
	return s.source()
}

func (s *Site) ftpServer() *ftp.Source {
	c := s.Config.Server
	tls := map[string]ftp.TLS{"": ftp.TLSNone, "none": ftp.TLSNone, "explicit": ftp.TLSExplicit, "implicit": ftp.TLSImplicit}
	return &ftp.Source{
		Addr: asciiHost(c.Address), User: c.User, Password: c.value(), Account: c.Account, TLS: tls[c.TLS], TLSConfig: c.trust,
		Dial: c.via, PASV: c.PASV, Timeout: time.Duration(c.Timeout), Retry: fetch.Retry{Attempts: c.Attempts}, Observe: s.Observe.Server,
	}
}

// Archive returns the archive of versions (R10).
func (s *Site) Archive() *archive.Archive {
	c := s.Config.Server
	return &archive.Archive{Dir: s.Config.Archive, Settle: time.Duration(c.Settle), Rate: c.RateKB << 10, Retry: fetch.Retry{Attempts: c.Attempts}, Observe: s.Observe.Archive}
}

// Store returns the store of snapshots (R9).
func (s *Site) Store() *backup.Store {
	return &backup.Store{Dir: s.Config.Backups, Observe: s.Observe.Backup}
}

func (s *Site) runner() *install.Runner {
	r := &install.Runner{State: filepath.Join(s.Config.State, "install"), Observe: s.Observe.Install}
	if show := s.Observe.Output; show != nil {
		var names []string
		for _, d := range s.Config.Distributions {
			names = append(names, d.Environment...)
		}
		slices.SortFunc(names, func(a, b string) int { return len(os.Getenv(b)) - len(os.Getenv(a)) }) // one value may be a part of another
		r.Output = func(text string) {                                                                 // into a log that others read, too
			for _, name := range names {
				if value := os.Getenv(name); len(value) > 3 { // a language or a number is no secret
					text = strings.ReplaceAll(text, value, "$"+name)
				}
			}
			show("", text)
		}
	}
	return r
}

// Settle waits for the installers and commands that a process which died has left running, or ends those
// whose time is up. Their records need no journal: where that is damaged, or an old copy, nothing of them may
// act later in what is put in order by hand.
func (s *Site) Settle(ctx context.Context) error {
	_, installers := s.runner().Settle(ctx)
	_, commands := roles.Switch{Off: roles.Command{Argv: []string{""}, State: s.records()}}.Settle(ctx)
	return errors.Join(installers, commands)
}

// blocked returns nil if an update may be planned. While a process is running,
// that is why it may not: what is pending is its own.
func (s *Site) blocked(st rollback.Status) error {
	err := st.Blocked()
	if err == nil {
		return nil
	}
	holder, lockErr := rollback.LockHolder(s.Config.State)
	if lockErr != nil || holder == nil {
		return errors.Join(err, lockErr)
	}
	return fmt.Errorf("%w: process %d on %s, %s since %s", rollback.ErrBusy, holder.PID, holder.Host, holder.Doing, s.Config.Clock().Time(holder.Since))
}

// Status returns the state of the installation, by its journal.
func (s *Site) Status() (rollback.Status, error) {
	return rollback.ReadStatus(s.Config.State, s.Config.kept()...)
}
