package archive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// All bytes of one file came and the end was not confirmed: a run that ends
// there must not make a later one believe in it.
func TestALaterRunOfATreeBelievesNoUnconfirmedFile(t *testing.T) {
	x := newTree(t)
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		if strings.HasSuffix(tr.Path, "/base.cab") {
			return fetchtest.Fault{Reply: "426 broken"}
		}
		return fetchtest.Fault{}
	})
	x.archive.Retry.Attempts = 1
	_, err := x.blind(t.Context())
	require.Error(t, err)
	x.archive.Retry = lab.Soon
	for range 2 {
		_, err = x.blind(t.Context())
		require.ErrorIs(t, err, fetch.ErrUnreachable)
		require.ErrorContains(t, err, "did not confirm the end")
		x.empty(t)
	}
	x.s.OnTransfer(nil)
	before := x.s.Sent()
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	require.Less(t, x.s.Sent()-before, int64(100_000), "what was confirmed does not come again")
}

func TestAServerThatRefusesREST(t *testing.T) {
	x := newSetup(t, size)
	x.s.OnCommand(func(verb, _ string) string {
		if verb == "REST" {
			return "502 not implemented"
		}
		return ""
	})
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		if tr.N == 1 {
			return fetchtest.Fault{Cut: size / 2, Reply: "426 broken"}
		}
		return fetchtest.Fault{}
	})
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	_, err = x.src.Open(t.Context(), lab.SetupPath, 1)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "502")
}

// A server that sends other bytes each time, and never all of them.
func TestStartingOverIsNoProgress(t *testing.T) {
	x := newSetup(t, size)
	x.archive.Retry.Attempts = 6
	ctx, cancel := context.WithCancel(t.Context())
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		if tr.N > 30 {
			cancel()
		}
		return fetchtest.Fault{Data: lab.Payload(size + 1 + tr.N)[:size], Cut: size / 2, Reply: "426 broken"}
	})
	_, err := x.blind(ctx)
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	x.empty(t)
}

// A server that answers one thing twice is out of step from then on; a
// connection that is kept must not make that the next operation's trouble.
func TestRepliesOutOfStepOnAKeptConnection(t *testing.T) {
	for name, reply := range map[string]string{
		"226": "226 done\r\n226 done indeed", "550": "226 done\r\n550 what file", "250": "226 done\r\n250 fine", "213": "226 done\r\n213 5",
		"200": "226 done\r\n200 fine",
	} {
		t.Run(name, func(t *testing.T) {
			x := newTree(t)
			x.s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return fetchtest.Fault{Reply: reply} })
			x.archive.Retry.Attempts = 1
			it, err := x.blind(t.Context())
			x.good(t, it, err)

			y := newSetup(t, size)
			y.s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return fetchtest.Fault{Reply: reply} })
			y.archive.Retry.Attempts = 1
			it, err = y.blind(t.Context())
			y.good(t, it, err)
		})
	}
}

// bare is a Source without URLs.
type bare struct{ fetch.Source }

// A path that is not UTF-8 is a source like any other.
func TestASourceWithoutURLsAndACP1251Path(t *testing.T) {
	x := newSetup(t, size)
	x.s.Remove(lab.SetupPath)
	x.s.Put("/\xe0\xf1\xef/7.12.100/Setup.exe", x.data, lab.Released)
	src := bare{x.src}
	rel, err := fetch.Finder{}.Latest(t.Context(), src, "асп", version.Setup)
	require.NoError(t, err)
	take := func() (archive.Item, error) {
		return x.archive.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
	}
	x.archive.Retry.Attempts = 1
	x.s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return fetchtest.Fault{Cut: size / 2} })
	_, err = take()
	require.Error(t, err)
	x.s.OnTransfer(nil)
	for _, reused := range []bool{false, true} {
		it, err := take()
		x.good(t, it, err)
		require.Equal(t, reused, it.Reused)
		require.Equal(t, "/асп/7.12.100/Setup.exe", it.Source)
	}
	require.NotEmpty(t, x.events.of(archive.EventResumed))
}

// pad is a Source of one file.
type pad string

func (p pad) List(context.Context, string) ([]fetch.Entry, error) { return nil, errors.ErrUnsupported }

func (p pad) Open(context.Context, string, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(p))), nil
}

// As many files as a directory may have, with names as long as they may be.
func TestSidecarOfTheLargestDirectory(t *testing.T) {
	const most, longest = 20_000, 400
	var lines strings.Builder
	c := archive.Candidate{Name: "Setup", Remote: treePath}
	for i := range most {
		p := fetch.Part{Path: fmt.Sprintf("%0200d/%0199d", i, i), SHA256: fmt.Sprintf("%064x", i)}
		require.Len(t, p.Path, longest)
		c.Parts = append(c.Parts, p)
		_, _ = fmt.Fprintf(&lines, "%s *./%s\r\n", p.SHA256, p.Path)
	}
	began := time.Now()
	_, err := archive.Sidecar(pad(lines.String())).Verify(t.Context(), c)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 10*time.Second)
}
