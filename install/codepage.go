package install

import (
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

// decode returns output as UTF-8. A Russian Windows has two code pages besides:
// 866 for consoles and 1251 for everything else, and a batch file with the
// programs it calls may use both in one file. So each line is decoded separately.
func decode(b []byte) string {
	var s strings.Builder
	for line := range strings.Lines(string(b)) {
		if utf8.ValidString(line) {
			s.WriteString(line)
			continue
		}
		page := charmap.Windows1251
		if is866(line) {
			page = charmap.CodePage866
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
