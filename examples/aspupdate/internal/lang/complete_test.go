package lang

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the directory of the repository.
const root = "../../../.."

// TestCatalogIsComplete compares the catalog with every text in the source of
// the library and the program: formats of errors, events, findings, steps, help.
// A text that is not translated, such as a command, is in testdata/technical.txt.
// Every other text of more than one word has a translation, and so have the words
// of the types that name steps, outcomes and kinds.
func TestCatalogIsComplete(t *testing.T) {
	texts, words := source(t)
	technical := lines(t, "technical.txt")
	catalog := parse(russian)
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
		for _, m := range verb.FindAllStringSubmatch(s, -1) {
			all = append(all, m[2])
		}
		slices.Sort(all)
		return all
	}
	for key, text := range parse(russian) {
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

// The calls whose arguments are patterns, statements and the like.
var unread = []string{"MustCompile", "Compile", "QueryRow", "QueryRowContext", "Query", "QueryContext", "Exec", "ExecContext", "Getenv", "Scan", "Format"}

// source returns the texts of the source, as the catalog has them, and the words
// of the types that are shown.
func source(t *testing.T) (texts, words []string) {
	t.Helper()
	seen := map[string]bool{}
	skip := []string{"testdata", "fetchtest", "backuptest", "notifytest", "realtest", "peers", "fleet", "embed", "web", "crashfs", "lab", "lang"}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (slices.Contains(skip, d.Name()) || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		var visit func(ast.Node) bool
		visit = func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				return false
			case *ast.Field: // not its tag
				ast.Inspect(n.Type, visit)
				return false
			case *ast.ValueSpec:
				if id, ok := n.Type.(*ast.Ident); ok && slices.Contains([]string{"Step", "Outcome", "SightingKind"}, id.Name) {
					for _, v := range n.Values {
						if s, ok := constant(v); ok {
							words = append(words, s)
						}
					}
				}
			case *ast.CallExpr:
				if slices.Contains(unread, called(n)) {
					return false
				}
			case ast.Expr:
				if s, ok := constant(n); ok {
					if key := trimmed(s); people(s, key) && !seen[key] {
						seen[key] = true
						texts = append(texts, key)
					}
					return false
				}
			}
			return true
		}
		ast.Inspect(file, visit)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(texts), 1000)
	return texts, words
}

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

// constant returns the value of a string, or of several that are added.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := strconv.Unquote(e.Value)
			return s, err == nil
		}
	case *ast.BinaryExpr:
		x, okX := constant(e.X)
		y, okY := constant(e.Y)
		return x + y, e.Op == token.ADD && okX && okY
	case *ast.ParenExpr:
		return constant(e.X)
	}
	return "", false
}

var (
	leading  = regexp.MustCompile(`^%(?:\[\d\])?[wsv][:;,]\s+`)
	trailing = regexp.MustCompile(`[:;,]\s+%(?:\[\d\])?[wsvq]$`)
	letters  = regexp.MustCompile(`[a-z]{2}`)
	database = regexp.MustCompile(`\b(SELECT|FROM|WHERE|LIMIT|TEMPLATE|ORDER BY|LOCALE|EXECUTE|RETURNS|ALTER|GRANT|REVOKE|CREATE|DROP|INSERT|SET LOCAL|COLLATE|ALLOW_CONN|CONNECTION LIMIT)\b|pg_|::|\$1|unnest|attname`)
)

// trimmed returns a text without what joins it to its neighbors: a cause before or
// after it, and punctuation.
func trimmed(s string) string {
	for {
		old := s
		s = strings.Trim(s, " \t\n;:,.")
		s = trailing.ReplaceAllString(leading.ReplaceAllString(s, ""), "")
		if strings.HasPrefix(s, "(") && strings.Count(s, "(") > strings.Count(s, ")") {
			s = s[1:]
		}
		if strings.HasSuffix(s, ")") && strings.Count(s, ")") > strings.Count(s, "(") {
			s = s[:len(s)-1]
		}
		if s = strings.TrimSuffix(s, "("); s == old {
			return s
		}
	}
}

// people reports whether a text may be read by people: it has several words, or is
// joined to others by a space, and is no statement for a database.
func people(s, key string) bool {
	return strings.Contains(s, " ") && letters.MatchString(verb.ReplaceAllString(key, "")) && !database.MatchString(key)
}
