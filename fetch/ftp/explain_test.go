package ftp_test

import (
	"context"
	"crypto/tls"
	"io/fs"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

// Each message names the cause, and the setting to change.
func TestMessages(t *testing.T) {
	for name, c := range map[string]struct {
		verb, reply string
		want        error
		text        string
		temporary   bool
	}{
		"TLS demanded by vsftpd":    {"USER", "530 Non-anonymous sessions must use encryption.", fetch.ErrUnreachable, `set TLS to "explicit"`, false},
		"TLS demanded by proftpd":   {"USER", "550 SSL/TLS required on the control channel", fetch.ErrUnreachable, `set TLS to "explicit"`, false},
		"TLS demanded by pure-ftpd": {"", "421 Sorry, cleartext sessions are not accepted on this server.", fetch.ErrUnreachable, `set TLS to "explicit"`, false},
		"TLS demanded by pyftpdlib": {"PASS", "503 Rejecting: use SSL first", fetch.ErrUnreachable, `set TLS to "explicit"`, false},
		"user limit":                {"PASS", "530 user limit reached", fetch.ErrUnreachable, "try later", true},
		"user limit of a peer":      {"USER", "530 Maximum login limit has been reached.", fetch.ErrUnreachable, "try later", true},
		"an account is wanted":      {"PASS", "332 Need account", fetch.ErrCredentials, "set Account", false},
		"a short password":          {"CWD", "550 the directory is absent: no such thing", fetch.ErrNotFound, "550 the directory is absent: no such thing", false},
		"a short password, sent":    {"PASS", "530 a is wrong, and password a too", fetch.ErrCredentials, "xxxxx is wrong", false},
		"not allowed":               {"CWD", "550 Permission denied.", fs.ErrPermission, "ask the server's owner", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			lab.Replies(s, map[string]string{c.verb: c.reply})
			if c.verb == "" {
				s.OnCommand(func(verb, _ string) string {
					if verb == "" {
						return c.reply
					}
					return ""
				})
			}
			src := &ftp.Source{Addr: s.Addr, User: "u", Password: "a", Timeout: 5 * time.Second, Retry: fetch.Retry{Attempts: 1}}
			_, err := src.List(t.Context(), "/asp")
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.text)
			var e *fetch.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.temporary, e.Temporary)
		})
	}
}

// A server that asks for an account at login gets it, once; one that is wrong is
// the account's fault, and is not quoted.
func TestAccount(t *testing.T) {
	for reply, want := range map[string]struct {
		err  error
		text string
	}{
		"230 in":                  {},
		"202 superfluous":         {},
		"530 no account K7Q1":     {fetch.ErrCredentials, "check user, password and account"},
		"530-no\r\n530 not K7Q1":  {fetch.ErrCredentials, "check user, password and account"},
		"501 K7Q1 is no account":  {fetch.ErrCredentials, "check user, password and account"},
		"532 another account":     {fetch.ErrCredentials, "set Account"},
		"421 K7Q1, come back":     {fetch.ErrUnreachable, "try later"},
		"530 too many of account": {fetch.ErrUnreachable, "try later"},
	} {
		for _, verb := range []string{"USER", "PASS"} {
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, []byte("x"), lab.Released)
			lab.Replies(s, map[string]string{verb: "332 account?", "ACCT K7Q1": reply})
			src := &ftp.Source{Addr: s.Addr, Account: "K7Q1", Timeout: 5 * time.Second, Retry: fetch.Retry{Attempts: 1}}
			_, err := src.List(t.Context(), "/asp")
			require.Contains(t, s.Commands(), "ACCT K7Q1")
			if want.err == nil {
				require.NoError(t, err, "%s, %s", verb, reply)
				continue
			}
			require.ErrorIs(t, err, want.err, "%s, %s", verb, reply)
			require.ErrorContains(t, err, want.text)
			require.NotContains(t, err.Error(), "K7Q1")
		}
	}
}

