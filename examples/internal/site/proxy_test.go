package site

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
)

const proxyPassword = "correct-horse"

// A testProxy is a SOCKS5 (RFC 1928, 1929) and HTTP CONNECT proxy that knows one
// user, and for which the host ftp.invalid is this machine.
type testProxy struct {
	addr      string
	tunnels   atomic.Int64
	forbidden atomic.Bool // to connect anywhere
}

func startProxy(t *testing.T, serve func(*testProxy, net.Conn)) *testProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return serveProxy(t, l, serve)
}

func serveProxy(t *testing.T, l net.Listener, serve func(*testProxy, net.Conn)) *testProxy {
	t.Helper()
	t.Cleanup(func() { _ = l.Close() })
	p := &testProxy{addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer func() { _ = c.Close() }(); serve(p, c) }()
		}
	}()
	return p
}

func (p *testProxy) splice(c net.Conn, r io.Reader, address string, ok func(bool)) {
	if p.forbidden.Load() {
		ok(false)
		return
	}
	to, err := net.Dial("tcp", strings.Replace(address, "ftp.invalid", "127.0.0.1", 1))
	ok(err == nil)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	p.tunnels.Add(1)
	go func() { _, _ = io.Copy(to, r); _ = to.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(c, to)
}

func socks5(p *testProxy, c net.Conn) {
	if address, reply, ok := realtest.AcceptSOCKS(c, "site", proxyPassword); ok {
		p.splice(c, c, address, reply)
	}
}

func httpConnect(p *testProxy, c net.Conn) {
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	if req.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("site:"+proxyPassword)) {
		_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	p.splice(c, r, req.Host, func(ok bool) {
		_, _ = io.WriteString(c, map[bool]string{true: "HTTP/1.1 200 Connection established\r\n\r\n", false: "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"}[ok])
	})
}

// siteBehind returns a site that reaches a server through what the keys say.
func siteBehind(t *testing.T, keys string) (*Site, error) {
	t.Helper()
	s := fetchtest.New(t)
	s.Put("/АСП/9.23.100/Setup.exe", []byte("installer"), time.Now().Add(-time.Hour))
	_, port, err := net.SplitHostPort(s.Addr)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "proxy-password"), []byte("\ufeff"+proxyPassword+"\r\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wrong"), []byte("battery-staple"), 0o600))
	text := strings.Replace(goodConfig(dir), "address = '127.0.0.1:1'", "address = 'ftp.invalid:"+port+"'\nsettle = '1ms'\ntimeout = '5s'\nattempts = 1\n"+strings.ReplaceAll(keys, "DIR", dir), 1)
	path := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := Load(path)
	return &Site{Config: c}, err
}

func TestThroughAProxy(t *testing.T) {
	for name, serve := range map[string]func(*testProxy, net.Conn){"socks5": socks5, "http": httpConnect} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, serve)
			url := name + "://site@" + p.addr
			s, err := siteBehind(t, "proxy = '"+url+"'\nproxy_password_file = 'DIR/proxy-password'")
			require.NoError(t, err)
			require.NoError(t, s.Fetch(t.Context()))
			items, err := s.Archive().List()
			require.NoError(t, err)
			require.Len(t, items, 1)
			require.GreaterOrEqual(t, p.tunnels.Load(), int64(4), "data connections go through it too")
			require.NotContains(t, fmt.Sprintf("%+v %#v", s, s.Config.Server), proxyPassword)

			p.forbidden.Store(true)
			err = s.Fetch(t.Context())
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			require.ErrorContains(t, err, "ports of its passive mode")

			s, err = siteBehind(t, "proxy = '"+url+"'\nproxy_password_file = 'DIR/wrong'")
			require.NoError(t, err)
			err = s.Fetch(t.Context())
			require.ErrorIs(t, err, fetch.ErrCredentials)
			require.ErrorContains(t, err, "server.proxy_password_file")
			require.NotContains(t, err.Error(), "battery")
		})
	}
}

