package ftp

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/fetch"
)

func TestMLSDIsReadAsTheStandardSays(t *testing.T) {
	when := time.Date(2019, 12, 4, 20, 0, 0, 0, time.UTC)
	for line, want := range map[string]fetch.Entry{
		"type=file;size=5;modify=20191204200000; Setup.exe":          {Name: "Setup.exe", Kind: fetch.KindFile, Size: 5, Time: when},
		"Type=FILE;Size=0123;Modify=20191204200000.500; Setup 1.exe": {Name: "Setup 1.exe", Kind: fetch.KindFile, Size: 123, Time: when},
		" type=file;size=5;modify=; Setup.exe":                       {Name: "Setup.exe", Kind: fetch.KindFile, Size: 5, Time: time.Time{}},
		"Type=DIR;modify=20191204200000; 7.12.100":                   {Name: "7.12.100", Kind: fetch.KindDir, Size: -1, Time: when},
		"type=OS.unix=slink:/x;size=5; link":                         {Name: "link", Kind: fetch.KindOther, Size: 5, Time: time.Time{}},
		"size=7; nothing else":                                       {Name: "nothing else", Kind: fetch.KindFile, Size: 7, Time: time.Time{}},
		"type=file;size=99999999999999999999; huge":                  {Name: "huge", Kind: fetch.KindFile, Size: -1, Time: time.Time{}},
		"type=file;size=5000000000; large":                           {Name: "large", Kind: fetch.KindFile, Size: 5_000_000_000, Time: time.Time{}},
		"type=dir; \xce\xef":                                         {Name: "\xce\xef", Kind: fetch.KindDir, Size: -1, Time: time.Time{}},
		"modify=20191204200000; neither":                             {Name: "modify=20191204200000; neither", Kind: fetch.KindUnreadable, Size: -1, Time: time.Time{}},
		"nonsense":                                                   {Name: "nonsense", Kind: fetch.KindUnreadable, Size: -1, Time: time.Time{}},
		"type=file;":                                                 {Name: "type=file;", Kind: fetch.KindUnreadable, Size: -1, Time: time.Time{}},
	} {
		got := parseMLSD([]string{line})
		require.Equal(t, []fetch.Entry{want}, got, line)
	}
	require.Empty(t, parseMLSD([]string{"type=cdir; .", "type=pdir; ..", "type=dir; .", "type=cdir; /asp"}))
}

func FuzzParseMLSD(f *testing.F) {
	for _, s := range []string{"type=file;size=5;modify=20191204200000; Setup.exe", " ;;=; x", "type=; ", "a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, e := range parseMLSD([]string{line}) {
			if e.Name == "" && line != "" || !strings.HasSuffix(line, e.Name) || e.Size < -1 {
				t.Fatalf("%q gave %+v", line, e)
			}
		}
	})
}

// A connection must never keep an argument, whatever the pieces in which the
// commands come.
func TestControlKeepsNoPassword(t *testing.T) {
	const commands = "USER u\r\nPASS top secret\r\nOPTS UTF8 ON\r\n"
	rapid.Check(t, func(rt *rapid.T) {
		c := newControl(sink{}, &transcript{}, "")
		rest := []byte(commands)
		var pieces [][]byte
		for len(rest) > 0 {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "piece")
			_, _ = c.Write(rest[:n])
			pieces, rest = append(pieces, c.sent[:cap(c.sent)]), rest[n:]
		}
		if c.t.verb != "OPTS" {
			rt.Fatalf("%+v", c.t)
		}
		for _, p := range pieces {
			if strings.Contains(string(p), "secret") {
				rt.Fatal("the password is still in memory")
			}
		}
	})
}

type sink struct{ net.Conn }

func (sink) Write(p []byte) (int, error) { return len(p), nil }

// TLS that ends within a record has lost something, whatever the server
// confirms afterwards.
func TestListingCutWithinTLSRecord(t *testing.T) {
	var said transcript
	said.startListing(func(lines []string) { require.Equal(t, []string{"f1"}, lines) })
	l := listingConn{cutConn{}, &said, func() {}, nil}
	n, err := l.Read(make([]byte, 100))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Zero(t, n)
	require.True(t, lost(err), "trying again may help")
}

type cutConn struct{ net.Conn }

func (cutConn) Read(p []byte) (int, error) { return copy(p, "f1\r\n"), io.ErrUnexpectedEOF }
