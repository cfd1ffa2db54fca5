package ftp

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/fetch"
)

// A golden line is one that a server sends by LIST, and what must come of it.
type golden struct {
	line string
	kind fetch.Kind
	size int64
	time string // in UTC, empty if unknown
	name string // empty: the line is left out
}

const (
	aFile   = fetch.KindFile
	aFolder = fetch.KindDir
	anOther = fetch.KindOther
)

// goldenNow is when the golden lines were listed.
var goldenNow = time.Date(2020, 1, 10, 12, 0, 0, 0, time.UTC)

var goldenLines = []golden{
	// Unix, as vsftpd, proftpd and pure-ftpd write it.
	{"-rw-r--r--    1 ftp      ftp          1024 Dec 04  2019 Setup.exe", aFile, 1024, "2019-12-04 00:00:00", "Setup.exe"},
	{"-rw-r--r--   1 0          0            1024 Dec  4 20:00 Setup.exe", aFile, 1024, "2019-12-04 20:00:00", "Setup.exe"},
	{"drwxr-xr-x    2 ftp      ftp          4096 Jan 10 11:59 7.13.100", aFolder, -1, "2020-01-10 11:59:00", "7.13.100"},
	{"-rwxrwxrwx   1 owner    group               0 Sep  9 09:05 empty", aFile, 0, "2019-09-09 09:05:00", "empty"},
	{"----------   1 owner    group         1803128 Feb 29  2016 IIS in Unix's manner.zip", aFile, 1803128, "2016-02-29 00:00:00", "IIS in Unix's manner.zip"},
	// Sizes.
	{"-rw-r--r--    1 ftp      ftp    5000000000 Dec 04  2019 larger than 4 GiB", aFile, 5_000_000_000, "2019-12-04 00:00:00", "larger than 4 GiB"},
	{"-rw-r--r--    1 ftp      ftp          0123 Dec 04  2019 decimal", aFile, 123, "2019-12-04 00:00:00", "decimal"},
	{"-rw-r--r--    1 ftp ftp 18446744073709551615 Dec 04  2019 no such size", aFile, -1, "2019-12-04 00:00:00", "no such size"},
	// A mark behind the mode.
	{"-rw-r--r--.   1 root     root         1024 Dec 04  2019 selinux.exe", aFile, 1024, "2019-12-04 00:00:00", "selinux.exe"},
	{"drwxrwxr-x+   2 root     root         4096 Dec 04  2019 acl", aFolder, -1, "2019-12-04 00:00:00", "acl"},
	{"-rw-r--r--@   1 root     staff        1024 Dec 04  2019 xattr.exe", aFile, 1024, "2019-12-04 00:00:00", "xattr.exe"},
	{"drwsr-xr-T    2 root     root         4096 Dec 04  2019 sticky", aFolder, -1, "2019-12-04 00:00:00", "sticky"},
	// What stands between mode and size.
	{"-rw-r--r--    1 ftp      Domain Users     1024 Dec 04  2019 Setup.exe", aFile, 1024, "2019-12-04 00:00:00", "Setup.exe"},
	{"-rw-r--r--    1 Jane Doe Users 7 of 9      1024 Dec 04  2019 Setup.exe", aFile, 1024, "2019-12-04 00:00:00", "Setup.exe"},
	{"-rw-r--r--    1 ftp          1024 Dec 04  2019 no group.exe", aFile, 1024, "2019-12-04 00:00:00", "no group.exe"},
	{"-rw-r--r--  ftp      ftp          1024 Dec 04  2019 no links.exe", aFile, 1024, "2019-12-04 00:00:00", "no links.exe"},
	{"drwxr-xr-x               folder        0 Aug 15 05:49 NetPresenz", aFolder, -1, "2019-08-15 05:49:00", "NetPresenz"},
	{"-rw-r--r--    1 14       users         2019 Dec 04 20:00 a number and a name.exe", aFile, 2019, "2019-12-04 20:00:00", "a number and a name.exe"},
	// Dates.
	{"-rw-r--r--    1 ftp ftp 1024 2019-12-04 20:00 long-iso.exe", aFile, 1024, "2019-12-04 20:00:00", "long-iso.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 2019-12-04 20:00:30.123456789 +0300 full-iso.exe", aFile, 1024, "2019-12-04 17:00:30", "full-iso.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 2019-12-04  iso.exe", aFile, 1024, "2019-12-04 00:00:00", "iso.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 12-04 20:00 iso, not long ago.exe", aFile, 1024, "2019-12-04 20:00:00", "iso, not long ago.exe"},
	{"-rw-r--r--    1 ftp ftp 1024  4 Dec 20:00 day first.exe", aFile, 1024, "2019-12-04 20:00:00", "day first.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 04 дек  2019 день.exe", aFile, 1024, "2019-12-04 00:00:00", "день.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 дек  4 20:00 по-русски.exe", aFile, 1024, "2019-12-04 20:00:00", "по-русски.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 Декабря 04 2019 полностью.exe", aFile, 1024, "2019-12-04 00:00:00", "полностью.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 \xe4\xe5\xea  4 20:00 \xce\xef\xe5\xea\xe0.exe", aFile, 1024, "2019-12-04 20:00:00", "\xce\xef\xe5\xea\xe0.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 \xcc\xe0\xff  4 2019 CP1251.exe", aFile, 1024, "2019-05-04 00:00:00", "CP1251.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 Sept. 04  2019 with a dot.exe", aFile, 1024, "2019-09-04 00:00:00", "with a dot.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 December 04  2019 in full.exe", aFile, 1024, "2019-12-04 00:00:00", "in full.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 Dez 04 20:00 German.exe", aFile, 1024, "", "German.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 marras 04 2019 Finnish November.exe", aFile, 1024, "", "Finnish November.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 гру  4 20:00 Ukrainian.exe", aFile, 1024, "", "Ukrainian.exe"},
	{"-rw-r--r--    1 ftp 1024 Dez 04 2019 no group.exe", aFile, 1024, "", "no group.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 Feb 30  2019 no such day.exe", aFile, 1024, "", "no such day.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 Jan 11 11:00 a clock ahead.exe", aFile, 1024, "2020-01-11 11:00:00", "a clock ahead.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 Jan 11 12:01 last year.exe", aFile, 1024, "2019-01-11 12:01:00", "last year.exe"},
	{"-rw-r--r--    1 ftp ftp 1024 Feb 29 12:00 no leap year.exe", aFile, 1024, "", "no leap year.exe"},
	// Names.
	{"-rw-r--r--    1 ftp ftp 1024 Dec 04  2019  leading", aFile, 1024, "2019-12-04 00:00:00", " leading"},
	{"-rw-r--r--    1 ftp ftp 1024 Dec 04 20:00 in  between and trailing ", aFile, 1024, "2019-12-04 20:00:00", "in  between and trailing "},
	{"-rw-r--r--    1 ftp ftp 1024 Dec 04 20:00 5 Dec 04 2019 x", aFile, 1024, "2019-12-04 20:00:00", "5 Dec 04 2019 x"},
	{"-rw-r--r--    1 ftp ftp 1024 Dez 04 20:00 5 Dec 04 2019 x", aFile, 1024, "", "5 Dec 04 2019 x"},
	{"-rw-r--r--    1 ftp ftp 1024 Dec 04 20:00 total 5", aFile, 1024, "2019-12-04 20:00:00", "total 5"},
	{"-rw-r--r--    1 ftp ftp 1024 Dec 04 20:00 ...", aFile, 1024, "2019-12-04 20:00:00", "..."},
	{"-rw-r--r--    1 ftp ftp 1024 Dec 04 20:00 a -> b", aFile, 1024, "2019-12-04 20:00:00", "a -> b"},
	// Links and devices are never followed.
	{"lrwxrwxrwx    1 ftp ftp 7 Dec 04 20:00 latest -> 7.12.100", anOther, -1, "2019-12-04 20:00:00", "latest"},
	{"lrwxrwxrwx    1 ftp ftp 7 Dec 04 20:00 nowhere", anOther, -1, "2019-12-04 20:00:00", "nowhere"},
	{"brw-rw----    1 root     disk       8,   0 Dec 04 20:00 sda", anOther, -1, "2019-12-04 20:00:00", "sda"},
	{"crw-rw-rw-    1 root     root       1,3 Dec 04 20:00 null", anOther, -1, "2019-12-04 20:00:00", "null"},
	{"prw-r--r--    1 ftp ftp 0 Dec 04 20:00 pipe", anOther, -1, "2019-12-04 20:00:00", "pipe"},
	// IIS and others on Windows.
	{"12-04-19  08:00PM       <DIR>          7.12.100", aFolder, -1, "2019-12-04 20:00:00", "7.12.100"},
	{"12-04-19  08:00PM             71172096 Setup.exe", aFile, 71172096, "2019-12-04 20:00:00", "Setup.exe"},
	{"12-04-2019  12:05AM             5000000000 FullSetup.exe", aFile, 5_000_000_000, "2019-12-04 00:05:00", "FullSetup.exe"},
	{"12-04-2019  20:00       <DIR>          24 hours", aFolder, -1, "2019-12-04 20:00:00", "24 hours"},
	{"2019-12-04  20:00                9,730 with separators.exe", aFile, 9730, "2019-12-04 20:00:00", "with separators.exe"},
	{"12-04-99  12:05PM                    5 last century.exe", aFile, 5, "1999-12-04 12:05:00", "last century.exe"},
	{"27-12-19  08:00PM                    5 day first.exe", aFile, 5, "", "day first.exe"},
	{"12-04-19  08:00PM       <JUNCTION>     latest", anOther, -1, "2019-12-04 20:00:00", "latest"},
	{"12-04-19  08:00PM       <SYMLINKD>     current", anOther, -1, "2019-12-04 20:00:00", "current"},
	{"12-04-19  08:00PM       <DIR>           leading", aFolder, -1, "2019-12-04 20:00:00", " leading"},
	{"12-04-19  08:00PM       <DIR> narrow", aFolder, -1, "2019-12-04 20:00:00", "narrow"},
	{"12-04-19  08:00PM                    5  leading", aFile, 5, "2019-12-04 20:00:00", " leading"},
	// Left out on purpose.
	{"total 12", 0, 0, "", ""},
	{"total 0", 0, 0, "", ""},
	{"итого 12", 0, 0, "", ""},
	{"\xe8\xf2\xee\xe3\xee 12", 0, 0, "", ""},
	{"drwxr-xr-x    2 ftp      ftp          4096 Dec 04  2019 .", 0, 0, "", ""},
	{"drwxr-xr-x    2 ftp      ftp          4096 Dec 04  2019 ..", 0, 0, "", ""},
	{"12-04-19  08:00PM       <DIR>          .", 0, 0, "", ""},
}

