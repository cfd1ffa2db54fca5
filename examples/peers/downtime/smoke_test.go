//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// BenchmarkDowntime runs two of the sites with little data. Its figures mean
// nothing.
func BenchmarkDowntime(b *testing.B) {
	c, err := realtest.StartPostgres()
	if err != nil {
		realtest.Skip(b, "no PostgreSQL server: %v", err)
	}
	c.Stop()
	for b.Loop() {
		parent := b.TempDir()
		for _, dir := range []string{parent, filepath.Dir(parent)} {
			require.NoError(b, os.Chmod(dir, 0o755)) // the server runs as its own user
		}
		for _, name := range []string{"directory", "mix"} {
			results, err := plan{parent: parent, scale: 0.001, rounds: 1, only: name}.hold(b.Context())
			require.NoError(b, err)
			require.Len(b, results, 1)
			require.Positive(b, results[0].bytes)
			for _, w := range ways {
				t := results[0].rounds[0][w]
				require.Positive(b, t.good, w)
				require.Positive(b, t.operator, w)
				require.Greater(b, t.failing, t.back, w)
				require.Positive(b, t.back, w)
			}
		}
		left, err := os.ReadDir(parent)
		require.NoError(b, err)
		require.Empty(b, left, "no files are left behind")
	}
}

func TestJudge(t *testing.T) {
	r := result{name: "pgbench", rounds: []round{{
		ours:   {good: 12 * time.Second, failing: 20 * time.Second, back: 35 * time.Second},
		custom: {good: 10 * time.Second, back: 100 * time.Second},
	}}}
	for _, v := range judge([]result{r}) {
		require.True(t, v.Kept, "%+v", v)
	}
	r.rounds[0][ours] = times{good: 13 * time.Second, back: 36 * time.Second}
	for _, v := range judge([]result{r}) {
		require.False(t, v.Kept, "%+v", v)
	}
	require.Contains(t, strings.Split(render([]result{r}), "\n")[2], "| pgbench, 0 MB | aspupdate | 13.00 s |")
}
