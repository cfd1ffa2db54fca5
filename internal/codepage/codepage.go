// Package codepage reads what programs of a Russian Windows print. It exists so that
// installers and commands are read by one rule.
package codepage

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// Decode returns output as UTF-8. A nil page is found out for each line: a Russian
// Windows has two code pages besides UTF-8, 866 for consoles and 1251 for
// everything else, and a batch file with the programs it calls may use both in one
// file.
func Decode(page *charmap.Charmap, b []byte) string {
	var s strings.Builder
	for line := range strings.Lines(string(b)) {
		page := page
		switch {
		case page != nil:
		case utf8.ValidString(line):
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
