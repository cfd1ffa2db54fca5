package fetch

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestMLSDIsReadAsTheStandardSays(t *testing.T) {
	when := time.Date(2019, 12, 4, 20, 0, 0, 0, time.UTC)
	for line, want := range map[string]Entry{
		"type=file;size=5;modify=20191204200000; Setup.exe":          {"Setup.exe", KindFile, 5, when},
		"Type=FILE;Size=0123;Modify=20191204200000.500; Setup 1.exe": {"Setup 1.exe", KindFile, 123, when},
		" type=file;size=5;modify=; Setup.exe":                       {"Setup.exe", KindFile, 5, time.Time{}},
		"Type=DIR;modify=20191204200000; 7.12.100":                   {"7.12.100", KindFolder, -1, when},
		"type=OS.unix=slink:/x;size=5; link":                         {"link", KindOther, 5, time.Time{}},
		"size=7; nothing else":                                       {"nothing else", KindFile, 7, time.Time{}},
		"type=file;size=99999999999999999999; huge":                  {"huge", KindFile, -1, time.Time{}},
		"type=file;size=5000000000; large":                           {"large", KindFile, 5_000_000_000, time.Time{}},
		"type=dir; \xce\xef":                                         {"\xce\xef", KindFolder, -1, time.Time{}},
		"modify=20191204200000; neither":                             {"modify=20191204200000; neither", KindUnreadable, -1, time.Time{}},
		"nonsense":                                                   {"nonsense", KindUnreadable, -1, time.Time{}},
		"type=file;":                                                 {"type=file;", KindUnreadable, -1, time.Time{}},
	} {
		got := parseMLSD([]string{line})
		require.Equal(t, []Entry{want}, got, line)
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

// The transcript must never keep an argument, whatever the pieces in which
// it sees the stream.
func TestTranscriptFollowsTheTalk(t *testing.T) {
	stream := "220-hello\r\n220 ready\r\nUSER u\r\n331 ?\r\nPASS top secret\r\n230 in\r\nFEAT\r\n211-x\r\n UTF8\r\n211 End\r\nOPTS UTF8 ON\r\n500 what?\r\n"
	rapid.Check(t, func(rt *rapid.T) {
		var said transcript
		rest := []byte(stream)
		for len(rest) > 0 {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "piece")
			_, _ = said.Write(rest[:n])
			rest = rest[n:]
		}
		if said.verb != "OPTS" || said.code != 500 || said.text != "what?" {
			rt.Fatalf("%+v", said)
		}
		if strings.Contains(string(said.line[:cap(said.line)]), "secret") {
			rt.Fatal("the password is still in memory")
		}
	})
}

func TestUnsafeNames(t *testing.T) {
	for _, name := range []string{
		"", ".", "..", "../x", "a/b", `a\b`, `..\x`, "a\x00b", "a\rb", "a\nb", "a\x1b[31m", "con", "CON", "aux.exe", "NUL.tar.gz",
		"com1", "COM9.txt", "lpt¹", "CONIN$", "prn .exe", "trailing.", "trailing ", " leading", "c:", "a:b", "what?", "a*", `"`, "<", "|",
		"\xce\xef\xe5", strings.Repeat("x", 4000), "a\u202eexe.scr", "a\u200bb",
	} {
		require.ErrorIs(t, checkName(name), ErrUnsafeName, "%q", name)
		require.Less(t, len(checkName(name).Error()), 400)
		require.NotContains(t, checkName(name).Error(), "\n")
	}
	for _, name := range []string{"Setup.exe", "FullSetup_7.12.100.exe", "Опека и попечительство", "com", "com10", "console.exe", "nul1", ".hidden", "a..b", "7.12.100-beta.1"} {
		require.NoError(t, checkName(name), name)
	}
}

func FuzzLayout(f *testing.F) {
	patterns, err := Layout{}.compile()
	require.NoError(f, err)
	for _, s := range []string{"Setup_7.12.100.exe", "7.12.100", "fullsetup-7.12.100-beta.1.tar.gz", "7.12.100.1", "Setup.7.12.100"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, p := range patterns {
			for _, form := range p {
				m, ok := match{}.name(form, strings.ToLower(name))
				if ok && m.version.IsZero() && m.variant == 0 {
					t.Fatalf("%q matched without telling anything", name)
				}
				if ok && !m.version.IsZero() && !strings.Contains(strings.ToLower(name), m.version.String()) {
					t.Fatalf("%q gave %s", name, m.version)
				}
			}
		}
	})
}

// TLS that ends within a record has lost something, whatever the server
// confirms afterwards.
func TestListingCutWithinTLSRecord(t *testing.T) {
	var said transcript
	said.startListing(func(lines []string) { require.Equal(t, []string{"f1"}, lines) })
	l := listing{cutConn{}, &said, func() {}}
	n, err := l.Read(make([]byte, 100))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Zero(t, n)
	require.True(t, lost(err), "trying again may help")
}

type cutConn struct{ net.Conn }

func (cutConn) Read(p []byte) (int, error) { return copy(p, "f1\r\n"), io.ErrUnexpectedEOF }
