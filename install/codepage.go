package install

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// utf16Mark is the beginning of the logs that Windows Installer writes.
const utf16Mark = "\xff\xfe"

func decodeUTF16(b []byte) []byte {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i]) | uint16(b[2*i+1])<<8
	}
	return []byte(string(utf16.Decode(units)))
}

// A codePage is that of an output. Empty means that it is found out for each line.
type codePage string

// codePages are those that a command may name. UTF-8 has no table: nothing is then
// taken for another one.
var codePages = map[codePage]*charmap.Charmap{"utf-8": nil, "866": charmap.CodePage866, "1251": charmap.Windows1251, "koi8-r": charmap.KOI8R}

// check returns an error if the code page is not known.
func (p codePage) check() error {
	if _, known := codePages[p]; p == "" || known {
		return nil
	}
	return fmt.Errorf("unknown code page %q; use one of %q", string(p), slices.Sorted(maps.Keys(codePages)))
}

// decode returns output as UTF-8. A Russian Windows has two code pages besides:
// 866 for consoles and 1251 for everything else, and a batch file with the
// programs it calls may use both in one file. So each line is decoded separately.
func (p codePage) decode(b []byte) string {
	var s strings.Builder
	for line := range strings.Lines(string(b)) {
		page := codePages[p]
		switch {
		case page != nil:
		case utf8.ValidString(line), p != "":
			s.WriteString(line)
			continue
		case is866(line):
			page = charmap.CodePage866
		default:
			page = charmap.Windows1251
		}
		for i := range len(line) {
			s.WriteRune(page.DecodeByte(line[i]))
		}
	}
	return s.String()
}

// is866 compares where the letters are: 80 to AF are most of them in 866 and
// hardly any in 1251; C0 to DF and F0 to FF are the capitals and half of the
// small ones in 1251 and box drawings in 866. The rest is letters in both.
func is866(line string) bool {
	weight := 0
	for i := range len(line) {
		switch c := line[i]; {
		case c >= 0x80 && c < 0xB0:
			weight++
		case c >= 0xC0 && c < 0xE0, c >= 0xF0:
			weight--
		}
	}
	return weight > 0
}
