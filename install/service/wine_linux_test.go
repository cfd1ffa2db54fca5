//go:build !race

package service

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestUnderWine runs the tests of this package on Windows, with real services.
func TestUnderWine(t *testing.T) {
	t.Parallel()
	if os.Getenv(worldVar) != "" {
		t.Skip("not in here")
	}
	w := realtest.StartWine(t)
	out := w.Output(t, w.Command(w.BuildTest(t, "."), realtest.TestTimeout, "-test.v", "-test.run=^(Test|Example)"))
	t.Log(out)
	for _, name := range []string{"TestOpenRestoresWhatCloseFound", "TestAKilledUpdaterLosesNothing", "TestCloseWaitsForEveryProcess"} {
		require.Contains(t, out, "--- PASS: "+name+" (", "it ran, and was not skipped")
	}
}
