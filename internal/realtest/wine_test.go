//go:build linux && !race

package realtest

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// onWindows are packages whose tests hold on Windows as they are. Those of
// package install run beside its installers there.
var onWindows = []string{"version", "schedule", "internal/durable", "fetch", "rollback", "backup", "backup/files"}

// Windows is first class: what runs there is tested there, as far as Wine is
// a Windows.
func TestPackagesUnderWine(t *testing.T) {
	w := StartWine(t)
	for _, name := range onWindows {
		exe := w.BuildTest(t, "../../"+name)
		t.Run(name, func(t *testing.T) {
			cmd := w.Command(exe, "-test.short", "-test.timeout=3m", "-test.skip=LinksTheStandardLibraryAlone")
			cmd.Dir = filepath.Join("../..", name)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
		})
	}
}
