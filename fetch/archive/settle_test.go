package archive_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// An uploader is a server onto which somebody uploads while we look.
type uploader struct {
	s     *fetchtest.Server
	data  []byte
	tree  bool
	ahead time.Duration // of the server's clock
	now   time.Time     // by ours
}

const uploadSteps = 4

// upload writes the n-th part of all: the file's time is the one of the last
// write, by the server's clock.
func (u *uploader) upload(n int) {
	size := len(u.data) * n / uploadSteps
	mod := u.now.Add(u.ahead)
	if !u.tree {
		u.s.Put(lab.SetupPath, u.data[:size], mod)
		return
	}
	for i := range n {
		u.s.Put(fmt.Sprintf("/asp/7.12.100/Setup/part%d.cab", i), u.data[:size/n], mod)
	}
}

// Half an upload is never archived, whatever the server's clock and zone are,
// whether its directory shows times to the second or to the minute, and whether
// the Finder remembers or not. A hash makes waiting unnecessary.
func TestHalfAnUploadIsNeverArchived(t *testing.T) {
	t.Parallel()
	ahead := map[string]time.Duration{
		"correct": 0, "15 minutes slow": -15 * time.Minute, "a zone to the west": -3 * time.Hour, "a zone to the east": 7 * time.Hour, "years slow": -5 * 365 * 24 * time.Hour,
	}
	for name, ahead := range ahead {
		for _, o := range []struct{ memory, pinned, tree, list bool }{
			{memory: true}, {}, {memory: true, list: true}, {memory: true, tree: true}, {tree: true}, {memory: true, pinned: true}, {pinned: true},
		} {
			t.Run(fmt.Sprintf("%s %+v", name, o), func(t *testing.T) {
				t.Parallel()
				u := &uploader{s: fetchtest.New(t), data: lab.Payload(200_000), tree: o.tree, ahead: ahead, now: time.Now().Add(-5 * time.Hour)}
				if o.list {
					u.s.Features = []string{"SIZE", "MDTM"}
				}
				src := lab.Client(u.s)
				clock := func() time.Time { return u.now }
				a := (&archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon}).WithClock(clock)
				f := fetch.Finder{Now: clock}
				if o.memory {
					f.Sightings = a.Sightings()
				}
				verify := archive.Unauthenticated("a test")
				if o.pinned {
					verify = archive.PinnedSHA256(lab.Sum(u.data))
					f.Vouched = func(string, version.Version, version.Variant) bool { return true }
				}
				complete, archived := time.Time{}, time.Time{}
				for minute := 0; minute < 26*60 && archived.IsZero(); minute += 3 {
					u.now = u.now.Add(3 * time.Minute)
					if n := minute / 9; minute%9 == 0 && n < uploadSteps { // quicker than it settles
						u.upload(n + 1)
						complete = u.now
					}
					rel, err := f.Latest(t.Context(), src, "asp", version.Setup)
					if err == nil {
						_, err = a.Fetch(t.Context(), src, rel, version.Setup, verify)
					}
					items, lerr := a.List()
					require.NoError(t, lerr)
					if err == nil {
						archived = u.now
						require.Len(t, items, 1)
						if !o.tree {
							b, rerr := os.ReadFile(items[0].Path)
							require.NoError(t, rerr)
							require.Equal(t, lab.Sum(u.data), lab.Sum(b))
						}
						require.GreaterOrEqual(t, minute/9, uploadSteps-1)
						continue
					}
					require.Empty(t, items)
					if !errors.Is(err, fetch.ErrNoRelease) && !errors.Is(err, fetch.ErrChanged) {
						require.ErrorIs(t, err, archive.ErrMismatch, "half of a file with a hash")
						require.True(t, o.pinned)
					}
				}
				require.False(t, archived.IsZero(), "it is archived in the end")
				if o.memory && !o.pinned {
					require.Less(t, archived.Sub(complete), 20*time.Minute, "the server's zone delays no one for long")
				}
				if !o.pinned {
					require.GreaterOrEqual(t, archived.Sub(complete), 9*time.Minute)
				}
			})
		}
	}
}

