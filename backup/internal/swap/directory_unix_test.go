//go:build unix

package swap

import (
	"testing"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Permissions do not stop root.
func TestDropOfADirectoryThatForbidsItAsNobody(t *testing.T) {
	realtest.AsNobody(t, "TestDropOfADirectoryThatForbidsIt")
}
