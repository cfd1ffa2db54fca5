package ftp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
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
					s.Put(path, data, lab.Released)
				}
				return lab.Client(s)
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
		{"451", reply("CWD", "451 local error"), fetch.ErrUnreachable, 451, 3},
		{"550", reply("CWD", "550 gone"), fetch.ErrNotFound, 550, 1},
		{"an unknown code", reply("CWD", "522 what"), fetch.ErrUnreachable, 522, 1},
		{"PASV that makes the library panic", func(s *fetchtest.Server) {
			s.OnCommand(func(v, _ string) string {
				return map[string]string{"EPSV": "500 no", "PASV": "227 )1,2,3("}[v]
			})
		}, fetch.ErrUnreachable, 0, 1},
		{"EPSV that makes no sense", reply("EPSV", "229 |||||||"), nil, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, []byte("x"), lab.Released)
			src := lab.Client(s)
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
			lab.NoneLeft(t, s)
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
		_, err := lab.Client(s).List(t.Context(), "/asp")
		require.Error(t, err)
		require.Equal(t, want, asked, text)
	}
}

func TestFTPServerDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	var seen lab.Events[fetch.Event]
	_, err = (&ftp.Source{Addr: addr, Password: "secret-word", Retry: lab.Soon, Observe: seen.Observe}).List(t.Context(), "/")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.Len(t, retries(&seen), 2)
	require.NotContains(t, err.Error(), "secret-word")
}

func TestFTPSilentServerEndsAfterIdle(t *testing.T) {
	for _, verb := range []string{"", "USER", "PASS", "FEAT", "TYPE", "CWD", "MLSD"} {
		t.Run("at "+verb, func(t *testing.T) {
			t.Parallel()
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, []byte("x"), lab.Released)
			s.OnCommand(func(v, _ string) string {
				if v == verb {
					return "hang"
				}
				return ""
			})
			src := lab.Client(s)
			src.Timeout, src.Retry.Attempts = lab.RealIdle, 1
			began := time.Now()
			_, err := src.List(t.Context(), "/asp")
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			require.Less(t, time.Since(began), lab.RealIdle+lab.RealGrace)
		})
	}
}

func TestFTPCancelEndsWhatWaits(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, lab.Payload(1<<20), lab.Released)
	s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return fetchtest.Fault{Cut: 1000, Stall: true} })
	src := lab.Client(s)
	src.Timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	r, err := src.Open(ctx, lab.SetupPath, 0)
	require.NoError(t, err)
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, context.Canceled)
	require.Error(t, r.Close())
	require.Less(t, time.Since(began), 10*time.Second)
	lab.NoneLeft(t, s)
}

func TestFTPServerThatRefusesUTF8(t *testing.T) {
	for _, text := range []string{"500 what?", "502 no", "530 log in first", "501 bad", "504 bad", "202 always on"} {
		s := fetchtest.New(t)
		s.Put(lab.SetupPath, []byte("x"), lab.Released)
		s.OnCommand(func(verb, _ string) string { return map[string]string{"OPTS": text}[verb] })
		entries, err := lab.Client(s).List(t.Context(), "/asp/7.12.100")
		require.NoError(t, err, text)
		require.Len(t, entries, 1)
	}
}

func TestFTPServerThatRefusesMLSD(t *testing.T) {
	for _, text := range []string{"500 what?", "502 not through this firewall"} {
		s := fetchtest.New(t)
		s.Put(lab.SetupPath, []byte("x"), lab.Released)
		s.OnCommand(func(verb, _ string) string { return map[string]string{"MLSD": text}[verb] })
		found, err := fetch.Finder{}.Find(t.Context(), lab.Client(s), "asp")
		require.NoError(t, err, text)
		require.Len(t, found.Releases, 1)
		require.Equal(t, 2, lab.Logins(s), "it is learned once for a search")
	}
}

func TestFTPFallsBackToPASV(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, []byte("x"), lab.Released)
	closed := realtest.FreePort(t)
	s.OnCommand(func(verb, _ string) string {
		if verb == "EPSV" {
			return fmt.Sprintf("229 Entering (|||%d|)", closed)
		}
		return ""
	})
	entries, err := lab.Client(s).List(t.Context(), "/asp/7.12.100")
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestFTPRefusesLineBreaks(t *testing.T) {
	s := fetchtest.New(t)
	_, err := lab.Client(s).List(t.Context(), "/a\r\nDELE b")
	require.ErrorIs(t, err, fetch.ErrUnsafeName)
	for _, c := range s.Commands() {
		require.False(t, strings.HasPrefix(c, "DELE"), c)
	}
}

