// Package words keeps the worst words out of what people read: comments, and
// string literals, which are error messages, texts of events, and output.
package words

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each line has words not to write, the phrases in which they are right, and
// what to write instead. All are regular expressions.
var words = [][3]string{
	{`nobody|anybody|whoever`, ``, "no one, or who it is"},
	{`tells?|told`, ``, "reports, returns, prints, says"},
	{`is no (more|address|version|plan|command)`, ``, "is not a, not found, unknown, invalid"},
	{`mend(s|ed|ing)?`, ``, "repair"},
	{`lies`, ``, "is"},
	{`folders?`, ``, "directory"},
	{`blanks?`, ``, "space"},
	{`look(s|ed|ing)?`, `look(s|ed|ing)? (up|like|alike|the same)`, "check, probe, read"},
	{`ways? back`, ``, "rollback"},
	{`moment of chance`, ``, "random"},
	{`as it must be`, ``, "correct"},
	{`at work`, ``, "running, in progress"},
}

// allowed has the few places where a word is right: the file, and the text.
var allowed = map[string]string{
	"backup/files/directory.go":           "folder", // on disk
	"backup/files/tree.go":                "folder",
	"examples/internal/site/fence.go":     "folder",
	"examples/peers/fetch/server.go":      "nobody",
	"internal/realtest/account_unix.go":   "nobody", // the user
	"internal/realtest/ftp_linux.go":      "nobody",
	"internal/realtest/postgres_linux.go": "nobody",
}

var forbidden, right = compile()

func compile() (forbidden, right *regexp.Regexp) {
	var bad, good []string
	for _, w := range words {
		bad = append(bad, w[0])
		if w[1] != "" {
			good = append(good, w[1])
		}
	}
	whole := func(list []string) *regexp.Regexp {
		return regexp.MustCompile(`(?i)\b(` + strings.ReplaceAll(strings.Join(list, "|"), " ", `\s+`) + `)\b`)
	}
	return whole(bad), whole(good)
}

func TestWords(t *testing.T) {
	var found []string
	const root = "../.."
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (name == "testdata" || strings.HasPrefix(name, ".") && path != root):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			return check(path, func(pos token.Position, word string) {
				pos.Filename, err = filepath.Rel(root, path)
				if allowed[filepath.ToSlash(pos.Filename)] != word {
					found = append(found, fmt.Sprintf("%s:%d: %q: write %s", pos.Filename, pos.Line, word, instead(word)))
				}
			})
		}
		return nil
	}))
	if len(found) > 0 {
		t.Errorf("%d words not to write:\n%s", len(found), strings.Join(found, "\n"))
	}
}

// check reports the words in the comments and the string literals of a file.
// Paths of imports and tags of fields are not for people.
func check(path string, report func(token.Position, string)) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	search := func(at token.Pos, text string) {
		for _, place := range forbidden.FindAllStringIndex(right.ReplaceAllStringFunc(text, mask), -1) {
			pos := fset.Position(at)
			pos.Line += strings.Count(text[:place[0]], "\n")
			report(pos, strings.Join(strings.Fields(text[place[0]:place[1]]), " "))
		}
	}
	for _, c := range f.Comments {
		search(c.Pos(), c.Text())
	}
	tags := map[*ast.BasicLit]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			tags[n.Tag] = true
		case *ast.BasicLit:
			if n.Kind == token.STRING && !tags[n] {
				text, err := strconv.Unquote(n.Value)
				if err == nil {
					search(n.Pos(), text)
				}
			}
		}
		return true
	})
	return nil
}

// instead returns what to write instead of a word.
func instead(word string) string {
	for _, w := range words {
		if regexp.MustCompile(`(?i)^(` + w[0] + `)$`).MatchString(word) {
			return w[2]
		}
	}
	return ""
}

// mask replaces a phrase by as many bytes that are no word.
func mask(s string) string { return strings.Repeat("-", len(s)) }
