package lang

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/translate"
	"github.com/aspupdate/aspupdate/examples/internal/translate/translatetest"
)

// root is the directory of the repository.
const root = "../../../.."

// TestCatalogIsComplete compares the catalog with every text in the source of
// the library and the program: formats of errors, events, findings, steps, help.
// A text that is not translated, such as a command, is in testdata/technical.txt.
// Every other text of more than one word has a translation, and so have the words
// of the types that name steps, outcomes and kinds.
func TestCatalogIsComplete(t *testing.T) {
	skip := []string{"testdata", "fetchtest", "backuptest", "notifytest", "realtest", "peers", "fleet", "embed", "web", "crashfs", "lab", "lang", "translate"}
	texts, words := translatetest.Texts(t, root, skip, "Step", "Outcome", "SightingKind")
	require.Greater(t, len(texts), 1000)
	technical := lines(t, "technical.txt")
	catalog := translate.Parse(russian)
	for _, w := range words {
		if catalog[w] == "" {
			t.Errorf("add this word to ru.po:\n%q", w)
		}
	}
	others := lines(t, "others.txt") // from the system, from libraries, or made of several texts
	for _, text := range texts {
		if _, ok := catalog[text]; !ok && !slices.Contains(technical, text) {
			t.Errorf("add this to ru.po, or to testdata/technical.txt if people do not read it:\n%q", text)
		}
	}
	for _, text := range technical {
		if !slices.Contains(texts, text) {
			t.Errorf("testdata/technical.txt has what the source does not have any more:\n%q", text)
		}
	}
	for key := range catalog {
		if strings.Contains(key, " ") && !slices.Contains(texts, key) && !slices.Contains(others, key) {
			t.Errorf("ru.po has what the source does not have any more; testdata/others.txt has what is not from it:\n%q", key)
		}
	}
}

// TestTranslationsFillInTheSame compares what each translation fills in with its
// key, and looks for what the glossary forbids.
func TestTranslationsFillInTheSame(t *testing.T) {
	verbs := func(s string) (all []string) {
		for _, m := range translate.Verb.FindAllStringSubmatch(s, -1) {
			all = append(all, m[2])
		}
		slices.Sort(all)
		return all
	}
	for key, text := range translate.Parse(russian) {
		require.Equal(t, verbs(key), verbs(text), "%s\n%s", key, text)
		require.NotRegexp(t, `(?i)снапшот|бэкап|фенс|роллбэк|коммит(ит|ить)|релиз|инсталл`, text, key)
		require.Equal(t, strings.Count(text, "{")-strings.Count(key, "{"), strings.Count(text, "|}")+len(plurals.FindAllString(text, -1)), key)
	}
}

var plurals = regexp.MustCompile(`\{[^|{}]+\|[^|{}]+\|[^|{}]+\}`)

func lines(t *testing.T, name string) (list []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	for line := range strings.Lines(string(data)) {
		if s, err := strconv.Unquote(strings.TrimSpace(line)); err == nil {
			list = append(list, s)
		}
	}
	return list
}
