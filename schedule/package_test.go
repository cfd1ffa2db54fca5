package schedule

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The time is always the caller's: no file of the package names anything that
// reads a clock or waits for one.
func TestScheduleNeverReadsTheClock(t *testing.T) {
	clocks := []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep", "Local"}
	banned := []string{"os", "os/exec", "syscall", "runtime", "context", "net", "net/http", "log", "log/slog", "unsafe"}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	checked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		checked++
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, imported := range f.Imports {
			path := strings.Trim(imported.Path.Value, `"`)
			require.NotContains(t, banned, path, "%s", name)
			require.True(t, path != "time" || imported.Name == nil, "%s: time goes by its own name", name)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
				require.NotContains(t, clocks, sel.Sel.Name, "%s", name)
			}
			return true
		})
	}
	require.Greater(t, checked, 10)
}

// Who imports schedule links the standard library and version, nothing else.
func TestScheduleLinksTheStandardLibraryAlone(t *testing.T) {
	const own = "github.com/aspupdate/aspupdate/"
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	got := strings.Fields(string(out))
	slices.Sort(got)
	require.Equal(t, []string{own + "schedule", own + "version"}, got)
}

func TestNextAllocatesNothing(t *testing.T) {
	at := msk(t, "2025-12-30 19:30")
	e := Estimate{Backup: 20 * minute, Checks: 5 * minute, Rollback: 30 * minute}
	site := Planner{Local: MSK(9), QuietHours: []Daily{{From: hm(19, 0), To: hm(23, 0)}}, Blackouts: []Period{{First: NewDate(2026, 1, 12)}}}
	for name, f := range map[string]func() error{
		"Hours.Next":     func() error { _, err := Hours{}.Next(at); return err },
		"Hours.Contains": func() error { _, err := Hours{}.Contains(at); return err },
		"Hours.Between":  func() error { _, err := Hours{}.Between(at, at.Add(300*24*time.Hour)); return err },
		"Hours.Add":      func() error { _, err := Hours{}.Add(at, 100*time.Hour); return err },
		"Planner.Next":   func() error { _, err := Planner{}.Next(at, e); return err },
		"a site's":       func() error { _, err := site.Next(at, e); return err },
		"Planner.Fits":   func() error { return Planner{}.Fits(msk(t, "2026-01-12 10:00"), e) },
		"Day":            func() error { _, err := Russia().Day(NewDate(2026, 1, 9)); return err },
	} {
		require.NoError(t, f(), name)
		if name == "Planner.Fits" {
			continue // its time is read from a text here
		}
		require.Zero(t, testing.AllocsPerRun(20, func() { _ = f() }), name)
	}
	start := msk(t, "2026-01-12 10:00")
	require.Zero(t, testing.AllocsPerRun(20, func() { _ = Planner{}.Fits(start, e) }))
}
