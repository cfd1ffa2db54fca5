package main

import (
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestQuote checks that a shell reads a quoted word literally.
func TestQuote(t *testing.T) {
	for word, want := range map[string][2]string{
		"АСП":            {"АСП", "АСП"},
		"9.23.100":       {"9.23.100", "9.23.100"},
		"":               {"''", `""`},
		"a test":         {"'a test'", `"a test"`},
		"it's":           {`'it'\''s'`, `"it's"`},
		`a "b" $(id)`:    {`'a "b" $(id)'`, `"a \"b\" $(id)"`},
		`C:\a b\`:        {`'C:\a b\'`, `"C:\a b\\"`},
		`C:\a`:           {`'C:\a'`, `C:\a`},
		"~;`id`\n*":      {"'~;`id`\n*'", "\"~;`id`\n*\""},
		`a\"`:            {`'a\"'`, `"a\\\""`},
		"/srv/site.toml": {"/srv/site.toml", "/srv/site.toml"},
	} {
		require.Equal(t, want[0], quoteFor("linux", word))
		require.Equal(t, want[1], quoteFor("windows", word))
		if runtime.GOOS != "windows" {
			out, err := exec.Command("sh", "-c", "printf %s "+quote(word)).Output()
			require.NoError(t, err)
			require.Equal(t, word, string(out))
		}
	}
}
