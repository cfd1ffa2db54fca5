package edges

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	stop     = regexp.MustCompile("^\\d+\\. `([^`]+\\.go)`,? ((?:`[^`]+`(?:, | and )?)+): ")
	codeSpan = regexp.MustCompile("`([^`]+)`")
)

// TestContributingIsTrue follows the walks of CONTRIBUTING.md: each has at most
// ten stops, and each stop names a file and what is declared in it. A change
// that the document describes touches at most three files, which exist.
func TestContributingIsTrue(t *testing.T) {
	b, err := os.ReadFile("../../CONTRIBUTING.md")
	require.NoError(t, err)
	walks := sections(section(t, string(b), "## Three walks"))
	require.Len(t, walks, 3)
	for title, text := range walks {
		stops := lines(text, "0123456789")
		assert.NotEmpty(t, stops, title)
		assert.LessOrEqual(t, len(stops), 10, title)
		for _, line := range stops {
			m := stop.FindStringSubmatch(line)
			if !assert.NotNil(t, m, "%s: a stop names a file and what is declared in it: %s", title, line) {
				continue
			}
			declared := declarations(t, m[1])
			for _, name := range codeSpan.FindAllStringSubmatch(m[2], -1) {
				assert.Contains(t, declared, name[1], "%s: %s", title, m[1])
			}
		}
	}
	changes := sections(section(t, string(b), "## Where a change goes"))
	require.GreaterOrEqual(t, len(changes), 3)
	for title, text := range changes {
		files := lines(text, "-")
		assert.NotEmpty(t, files, title)
		assert.LessOrEqual(t, len(files), 3, title)
		for _, line := range files {
			m := codeSpan.FindStringSubmatch(line)
			if assert.NotNil(t, m, "%s: which file? %s", title, line) && !strings.Contains(line, " (new)") {
				assert.FileExists(t, filepath.Join("../..", filepath.FromSlash(m[1])), title)
			}
		}
	}
}

// section returns the text between a heading and the next one of its level.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+heading+"\n")
	require.True(t, ok, "%s is missing", heading)
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

// sections splits a section by its subsections.
func sections(text string) map[string]string {
	all := map[string]string{}
	for _, part := range strings.Split("\n"+text, "\n### ")[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		all[title] = rest
	}
	return all
}

// lines returns the lines that begin with one of the characters.
func lines(text, first string) (list []string) {
	for line := range strings.Lines(text) {
		if strings.ContainsAny(line[:1], first) {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

// declarations returns what a file declares: functions, types, variables and
// constants by their names, methods as Type.Method, fields as Type.Field.
func declarations(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", filepath.FromSlash(path)), nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var names []string
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			names = append(names, name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, specified(spec)...)
			}
		}
	}
	return names
}

func receiver(e ast.Expr) string {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

func specified(spec ast.Spec) (names []string) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			names = append(names, n.Name)
		}
	case *ast.TypeSpec:
		names = append(names, spec.Name.Name)
		var fields *ast.FieldList
		switch t := spec.Type.(type) {
		case *ast.StructType:
			fields = t.Fields
		case *ast.InterfaceType:
			fields = t.Methods
		default:
			return names
		}
		for _, f := range fields.List {
			for _, n := range f.Names {
				names = append(names, spec.Name.Name+"."+n.Name)
			}
		}
	}
	return names
}