// Every fault of a transfer through a proxy: what is archived is the file, or nothing
// is.
func TestNoProxyPublishesAWrongFile(t *testing.T) {
	data := bytes.Repeat([]byte("installer "), 50_000)
	half := int64(len(data) / 2)
	faults := map[string]fetchtest.Fault{
		"half, then 226": {Cut: half}, "half, then 426": {Cut: half, Reply: "426 broken"}, "half, then a reset": {Cut: half, Reset: true},
		"half, then gone": {Cut: half, Drop: true}, "nothing": {Cut: -1}, "stall": {Cut: half, Stall: true}, "REST ignored": {Cut: half, IgnoreREST: true},
		"too much": {Extra: []byte("more")}, "garbage": {Data: bytes.Repeat([]byte("garbage!! "), 50_000), Cut: half}, "all, then 451": {Reply: "451 no"},
	}
	for kind, serve := range map[string]func(*testProxy, net.Conn){"socks5": socks5, "http": httpConnect} {
		p := startProxy(t, serve)
		via := through{key: "server.proxy", address: p.addr, user: "site", password: proxyPassword}
		dial := map[string]dialFunc{"socks5": via.socks, "http": via.connect}[kind]
		for fault, f := range faults {
			for _, always := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, always: %v", kind, fault, always), func(t *testing.T) {
					t.Parallel()
					s := fetchtest.New(t)
					s.Put("/АСП/9.23.100/Setup.exe", data, time.Now().Add(-time.Hour))
					s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
						if always || tr.N == 1 {
							return f
						}
						return fetchtest.Fault{}
					})
					soon := fetch.Retry{Attempts: 3, Interval: time.Millisecond}
					src := &ftp.Source{Addr: s.Addr, Dial: dial, Timeout: time.Second, Retry: soon}
					rel, err := fetch.Finder{}.Latest(t.Context(), src, "АСП", version.Setup)
					require.NoError(t, err)
					a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Settle: -1, Retry: soon}
					for range 2 {
						_, err = a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
					}
					items, lerr := a.List()
					require.NoError(t, lerr)
					require.Equal(t, err == nil, len(items) == 1)
					require.True(t, always || err == nil, "%v", err)
					for _, it := range items {
						b, err := os.ReadFile(it.Path)
						require.NoError(t, err)
						if !always || f.Data == nil { // else that is the server's file
							require.True(t, bytes.Equal(data, b))
						}
					}
				})
			}
		}
	}
}

func TestAProxyThatIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for _, kind := range []string{"socks5", "http"} {
		s, err := siteBehind(t, "proxy = '"+kind+"://"+l.Addr().String()+"'")
		require.NoError(t, err)
		began := time.Now()
		err = s.Fetch(t.Context())
		require.ErrorIs(t, err, fetch.ErrUnreachable)
		require.ErrorContains(t, err, "check server.proxy, or start the proxy")
		require.ErrorContains(t, err, l.Addr().String())
		require.Less(t, time.Since(began), 10*time.Second)
	}
}

// A proxy that sends a header without end is given up after 64 KiB.
func TestAProxyThatSendsWithoutEnd(t *testing.T) {
	sent := make(chan int, 1)
	p := startProxy(t, func(_ *testProxy, c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		n, line := 0, "X-More: "+strings.Repeat("x", 1000)+"\r\n"
		for {
			m, err := io.WriteString(c, line)
			if n += m; err != nil {
				sent <- n
				return
			}
		}
	})
	s, err := siteBehind(t, "proxy = 'http://"+p.addr+"'")
	require.NoError(t, err)
	err = s.Fetch(t.Context())
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.ErrorContains(t, err, "more than 65536 bytes")
	require.Less(t, <-sent, 16<<20, "what the kernel takes besides")
}

// Several operations use a proxy at the same time, as a bundle's do; each learns
// what became of its own connection.
func TestAProxyIsUsedSideBySide(t *testing.T) {
	p := startProxy(t, socks5)
	s, err := siteBehind(t, "proxy = 'socks5://site@"+p.addr+"'\nproxy_password_file = 'DIR/proxy-password'")
	require.NoError(t, err)
	src := s.Source()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_, err := src.List(t.Context(), "/АСП")
			assert.NoError(t, err)
		})
	}
	all.Wait()
}