// Stat returns what the server has; Refresh takes the rest from the listing.
func TestFTPStatFallsBackToTheListing(t *testing.T) {
	for verb, text := range map[string]string{"SIZE": "550 no", "MDTM": "500 what?"} {
		s := fetchtest.New(t)
		s.Put(lab.SetupPath, []byte("12345"), lab.Released)
		s.OnCommand(func(v, _ string) string { return map[string]string{verb: text}[v] })
		e, err := lab.Client(s).Stat(t.Context(), lab.SetupPath)
		require.ErrorIs(t, err, errors.ErrUnsupported, verb)
		require.Equal(t, verb == "MDTM", e.Size == 5 && e.Time.IsZero(), "%v", e)
		require.Equal(t, verb == "SIZE", e.Size < 0 && e.Time.Equal(lab.Released), "%v", e)
		f, err := fetch.File{Path: lab.SetupPath}.Refresh(t.Context(), lab.Client(s))
		require.NoError(t, err, verb)
		require.Equal(t, int64(5), f.Size, verb)
		require.True(t, f.Time.Equal(lab.Released), "%s: %v", verb, f.Time)
	}
}

// A server that refuses SIZE, and perhaps MDTM, is not asked about each of its files, nor
// for a listing for each of them.
func TestAServerThatRefusesSIZEIsListedOnce(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]map[string]string{
		"SIZE": {"SIZE": "550 not allowed"}, "both": {"SIZE": "550 not allowed", "MDTM": "550 not allowed"}, "neither announced": {"FEAT": "502 no", "SIZE": "502 no"},
	} {
		for _, remembered := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, remembered: %v", name, remembered), func(t *testing.T) {
				t.Parallel()
				s := fetchtest.New(t)
				for i := range 200 {
					s.Put(fmt.Sprintf("/asp/Setup_7.12.%d.exe", 100+i), []byte("x"), time.Now().Add(-time.Hour))
				}
				lab.Replies(s, refused)
				f := fetch.Finder{}
				if remembered {
					f.Sightings = filepath.Join(t.TempDir(), "sightings.json")
					f.Vouched = func(string, version.Version, version.Variant) bool { return true }
				}
				src := lab.Client(s)
				for range 2 {
					found, err := f.Find(t.Context(), src, "asp")
					require.NoError(t, err)
					require.Len(t, found.Releases, 200)
				}
				require.LessOrEqual(t, count(s, "SIZE"), 2)
				require.LessOrEqual(t, count(s, "LIST")+count(s, "MLSD"), 4, "two searches, and two looks whether a file is there")
				e, err := src.Stat(t.Context(), "/asp/Setup_7.12.100.exe")
				require.ErrorIs(t, err, errors.ErrUnsupported)
				require.EqualValues(t, -1, e.Size)
				_, err = fetch.File{Path: "/asp/none.exe"}.Refresh(t.Context(), src)
				require.ErrorIs(t, err, fetch.ErrNotFound)
			})
		}
	}
}

// One file that is in use says nothing about the others, and a file that is not there is missing whatever the
// server refuses.
func TestOneRefusedFileTeachesNothing(t *testing.T) {
	s := fetchtest.New(t)
	for _, name := range []string{"/a.exe", "/b.exe", "/c.exe"} {
		s.Put(name, []byte("12345"), lab.Released)
	}
	busy := ""
	s.OnCommand(func(verb, arg string) string {
		if verb == "SIZE" && arg == busy {
			return "550 in use by another process"
		}
		return ""
	})
	src, closeIdle := lab.Client(s).Keep()
	defer closeIdle()
	stat := src.(fetch.Stater).Stat
	for range 3 {
		for _, name := range []string{"/a.exe", "/b.exe", "/c.exe"} {
			busy = name
			_, err := stat(t.Context(), name)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			_, err = src.List(t.Context(), "/") // by the same connection
			require.NoError(t, err)
			busy = ""
			e, err := stat(t.Context(), name)
			require.NoError(t, err)
			require.EqualValues(t, 5, e.Size)
		}
	}
	_, err := stat(t.Context(), "/none.exe")
	require.ErrorIs(t, err, fetch.ErrNotFound)
}

func TestFTPShowsNoPassword(t *testing.T) {
	const secret = "hunter2-correct"
	src := &ftp.Source{Addr: "ftp.example.org", User: "site", Password: secret}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("source", "src", src, "ptr", &src)
	js, err := json.Marshal(src)
	require.NoError(t, err)
	type holder struct{ Src *ftp.Source }
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
	down := lab.Client(s)
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
		_, err := (&ftp.Source{Addr: addr}).List(t.Context(), "/")
		require.ErrorContains(t, err, "write host or host:port", addr)
	}
}

