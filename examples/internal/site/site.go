package site

import (
	"errors"
	"path/filepath"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/watch"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
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
	// ErrNotVouched means that the configuration has neither a hash nor a
	// publisher for a file, nor a reason to accept it without.
	ErrNotVouched = errors.New("pin its hash in distribution.sha256 or sha256_file or its publisher in distribution.publisher, or give the reason to accept it without in distribution.unauthenticated")
)

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
	Observe Observe
}

// Observe has the functions that receive events, in order, on the calling
// goroutine. Each may be nil.
type Observe struct {
	Find     func(fetch.Event)
	Server   func(ftp.Event)
	Archive  func(archive.Event)
	Watch    func(watch.Event)
	Backup   func(backup.Event)
	Install  func(install.Event)
	Rollback func(rollback.Event)
	Warn     func(text string) // a person should know this at each run
	Replaced func(err error)   // a release was replaced during its download; the server is listed again
}

// Source returns the vendor's server.
func (s *Site) Source() *ftp.Source {
	c := s.Config.Server
	tls := map[string]ftp.TLS{"": ftp.TLSNone, "none": ftp.TLSNone, "explicit": ftp.TLSExplicit, "implicit": ftp.TLSImplicit}
	return &ftp.Source{Addr: c.Address, User: c.User, Password: c.value(), TLS: tls[c.TLS], TLSConfig: c.trust, Observe: s.Observe.Server}
}

// Archive returns the archive of versions (R10).
func (s *Site) Archive() *archive.Archive {
	return &archive.Archive{Dir: s.Config.Archive, Observe: s.Observe.Archive}
}

// Store returns the store of snapshots (R9).
func (s *Site) Store() *backup.Store {
	return &backup.Store{Dir: s.Config.Backups, Observe: s.Observe.Backup}
}

func (s *Site) runner() *install.Runner {
	return &install.Runner{State: filepath.Join(s.Config.State, "install"), Observe: s.Observe.Install}
}

// Status returns the state of the installation, by its journal.
func (s *Site) Status() (rollback.Status, error) { return rollback.ReadStatus(s.Config.State) }
