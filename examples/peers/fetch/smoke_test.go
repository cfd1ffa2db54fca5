//go:build linux

package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkFetch runs the whole comparison with small files, and checks that all
// programs download the same bytes and find the same version. Its figures mean
// nothing.
func BenchmarkFetch(b *testing.B) {
	if why := missing(); why != "" {
		if os.Getenv("ASPUPDATE_REQUIRE_REAL") == "1" {
			b.Fatal("ASPUPDATE_REQUIRE_REAL=1: " + why)
		}
		b.Skip(why)
	}
	for b.Loop() {
		p := plan{parent: b.TempDir(), size: 8 << 20, rounds: 1, memory: []int64{1 << 20}, entries: 300}
		require.NoError(b, os.Chmod(p.parent, 0o755))
		results, err := p.hold(b.Context())
		require.NoError(b, err)
		for _, r := range results {
			for _, w := range r.ways {
				require.Positive(b, r.rounds[0][w.name].wall, "%s: %s", r.title, w.name)
				require.Positive(b, r.rounds[0][w.name].rss, "%s: %s", r.title, w.name)
			}
		}
		left, err := os.ReadDir(p.parent)
		require.NoError(b, err)
		require.Empty(b, left, "no files are left behind")
	}
}
