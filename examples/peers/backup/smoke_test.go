//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// BenchmarkBackup runs the whole comparison with small databases. Its figures
// mean nothing.
func BenchmarkBackup(b *testing.B) {
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
		p := plan{parent: parent, scale: 0.001, rounds: 1}
		results, version, err := p.hold(b.Context())
		require.NoError(b, err)
		require.NotEmpty(b, version)
		require.Len(b, results, 2)
		for _, r := range results {
			require.Positive(b, r.bytes)
			for _, rd := range r.rounds {
				require.Positive(b, rd.dump)
				require.Positive(b, rd.load)
				require.Positive(b, rd.dumpSize)
				require.Positive(b, rd.stored)
				require.Positive(b, rd.take.Stages[clone])
				require.Positive(b, rd.take.Stages[dump])
				require.Positive(b, rd.byClone.Stages[clone])
				require.Zero(b, rd.byDump.Stages[clone])
				require.Positive(b, rd.byDump.Memory)
			}
		}
		left, err := os.ReadDir(parent)
		require.NoError(b, err)
		require.Empty(b, left, "no files are left behind")
	}
}
