package ftp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

func TestFTPOnRealServers(t *testing.T) {
	t.Parallel()
	all := []realtest.Options{
		{},
		{TLS: realtest.Explicit, MaxTLS: tls.VersionTLS12},
		{TLS: realtest.Explicit, MaxTLS: tls.VersionTLS13},
		{TLS: realtest.Implicit},
	}
	lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
		modes := all
		if m == realtest.PureFTPd {
			modes = all[:3] // it has no implicit TLS
		}
		lab.SideBySide(t, modes, func(o realtest.Options) string {
			name := [...]string{"plain", "explicit", "implicit"}[o.TLS]
			if o.MaxTLS != 0 {
				name += " " + tls.VersionName(o.MaxTLS)
			}
			return name
		}, func(t *testing.T, o realtest.Options) {
			fetchtest.TestSource(t, func(t *testing.T, files map[string][]byte) fetch.Source {
				root := t.TempDir()
				for path, data := range files {
					lab.Put(t, root, path, data)
				}
				src := lab.Real(realtest.FTP(t, m, root, o), o.TLS)
				if o.MaxTLS != 0 {
					src.TLSConfig.VerifyConnection = func(c tls.ConnectionState) error {
						if c.Version != o.MaxTLS {
							return fmt.Errorf("it uses %s", tls.VersionName(c.Version))
						}
						return nil
					}
				}
				return src
			})
		})
	})
}

// Each connection has a session cache of its own: proftpd refuses the data
// connections of those that share one.
func TestFTPSideBySideOnRealServers(t *testing.T) {
	t.Parallel()
	lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
		root := t.TempDir()
		lab.Put(t, root, lab.SetupPath, []byte("x"))
		for _, most := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			src := lab.Real(realtest.FTP(t, m, root, realtest.Options{TLS: realtest.Explicit, MaxTLS: most}), realtest.Explicit)
			const workers, each = 4, 3
			errs := make([]error, workers)
			var all sync.WaitGroup
			for i := range workers {
				all.Go(func() {
					for range each {
						_, err := src.List(t.Context(), "/asp")
						errs[i] = errors.Join(errs[i], err)
					}
				})
			}
			all.Wait()
			require.NoError(t, errors.Join(errs...))
		}
	})
}

// A server with an unknown certificate gets no login.
func TestFTPUnknownCertificateOnRealServers(t *testing.T) {
	t.Parallel()
	lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
		src := lab.Real(realtest.FTP(t, m, t.TempDir(), realtest.Options{TLS: realtest.Explicit}), realtest.Explicit)
		src.TLSConfig = nil
		_, err := src.List(t.Context(), "/")
		require.ErrorIs(t, err, fetch.ErrUnreachable)
		require.ErrorContains(t, err, "certificate")
	})
}

// A server that speaks TLS only, asked in the clear: the error names the setting, comes
// soon, and no password was sent.
func TestFTPTLSOnlyOnRealServers(t *testing.T) {
	t.Parallel()
	type server struct {
		make realtest.Make
		mode realtest.TLS
	}
	servers := []server{
		{realtest.Vsftpd, realtest.Explicit}, {realtest.ProFTPD, realtest.Explicit}, {realtest.PureFTPd, realtest.Explicit}, {realtest.Pyftpdlib, realtest.Explicit},
		{realtest.Vsftpd, realtest.Implicit}, {realtest.ProFTPD, realtest.Implicit},
	}
	modes := map[realtest.TLS]string{realtest.Explicit: "explicit", realtest.Implicit: "implicit"}
	name := func(s server) string { return string(s.make) + ", " + modes[s.mode] }
	lab.SideBySide(t, servers, name, func(t *testing.T, s server) {
		src := lab.Real(realtest.FTP(t, s.make, t.TempDir(), realtest.Options{TLS: s.mode}), realtest.Plain)
		src.Timeout, src.Retry.Attempts = lab.RealIdle, 1
		var sent spy
		src.Dial = sent.dial
		began := time.Now()
		_, err := src.List(t.Context(), "/")
		require.ErrorIs(t, err, fetch.ErrUnreachable)
		require.ErrorContains(t, err, `set TLS to "`+modes[s.mode]+`"`)
		require.Less(t, time.Since(began), 20*lab.RealIdle)
		require.NotContains(t, sent.text(), src.Password)
	})
}

