package ftp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

// ways are the ways to list a directory.
var ways = map[string]struct {
	features []string
	names    func(ctx context.Context, src *ftp.Source, dir string) ([]string, error)
}{
	"MLSD": {nil, listNames},
	"LIST": {[]string{"SIZE", "MDTM"}, listNames},
}

func listNames(ctx context.Context, src *ftp.Source, dir string) (names []string, err error) {
	entries, err := src.List(ctx, dir)
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names, err
}

// lines returns n lines of a listing.
func lines(verb string, n int) []string {
	forms := map[string]string{"MLSD": "type=file;size=1; f%d", "LIST": "-rw-r--r-- 1 ftp ftp 1 Dec 04 2019 f%d", "NLST": "f%d"}
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(forms[verb], i)
	}
	return all
}

// A listing that did not come whole is an error, never a shorter list.
func TestFTPListingsComeWholeOrNotAtAll(t *testing.T) {
	cert, pool := lab.Certificate(t)
	body := func(verb string) []byte { return []byte(strings.Join(lines(verb, 100), "\r\n") + "\r\n") }
	for _, c := range []struct {
		name  string
		fault fetchtest.Fault
		want  string // in the error; empty: all is well
		code  int
	}{
		{"well", fetchtest.Fault{}, "", 0},
		{"another confirmation", fetchtest.Fault{Reply: "226-Options: -l\r\n226 100 matches total"}, "", 0},
		{"reset", fetchtest.Fault{Cut: 301, Reset: true}, "server unreachable", 0},
		{"broken and reported", fetchtest.Fault{Cut: 301, Reply: "426 broken"}, "426 broken", 426},
		{"all there, and yet 426", fetchtest.Fault{Reply: "426 broken"}, "426 broken", 426},
		{"all there, and yet 451", fetchtest.Fault{Reply: "451 broken"}, "451 broken", 451},
		{"all there, unconfirmed", fetchtest.Fault{Drop: true}, "server unreachable", 0},
		{"cut within a line, and a lie", fetchtest.Fault{Cut: 301}, "in the middle of a line", 0},
		{"stalled", fetchtest.Fault{Cut: 301, Stall: true}, "server unreachable", 0},
		{"truncated and reported", fetchtest.Fault{Reply: "226-Output truncated to 100 matches\r\n226 done"}, "cut the listing short after 100 lines", 226},
		{"truncated and reported at the end", fetchtest.Fault{Reply: "226 Output Truncated"}, "cut the listing short", 226},
		{"TLS without a close notification", fetchtest.Fault{Abrupt: true}, "", 0},
		{"TLS without a close notification, and reported", fetchtest.Fault{Cut: 301, Abrupt: true, Reply: "426 broken"}, "426 broken", 426},
		{"TLS without a close notification, and a lie", fetchtest.Fault{Cut: 301, Abrupt: true}, "in the middle of a line", 0},
	} {
		for verb, way := range ways {
			t.Run(c.name+", "+verb, func(t *testing.T) {
				t.Parallel()
				s := fetchtest.New(t)
				s.Features = way.features
				s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
				s.Put(lab.SetupPath, nil, lab.Released)
				s.OnListing(func(string, string) fetchtest.Fault {
					fault := c.fault
					fault.Data = body(verb)
					return fault
				})
				src := lab.Client(s)
				src.Retry.Attempts = 2
				if strings.HasPrefix(c.name, "TLS") {
					src.TLS, src.TLSConfig = ftp.TLSExplicit, &tls.Config{RootCAs: pool}
				}
				if c.fault.Stall {
					src.Timeout = lab.Silence
				}
				names, err := way.names(t.Context(), src, "/asp")
				if c.want == "" {
					require.NoError(t, err)
					require.Len(t, names, 100)
					require.Equal(t, "f99", names[99])
					return
				}
				require.ErrorContains(t, err, c.want)
				require.Empty(t, names)
				e, ok := errors.AsType[*fetch.Error](err)
				require.True(t, ok)
				require.Equal(t, c.code, e.Code)
				require.Equal(t, c.code != 226, e.Temporary, "what the server leaves out, it leaves out again")
			})
		}
	}
}

