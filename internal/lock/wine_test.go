//go:build linux && !race

package lock

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The tests of this package and of internal/boot, which has code of its own for
// Windows as well.
func TestUnderWine(t *testing.T) {
	t.Parallel()
	w := realtest.StartWine(t)
	for pkg, name := range map[string]string{".": "TestTheDeathOfTheHolderFreesTheLock", "../boot": "TestIDStays"} {
		out := w.Output(t, w.Command(w.BuildTest(t, pkg), realtest.TestTimeout, "-test.v", "-test.run=^Test"))
		t.Log(out)
		require.Contains(t, out, "--- PASS: "+name+" (", "it ran, and was not skipped")
	}
}
