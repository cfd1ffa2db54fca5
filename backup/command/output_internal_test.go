package command

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
)

// However the output is cut into writes, each value is hidden whole, also where another value
// is its beginning.
func TestValuesAreHiddenInAnyPieces(t *testing.T) {
	const text = "correct horse, correct horse battery; correct horsecorrect horse battery staple"
	for size := 1; size <= len(text); size++ {
		o := &output{}
		o.hide, o.longest = process.Hider([]string{"LONG=correct horse battery", "SHORT=correct horse"})
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			_, err := o.Write([]byte(rest[:min(size, len(rest))]))
			require.NoError(t, err)
		}
		require.Equal(t, "$SHORT, $LONG; $SHORT$LONG staple", o.close(nil), "%d bytes at a time", size)
	}
}
