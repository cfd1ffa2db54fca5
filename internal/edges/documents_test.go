package edges

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var exported = regexp.MustCompile(`^([a-z]+)\.([A-Z]\w*(?:\.[A-Z]\w*)?)(?:\(\))?$`)

// TestDocumentsNameWhatExists looks up what the documents name: each
// package.Identifier in a code span is declared, each relative link leads to a
// file. In a table of renamings only the new name, in the last cell, exists.
func TestDocumentsNameWhatExists(t *testing.T) {
	declared := map[string][]string{} // by the package's name
	require.NoError(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{"examples", ".git", "testdata"}, d.Name()):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			pkg := filepath.Base(filepath.Dir(path))
			declared[pkg] = append(declared[pkg], declarations(t, strings.TrimPrefix(filepath.ToSlash(path), "../../"))...)
		}
		return nil
	}))
	link := regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`)
	for _, document := range []string{
		"README.md", "README.ru.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md",
		"examples/aspupdate/README.md", "examples/aspupdate/OPERATIONS.md", "examples/peers/README.md",
	} {
		b, err := os.ReadFile(filepath.Join("../..", document))
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			_, err := os.Stat(filepath.Join("../..", filepath.Dir(document), m[1]))
			assert.NoError(t, err, document)
		}
		for line := range strings.Lines(string(b)) {
			if cells := strings.Split(line, " | "); document == "CHANGELOG.md" && len(cells) == 2 {
				line = cells[1]
			}
			for _, span := range codeSpan.FindAllStringSubmatch(line, -1) {
				m := exported.FindStringSubmatch(span[1])
				if m == nil || declared[m[1]] == nil {
					continue // not a package of ours
				}
				assert.True(t, slices.ContainsFunc(declared[m[1]], func(name string) bool {
					return name == m[2] || document == "examples/peers/README.md" && strings.HasSuffix(name, "."+m[2]) // a method's benchmark
				}), "%s: %s is not declared", document, span[1])
			}
		}
	}
}

// TestLayoutIsTrue compares the tree in the README with the repository: what it
// shows is there, and it shows every package of the library.
func TestLayoutIsTrue(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, tree, _ := strings.Cut(section(t, string(b), "## Layout"), "```\n")
	tree, _, _ = strings.Cut(tree, "```")
	top, shown := "", map[string]bool{}
	for line := range strings.Lines(tree) {
		names, _, _ := strings.Cut(strings.TrimPrefix(line, "  "), "  ")
		for name := range strings.FieldsSeq(names) {
			name = strings.TrimSuffix(name, "/")
			if !strings.HasPrefix(line, "  ") {
				top = name
			} else {
				name = top + "/" + name
			}
			assert.DirExists(t, filepath.Join("../..", name))
			shown[name] = true
		}
	}
	require.NotEmpty(t, shown)
	for _, pkg := range goList(t, "linux", "./...") {
		name := strings.TrimPrefix(pkg[0], module)
		if !strings.Contains("/"+name, "/internal/") && !strings.HasPrefix(name, ".") {
			assert.True(t, shown[name], "the README's layout does not show %s", name)
		}
	}
}

// TestDocumentsNameVariables looks up the environment variables that the
// documents name.
func TestDocumentsNameVariables(t *testing.T) {
	variable := regexp.MustCompile(`ASPUPDATE_[A-Z_]+`)
	used := map[string]bool{}
	require.NoError(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" && filepath.Base(path) != "run" {
			return err
		}
		b, err := os.ReadFile(path)
		for _, name := range variable.FindAllString(string(b), -1) {
			used[name] = true
		}
		return err
	}))
	for _, document := range []string{"README.md", "README.ru.md", "CONTRIBUTING.md", "examples/aspupdate/README.md", "examples/aspupdate/OPERATIONS.md"} {
		b, err := os.ReadFile(filepath.Join("../..", document))
		require.NoError(t, err)
		for _, name := range variable.FindAllString(string(b), -1) {
			assert.True(t, used[name], "%s: %s is used nowhere", document, name)
		}
	}
}

// TestThreatsHaveTests looks up the tests that SECURITY.md names: each line of its
// table of threats is kept by at least one that exists.
func TestThreatsHaveTests(t *testing.T) {
	b, err := os.ReadFile("../../SECURITY.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(b), "## Threats")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "\n## ")
	require.True(t, ok)
	named, rows := regexp.MustCompile("`([a-z0-9/]+)/(Test\\w+)`"), 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| ") || strings.Contains(line, "| --- |") || strings.Contains(line, "kept by") {
			continue
		}
		require.Len(t, cells, 4, line)
		rows++
		tests := named.FindAllStringSubmatch(cells[3], -1)
		require.NotEmpty(t, tests, "no test keeps: %s", line)
		for _, m := range tests {
			files, err := filepath.Glob("../../" + m[1] + "/*_test.go")
			require.NoError(t, err)
			require.True(t, slices.ContainsFunc(files, func(file string) bool {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				return strings.Contains(string(text), "\nfunc "+m[2]+"(")
			}), "%s has no test %s", m[1], m[2])
		}
	}
	require.Greater(t, rows, 20)
}
