package local_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/fetch/local"
	"github.com/aspupdate/aspupdate/version"
)

// A mounted share that stops answering, wherever it stops: the operation ends,
// and nothing is archived.
func TestAMountedShareThatHangs(t *testing.T) {
	t.Parallel()
	data := lab.Payload(3 << 20)
	for name, stop := range map[string]struct {
		kind  uint32
		after int
	}{
		"at once": {lab.ShareGetattr, 0}, "below": {lab.ShareLookup, 1}, "listing": {lab.ShareReaddir, 0}, "opening": {lab.ShareOpen, 0}, "in the middle": {lab.ShareRead, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			share := lab.NewShare(t, map[string][]byte{lab.SetupPath: data, "/asp/7.11.100/Setup.exe": data[:1000]})
			src := &local.Source{Dir: share.Dir, Timeout: lab.Silence}
			require.Equal(t, string(data[:1000]), lab.Read(t, src, "/asp/7.11.100/Setup.exe", 0))
			rel, err := fetch.Finder{}.Latest(t.Context(), src, "asp", version.Setup)
			require.NoError(t, err)
			share.Hang(stop.kind, stop.after)
			began := time.Now()
			a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Settle: -1, Retry: fetch.Retry{Attempts: 1}}
			_, err = a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
			if stop.kind == lab.ShareReaddir { // which a fetch does not need
				require.NoError(t, err)
				_, err = fetch.Finder{}.Latest(t.Context(), src, "asp", version.Setup)
				require.ErrorIs(t, err, fetch.ErrUnreachable)
			} else {
				require.ErrorIs(t, err, fetch.ErrUnreachable)
				require.ErrorContains(t, err, "the share or the disk hangs")
				items, err := a.List()
				require.NoError(t, err)
				require.Empty(t, items)
			}
			require.Less(t, time.Since(began), time.Minute)
		})
	}
}
