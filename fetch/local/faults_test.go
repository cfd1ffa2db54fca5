package local_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/fetch/local"
	"github.com/aspupdate/aspupdate/version"
)

// Whatever happens to a file of a directory while it is fetched: what is archived
// is the file as it was or as it is, never a part or a mixture.
func TestNoDirectoryPublishesAWrongFile(t *testing.T) {
	const size = 8 << 20
	old, other := lab.Payload(size), lab.Payload(size + 1)[:size]
	for name, fault := range lab.FileFaults(old, other) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			full := put(t, dir, "asp/7.12.100/Setup.exe", old)
			src := &local.Source{Dir: dir}
			rel, err := fetch.Finder{}.Latest(t.Context(), src, "asp", version.Setup)
			require.NoError(t, err)
			done := false
			a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Settle: -1, Retry: fetch.Retry{Attempts: 1}, Observe: func(e archive.Event) {
				if e.Kind == archive.EventProgress && !done {
					done = true
					require.NoError(t, fault(full))
				}
			}}
			_, err = a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
			require.True(t, done)
			items, lerr := a.List()
			require.NoError(t, lerr)
			require.Equal(t, err == nil, len(items) == 1)
			if now, rerr := os.ReadFile(full); err == nil {
				require.NoError(t, rerr)
				require.Contains(t, []string{lab.Sum(old), lab.Sum(now)}, items[0].SHA256)
			}
		})
	}
}