// A spy keeps what its connections send.
type spy struct {
	mu   sync.Mutex
	sent []byte
}

func (s *spy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return spied{c, s}, nil
}

func (s *spy) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.sent)
}

type spied struct {
	net.Conn
	s *spy
}

func (c spied) Write(b []byte) (int, error) {
	c.s.mu.Lock()
	c.s.sent = append(c.s.sent, b...)
	c.s.mu.Unlock()
	return c.Conn.Write(b)
}

func TestFTPWrongPasswordOnRealServers(t *testing.T) {
	t.Parallel()
	lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
		var seen lab.Events[fetch.Event]
		src := lab.Real(realtest.FTP(t, m, t.TempDir(), realtest.Options{}), realtest.Plain)
		src.Password, src.Observe = "not-it", seen.Observe
		_, err := src.List(t.Context(), "/")
		require.ErrorIs(t, err, fetch.ErrCredentials)
		require.NotContains(t, err.Error(), "not-it")
		var e *fetch.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, 530, e.Code)
		require.False(t, e.Temporary)
		require.Empty(t, retries(&seen), "a second try could lock the account")
	})
}

// listed returns the names of a directory, without order.
func listed(t *testing.T, src fetch.Source, dir string) []string {
	t.Helper()
	entries, err := src.List(t.Context(), dir)
	require.NoError(t, err, dir)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

func TestFTPDirectorysOnRealServers(t *testing.T) {
	t.Parallel()
	lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
		root := t.TempDir()
		lab.Put(t, root, "-a/inner", []byte("x"))
		lab.Put(t, root, "-a/-l", []byte("dash"))
		lab.Put(t, root, "with spaces  and /[x]*?", []byte("odd"))
		require.NoError(t, os.Mkdir(filepath.Join(root, "empty"), 0o755))
		src := lab.Real(realtest.FTP(t, m, root, realtest.Options{}), realtest.Plain)

		for _, dir := range []string{"/missing", "/missing/deeper", "/-a/inner"} {
			_, err := src.List(t.Context(), dir)
			require.ErrorIs(t, err, fetch.ErrNotFound, dir)
		}
		_, err := lab.Finder().Find(t.Context(), src, "asp")
		require.ErrorIs(t, err, fetch.ErrUnknownDistribution)

		require.Empty(t, listed(t, src, "/empty"))
		require.ElementsMatch(t, []string{"-a", "with spaces  and ", "empty"}, listed(t, src, "/"))
		require.ElementsMatch(t, []string{"inner", "-l"}, listed(t, src, "/-a"))
		require.ElementsMatch(t, []string{"[x]*?"}, listed(t, src, "/with spaces  and "))
		require.Equal(t, "dash", lab.Read(t, src, "/-a/-l", 0))
		require.Equal(t, "odd", lab.Read(t, src, "/with spaces  and /[x]*?", 0))
		e, err := src.Stat(t.Context(), "/with spaces  and /[x]*?")
		require.NoError(t, err)
		require.Equal(t, int64(3), e.Size)
		require.True(t, e.Time.Equal(lab.Released), "%v", e.Time)
	})
}

// The servers pass bytes through: how a name is shown is decided later.
func TestFTPNamesOnRealServers(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"UTF-8":  "Опека",
		"CP1251": "\xce\xef\xe5\xea\xe0",
		"KOI8-R": "\xef\xd0\xc5\xcb\xc1",
		"mixed":  "\xce\xef Опека я",
	}
	lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
		for encoding, name := range names {
			t.Run(encoding, func(t *testing.T) {
				root := t.TempDir()
				lab.Put(t, root, name+"/"+name+".exe", []byte(encoding))
				src := lab.Real(realtest.FTP(t, m, root, realtest.Options{}), realtest.Plain)
				require.Equal(t, []string{name}, listed(t, src, "/"))
				require.Equal(t, []string{name + ".exe"}, listed(t, src, "/"+name))
				require.Equal(t, encoding, lab.Read(t, src, "/"+name+"/"+name+".exe", 0))
				e, err := src.Stat(t.Context(), "/"+name+"/"+name+".exe")
				require.NoError(t, err)
				require.Equal(t, int64(len(encoding)), e.Size)
			})
		}
	})
}

