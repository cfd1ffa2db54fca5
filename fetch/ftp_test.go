package fetch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

func TestFTPIsASource(t *testing.T) {
	for name, features := range map[string][]string{
		"MLSD":      nil,
		"LIST":      {"SIZE", "MDTM", "REST STREAM"},
		"bare":      {},
		"PASV only": {"SIZE", "MDTM", "REST STREAM", "UTF8"},
	} {
		t.Run(name, func(t *testing.T) {
			fetchtest.TestSource(t, func(t *testing.T, files map[string][]byte) fetch.Source {
				s := fetchtest.New(t)
				s.Features = features
				if name == "PASV only" {
					s.OnCommand(func(verb, _ string) string {
						return map[string]string{"EPSV": "500 what?"}[verb]
					})
				}
				for path, data := range files {
					s.Put(path, data, released)
				}
				return client(s)
			})
		})
	}
}

func TestFTPErrors(t *testing.T) {
	reply := func(verb, text string) func(*fetchtest.Server) {
		return func(s *fetchtest.Server) {
			s.OnCommand(func(v, _ string) string {
				if v == verb {
					return text
				}
				return ""
			})
		}
	}
	for _, c := range []struct {
		name   string
		script func(*fetchtest.Server)
		want   error
		code   int
		tries  int // sessions
	}{
		{"wrong password", func(s *fetchtest.Server) { s.Password = "other" }, fetch.ErrCredentials, 530, 1},
		{"wrong user", reply("USER", "530 who?"), fetch.ErrCredentials, 530, 1},
		{"too many users", reply("USER", "530 Sorry, too many users"), fetch.ErrUnreachable, 530, 3},
		{"too many users of proftpd", reply("PASS", "530 Sorry, the maximum number of clients (1) for this user are already connected."), fetch.ErrUnreachable, 530, 3},
		{"421 as greeting", reply("", "421 come back later"), fetch.ErrUnreachable, 421, 3},
		{"421 in the login", reply("PASS", "421 closing"), fetch.ErrUnreachable, 421, 3},
		{"425", reply("MLSD", "425 no data connection"), fetch.ErrUnreachable, 425, 3},
		{"426", reply("MLSD", "426 broken"), fetch.ErrUnreachable, 426, 3},
		{"450", reply("CWD", "450 busy"), fetch.ErrUnreachable, 450, 3},
		{"451", reply("MLSD", "451 local error"), fetch.ErrUnreachable, 451, 3},
		{"550", reply("CWD", "550 gone"), fetch.ErrNotFound, 550, 1},
		{"a code of nobody's", reply("CWD", "522 what"), fetch.ErrUnreachable, 522, 1},
		{"PASV that makes the library panic", func(s *fetchtest.Server) {
			s.OnCommand(func(v, _ string) string {
				return map[string]string{"EPSV": "500 no", "PASV": "227 )1,2,3,4,5,6("}[v]
			})
		}, fetch.ErrUnreachable, 0, 1},
		{"EPSV that makes no sense", reply("EPSV", "229 |||||||"), nil, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Put(setupPath, []byte("x"), released)
			src := client(s)
			src.Password = "mine"
			c.script(s)
			sessions := 0
			src.Observe = func(fetch.Event) { sessions++ }
			_, err := src.List(t.Context(), "/asp")
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
			e, ok := errors.AsType[*fetch.Error](err)
			require.True(t, ok)
			require.Equal(t, c.code, e.Code)
			require.Equal(t, c.tries, sessions+1)
			require.Equal(t, c.tries > 1, e.Temporary)
			noneLeft(t, s)
		})
	}
}

func TestFTPRetriesOnlyWhatIsTemporary(t *testing.T) {
	for text, want := range map[string]int{"421 later": 3, "450 busy": 3, "550 gone": 1, "530 no": 1} {
		s := fetchtest.New(t)
		asked := 0
		s.OnCommand(func(verb, _ string) string {
			if verb == "CWD" {
				asked++
				return text
			}
			return ""
		})
		_, err := client(s).List(t.Context(), "/asp")
		require.Error(t, err)
		require.Equal(t, want, asked, text)
	}
}

func TestFTPServerDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	var ev events
	_, err = fetch.FTP{Addr: addr, Password: "secret-word", Retry: soon, Observe: ev.observe}.List(t.Context(), "/")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.Len(t, ev.of(fetch.EventRetry), 2)
	require.NotContains(t, err.Error(), "secret-word")
}

func TestFTPSilentServerEndsAfterIdle(t *testing.T) {
	for _, verb := range []string{"", "USER", "PASS", "FEAT", "TYPE", "CWD", "EPSV", "MLSD"} {
		t.Run("at "+verb, func(t *testing.T) {
			t.Parallel()
			s := fetchtest.New(t)
			s.Put(setupPath, []byte("x"), released)
			s.OnCommand(func(v, _ string) string {
				if v == verb {
					return "hang"
				}
				return ""
			})
			src := client(s)
			src.Idle, src.Retry.Tries = realIdle, 1
			began := time.Now()
			_, err := src.List(t.Context(), "/asp")
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			require.Less(t, time.Since(began), realIdle+realGrace)
		})
	}
}

func TestFTPCancelEndsWhatWaits(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(setupPath, payload(1<<20), released)
	s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return fetchtest.Fault{Cut: 1000, Stall: true} })
	src := client(s)
	src.Idle = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	r, err := src.Open(ctx, setupPath, 0)
	require.NoError(t, err)
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, context.Canceled)
	require.Error(t, r.Close())
	require.Less(t, time.Since(began), 10*time.Second)
	noneLeft(t, s)
}

func TestFTPServerThatRefusesUTF8(t *testing.T) {
	for _, text := range []string{"500 what?", "502 no", "530 log in first", "501 bad", "504 bad", "202 always on"} {
		s := fetchtest.New(t)
		s.Put(setupPath, []byte("x"), released)
		s.OnCommand(func(verb, _ string) string { return map[string]string{"OPTS": text}[verb] })
		entries, err := client(s).List(t.Context(), "/asp/7.12.100")
		require.NoError(t, err, text)
		require.Len(t, entries, 1)
	}
}

func TestFTPServerThatRefusesMLSD(t *testing.T) {
	for _, text := range []string{"500 what?", "502 not through this firewall"} {
		s := fetchtest.New(t)
		s.Put(setupPath, []byte("x"), released)
		s.OnCommand(func(verb, _ string) string { return map[string]string{"MLSD": text}[verb] })
		found, err := fetch.Finder{}.Find(t.Context(), client(s), "asp")
		require.NoError(t, err, text)
		require.Len(t, found.Releases, 1)
		require.Equal(t, 2, logins(s), "it is learnt once for a look")
	}
}