func TestAProxyOfTheEnvironment(t *testing.T) {
	p := startProxy(t, socks5)
	t.Setenv("ALL_PROXY", "socks5h://site:"+proxyPassword+"@"+p.addr)
	s, err := siteBehind(t, "")
	require.NoError(t, err)
	require.NoError(t, s.Fetch(t.Context()))
	require.NotZero(t, p.tunnels.Load())

	t.Setenv("NO_PROXY", "example.org, .invalid")
	s, err = siteBehind(t, "")
	require.NoError(t, err)
	before := p.tunnels.Load()
	require.Error(t, s.Fetch(t.Context()), "ftp.invalid does not exist")
	require.Equal(t, before, p.tunnels.Load())

	t.Setenv("NO_PROXY", "")
	t.Setenv("ALL_PROXY", "gopher://site:"+proxyPassword+"@"+p.addr)
	_, err = siteBehind(t, "")
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "ALL_PROXY")
	require.NotContains(t, err.Error(), proxyPassword)
}

func TestAHostInCyrillic(t *testing.T) {
	for in, want := range map[string]string{
		"ftp.пример.рф": "ftp.xn--e1afmkfd.xn--p1ai", "ftp.ПРИМЕР.рф:2121": "ftp.xn--e1afmkfd.xn--p1ai:2121",
		"ftp.example.org": "ftp.example.org", "127.0.0.1:21": "127.0.0.1:21", "[::1]:21": "[::1]:21", "a_b:21": "a_b:21",
	} {
		require.Equal(t, want, asciiHost(in))
	}
}

func TestProxyKeys(t *testing.T) {
	for keys, want := range map[string]string{
		"proxy = 'socks5://site:secret-word@127.0.0.1:1'": "server.proxy_password_file",
		"proxy = 'proxy.example.org:1080'":                "server.proxy",
		"proxy = '://secret-word'":                        "write it as socks5://",
		"directory = '/x'":                                "excludes server.address",
		"attempts = -1":                                   "not negative",
	} {
		_, err := siteBehind(t, strings.Replace(keys, "attempts = -1", "rate_kb = -1", 1))
		require.ErrorIs(t, err, ErrConfig, keys)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret-word")
	}
}

// What the keys say about connections and downloads is what is done.
func TestKeysOfConnections(t *testing.T) {
	s, err := siteBehind(t, "pasv = true\naccount = 'K7Q1'\nrate_kb = 300")
	require.NoError(t, err)
	src := s.Source().(*ftp.Source)
	require.True(t, src.PASV)
	require.Equal(t, "K7Q1", src.Account)
	require.Equal(t, 5*time.Second, src.Timeout)
	require.Equal(t, 1, src.Retry.Attempts)
	require.EqualValues(t, 300<<10, s.Archive().Rate)
	require.Equal(t, 1, s.Archive().Retry.Attempts)
}

// A stick in the place of a server.
func TestADirectoryInThePlaceOfTheServer(t *testing.T) {
	stick := t.TempDir()
	full := filepath.Join(stick, "АСП", "9.23.100", "Setup.exe")
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o700))
	require.NoError(t, os.WriteFile(full, []byte("installer"), 0o600))
	dir := t.TempDir()
	text := strings.Replace(goodConfig(dir), "address = '127.0.0.1:1'", "directory = '"+stick+"'\nsettle = '1ms'", 1)
	path := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	s := &Site{Config: c}
	require.NoError(t, s.Fetch(t.Context()))
	items, err := s.Archive().List()
	require.NoError(t, err)
	require.Len(t, items, 1)
	require.Contains(t, items[0].Source, "file:///")
	require.NoError(t, os.RemoveAll(stick))
	require.ErrorIs(t, s.Fetch(t.Context()), fetch.ErrUnreachable)
}
