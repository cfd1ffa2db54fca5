package site

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// namespaced names the configuration for a child that runs in the namespace.
const namespaced = "ASPUPDATE_TEST_NAMESPACE"

// In a network namespace that has nothing but a SOCKS proxy, a release is fetched
// through it. The proxy connects from this machine's namespace.
func TestInANamespaceWithOnlyAProxy(t *testing.T) {
	if config := os.Getenv(namespaced); config != "" {
		c, err := Load(config)
		require.NoError(t, err)
		direct := *c
		direct.Server.via, direct.Server.Address = nil, strings.Replace(c.Server.Address, "ftp.invalid", "127.0.0.1", 1)
		require.Error(t, (&Site{Config: &direct}).Fetch(t.Context()), "the server cannot be reached directly")
		require.NoError(t, (&Site{Config: c}).Fetch(t.Context()))
		return
	}
	if os.Geteuid() != 0 {
		realtest.Skip(t, "a network namespace needs root")
	}
	s := fetchtest.New(t)
	s.Put("/АСП/9.23.100/Setup.exe", []byte("installer"), time.Now().Add(-time.Hour))
	_, port, err := net.SplitHostPort(s.Addr)
	require.NoError(t, err)
	type listening struct {
		l   net.Listener
		err error
	}
	ready, start, out := make(chan listening), make(chan *exec.Cmd), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its namespace with it
		l, err := listenAlone()
		ready <- listening{l, err}
		if err == nil {
			out <- (<-start).Run()
		}
	}()
	in := <-ready
	if in.err != nil {
		realtest.Skip(t, "no network namespace: %v", in.err)
	}
	p := serveProxy(t, in.l, socks5)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "proxy-password"), []byte(proxyPassword), 0o600))
	text := strings.Replace(goodConfig(dir), "address = '127.0.0.1:1'", "address = 'ftp.invalid:"+port+"'\nsettle = '1ms'\ntimeout = '5s'\nattempts = 1\nproxy = 'socks5://site@"+
		p.addr+"'\nproxy_password_file = '"+dir+"/proxy-password'", 1)
	path := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	self, err := os.Executable()
	require.NoError(t, err)
	var said strings.Builder
	cmd := exec.Command(self, "-test.run=^TestInANamespaceWithOnlyAProxy$", "-test.v")
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), namespaced+"="+path), &said, &said
	start <- cmd
	require.NoError(t, <-out, "%s", &said)
	require.Contains(t, said.String(), "--- PASS: TestInANamespaceWithOnlyAProxy")
	require.GreaterOrEqual(t, p.tunnels.Load(), int64(3))
}

// listenAlone gives this thread a network namespace of its own, and listens there.
func listenAlone() (net.Listener, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return nil, err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return nil, err
	}
	return net.Listen("tcp", "127.0.0.1:0")
}
