//go:build !race

package private

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Wine has no inheritance and no owners but its one account: it keeps an access
// list as the mode of a file.
func TestUnderWine(t *testing.T) {
	w := realtest.StartWine(t)
	out := w.Output(t, w.Command(w.BuildTest(t, "."), realtest.TestTimeout, "-test.v"))
	t.Log(out)
	require.Contains(t, out, "--- PASS: TestMkdirIsClosedToOthers (", "it ran, and was not skipped")
}