// The last letter of the alphabet is 0xFF in CP1251, and in Telnet, which FTP's
// commands are made of, that starts a command. proftpd takes it for one where
// the next byte fits, unless its UseEncoding says CP1251. Names are sent as
// they were listed, so that there such a directory is not found. What must not
// happen is that another one is.
func TestFTPTelnetsByteOnRealServers(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"\xc2\xe5\xf0\xf1\xe8\xff":         "Версия",
		"\xcf\xf0\xe8\xed\xff\xf2\xe8\xe5": "Принятие",
	}
	lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
		for name, means := range names {
			root := t.TempDir()
			lab.Put(t, root, name+"/file", []byte("x"))
			src := lab.Real(realtest.FTP(t, m, root, realtest.Options{}), realtest.Plain)
			require.Equal(t, []string{name}, listed(t, src, "/"))
			if m == realtest.ProFTPD && means == "Принятие" {
				_, err := src.List(t.Context(), "/"+name)
				require.ErrorIs(t, err, fetch.ErrNotFound)
				continue
			}
			require.Equal(t, []string{"file"}, listed(t, src, "/"+name))
		}
	})
}

// pure-ftpd says so where it cuts a listing, whatever its limit is.
func TestFTPListingThatPureFTPdCuts(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for i := range 30 {
		lab.Put(t, root, fmt.Sprintf("asp/f%d", i), nil)
	}
	for limit, whole := range map[int]bool{10: false, 100: true} {
		src := lab.Real(realtest.FTP(t, realtest.PureFTPd, root, realtest.Options{ListLimit: limit}), realtest.Plain)
		entries, err := src.List(t.Context(), "/asp")
		if whole {
			require.NoError(t, err)
			require.Len(t, entries, 30)
			continue
		}
		require.ErrorContains(t, err, "cut the listing short")
	}
}

// proftpd says 530 where it has too many clients, as for a wrong password.
func TestFTPCrowdedProFTPD(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	lab.Put(t, root, lab.SetupPath, lab.Payload(1<<20))
	src := lab.Real(realtest.FTP(t, realtest.ProFTPD, root, realtest.Options{Clients: 1, Rate: 64 << 10}), realtest.Plain)
	first, err := src.Open(t.Context(), lab.SetupPath, 0)
	require.NoError(t, err)
	var seen lab.Events[fetch.Event]
	src.Retry = fetch.Retry{Attempts: 1000, Interval: time.Millisecond, MaxInterval: 10 * time.Millisecond}
	var leave sync.Once
	src.Observe = func(e fetch.Event) {
		seen.Observe(e)
		leave.Do(func() { _ = first.Close() })
	}
	_, err = src.List(t.Context(), "/")
	require.NoError(t, err, "there is room once the first one is gone")
	require.ErrorContains(t, retries(&seen)[0].Err, "530")
}

// What servers make of an offset at the end and past it: nothing to send, or
// no such place. Archive.Fetch asks for neither; see wire.
func TestFTPPastTheEndOnRealServers(t *testing.T) {
	t.Parallel()
	data := lab.Payload(1000)
	lab.OnEveryServer(t, func(t *testing.T, m realtest.Make) {
		root := t.TempDir()
		lab.Put(t, root, "file", data)
		src := lab.Real(realtest.FTP(t, m, root, realtest.Options{}), realtest.Plain)
		require.Equal(t, string(data[999:]), lab.Read(t, src, "/file", 999))
		require.Empty(t, lab.Read(t, src, "/file", 1000))
		for _, offset := range []int64{1001, 1 << 40} {
			if m == realtest.Vsftpd {
				require.Empty(t, lab.Read(t, src, "/file", offset))
				continue
			}
			_, err := src.Open(t.Context(), "/file", offset)
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			var e *fetch.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, 554, e.Code)
			require.False(t, e.Temporary)
		}
	})
}
