//go:build linux && !race

package process_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestUnderWine runs the tests of this package on Windows.
func TestUnderWine(t *testing.T) {
	t.Parallel()
	w := realtest.StartWine(t)
	out := w.Output(t, w.Command(w.BuildTest(t, "."), realtest.TestTimeout, "-test.v", "-test.run=^Test"))
	t.Log(out)
	for _, name := range []string{"TestStartSavesBeforeAndAfterTheStart", "TestTreeOfAKilledUpdaterIsFound", "TestDoConnectsTheStandardFiles", "TestTreeWhoseRootHasEndedIsFound", "TestJobsOfOthersAreNotUsed", "TestAProgramInUseIsWaitedFor"} {
		require.Contains(t, out, "--- PASS: "+name+" (", "it ran, and was not skipped")
	}
}