func TestASilentServerIsAskedOnce(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, lab.Payload(10), lab.Released)
	src := lab.Client(s)
	s.OnCommand(func(verb, _ string) string {
		if verb == "SIZE" {
			return "hang"
		}
		return ""
	})
	src.Timeout, src.Retry.Attempts = lab.Silence, 1
	began := time.Now()
	_, err := src.Stat(t.Context(), lab.SetupPath)
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.Less(t, time.Since(began), 2*lab.Silence, "it waits once")
}

func TestASilentServerIsAskedOnceOnAKeptConnection(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, lab.Payload(10), lab.Released)
	src := lab.Client(s)
	var lists atomic.Int32
	s.OnCommand(func(verb, _ string) string {
		if verb == "MLSD" && lists.Add(1) > 1 {
			return "hang"
		}
		return ""
	})
	src.Timeout, src.Retry.Attempts = lab.RealIdle, 1
	began := time.Now()
	_, err := fetch.Finder{}.Find(t.Context(), src, "asp")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.Less(t, time.Since(began), lab.RealIdle+lab.RealGrace)
	require.EqualValues(t, 2, lists.Load())
}

// What a server says may hold the password wherever it says it.
func TestNoEchoOfThePassword(t *testing.T) {
	t.Parallel()
	const secret = "хранитель-5" // as some servers send it back: in CP1251
	cp1251 := "\xf5\xf0\xe0\xed\xe8\xf2\xe5\xeb\xfc-5"
	for verb, ask := range map[string]func(ctx context.Context, src *ftp.Source) error{
		"PASS": func(ctx context.Context, src *ftp.Source) error { _, err := src.List(ctx, "/"); return err },
		"CWD":  func(ctx context.Context, src *ftp.Source) error { _, err := src.List(ctx, "/asp"); return err },
		"SIZE": func(ctx context.Context, src *ftp.Source) error { _, err := src.Stat(ctx, lab.SetupPath); return err },
		"RETR": func(ctx context.Context, src *ftp.Source) error {
			_, err := src.Open(ctx, lab.SetupPath, 0)
			return err
		},
		"TYPE": func(ctx context.Context, src *ftp.Source) error { _, err := src.Hash(ctx, lab.SetupPath); return err },
		"HASH": func(ctx context.Context, src *ftp.Source) error { _, err := src.Hash(ctx, lab.SetupPath); return err },
	} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			for _, reply := range []string{"%s", "%s is no code", "1%s", "550-%[1]s\r\n%[1]s", "550 %s", "450 %s", "999 %s", "213 %s", "250 %s"} {
				for _, echo := range []string{secret, cp1251} {
					s := fetchtest.New(t)
					s.Features = []string{"SIZE", "MDTM", "REST STREAM", "HASH SHA-256*"}
					s.Put(lab.SetupPath, []byte("x"), lab.Released)
					s.OnCommand(func(v, _ string) string {
						if v == verb {
							return fmt.Sprintf(reply, echo)
						}
						return ""
					})
					var seen lab.Events[fetch.Event]
					src := lab.Client(s)
					src.Password, src.Observe, src.Timeout = secret, seen.Observe, 50*time.Millisecond
					src.Retry.Attempts = 2
					err := ask(t.Context(), src)
					for _, e := range retries(&seen) {
						err = errors.Join(err, e.Err)
					}
					if err != nil {
						require.NotContains(t, err.Error(), secret, "%s answered by %q", verb, reply)
						require.NotContains(t, err.Error(), echo)
						require.False(t, strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' && r != '\n' }), "%q", err)
					}
					s.Close()
				}
			}
		})
	}
}

// Whoever writes the password into the address by mistake does not find it in
// a log.
func TestAPasswordInTheAddressIsNotShown(t *testing.T) {
	for _, addr := range []string{"site:hunter2@ftp.example.org", "ftp://site:hunter2@ftp.example.org:21", "site:hunt@er2@ftp.example.org:x"} {
		src := &ftp.Source{Addr: addr}
		_, err := src.List(t.Context(), "/asp")
		require.ErrorContains(t, err, "invalid address")
		for _, shown := range []string{err.Error(), src.String(), src.URL("/x"), fmt.Sprintf("%+v %#v", src, src)} {
			require.NotContains(t, shown, "hunt")
			require.Contains(t, shown, "ftp.example.org")
		}
	}
}

func retries(seen *lab.Events[fetch.Event]) []fetch.Event {
	return seen.All(func(e fetch.Event) bool { return e.Kind == ftp.EventRetry })
}
