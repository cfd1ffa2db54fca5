// Package translatetest finds the texts that a catalog must have.
package translatetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aspupdate/aspupdate/examples/internal/translate"
)

// The calls whose arguments are patterns, statements and the like.
var unread = []string{"MustCompile", "Compile", "QueryRow", "QueryRowContext", "Query", "QueryContext", "Exec", "ExecContext", "Getenv", "Scan", "Format"}

// Texts returns the texts of the source below root, as a catalog has them, and
// the words of types that are shown. Directories with the names in skip are left
// out.
func Texts(t testing.TB, root string, skip []string, types ...string) (texts, words []string) {
	t.Helper()
	seen := map[string]bool{}
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
				if id, ok := n.Type.(*ast.Ident); ok && slices.Contains(types, id.Name) {
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
					if key := Trimmed(s); people(s, key) && !seen[key] {
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
	if err != nil {
		t.Fatal(err)
	}
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

// Trimmed returns a text without what joins it to its neighbors: a cause before or
// after it, and punctuation.
func Trimmed(s string) string {
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
	return strings.Contains(s, " ") && letters.MatchString(translate.Verb.ReplaceAllString(key, "")) && !database.MatchString(key)
}