// unreadableLines must be returned, each as one entry.
var unreadableLines = []string{
	"?????????? ? ? ? ?            ? Setup.exe",
	"-rw-r--r--    1 ftp      ftp          1024 Dec 04  2019",
	"-rw-r--r--    1 ftp      ftp          1024 Dec 04  2019 ",
	"-rw-r--r--    1 ftp      ftp          1024 Dec 04  209 Setup.exe",
	"-rw-r--r--    1 ftp      ftp          1024 Dec 32  2019 Setup.exe",
	"-rw-r--r--    1 ftp      ftp          1024 Dec 04 24:00 Setup.exe",
	"-rw-r--r--    1 ftp      ftp          1024 Dec  4 20:00:11 2019 Setup.exe",
	"-rw-r--r--    1 ftp      ftp          1.2K Dec 04  2019 Setup.exe",
	"-rw-r--r--    1 ftp      ftp          1024 Setup.exe",
	"-rw-r--r--    1 ftp Group 12 Users 1024 Dez 04 2019 5 Dec 04 2019 x", // which date?
	"Zrw-r--r--    1 ftp      ftp          1024 Dec 04  2019 Setup.exe",
	"-rw-r--x-y    1 ftp      ftp          1024 Dec 04  2019 Setup.exe",
	"-rw-r--r--",
	"d [R----F--] supervisor            512       Jan 16 18:53 login",
	"12-04-19  08:00PM       <DIR>",
	"12-04-19  08:00PM                    5",
	"12-04-19  13:00PM                    5 Setup.exe",
	"12-04-19  08:00XM                    5 Setup.exe",
	"12-04-019  08:00PM                   5 Setup.exe",
	"12/04/2019  08:00 PM                 5 Setup.exe",
	"12-04-19  08:00PM                    x Setup.exe",
	"+i8388621.48594,m1575489600,r,s280, Setup.exe",
	"+r,\t",
	"total twelve",
	"total ",
	"./7.12.100:",
	".",
	"Setup.exe",
	" ",
}

