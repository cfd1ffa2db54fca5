package main

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	ftpserver "github.com/fclairamb/ftpserverlib"
	"github.com/spf13/afero"

	"github.com/aspupdate/aspupdate/fetch"
	versions "github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/version"
)

// A peerServer serves a directory by ftpserverlib.
type peerServer struct{ dir string }

func (p peerServer) GetSettings() (*ftpserver.Settings, error) {
	return &ftpserver.Settings{ListenAddr: "127.0.0.1:0", DefaultTransferType: ftpserver.TransferTypeBinary}, nil
}
func (peerServer) ClientConnected(ftpserver.ClientContext) (string, error) { return "ready", nil }
func (peerServer) ClientDisconnected(ftpserver.ClientContext)              {}
func (peerServer) GetTLSConfig() (*tls.Config, error)                      { return nil, errors.New("none") }
func (p peerServer) AuthUser(_ ftpserver.ClientContext, user, password string) (ftpserver.ClientDriver, error) {
	if user != "site" || password != "correct-horse" {
		return nil, errors.New("no")
	}
	return afero.NewReadOnlyFs(afero.NewBasePathFs(afero.NewOsFs(), p.dir)), nil
}

func startPeerServer(t *testing.T, files map[string][]byte) *ftp.Source {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, data, 0o600)); err != nil {
			t.Fatal(err)
		}
		long := time.Now().Add(-48 * time.Hour)
		if err := os.Chtimes(full, long, long); err != nil {
			t.Fatal(err)
		}
	}
	s := ftpserver.NewFtpServer(peerServer{dir})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve() }()
	t.Cleanup(func() { _ = s.Stop() })
	return &ftp.Source{Addr: s.Addr(), User: "site", Password: "correct-horse", Timeout: 20 * time.Second, Retry: fetch.Retry{Attempts: 2, Interval: time.Millisecond}}
}

// ftpserverlib is here because the library's own module does not depend on it.
func TestSourceOnFtpserverlib(t *testing.T) {
	fetchtest.TestSource(t, func(t *testing.T, files map[string][]byte) fetch.Source { return startPeerServer(t, files) })
}

func TestCyrillicOnFtpserverlib(t *testing.T) {
	src := startPeerServer(t, map[string][]byte{
		"Опека и попечительство/7.12.100/Setup/setup.exe":       make([]byte, 100_000),
		"Опека и попечительство/7.12.100/Setup/данные/ёлка.cab": []byte("x"),
		"Опека и попечительство/7.12.100/Setup/данные/я.txt":    []byte("я"),
	})
	rel, err := fetch.Finder{}.Latest(t.Context(), src, "Опека и попечительство", version.Setup)
	if err != nil {
		t.Fatal(err)
	}
	a := &versions.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Settle: -1}
	it, err := a.Fetch(t.Context(), src, rel, version.Setup, versions.WithServerHash(src, versions.Unauthenticated("a test")))
	if err != nil || len(it.Parts) != 3 {
		t.Fatal(it, err)
	}
	if err := a.Verify(t.Context(), it); err != nil {
		t.Fatal(err)
	}
	src.Password = "wrong"
	if _, err := src.List(t.Context(), "/"); !errors.Is(err, fetch.ErrCredentials) {
		t.Fatal(err)
	}
}
