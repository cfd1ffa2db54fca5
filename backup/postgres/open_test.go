package postgres

import (
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

// Sessions are opened in open.go, programs that open some are started in tools.go
// and contents.go, and tables of the application are read in rows.go (Must hold 21).
func TestSessionsAreOpenedAndTablesAreReadInOnePlace(t *testing.T) {
	t.Parallel()
	pkgs, err := parser.ParseDir(token.NewFileSet(), ".", func(fi fs.FileInfo) bool { return !strings.HasSuffix(fi.Name(), "_test.go") }, 0) //nolint:staticcheck // one directory, no build tags that matter
	require.NoError(t, err)
	require.NotEmpty(t, pkgs["postgres"].Files)
	// What a statement reads comes after FROM, JOIN or COPY.
	source := regexp.MustCompile(`(?i)\b(?:FROM|JOIN|COPY|UPDATE|INTO|TABLE)\s+(?:ONLY\s+)?([A-Za-z_."(]*)`)
	system := regexp.MustCompile(`^((?:pg_catalog\.)?pg_[a-z_]+\(?|unnest\(.*|aclexplode\(|plain|closed|made|special|free|DATA|ATTACH|\(.*)$`)
	opened := 0
	for file, f := range pkgs["postgres"].Files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				name := ""
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok {
					if x, ok := sel.X.(*ast.Ident); ok {
						name = x.Name + "." + sel.Sel.Name
					}
				}
				switch name {
				case "pgx.Connect", "pgx.ConnectConfig", "pgx.ConnectWithOptions", "pgconn.Connect", "pgconn.ConnectConfig", "sql.Open", "pgxpool.New":
					opened++
					require.Equal(t, "open.go", file, "%s opens a session elsewhere", name)
				case "exec.Command", "exec.CommandContext":
					require.Contains(t, []string{"tools.go", "contents.go"}, file, "%s starts a program elsewhere", name)
				}
			case *ast.BasicLit:
				if n.Kind != token.STRING || file == "rows.go" {
					return true
				}
				text, err := strconv.Unquote(n.Value)
				require.NoError(t, err)
				if !regexp.MustCompile(`\b(SELECT|COPY|INSERT|UPDATE|DELETE|TABLE|LOCK)\b`).MatchString(text) {
					return true
				}
				for _, m := range source.FindAllStringSubmatch(text, -1) {
					require.Regexp(t, system, m[1], "%s: a statement reads or locks what is not the system's: %s", file, text)
				}
			}
			return true
		})
	}
	require.Equal(t, 1, opened)
}

// The rest of the library and the examples open no session with a PostgreSQL server at all: the driver is
// linked by this package alone, and database/sql opens other databases.
func TestNothingElseOpensSessions(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		dir := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), filepath.FromSlash("../../")))
		// What starts servers for tests, and what measures other programs, are part of no program. The
		// application of the demo opens its own databases.
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || dir == "backup/postgres" || dir == "internal/realtest" || dir == "examples/internal/demo" || strings.HasPrefix(dir, "examples/peers") {
			return nil
		}
		seen++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			require.NotContains(t, imp.Path.Value, "jackc/pgx", "%s opens a session elsewhere", path)
			require.NotContains(t, imp.Path.Value, "lib/pq", "%s opens a session elsewhere", path)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Open" {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "sql" {
					driver, ok := call.Args[0].(*ast.BasicLit)
					require.True(t, ok && driver.Value == `"sqlite"`, "%s opens a session elsewhere", path)
				}
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, seen, 200)
}

// A session that is opened another way would not have these settings.
func TestSettingsOfSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := w.db.connect(t.Context(), reading)
	require.NoError(t, err)
	defer s.close()
	for _, database := range []string{"postgres", w.name} {
		for _, a := range []access{reading, writing} {
			conn, err := s.to(t.Context(), database, a)
			require.NoError(t, err)
			for name, want := range s.protocol(a) {
				var got string
				require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got))
				require.Equal(t, strings.ReplaceAll(strings.ToLower(want), "datestyle", ""), strings.ToLower(got), "%s in %s", name, database)
			}
			closeConn(conn)
		}
	}
	if s.version >= 150008 {
		require.True(t, s.restricts)
	}
}

// A manifest of the first way of reading has other sums.
func TestR15ManifestWithSumsOfTheFirstWay(t *testing.T) {
	t.Parallel()
	first := facts{Tables: []table{{Schema: "public", Name: "t", Rows: 5, Sum: "-123"}, {Schema: "public", Name: "s", Rows: 1, Sum: "7"}, {Schema: "public", Name: "u", Rows: 1, Sum: "9 used"}}}
	now := facts{Way: wayOfCopy, Tables: []table{{Schema: "public", Name: "t", Rows: 5, Sum: "ab"}, {Schema: "public", Name: "s", Rows: 1, Sum: unused, Sequence: true}, {Schema: "public", Name: "u", Rows: 1, Sum: "9 used", Sequence: true}}}
	require.Empty(t, first.differences(now))
	for i, harm := range []table{{Schema: "public", Name: "t", Rows: 6}, {Schema: "public", Name: "s", Rows: 1, Sum: "8 used", Sequence: true}, {Schema: "public", Name: "u", Rows: 1, Sum: unused, Sequence: true}} {
		other := now
		other.Tables = append([]table(nil), now.Tables...)
		other.Tables[i] = harm
		require.Len(t, first.differences(other), 1)
	}
}