func TestListingsLoseNothing(t *testing.T) {
	for _, g := range goldenLines {
		got := parseLIST([]string{g.line}, goldenNow)
		if g.name == "" {
			require.Empty(t, got, "%q", g.line)
			continue
		}
		want := fetch.Entry{Name: g.name, Kind: g.kind, Size: g.size}
		if g.time != "" {
			var err error
			want.Time, err = time.Parse(time.DateTime, g.time)
			require.NoError(t, err)
		}
		require.Equal(t, []fetch.Entry{want}, got, "%q", g.line)
	}
	for _, line := range unreadableLines {
		got := parseLIST([]string{line}, goldenNow)
		require.Equal(t, []fetch.Entry{{Name: line, Kind: fetch.KindUnreadable, Size: -1}}, got, "%q", line)
	}
}

// A listing without years is read by the clock of who lists, whatever the
// zone in which they are shown.
func TestYearOfListingsWithoutOne(t *testing.T) {
	moscow := time.FixedZone("MSK", 3*60*60)
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Unix(rapid.Int64Range(1e9, 4e9).Draw(rt, "now"), 0).In(moscow)
		ago := time.Duration(rapid.IntRange(-24*60+1, 180*24*60).Draw(rt, "minutes ago")) * time.Minute
		when := now.Add(-ago).UTC().Truncate(time.Minute)
		for _, form := range []string{"Jan 02 15:04", "Jan _2 15:04", "_2 Jan 15:04", "01-02 15:04"} {
			got := parseLIST([]string{"-rw-r--r-- 1 ftp ftp 5 " + when.Format(form) + " x"}, now)
			if len(got) != 1 || got[0].Kind != fetch.KindFile || !got[0].Time.Equal(when) {
				rt.Fatalf("%v at %v: %v", when, now, got)
			}
		}
	})
}

