//go:build linux && !race

package rollback_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// onWindows are those that show what differs there: processes that are ended by
// TerminateProcess, locks, and files that are renamed while they are open.
const onWindows = "^Test(Killed.*|R15KilledRevert|SoakKilledFolder|ManyStartersOneRuns|SecondStarterIsBusy|Lock.*|Journal.*)$"

// TestUnderWine runs tests of this package on Windows.
func TestUnderWine(t *testing.T) {
	t.Parallel()
	w := realtest.StartWine(t)
	out := w.Output(t, w.Command(w.BuildTest(t, "."), realtest.TestTimeout, "-test.v", "-test.run="+onWindows))
	for _, name := range []string{"TestKilledProcess", "TestR15KilledRevert", "TestKilledRotation", "TestLockIsTheKernels", "TestManyStartersOneRuns", "TestKilledAtEveryStepOfAFolder", "TestSoakKilledFolder"} {
		require.Contains(t, out, "--- PASS: "+name+" (", "it ran, and was not skipped")
	}
	t.Log(out)
}
