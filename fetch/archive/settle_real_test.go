package archive_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
)

// On real servers, 15 minutes slow or in another zone, onto which a file is uploaded
// while we look: half of it is never archived, with and without a hash. A server's
// clock shows in its files' times alone, which are set here as it would.
func TestHalfAnUploadOnRealServers(t *testing.T) {
	t.Parallel()
	makes := slices.Concat(realtest.Makes(), realtest.MoreMakes())
	lab.SideBySide(t, makes, func(m realtest.Make) string { return string(m) }, func(t *testing.T, m realtest.Make) {
		root := t.TempDir()
		lab.Put(t, root, "asp/readme.txt", nil)
		src := lab.Real(realtest.FTP(t, m, root, realtest.Options{}), realtest.Plain)
		for _, ahead := range []time.Duration{-15 * time.Minute, 7 * time.Hour} {
			neverHalf(t, src, root, ahead)
		}
	})
}

// The same on servers whose own clock is 15 minutes slow, or whose own zone is another.
func TestHalfAnUploadOnServersWithAnotherClock(t *testing.T) {
	t.Parallel()
	const slow, east = -15 * time.Minute, 7 * time.Hour
	type server struct {
		make  realtest.Make
		clock realtest.Options
		shows time.Duration // by how much the server shows a file's time to be ahead
	}
	servers := []server{
		// libfaketime changes the files' times for proftpd alone: for others they are set
		// as the kernel of such a machine would.
		{realtest.ProFTPD, realtest.Options{Ahead: slow}, slow}, {realtest.Vsftpd, realtest.Options{Ahead: slow}, 0}, {realtest.Pyftpdlib, realtest.Options{Ahead: slow}, 0},
		// proftpd's MLSD is in UTC in every zone.
		{realtest.ProFTPD, realtest.Options{East: east}, 0}, {realtest.Vsftpd, realtest.Options{East: east}, east}, {realtest.Pyftpdlib, realtest.Options{East: east}, east},
	}
	name := func(s server) string { return fmt.Sprintf("%s, %v", s.make, s.clock.Ahead+s.clock.East) }
	lab.SideBySide(t, servers, name, func(t *testing.T, s server) {
		root := t.TempDir()
		lab.Put(t, root, "asp/readme.txt", nil)
		written := time.Now().Add(-time.Hour).Truncate(time.Second)
		require.NoError(t, os.Chtimes(filepath.Join(root, "asp", "readme.txt"), written, written))
		src := lab.Real(realtest.FTP(t, s.make, root, s.clock), realtest.Plain)
		e, err := src.Stat(t.Context(), "/asp/readme.txt")
		require.NoError(t, err)
		require.Equal(t, s.shows, e.Time.Sub(written))
		neverHalf(t, src, root, s.clock.Ahead-min(s.shows, 0))
	})
}

// neverHalf uploads a file into the root of a server, part by part and with times that
// are ahead of ours, looks at it all the while by the server, and archives what it may.
func neverHalf(t *testing.T, src *ftp.Source, root string, ahead time.Duration) {
	t.Helper()
	data := lab.Payload(200_000)
	for _, pinned := range []bool{false, true} {
		now := time.Now().Add(-9 * time.Hour).Truncate(time.Second)
		clock := func() time.Time { return now }
		a := (&archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon}).WithClock(clock)
		f := fetch.Finder{Now: clock, Sightings: a.Sightings()}
		verify := archive.Unauthenticated("a test")
		if pinned {
			verify = archive.PinnedSHA256(lab.Sum(data))
			f.Vouched = func(string, version.Version, version.Variant) bool { return true }
		}
		what := fmt.Sprintf("%v ahead, pinned: %v", ahead, pinned)
		full := filepath.Join(root, filepath.FromSlash(lab.SetupPath))
		archived := false
		for step := 0; step < 12 && !archived; step++ {
			now = now.Add(4 * time.Minute)
			if n := step / 2; step%2 == 0 && n < uploadSteps {
				lab.Put(t, root, lab.SetupPath, data[:len(data)*(n+1)/uploadSteps])
				require.NoError(t, os.Chtimes(full, now.Add(ahead), now.Add(ahead)))
			}
			rel, err := f.Latest(t.Context(), src, "asp", version.Setup)
			if err == nil {
				_, err = a.Fetch(t.Context(), src, rel, version.Setup, verify)
			}
			items, lerr := a.List()
			require.NoError(t, lerr)
			if archived = err == nil; archived {
				require.Len(t, items, 1)
				require.Equal(t, lab.Sum(data), items[0].SHA256, what)
				continue
			}
			require.Empty(t, items)
			refused := errors.Is(err, fetch.ErrNoRelease) || errors.Is(err, fetch.ErrChanged) || pinned && errors.Is(err, archive.ErrMismatch)
			require.True(t, refused, "%s: %v", what, err)
		}
		require.True(t, archived, what)
		require.NoError(t, os.RemoveAll(filepath.Join(root, "asp", "7.12.100")))
	}
}
