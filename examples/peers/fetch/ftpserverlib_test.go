package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	src, _ := servePeer(t, files)
	return src
}

// servePeer is startPeerServer that returns the directory too.
func servePeer(t *testing.T, files map[string][]byte) (src *ftp.Source, dir string) {
	t.Helper()
	dir = t.TempDir()
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
	return &ftp.Source{Addr: s.Addr(), User: "site", Password: "correct-horse", Timeout: 20 * time.Second, Retry: fetch.Retry{Attempts: 2, Interval: time.Millisecond}}, dir
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

// The whole program updates from a tree on ftpserverlib, as it does from the other makes in
// examples/aspupdate.
func TestUpdateFromFtpserverlib(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the installers are shell scripts")
	}
	installs := func(v string) []byte {
		return []byte(`cp "$(dirname "$0")/данные/ёлка.txt" "$1/ёлка" && echo ` + v + ` > "$1/version"` + "\n")
	}
	files := map[string][]byte{}
	for _, v := range []string{"7.12.100", "7.13.100"} {
		files["АСП/"+v+"/Setup/установка.sh"] = installs(v)
		files["АСП/"+v+"/Setup/данные/ёлка.txt"] = []byte("ёлка " + v)
	}
	src, served := servePeer(t, files)
	own, site, program := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "aspupdate")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", program, "./aspupdate").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config := filepath.Join(own, "aspupdate.toml")
	text := fmt.Sprintf(`
state = '%[1]s/state'
archive = '%[1]s/archive'
backups = '%[1]s/backups'
live = ['%[2]s']
no_data = 'a test'
[server]
address = '%[3]s'
settle = '1ms'
user = 'site'
password_env = 'SITE_FTP_PASSWORD'
[window]
any_time = 'a test'
[application]
no_fence = 'a test'
[[distribution]]
name = 'АСП'
launcher = ['/bin/sh']
arguments = ['%[2]s']
entry = 'установка.sh'
unauthenticated = 'a test on loopback'
probe = { command = ['/bin/cat', '%[2]s/version'], interval = '50ms', steady = '50ms' }
`, own, site, src.Addr)
	if err := errors.Join(os.WriteFile(config, []byte(text), 0o600), os.WriteFile(filepath.Join(site, "version"), []byte("7.12.100\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"archive", "import", "--distribution", "АСП", "--version", "7.12.100", filepath.Join(served, "АСП", "7.12.100", "Setup")},
		{"check"}, {"update", "--yes"}, {"status"},
	} {
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+src.Password, "ASPUPDATE_CONFIG="+config)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	if got, err := os.ReadFile(filepath.Join(site, "ёлка")); err != nil || string(got) != "ёлка 7.13.100" {
		t.Fatalf("%q, %v", got, err)
	}
}