func TestFTPFallsBackToPASV(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(setupPath, []byte("x"), released)
	closed := realtest.FreePort(t)
	s.OnCommand(func(verb, _ string) string {
		if verb == "EPSV" {
			return fmt.Sprintf("229 Entering (|||%d|)", closed)
		}
		return ""
	})
	entries, err := client(s).List(t.Context(), "/asp/7.12.100")
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestFTPRefusesLineBreaks(t *testing.T) {
	s := fetchtest.New(t)
	_, err := client(s).List(t.Context(), "/a\r\nDELE b")
	require.ErrorIs(t, err, fetch.ErrUnsafeName)
	for _, c := range s.Commands() {
		require.False(t, strings.HasPrefix(c, "DELE"), c)
	}
}

func TestFTPStatFallsBackToTheListing(t *testing.T) {
	for verb, text := range map[string]string{"SIZE": "213   5  ", "MDTM": "500 what?"} {
		s := fetchtest.New(t)
		s.Put(setupPath, []byte("12345"), released)
		s.OnCommand(func(v, _ string) string { return map[string]string{verb: text}[v] })
		e, err := client(s).Stat(t.Context(), setupPath)
		require.NoError(t, err, verb)
		require.Equal(t, int64(5), e.Size, verb)
		require.True(t, e.Time.Equal(released), "%s: %v", verb, e.Time)
	}
}

func TestFTPShowsNoPassword(t *testing.T) {
	const secret = "hunter2-correct"
	src := fetch.FTP{Addr: "ftp.example.org", User: "site", Password: secret}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("source", "src", src, "ptr", &src)
	js, err := json.Marshal(src)
	require.NoError(t, err)
	type holder struct{ Src fetch.FTP }
	for _, text := range []string{
		src.String(), fmt.Sprint(src), fmt.Sprintf("%v %+v %#v %s", src, src, src, src), fmt.Sprintf("%+v %#v", &src, &src),
		fmt.Sprintf("%+v %#v", holder{src}, holder{src}), log.String(), string(js), src.URL("/a b"),
	} {
		require.NotContains(t, text, secret)
	}
	require.Equal(t, "ftp://ftp.example.org/a%20b", src.URL("/a b"))

	// A server can repeat it in any reply.
	s := fetchtest.New(t)
	s.Password = "another"
	down := client(s)
	down.Password = secret
	_, err = down.List(t.Context(), "/")
	require.ErrorIs(t, err, fetch.ErrCredentials)
	for e := err; e != nil; e = errors.Unwrap(e) {
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", e, e, e), secret)
	}
	for _, c := range s.Commands() {
		require.NotContains(t, c, secret)
	}
}

func TestFTPBadAddress(t *testing.T) {
	for _, addr := range []string{"", ":21", "ftp://host", "user@host", "a b"} {
		_, err := fetch.FTP{Addr: addr}.List(t.Context(), "/")
		require.ErrorContains(t, err, "write host or host:port", addr)
	}
}

// io.Copy from an open file reads on while it writes, and ends as reading does.
func TestCopyOfAnOpenFile(t *testing.T) {
	x := newSetup(t, 9<<20) // more than two buffers
	open := func(ctx context.Context, offset int64) io.ReadCloser {
		r, err := x.src.Open(ctx, setupPath, offset)
		require.NoError(t, err)
		require.Implements(t, (*io.WriterTo)(nil), r)
		return r
	}
	cut := false
	x.s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault {
		if cut {
			return fetchtest.Fault{Cut: 5 << 20, Reset: true, Reply: "426 cut"} // not every system tells a reset from an end
		}
		return fetchtest.Fault{}
	})
	t.Run("whole", func(t *testing.T) {
		var got bytes.Buffer
		r := open(t.Context(), 12345)
		n, err := io.Copy(&got, r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.EqualValues(t, len(x.data)-12345, n)
		require.True(t, bytes.Equal(x.data[12345:], got.Bytes()))
	})
	t.Run("no room", func(t *testing.T) {
		full := errors.New("no room")
		r := open(t.Context(), 0)
		n, err := io.Copy(writeFunc(func([]byte) (int, error) { return 7, full }), r)
		require.ErrorIs(t, err, full)
		require.EqualValues(t, 7, n)
		require.Error(t, r.Close(), "not all of it was read")
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := open(ctx, 0)
		_, err := io.Copy(writeFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }), r)
		require.ErrorIs(t, err, context.Canceled)
		require.Error(t, r.Close())
	})
	t.Run("cut", func(t *testing.T) {
		cut = true
		var got bytes.Buffer
		r := open(t.Context(), 0)
		n, err := io.Copy(&got, r)
		require.Error(t, errors.Join(err, r.Close()))
		require.LessOrEqual(t, n, int64(5<<20))
		require.True(t, bytes.Equal(x.data[:n], got.Bytes()))
	})
	noneLeft(t, x.s)
}

type writeFunc func(p []byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }
