package page

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/translate"
	"github.com/aspupdate/aspupdate/examples/internal/translate/translatetest"
)

// TestCatalogIsComplete compares the catalog with every text that the page can show:
// those of its templates and its own, of rollouts, and of the center's answers. What
// people do not read there is in testdata/technical.txt.
func TestCatalogIsComplete(t *testing.T) {
	var found []string
	add := func(text string) {
		if text = translatetest.Trimmed(text); text != "" && !slices.Contains(found, text) {
			found = append(found, text)
		}
	}
	for _, dir := range []string{".", "../rollout", "../center"} {
		more, words := translatetest.Texts(t, dir, []string{"testdata"}, "Phase", "State")
		for _, text := range append(more, words...) {
			add(text)
		}
	}
	files, err := filepath.Glob("*.html")
	require.NoError(t, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\bt ("(?:[^"\\]|\\.)*")`).FindAllStringSubmatch(string(b), -1) {
			text, err := strconv.Unquote(m[1])
			require.NoError(t, err)
			add(text)
		}
	}
	for _, text := range columns {
		add(text)
	}
	for _, k := range kinds {
		add(k.name)
	}
	require.Greater(t, len(found), 150)
	b, err := catalogText()
	require.NoError(t, err)
	catalog, technical := translate.Parse(b), technical(t)
	for _, text := range found {
		if catalog[text] == "" && !slices.Contains(technical, text) {
			t.Errorf("add this to ru.po, or to testdata/technical.txt if people do not read it:\n%q", text)
		}
	}
	for _, text := range technical {
		assert.True(t, slices.Contains(found, text), "testdata/technical.txt has what the source does not have: %q", text)
	}
	verbs := func(s string) (all []string) {
		for _, m := range translate.Verb.FindAllStringSubmatch(s, -1) {
			all = append(all, m[2])
		}
		slices.Sort(all)
		return all
	}
	for key, text := range catalog {
		assert.True(t, !strings.Contains(key, " ") || slices.Contains(found, key), "ru.po has what the source does not have: %q", key)
		assert.Equal(t, verbs(key), verbs(text), "%s\n%s", key, text)
		assert.NotRegexp(t, `(?i)снапшот|бэкап|роллбэк|коммит(ит|ить)|релиз|инсталл`, text)
	}
}

func catalogText() (string, error) {
	b, err := texts.ReadFile("ru.po")
	return string(b), err
}

func technical(t *testing.T) (list []string) {
	b, err := os.ReadFile("testdata/technical.txt")
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		if s, err := strconv.Unquote(strings.TrimSpace(line)); err == nil {
			list = append(list, s)
		}
	}
	return list
}

// TestRussianOfReasons has texts that rollouts and sites make.
func TestRussianOfReasons(t *testing.T) {
	ru := Language("ru")
	for text, want := range map[string]string{
		`canary "Село №1" was rolled back`:                                 `на первой площадке "Село №1" выполнен возврат`,
		`canary "Село №1" was rolled back with exit code 1603`:             `на первой площадке "Село №1" выполнен возврат из-за exit code 1603`,
		`stopped: at site "Село" a person must decide`:                     `остановлено: на площадке "Село" нужно решение человека`,
		"not connected since 2026-12-03 10:00 MSK":                         "нет связи с 2026-12-03 10:00 МСК",
		`wave 1 ends without "Село" (no slot before 2026-12-03T10:00:00Z)`: `волна 1 кончилась без "Село" (нет окна до 2026-12-03T10:00:00Z)`,
		"2026-12-03 14:00 MSK+4":                                           "2026-12-03 14:00 МСК+4",
	} {
		assert.Equal(t, want, ru.Text(text))
	}
}