// pure-ftpd ends a listing after ten thousand lines, and may not say so.
func TestFTPListingThatWasCut(t *testing.T) {
	for verb, way := range ways {
		s := fetchtest.New(t)
		s.Features = way.features
		s.Put(lab.SetupPath, nil, lab.Released)
		all := lines(verb, 10_001)
		s.OnList(func(string) []string { return all[:10_000] })
		_, err := way.names(t.Context(), lab.Client(s), "/asp")
		require.ErrorContains(t, err, "cut the listing short after 10000 lines", verb)
		for _, n := range []int{9_999, 10_001} {
			s.OnList(func(string) []string { return all[:n] })
			names, err := way.names(t.Context(), lab.Client(s), "/asp")
			require.NoError(t, err)
			require.Len(t, names, n)
		}
	}
}

func TestFTPServerThatSendsWithoutEnd(t *testing.T) {
	for verb, way := range ways {
		s := fetchtest.New(t)
		s.Features = way.features
		s.Put(lab.SetupPath, nil, lab.Released)
		all := slices.Repeat([]string{lines(verb, 1)[0] + strings.Repeat("x", 60_000)}, 300)
		s.OnList(func(string) []string { return all })
		_, err := way.names(t.Context(), lab.Client(s), "/asp")
		require.ErrorContains(t, err, "sends without end", verb)
	}
}

// What a server can make us hold is bounded by what it sends, and by the number of
// pieces: a short line costs more memory than it has bytes.
func TestFTPServerThatSendsTooMuch(t *testing.T) {
	for name, c := range map[string]struct {
		listing []byte
		verb    string
		reply   string
	}{
		"lines without contents": {listing: bytes.Repeat([]byte("a\n"), 4<<20)},
		"one line":               {listing: bytes.Repeat([]byte("a"), 2<<20)},
		"a greeting":             {verb: "", reply: "220-" + strings.Repeat("x\r\n", 100_000) + "220 x"},
		"a reply":                {verb: "FEAT", reply: "211-" + strings.Repeat("x\r\n", 100_000) + "211 x"},
		"preliminary replies":    {verb: "CWD", reply: strings.Repeat("150 x\r\n", 300_000) + "250 x"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Put(lab.SetupPath, nil, lab.Released)
			src := lab.Client(s)
			if c.reply != "" {
				s.OnCommand(func(verb, _ string) string {
					if verb == c.verb {
						return c.reply
					}
					return ""
				})
			} else {
				s.OnListing(func(string, string) fetchtest.Fault { return fetchtest.Fault{Data: c.listing} })
			}
			src.Retry = fetch.Retry{Attempts: 1}
			_, err := src.List(t.Context(), "/asp")
			require.ErrorContains(t, err, "sends without end")
			require.ErrorIs(t, err, fetch.ErrUnreachable)
		})
	}
}

// Some servers list a missing directory as an empty one, and take a name like
// "-a" for an option.
func TestFTPDirectoryIsEnteredBeforeItIsListed(t *testing.T) {
	for verb, way := range ways {
		t.Run(verb, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Features = way.features
			s.Put("/asp/-a/Setup.exe", nil, lab.Released)
			s.Put("/asp/empty/hidden", nil, lab.Released)
			src := lab.Client(s)
			names, err := way.names(t.Context(), src, "/asp/-a")
			require.NoError(t, err)
			require.Equal(t, []string{"Setup.exe"}, names)
			require.Contains(t, s.Commands(), "CWD /asp/-a")
			require.Contains(t, s.Commands(), verb, "nothing that could be an option")

			s.OnList(func(string) []string { return []string{} })
			names, err = way.names(t.Context(), src, "/asp/empty")
			require.NoError(t, err)
			require.Empty(t, names)
			_, err = way.names(t.Context(), src, "/asp/missing")
			require.ErrorIs(t, err, fetch.ErrNotFound)
			_, err = way.names(t.Context(), src, "/asp/a\r\nDELE b")
			require.ErrorIs(t, err, fetch.ErrUnsafeName)
			lab.NoneLeft(t, s)
		})
	}
}

func TestFTPNamesPassUntouched(t *testing.T) {
	opeka := "\xce\xef\xe5\xea\xe0" // Опека in CP1251
	for verb, way := range ways {
		s := fetchtest.New(t)
		s.Features = way.features
		for _, name := range []string{"a", " b ", `c\d`, "é", opeka} {
			s.Put("/"+opeka+"/"+name, []byte("x"), lab.Released)
		}
		names, err := way.names(t.Context(), lab.Client(s), "/"+opeka)
		require.NoError(t, err)
		slices.Sort(names)
		require.Equal(t, []string{" b ", "a", `c\d`, "é", opeka}, names, verb)
		names, err = way.names(t.Context(), lab.Client(s), "/")
		require.NoError(t, err)
		require.Equal(t, []string{opeka}, names)
	}
}
