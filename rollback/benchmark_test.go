package rollback_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

var testTime = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

// BenchmarkAppend against BenchmarkFsync tells what the journal adds to the
// sync that it cannot do without.
func BenchmarkAppend(b *testing.B) {
	j, err := rollback.OpenJournal(b.TempDir())
	require.NoError(b, err)
	r := rollback.Record{Time: testTime, Step: rollback.StepProbe, Kind: rollback.EventBegin, Part: "ASP"}
	for b.Loop() {
		if err := j.Append(r); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, j.Close())
}

func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	require.NoError(b, err)
	line := make([]byte, 300)
	for b.Loop() {
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, f.Close())
}
