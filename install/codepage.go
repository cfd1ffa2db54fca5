package install

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"

	"github.com/aspupdate/aspupdate/internal/codepage"
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

// decode returns output as UTF-8.
func (p codePage) decode(b []byte) string {
	if p == "utf-8" {
		return string(b)
	}
	return codepage.Decode(codePages[p], b)
}
