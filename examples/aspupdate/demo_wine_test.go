//go:build linux && !race

package main

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The README's first command runs on Windows, too; with ASPUPDATE_SOAK=1 ten
// times in a row. There a file that another process reads cannot be removed.
func TestDemoUnderWine(t *testing.T) {
	t.Parallel()
	times := 1
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		times = 10
	}
	w := realtest.StartWine(t)
	program := w.Build(t, ".")
	for n := range times {
		begun := time.Now()
		code, out := wineRun(t, w, nil, program, "demo")
		require.Zero(t, code, out)
		requireDemo(t, out)
		t.Logf("run %d took %s", n+1, time.Since(begun).Round(time.Second))
	}
}
