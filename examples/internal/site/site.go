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
	// ErrConfig is wrapped by every complaint about the configuration.
	// Nothing was changed.
	ErrConfig = errors.New("configuration")
	// ErrNothing says that there is nothing to do.
	ErrNothing = errors.New("nothing to do")
	// ErrPrevious says that the installed version's Setup is not in the
	// archive (R10).
	ErrPrevious = errors.New("R10: the installed version's Setup is needed for the way back")
	// ErrNotFetched says that a release is on the server and not in the
	// archive.
	ErrNotFetched = errors.New("it is on the server and not in the archive yet: fetch it first")
	// ErrNotVouched says that the configuration has neither a hash nor a
	// publisher for a file, nor the word that none is needed.
	ErrNotVouched = errors.New("pin its hash in distribution.sha256 or sha256_file or its publisher in distribution.publisher, or say in distribution.unauthenticated why it is taken without")
)

// A Site is an installation as its configuration describes it. Only Config is
// required. A Site is a value without state of its own: what it knows it reads
// from the disk and the server, each time. It is for one goroutine.
type Site struct {
	Config *Config
	// First says that nothing is installed yet: FullSetup is taken (R3).
	First bool
	// AnyTime is why the support's hours are left out (R13); recorded. Empty
	// is what the configuration says.
	AnyTime string
	// Observe is told what happens.
	Observe Observe
}

// Observe are functions that are told what happens, in order, from the calling
// goroutine. Each may be nil.
type Observe struct {
	Find     func(fetch.Event)
	Server   func(ftp.Event)
	Archive  func(archive.Event)
	Watch    func(watch.Event)
	Backup   func(backup.Event)
	Install  func(install.Event)
	Rollback func(rollback.Event)
	Warn     func(text string) // what a person should know at each run
	Replaced func(err error)   // a release was replaced while it was fetched, and is looked for again
}

// Source is the vendor's server.
func (s *Site) Source() *ftp.Source {
	c := s.Config.Server
	tls := map[string]ftp.TLS{"": ftp.TLSNone, "none": ftp.TLSNone, "explicit": ftp.TLSExplicit, "implicit": ftp.TLSImplicit}
	return &ftp.Source{Addr: c.Address, User: c.User, Password: c.value(), TLS: tls[c.TLS], TLSConfig: c.trust, Observe: s.Observe.Server}
}

// Archive is the archive of versions (R10).
func (s *Site) Archive() *archive.Archive {
	return &archive.Archive{Dir: s.Config.Archive, Observe: s.Observe.Archive}
}

// Store has the snapshots (R9).
func (s *Site) Store() *backup.Store {
	return &backup.Store{Dir: s.Config.Backups, Observe: s.Observe.Backup}
}

func (s *Site) runner() *install.Runner {
	return &install.Runner{State: filepath.Join(s.Config.State, "install"), Observe: s.Observe.Install}
}

// Status is what the journal says.
func (s *Site) Status() (rollback.Status, error) { return rollback.ReadStatus(s.Config.State) }