// An empty directory is empty, however the server says so; one that may not be
// read is not.
func TestEmptyDirectories(t *testing.T) {
	for name, c := range map[string]struct {
		reply string
		text  string
	}{
		"RFC 959":        {"450 No files found", ""},
		"wu-ftpd":        {"550 No files found.", ""},
		"bare end":       {"226 Transfer complete", ""},
		"bare end, 250":  {"250 done", ""},
		"denied":         {"550 Permission denied", "Permission denied"},
		"busy":           {"450 Busy, try later", "try later"},
		"no such file":   {"550 No such file or directory", ""},
		"a broken disk":  {"450 Input/output error", "Input/output error"},
		"not opened":     {"550 Failed to open directory", "Failed to open directory"},
		"in Russian":     {"550 \xcd\xe5\xf2 \xf4\xe0\xe9\xeb\xee\xe2", ""},
		"in Russian, no": {"550 \xc4\xee\xf1\xf2\xf3\xef \xe7\xe0\xef\xf0\xe5\xf9\xe5\xed", "Доступ запрещен"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, []byte("x"), lab.Released)
			lab.Replies(s, map[string]string{"MLSD": "502 no", "LIST": c.reply})
			src := lab.Client(s)
			src.Retry = fetch.Retry{Attempts: 1}
			entries, err := src.List(t.Context(), "/asp")
			require.Empty(t, entries)
			if c.text == "" {
				require.NoError(t, err)
				found, err := fetch.Finder{}.Find(t.Context(), src, "asp")
				require.NoError(t, err)
				require.Empty(t, found.Releases)
				return
			}
			require.ErrorContains(t, err, c.text)
			require.NotErrorIs(t, err, fetch.ErrNotFound)
		})
	}
}

// A server that speaks TLS alone says nothing to a client that waits for its
// greeting.
func TestAServerThatSpeaksTLSOnly(t *testing.T) {
	cert, _ := lab.Certificate(t)
	l := shaking(t, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	src := &ftp.Source{Addr: l.Addr().String(), Timeout: lab.Silence, Retry: fetch.Retry{Attempts: 1}}
	began := time.Now()
	_, err := src.List(t.Context(), "/")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.ErrorContains(t, err, `set TLS to "implicit"`)
	require.Less(t, time.Since(began), 20*lab.Silence)
}

// shaking is a server that begins TLS with each client, and ends then.
func shaking(t *testing.T, conf *tls.Config) net.Listener {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).HandshakeContext(t.Context()); _ = c.Close() }()
		}
	}()
	return l
}

func TestATLSThatIsTooOld(t *testing.T) {
	cert, pool := lab.Certificate(t)
	l := shaking(t, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	src := &ftp.Source{Addr: l.Addr().String(), TLS: ftp.TLSImplicit, TLSConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, Timeout: 5 * time.Second, Retry: lab.Soon}
	_, err := src.List(t.Context(), "/")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.ErrorContains(t, err, "no version of TLS in common")
}

// A Dial function makes every connection, and data connections go where the
// control connection went.
func TestDial(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, []byte("x"), lab.Released)
	_, port, err := net.SplitHostPort(s.Addr)
	require.NoError(t, err)
	src := lab.Client(s)
	src.Addr = "server.invalid:" + port
	var hosts []string
	src.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		hosts = append(hosts, host)
		if err != nil {
			return nil, err
		}
		c, err := (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		return foreign{c}, err
	}
	require.Equal(t, "x", lab.Read(t, src, lab.SetupPath, 0))
	require.Equal(t, []string{"server.invalid", "server.invalid"}, hosts)
	src.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, &fetch.Error{Op: "connect", Subject: "proxy", Err: fetch.ErrUnreachable, Next: "start the proxy"}
	}
	_, err = src.List(t.Context(), "/")
	require.ErrorContains(t, err, "start the proxy")
}

// A foreign connection has no address of TCP.
type foreign struct{ net.Conn }

func (foreign) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "proxy"} }
