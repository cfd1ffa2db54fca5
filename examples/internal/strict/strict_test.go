package strict_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
)

type site struct {
	Name  string            `toml:"name"`
	Open  bool              `toml:"open"`
	Wait  strict.Duration   `toml:"wait"`
	Late  *strict.Duration  `toml:"late"`
	Ways  []string          `toml:"ways"`
	Pins  map[string]string `toml:"pins"`
	Parts []struct {
		Name string          `toml:"name"`
		Wait strict.Duration `toml:"wait"`
	} `toml:"part"`
	Secret string `toml:"-"`
}

func TestDecode(t *testing.T) {
	var s site
	_, err := strict.Decode("f.toml", []byte("name = 'x'\nwait = '90s'\n[[part]]\nname = 'y'\n"), &s)
	require.NoError(t, err)
	require.Equal(t, 90*time.Second, time.Duration(s.Wait))
	require.Equal(t, "y", s.Parts[0].Name)
	for text, want := range map[string]string{
		"nam = 'x'":              `f.toml:1:1: unknown key "nam"; allowed at the top level: late, name, open, part, pins, wait, ways`,
		"Secret = 'x'":           `unknown key "Secret"`,
		"[[part]]\nnam = 'x'":    `f.toml:2:1: unknown key "part.nam"; allowed in part: name, wait`,
		"\nname = 5":             "f.toml:2:",
		"name = 5":               "name must be a string in quotes",
		"open = 'x'":             "open must be true or false",
		"wait = 'an hour'":       `invalid duration "an hour"`,
		"wait = '-1s'":           `invalid duration "-1s"`,
		"ways = 'x'":             "ways must be a list of strings in brackets",
		"pins = 'x'":             "pins must be a table such as",
		"[name":                  "f.toml:1:",
		"name = 'x'\nname = 'y'": "f.toml",
	} {
		_, err := strict.Decode("f.toml", []byte(text), &site{})
		require.ErrorContains(t, err, want, text)
	}
}

// TestDecodeReadsNothingElse has what people write by mistake. Each is refused at
// its line and column, with what to write: none is read as something else.
func TestDecodeReadsNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"wait = 180":                         `f.toml:1:8: wait = 180 has no unit; write "180s" for seconds, "180m" for minutes or "180h" for hours`,
		"\n  wait = 1.5":                     `f.toml:2:10: wait = 1.5 has no unit; write "1.5s"`,
		"late = 20":                          `f.toml:1:8: late = 20 has no unit`,
		"wait = true":                        "f.toml:1:8: wait = true has no unit",
		"wait = '180'":                       `invalid duration "180"; write "180s" for seconds, "180m" for minutes or "180h" for hours`,
		"wait = '1,5h'":                      `write "1.5h"`,
		"wait = '20 мин'":                    `write "20m"`,
		"wait = '2 часа'":                    `write "2h"`,
		"wait = 1,5":                         "f.toml:1:9: .*write a point and not a comma",
		"[[part]]\nwait = 5":                 "f.toml:2:8: part.wait = 5 has no unit",
		"part = [{ wait = 5 }]":              "f.toml:1:18: part.wait = 5 has no unit",
		`name = "C:\temp\new"`:               `f.toml:1:8: name: \\t in double quotes is a control character; write a path with / or in single quotes`,
		`ways = ["a", "C:\new"]`:             `f.toml:1:14: ways: \\n in double quotes`,
		`name = "C:\ASP\bin"`:                `f.toml:1:.*write a path with / or in single quotes`,
		`name = "C:\Users"`:                  `f.toml:1:.*write a path with / or in single quotes`,
		"name = “ASP”":                       "f.toml:1:8: .*write straight quotes",
		"name = «ASP»":                       "f.toml:1:8: .*write straight quotes",
		"open = true\nname = '\xcf\xf0\xe8'": "f.toml:2:9: the file is not UTF-8, such as one that Notepad saved as ANSI; save it again",
		"\ufeffwait = 180":                   "f.toml:1:8: wait = 180 has no unit",
	} {
		_, err := strict.Decode("f.toml", []byte(text), &site{})
		require.Error(t, err, text)
		require.Regexp(t, want, err.Error(), text)
	}
	for _, text := range []string{
		"\xef\xbb\xbfname = 'Опёка'\n", "name = 'Опёка'\r\n", "name = \"Опёка\"", "name = \"\"\"Опёка\"\"\"",
		"\xff\xfe" + utf16("name = 'Опёка'\r\n", binary.LittleEndian), "\xfe\xff" + utf16("name = 'Опёка'\r\n", binary.BigEndian),
	} {
		var s site
		_, err := strict.Decode("f.toml", []byte(text), &s)
		require.NoError(t, err, "%q", text)
		require.Equal(t, "Опёка", s.Name)
	}
	var s site
	places, err := strict.Decode("f.toml", []byte("name = \"C:\\\\temp \\\"x\\\"\"\nwait = '1h30m'\n[[part]]\n[[part]]\n  name = 'C:\\temp'\n"), &s)
	require.NoError(t, err)
	require.Equal(t, `C:\temp "x"`, s.Name)
	require.Equal(t, `C:\temp`, s.Parts[1].Name)
	require.Equal(t, "1:1: ", places.Of("", "name = 5: wrong"))
	require.Equal(t, "5:3: ", places.Of("part.1", "part x: name is wrong"))
	require.Equal(t, "3:3: ", places.Of("part.0", "part x: name is missing"))
	require.Empty(t, places.Of("", "the name is wrong"))
}

func utf16(s string, order binary.AppendByteOrder) string {
	var b []byte
	for _, r := range s {
		b = order.AppendUint16(b, uint16(r))
	}
	return string(b)
}