// The first sighting survives the process, and one minute does not.
func TestASightingIsRemembered(t *testing.T) {
	x := newSetup(t, size)
	now := time.Now()
	fetchAt := func(at time.Time) (archive.Item, error) {
		a := (&archive.Archive{Dir: x.archive.Dir, Retry: lab.Soon, Settle: time.Hour}).WithClock(func() time.Time { return at })
		return a.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.Unauthenticated("a test"))
	}
	_, err := fetchAt(now)
	require.ErrorIs(t, err, fetch.ErrNoRelease)
	require.ErrorContains(t, err, "run it again after")
	sent := x.s.Sent()
	_, err = fetchAt(now.Add(59 * time.Minute))
	require.ErrorIs(t, err, fetch.ErrNoRelease)
	_, err = fetchAt(now.Add(-time.Hour)) // our own clock is set back
	require.ErrorIs(t, err, fetch.ErrNoRelease)
	_, err = fetchAt(now.Add(-time.Minute))
	require.ErrorIs(t, err, fetch.ErrNoRelease)
	it, err := fetchAt(now)
	x.good(t, it, err)
	require.Less(t, x.s.Sent()-sent, int64(size), "what was downloaded is kept")
	info, err := os.Stat(x.archive.Sightings())
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(1000))
}

// A damaged memory only costs time.
func TestADamagedSightingSettlesAgain(t *testing.T) {
	x := newSetup(t, size)
	require.NoError(t, os.MkdirAll(x.archive.Dir, 0o700))
	require.NoError(t, os.WriteFile(x.archive.Sightings(), []byte("{"), 0o600))
	a := &archive.Archive{Dir: x.archive.Dir, Retry: lab.Soon}
	_, err := a.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.Unauthenticated("a test"))
	require.ErrorIs(t, err, fetch.ErrNoRelease)
	_, err = a.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.PinnedSHA256(lab.Sum(x.data)))
	require.NoError(t, err)
}

// A time to settle that is shorter than a person would wait for is waited for.
func TestASettlingTimeThatIsShort(t *testing.T) {
	x := newSetup(t, size)
	a := &archive.Archive{Dir: x.archive.Dir, Retry: lab.Soon, Settle: 50 * time.Millisecond}
	f := fetch.Finder{Sightings: a.Sightings(), Settle: a.Settle}
	rel, err := f.Latest(t.Context(), x.src, "asp", version.Setup)
	require.NoError(t, err)
	it, err := a.Fetch(t.Context(), x.src, rel, version.Setup, archive.Unauthenticated("a test"))
	x.good(t, it, err)
}

// What a server's clock is ahead by follows from what appears between two looks.
func TestTheServersClockIsFoundOut(t *testing.T) {
	for _, ahead := range []time.Duration{-15 * time.Minute, 3 * time.Hour, 0} {
		u := &uploader{s: fetchtest.New(t), data: lab.Payload(1000), ahead: ahead, now: time.Now().Truncate(time.Second)}
		f := fetch.Finder{Now: func() time.Time { return u.now }, Sightings: filepath.Join(t.TempDir(), "sightings.json")}
		u.s.Put("/asp/7.11.100/Setup.exe", []byte("x"), lab.Released)
		look := func() string {
			u.now = u.now.Add(time.Minute)
			found, err := f.Find(t.Context(), lab.Client(u.s), "asp")
			require.NoError(t, err)
			return found.Clock
		}
		require.Empty(t, look())
		u.now = u.now.Add(30 * time.Second)
		u.upload(1)
		require.Equal(t, fmt.Sprintf("%v to %v ahead of this machine's clock", ahead-time.Minute, ahead+30*time.Second), look())
		u.now = u.now.Add(10 * time.Second)
		u.upload(2)
		require.Equal(t, fmt.Sprintf("%v to %v ahead of this machine's clock", ahead-time.Minute, ahead+10*time.Second), look())
	}
}
