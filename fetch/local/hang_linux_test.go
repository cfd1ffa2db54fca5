package local_test

import (
	"fmt"
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

// A stick is pulled out, wherever the operation is: nothing is archived until it is back.
func TestAMountedStickThatIsPulledOut(t *testing.T) {
	t.Parallel()
	data := lab.Payload(3 << 20)
	for name, stop := range map[string]struct {
		kind  uint32
		after int
	}{
		"at once": {lab.ShareGetattr, 0}, "opening": {lab.ShareOpen, 0}, "in the middle": {lab.ShareRead, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stick := lab.NewShare(t, map[string][]byte{lab.SetupPath: data})
			src := &local.Source{Dir: stick.Dir}
			rel, err := fetch.Finder{}.Latest(t.Context(), src, "asp", version.Setup)
			require.NoError(t, err)
			stick.PullOut(stop.kind, stop.after)
			a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Settle: -1, Retry: lab.Soon}
			_, err = a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			require.ErrorContains(t, err, "check the stick or the share")
			items, err := a.List()
			require.NoError(t, err)
			require.Empty(t, items)
			_, err = fetch.Finder{}.Latest(t.Context(), src, "asp", version.Setup)
			require.ErrorIs(t, err, fetch.ErrUnreachable, "not: no release")
			back := lab.NewShare(t, map[string][]byte{lab.SetupPath: data})
			src.Dir = back.Dir
			it, err := a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
			require.NoError(t, err)
			require.Equal(t, lab.Sum(data), it.SHA256)
		})
	}
}

// A share that is slow does not hang: each thousand names of a directory may take the
// time that one operation may.
func TestAMountedShareThatIsSlow(t *testing.T) {
	t.Parallel()
	const names = 6000
	files := map[string][]byte{lab.SetupPath: []byte("x")}
	for i := range names {
		files[fmt.Sprintf("/asp/readme %d.txt", i)] = nil
	}
	share := lab.NewShare(t, files)
	share.SlowListing(20 * time.Millisecond)
	list := func(timeout time.Duration) time.Duration {
		began := time.Now()
		entries, err := (&local.Source{Dir: share.Dir, Timeout: timeout}).List(t.Context(), "/asp")
		require.NoError(t, err)
		require.Len(t, entries, names+1)
		return time.Since(began)
	}
	list(list(time.Hour) * 2 / 3)
}
