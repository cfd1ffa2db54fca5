package ftp_test

import (
	"context"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

func count(s *fetchtest.Server, verb string) (n int) {
	for _, c := range s.Commands() {
		if v, _, _ := strings.Cut(c, " "); v == verb {
			n++
		}
	}
	return n
}

// A firewall that does not know EPSV costs one attempt in the life of a source,
// however it fails, and one that PASV makes good.
func TestEPSVIsGivenUpOnce(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	for name, script := range map[string]func(s *fetchtest.Server) func(verb, arg string) string{
		"silence": func(*fetchtest.Server) func(string, string) string { return replyTo("EPSV", "hang") },
		"a closed port": func(*fetchtest.Server) func(string, string) string {
			return replyTo("EPSV", "229 (|||"+strconv.Itoa(closed)+"|)")
		},
		"closed by a 421":  func(*fetchtest.Server) func(string, string) string { return replyTo("EPSV", "421 what is that") },
		"accepted, no use": accepted425,
		"connection closed": func(s *fetchtest.Server) func(string, string) string {
			return func(verb, _ string) string {
				if verb == "EPSV" {
					s.Drop()
				}
				return ""
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, []byte("x"), lab.Released)
			s.OnCommand(script(s))
			src := &ftp.Source{Addr: s.Addr, Timeout: lab.Silence, Retry: fetch.Retry{Attempts: 1}}
			for range 3 {
				_, err := src.List(t.Context(), "/asp/7.12.100")
				require.NoError(t, err)
				kept, end := src.Keep()
				require.Equal(t, "x", lab.Read(t, kept, lab.SetupPath, 0))
				end()
			}
			require.Equal(t, 1, count(s, "EPSV"))
		})
	}
}

// A firewall that drops what goes to EPSV's port costs one time-out in the life of
// the source, whatever becomes of the operation that meets it.
func TestAFirewallThatDropsEPSVsPort(t *testing.T) {
	t.Parallel()
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, []byte("x"), lab.Released)
	var dropped atomic.Int64
	src := &ftp.Source{Addr: s.Addr, Timeout: lab.Silence, Retry: fetch.Retry{Attempts: 1}}
	src.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if said := s.Commands(); address != s.Addr && said[len(said)-1] == "EPSV" {
			dropped.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	_, err := src.Open(t.Context(), "/asp/7.12.100/none.exe", 0)
	require.ErrorIs(t, err, fetch.ErrNotFound)
	for range 3 {
		kept, end := src.Keep()
		_, err = kept.List(t.Context(), "/asp/7.12.100")
		require.NoError(t, err)
		require.Equal(t, "x", lab.Read(t, src, lab.SetupPath, 0))
		end()
	}
	require.EqualValues(t, 1, dropped.Load())
}

// What a server cannot do is learnt from an operation that fails for another
// reason, too: the next ones would wait as long again.
func TestAFailureTeachesToo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verb  string
		reply string
	}{
		"EPSV, silence": {"EPSV", "hang"}, "EPSV, refused": {"EPSV", "502 no"}, "MLSD, refused": {"MLSD", "502 no"}, "MLSD, denied": {"MLSD", "550 denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, []byte("x"), lab.Released)
			lab.Replies(s, map[string]string{c.verb: c.reply, "LIST": "451 the disk is broken", "RETR": "550 no such file"})
			src := &ftp.Source{Addr: s.Addr, Timeout: lab.Silence, Retry: fetch.Retry{Attempts: 1}}
			for range 3 {
				_, err := src.Open(t.Context(), lab.SetupPath, 0)
				require.ErrorIs(t, err, fetch.ErrNotFound)
				if c.verb == "MLSD" {
					_, err = src.List(t.Context(), "/asp/7.12.100")
					require.ErrorContains(t, err, "the disk is broken")
				}
			}
			require.Equal(t, 1, count(s, c.verb))
		})
	}
}

// A server that is not there teaches nothing about EPSV.
func TestAnOutageTeachesNothing(t *testing.T) {
	t.Parallel()
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, []byte("x"), lab.Released)
	var out atomic.Bool
	out.Store(true)
	s.OnCommand(func(verb, _ string) string {
		if out.Load() && (verb == "EPSV" || verb == "PASV") {
			s.Drop()
		}
		return ""
	})
	src := &ftp.Source{Addr: s.Addr, Timeout: 5 * time.Second, Retry: fetch.Retry{Attempts: 1}}
	_, err := src.Open(t.Context(), lab.SetupPath, 0)
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	out.Store(false)
	require.Equal(t, "x", lab.Read(t, src, lab.SetupPath, 0))
	require.Equal(t, 1, count(s, "PASV"))
	require.Equal(t, 2, count(s, "EPSV"))
	kept, end := src.Keep()
	defer end()
	_, err = kept.List(t.Context(), "/asp")
	require.NoError(t, err)
	out.Store(true)
	_, err = kept.List(t.Context(), "/asp")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	out.Store(false)
	require.Equal(t, "x", lab.Read(t, src, lab.SetupPath, 0))
	require.Equal(t, "EPSV", last(s.Commands(), "EPSV", "PASV"))
}

// last returns the last of the commands that is one of these.
func last(commands []string, of ...string) string {
	for _, c := range slices.Backward(commands) {
		if slices.Contains(of, c) {
			return c
		}
	}
	return ""
}

func replyTo(verb, reply string) func(string, string) string {
	return func(v, _ string) string {
		if v == verb {
			return reply
		}
		return ""
	}
}

// accepted425 is a server whose data connections after EPSV come to nothing.
func accepted425(*fetchtest.Server) func(verb, arg string) string {
	extended := false
	return func(verb, _ string) string {
		switch verb {
		case "EPSV", "PASV":
			extended = verb == "EPSV"
		case "MLSD", "RETR":
			if extended {
				return "425 no data connection"
			}
		}
		return ""
	}
}

func TestPASVAlone(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, []byte("x"), lab.Released)
	src := lab.Client(s)
	src.PASV = true
	require.Equal(t, "x", lab.Read(t, src, lab.SetupPath, 0))
	require.Zero(t, count(s, "EPSV"))
}

// A source that keeps a connection is the same source.
func TestKeepCopiesEverySetting(t *testing.T) {
	src := &ftp.Source{}
	v := reflect.ValueOf(src).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if !v.Type().Field(i).IsExported() {
			continue
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Uint8:
			f.SetUint(1)
		case reflect.Int64:
			f.SetInt(int64(time.Second))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Struct:
			f.Field(0).SetInt(3)
		case reflect.Func:
			f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value { return nil }))
		default:
			t.Fatal(f.Kind())
		}
	}
	kept, _ := src.Keep()
	k := reflect.ValueOf(kept).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Type().Field(i).IsExported() {
			require.False(t, k.Field(i).IsZero(), name)
		}
	}
}
