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
// folder stands for the packages below it. Packages of the standard library
// and golang.org/x/sys come with internal/durable.
var (
	durable = []string{"internal/durable", "golang.org/x/sys"}

	edges = map[string][]string{
		"version":         nil,
		"schedule":        {"version"},
		"fetch":           with(durable, "version", "fetch", "github.com/jlaffaye/ftp", "github.com/cenkalti/backoff/v5", "golang.org/x/text", "golang.org/x/time", "github.com/gofrs/flock"),
		"backup":          with(durable, "backup/internal", "github.com/gofrs/flock"),
		"backup/command":  with(durable, "internal/process", "backup", "github.com/gofrs/flock"),
		"backup/files":    with(durable, "backup", "github.com/gofrs/flock", "github.com/klauspost/compress"),
		"backup/postgres": with(durable, "internal/process", "backup", "github.com/gofrs/flock", "github.com/jackc/pgx/v5", "github.com/jackc/pgpassfile", "github.com/jackc/pgservicefile", "golang.org/x/text", "golang.org/x/sync", "github.com/klauspost/compress"),
		"install":         with(durable, "github.com/gofrs/flock", "golang.org/x/text"),
		"install/service": durable,
		"install/authenticode": {
			"github.com/sassoftware/relic/v8/lib/pkcs7", "github.com/sassoftware/relic/v8/lib/pkcs9", "github.com/sassoftware/relic/v8/lib/x509tools",
			"github.com/sassoftware/relic/v8/signers/sigerrors", "github.com/spf13/cobra", "github.com/spf13/pflag",
			"github.com/inconshreveable/mousetrap", "golang.org/x/term", "golang.org/x/sys",
		},
		"rollback":         with(durable, "github.com/gofrs/flock"),
		"internal/durable": {"golang.org/x/sys"},

		"backup/internal/progress": nil,
		"internal/process":         {"golang.org/x/sys"},
	}
	// For tests only: they may link what they like, and nothing but tests
	// may link them.
	forTests = []string{"internal/realtest", "internal/crashfs", "internal/edges", "fetch/fetchtest", "backup/backuptest"}
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
			require.True(t, known, "%s is new: say in this test what it may link, and in the README", name)
			seen[name] = true
			for _, dep := range p[1:] {
				ok := std[dep] || slices.ContainsFunc(allowed, func(a string) bool { return below(strings.TrimPrefix(dep, module), a) })
				require.True(t, ok, "on %s %s links %s", goos, name, dep)
			}
		}
		for name := range edges {
			require.True(t, seen[name], "%s is gone: take it out of this test and the README", name)
		}
	}
}

func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
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