func FuzzParseLIST(f *testing.F) {
	for _, g := range goldenLines {
		f.Add(g.line)
	}
	for _, line := range unreadableLines {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if line == "" {
			return
		}
		e, ok := parseLine(line, goldenNow)
		got := parseLIST([]string{line}, goldenNow)
		switch {
		case !ok:
			e = fetch.Entry{Name: line, Kind: fetch.KindUnreadable, Size: -1}
			fallthrough
		case !isSelfOrParent(e.Name):
			if len(got) != 1 || got[0] != e {
				t.Fatalf("%q gave %+v", line, got)
			}
		case len(got) > 0:
			t.Fatalf("%q gave %+v", line, got)
		}
		if ok && !strings.HasSuffix(line, e.Name) && !isTotal(line) && (e.Kind != fetch.KindOther || !strings.Contains(line, e.Name+" -> ")) {
			t.Fatalf("%q gave %+v: the name is neither the end nor before an arrow", line, e)
		}
		if _, err := e.Time.MarshalJSON(); e.Name == "" || e.Size < -1 || err != nil || e.Time.Nanosecond() != 0 {
			t.Fatalf("%q gave %+v", line, e)
		}
	})
}

var lineEnds = regexp.MustCompile(`\r*\n`)

// All lines of a listing come out once, in order, whatever the pieces in which
// it arrives.
func FuzzListingLines(f *testing.F) {
	f.Add("a\r\nb\n\r\n c\r\n", uint8(3))
	f.Add("cut", uint8(1))
	f.Fuzz(func(t *testing.T, text string, piece uint8) {
		var said transcript
		var lines []string
		said.startListing(func(some []string) { lines = append(lines, some...) })
		for p := range slices.Chunk([]byte(text), int(piece)+1) {
			if n, err := (listingWriter{&said}).Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		err := said.endListing()
		if ended := text == "" || strings.HasSuffix(text, "\n"); (err == nil) != ended {
			t.Fatalf("%q gave %v", text, err)
		}
		whole := text[:strings.LastIndexByte(text, '\n')+1]
		if strings.Join(lines, "") != lineEnds.ReplaceAllString(strings.ReplaceAll("\n"+whole, "\n\ufeff", "\n"), "") {
			t.Fatalf("%q gave %q", text, lines)
		}
	})
}
