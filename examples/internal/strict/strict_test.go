package strict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
)

type site struct {
	Name  string            `toml:"name"`
	Open  bool              `toml:"open"`
	Wait  strict.Duration   `toml:"wait"`
	Ways  []string          `toml:"ways"`
	Pins  map[string]string `toml:"pins"`
	Parts []struct {
		Name string `toml:"name"`
	} `toml:"part"`
	Secret string `toml:"-"`
}

func TestDecode(t *testing.T) {
	var s site
	require.NoError(t, strict.Decode("f.toml", []byte("name = 'x'\nwait = '90s'\n[[part]]\nname = 'y'\n"), &s))
	require.Equal(t, 90*time.Second, time.Duration(s.Wait))
	require.Equal(t, "y", s.Parts[0].Name)
	for text, want := range map[string]string{
		"nam = 'x'":              `f.toml:1:1: unknown key "nam"; allowed at the top level: name, open, part, pins, wait, ways`,
		"Secret = 'x'":           `unknown key "Secret"`,
		"[[part]]\nnam = 'x'":    `f.toml:2:1: unknown key "part.nam"; allowed in part: name`,
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
		require.ErrorContains(t, strict.Decode("f.toml", []byte(text), &site{}), want, text)
	}
}
