package site

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/install"
)

// What an installer's lines of the template show is what holds without them.
func TestTheTemplateShowsTheDefaultsOfInstallers(t *testing.T) {
	for _, language := range []string{"en", "ru"} {
		t.Run(language, func(t *testing.T) { requireInstallersDefaults(t, language) })
	}
}

func requireInstallersDefaults(t *testing.T, language string) {
	t.Helper()
	lines := map[string]string{}
	section := regexp.MustCompile(`(?s)\n\[\[distribution\]\](.*)\n\[distribution.probe\]`).FindStringSubmatch(Template("linux", language))[1]
	for line := range strings.Lines(section) {
		if key, rest, ok := strings.Cut(strings.TrimPrefix(line, "#"), " = "); ok && !strings.HasPrefix(line, "# ") {
			lines[key] = rest
		}
	}
	for _, key := range []string{"kind", "entry", "launcher", "arguments", "environment", "remove", "codes", "code_page", "leaves_running", "unelevated"} {
		require.Contains(t, lines[key], " # ", "%s is explained", key)
	}
	var shown distributionConfig
	text := ""
	for _, key := range []string{"kind", "code_page", "leaves_running", "unelevated"} {
		text += key + " = " + lines[key]
	}
	require.NoError(t, toml.Unmarshal([]byte(text), &shown))
	defaults := install.Command{}
	got := (&Site{Config: &Config{}}).installers(shown, step{}).Command
	require.Equal(t, (distributionConfig{}).kind(), got.Kind)
	require.Equal(t, defaults.CodePage, got.CodePage)
	require.Equal(t, defaults.LeavesRunning, got.LeavesRunning)
	require.Equal(t, defaults.Unelevated, got.Unelevated)
}

// The configuration refuses the code pages that an installer's run would refuse.
func TestCodePagesOfTheConfiguration(t *testing.T) {
	for _, page := range append([]string{"", "1252", "UTF-8"}, codePages...) {
		err := errors.Join((&distributionConfig{Name: "asp", CodePage: page}).check(nil)...)
		refused := err != nil && strings.Contains(err.Error(), "code_page")
		_, err = (&install.Runner{State: t.TempDir()}).Run(t.Context(), install.Command{Path: "setup", SHA256: strings.Repeat("0", 64), CodePage: page})
		require.Equal(t, refused, strings.Contains(err.Error(), "unknown code page"), page)
	}
}

func TestCodesOfTheConfiguration(t *testing.T) {
	codes, err := distributionConfig{Codes: map[string]string{"1223": "ok", "0x8007015e": "busy"}}.codes()
	require.NoError(t, err)
	require.Len(t, codes, 2)
	require.Equal(t, install.OK, codes[1223].Status)
	require.Equal(t, install.Busy, codes[0x8007015e].Status)
	for code, status := range map[string]string{"a": "ok", "-1": "ok", "4294967296": "ok", "7": "good", "8": ""} {
		_, err := distributionConfig{Codes: map[string]string{code: status}}.codes()
		require.ErrorContains(t, err, "codes: ", code)
	}
}
