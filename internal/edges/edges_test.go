// Package edges tests which packages may import which: the layout is a
// promise to those who import a single package.
package edges

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

const module = "github.com/aspupdate/aspupdate/"

// What a package links of this module and of others, directly or not. A
// directory stands for the packages below it too, unless it ends with "$". All packages but version and
// schedule may link the leaves below internal and what comes with those.
var (
	leaves = []string{"internal", "golang.org/x/sys", "github.com/gofrs/flock"}

	edges = map[string][]string{
		"version":       nil,
		"schedule":      {"version"},
		"fetch":         with(leaves, "version", "fetch/internal", "golang.org/x/text"),
		"fetch/ftp":     with(leaves, "version", "fetch$", "fetch/internal", "golang.org/x/text", "github.com/jlaffaye/ftp"),
		"fetch/archive": with(leaves, "version", "fetch$", "fetch/internal", "golang.org/x/text", "golang.org/x/time"),
		"fetch/https":   with(leaves, "version", "fetch$", "fetch/internal", "golang.org/x/text"),
		"fetch/local":   with(leaves, "version", "fetch$", "fetch/internal", "golang.org/x/text"),
		"fetch/watch":   with(leaves, "version", "fetch$", "fetch/internal", "golang.org/x/text"),

		"fetch/internal/clock":    nil,
		"fetch/internal/digest":   nil,
		"fetch/internal/names":    {"golang.org/x/text"},
		"fetch/internal/pattern":  {"version"},
		"fetch/internal/retry":    nil,
		"fetch/internal/sighting": leaves,
		"fetch/internal/share":    nil,
		"backup":                  leaves,
		"backup/command":          with(leaves, "backup"),
		"backup/files":            with(leaves, "backup", "github.com/klauspost/compress"),
		"backup/postgres":         with(leaves, "backup", "github.com/jackc/pgx/v5", "github.com/jackc/pgpassfile", "github.com/jackc/pgservicefile", "golang.org/x/text", "golang.org/x/sync", "github.com/klauspost/compress"),
		"backup/mssql": with(leaves, "backup", "github.com/microsoft/go-mssqldb", "github.com/golang-sql/civil", "github.com/golang-sql/sqlexp",
			"github.com/google/uuid", "github.com/shopspring/decimal", "golang.org/x/crypto", "golang.org/x/text"),
		"install":         with(leaves, "golang.org/x/text"),
		"install/service": leaves,
		"install/authenticode": with(leaves,
			"github.com/sassoftware/relic/v8/lib/pkcs7", "github.com/sassoftware/relic/v8/lib/pkcs9", "github.com/sassoftware/relic/v8/lib/x509tools",
			"github.com/sassoftware/relic/v8/signers/sigerrors", "github.com/spf13/cobra", "github.com/spf13/pflag",
			"github.com/inconshreveable/mousetrap", "golang.org/x/term",
		),
		"rollback": leaves,
		// No database driver, FTP client or signature checker.
		"rollback/roles": with(leaves, "version", "schedule", "fetch$", "fetch/archive", "fetch/internal", "backup$", "install$", "rollback$", "golang.org/x/text", "golang.org/x/time"),

		"internal/codepage": {"golang.org/x/text"},

		"backup/internal/owner": leaves,
		"backup/internal/swap":  with(leaves, "backup"),
	}
	// For tests only: they may link what they like, and nothing but tests
	// may link them.
	forTests = []string{"internal/realtest", "internal/crashfs", "internal/edges", "internal/words", "fetch/fetchtest", "fetch/internal/lab", "backup/backuptest"}
)

func with(list []string, more ...string) []string { return append(slices.Clone(list), more...) }

func TestEdgesBetweenPackages(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		realtest.Skip(t, "the go command is not in PATH: %v", err)
	}
	for _, goos := range []string{"linux", "windows"} {
		std := map[string]bool{}
		for _, p := range goList(t, goos, "std") {
			std[p[0]] = true
		}
		seen := map[string]bool{}
		for _, p := range goList(t, goos, "./...") {
			name := strings.TrimPrefix(p[0], module)
			if slices.ContainsFunc(forTests, func(f string) bool { return below(name, f) }) {
				continue
			}
			allowed, known := edges[name]
			if !known && below(name, "internal") {
				allowed, known = leaves, true
			}
			require.True(t, known, "%s is new: state in this test what it may link, and in the README", name)
			seen[name] = true
			for _, dep := range p[1:] {
				ok := std[dep] || slices.ContainsFunc(allowed, func(a string) bool { return below(strings.TrimPrefix(dep, module), a) })
				require.True(t, ok, "on %s %s links %s", goos, name, dep)
			}
		}
		for name := range edges {
			require.True(t, seen[name], "%s is gone: remove it from this test and the README", name)
		}
	}
}

func below(path, dir string) bool {
	if only, ok := strings.CutSuffix(dir, "$"); ok {
		return path == only
	}
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// goList returns packages, each with all that it links.
func goList(t *testing.T, goos string, what string) [][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Deps \" \"}}", what)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var list [][]string
	for line := range strings.Lines(string(out)) {
		list = append(list, strings.Fields(line))
	}
	return list
}
