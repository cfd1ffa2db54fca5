package archive_test

import (
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
	"github.com/aspupdate/aspupdate/internal/durable"
)

func TestProgressIsReported(t *testing.T) {
	x := newSetup(t, size)
	it, err := x.fetch(t.Context())
	x.good(t, it, err)
	reported := x.events.of(archive.EventProgress)
	require.NotEmpty(t, reported)
	require.Equal(t, int64(size), reported[len(reported)-1].Done)
	require.Equal(t, int64(size), reported[len(reported)-1].Total)
	require.Equal(t, "7.12.100", reported[0].Key.Version.String())
}

// Rate and time left are this run's: what an earlier one brought does not count.
func TestRateAndTimeLeftAreReported(t *testing.T) {
	x := newSetup(t, size)
	stop(t, x)
	second := lab.Now
	x.archive.WithClock(func() time.Time { // each call is a second later
		second = second.Add(time.Second)
		return second
	})
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		if tr.N == 2 {
			return fetchtest.Fault{Cut: size/4 + 64<<10, Reply: "426 broken"} // so that more than the end is reported
		}
		return fetchtest.Fault{}
	})
	from := len(x.events.of(archive.EventProgress))
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	resumed := x.events.of(archive.EventResumed)
	require.Len(t, resumed, 1)
	reported := x.events.of(archive.EventProgress)[from:]
	require.Greater(t, len(reported), 1)
	for i, e := range reported {
		require.InDelta(t, float64(e.Done-resumed[0].Done)/float64(i+1), e.Rate, 1)
	}
	require.Contains(t, reported[0].Text, " left")
	require.NotContains(t, reported[len(reported)-1].Text, " left")
}

func TestFullDiskIsSeenBeforeTheDownload(t *testing.T) {
	x := newSetup(t, size)
	x.s.OnCommand(func(verb, _ string) string { return map[string]string{"SIZE": "213 9000000000000000000"}[verb] })
	x.rel.Files[0].Size = 9_000_000_000_000_000_000
	_, err := x.fetch(t.Context())
	require.ErrorIs(t, err, archive.ErrNoSpace)
	require.Zero(t, x.s.Transfers())
}

// A disk that was full may have kept bytes from the journal: they take room
// already, and are no reason to ask for more.
func TestAPartialFileCountsAsRoom(t *testing.T) {
	x := newSetup(t, size)
	stop(t, x)
	vol, err := durable.VolumeOf(x.archive.Dir)
	require.NoError(t, err)
	length := vol.Free + vol.Free/4
	dir := filepath.Join(x.archive.Dir, "asp", "7.12.100", ".partial-Setup")
	require.NoError(t, os.Truncate(filepath.Join(dir, "data", "payload"), vol.Free/2))
	require.NoError(t, os.Remove(filepath.Join(dir, "journal.json")))
	x.s.OnCommand(func(verb, _ string) string {
		return map[string]string{"SIZE": fmt.Sprintf("213 %d", length), "RETR": "553 no"}[verb]
	})
	x.rel.Files[0].Size = length
	for _, want := range []error{fetch.ErrNotFound, archive.ErrNoSpace} {
		_, err := x.blind(t.Context())
		require.ErrorIs(t, err, want)
	}
}

func TestTheTimeLeftIsNeverNegative(t *testing.T) {
	x := newSetup(t, 1<<20)
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		if tr.N == 1 {
			return fetchtest.Fault{Cut: 1, Reply: "426 broken"}
		}
		return fetchtest.Fault{}
	})
	calls := 0
	x.archive.WithClock(func() time.Time { // one byte in 50 years
		calls++
		return lab.Now.AddDate(50*min(calls-1, 1), 0, 0)
	})
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	reported := x.events.of(archive.EventProgress)
	require.EqualValues(t, 1, reported[0].Done)
	for _, e := range reported {
		require.NotContains(t, e.Text, " left")
		require.LessOrEqual(t, e.Done, e.Total)
	}
}
