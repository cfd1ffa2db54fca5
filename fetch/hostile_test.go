package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/version"
)

// All bytes of one file came and nobody said that this is all: a run that ends
// there must not make a later one believe in it.
func TestALaterRunOfATreeBelievesNoUnconfirmedFile(t *testing.T) {
	x := newTree(t)
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		if strings.HasSuffix(tr.Path, "/base.cab") {
			return fetchtest.Fault{Reply: "426 broken"}
		}
		return fetchtest.Fault{}
	})
	x.archive.Retry.Tries = 1
	_, err := x.blind(t.Context())
	require.Error(t, err)
	x.archive.Retry = soon
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
	_, err = x.src.Open(t.Context(), setupPath, 1)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "502")
}

// A server that sends other bytes each time, and never all of them.
func TestStartingOverIsNoProgress(t *testing.T) {
	x := newSetup(t, size)
	x.archive.Retry.Tries = 6
	ctx, cancel := context.WithCancel(t.Context())
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		if tr.N > 30 {
			cancel()
		}
		return fetchtest.Fault{Data: payload(size + 1 + tr.N)[:size], Cut: size / 2, Reply: "426 broken"}
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
			x.archive.Retry.Tries = 1
			it, err := x.blind(t.Context())
			x.good(t, it, err)

			y := newSetup(t, size)
			y.s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return fetchtest.Fault{Reply: reply} })
			y.archive.Retry.Tries = 1
			it, err = y.blind(t.Context())
			y.good(t, it, err)
		})
	}
}

func TestASilentServerIsAskedOnce(t *testing.T) {
	x := newSetup(t, 10)
	x.s.OnCommand(func(verb, _ string) string {
		if verb == "SIZE" {
			return "hang"
		}
		return ""
	})
	x.src.Idle, x.src.Retry.Tries = silence, 1
	began := time.Now()
	_, err := x.src.Stat(t.Context(), setupPath)
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.Less(t, time.Since(began), 2*silence, "it waits once")
}

func TestASilentServerIsAskedOnceOnAKeptConnection(t *testing.T) {
	x := newSetup(t, 10)
	var lists atomic.Int32
	x.s.OnCommand(func(verb, _ string) string {
		if verb == "MLSD" && lists.Add(1) > 1 {
			return "hang"
		}
		return ""
	})
	x.src.Idle, x.src.Retry.Tries = realIdle, 1
	began := time.Now()
	_, err := fetch.Finder{}.Find(t.Context(), x.src, "asp")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.Less(t, time.Since(began), realIdle+realGrace)
	require.EqualValues(t, 2, lists.Load())
}

// What a server says may hold the password wherever it says it.
func TestNoEchoOfThePassword(t *testing.T) {
	t.Parallel()
	const secret = "хранитель-5" // as some servers send it back: in CP1251
	cp1251 := "\xf5\xf0\xe0\xed\xe8\xf2\xe5\xeb\xfc-5"
	for verb, ask := range map[string]func(ctx context.Context, src fetch.FTP) error{
		"PASS": func(ctx context.Context, src fetch.FTP) error { _, err := src.List(ctx, "/"); return err },
		"CWD":  func(ctx context.Context, src fetch.FTP) error { _, err := src.List(ctx, "/asp"); return err },
		"SIZE": func(ctx context.Context, src fetch.FTP) error { _, err := src.Stat(ctx, setupPath); return err },
		"RETR": func(ctx context.Context, src fetch.FTP) error { _, err := src.Open(ctx, setupPath, 0); return err },
		"TYPE": func(ctx context.Context, src fetch.FTP) error { _, err := src.Hash(ctx, setupPath); return err },
		"HASH": func(ctx context.Context, src fetch.FTP) error { _, err := src.Hash(ctx, setupPath); return err },
	} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			for _, reply := range []string{"%s", "%s is no code", "1%s", "550-%[1]s\r\n%[1]s", "550 %s", "450 %s", "999 %s", "213 %s", "250 %s"} {
				for _, echo := range []string{secret, cp1251} {
					s := fetchtest.New(t)
					s.Features = []string{"SIZE", "MDTM", "REST STREAM", "HASH SHA-256*"}
					s.Put(setupPath, []byte("x"), released)
					s.OnCommand(func(v, _ string) string {
						if v == verb {
							return fmt.Sprintf(reply, echo)
						}
						return ""
					})
					var seen events
					src := client(s)
					src.Password, src.Observe, src.Idle = secret, seen.observe, 50*time.Millisecond
					src.Retry.Tries = 2
					err := ask(t.Context(), src)
					for _, e := range seen.of(fetch.EventRetry) {
						err = errors.Join(err, e.Err)
					}
					if err != nil {
						require.NotContains(t, err.Error(), secret, "%s answered by %q", verb, reply)
						require.NotContains(t, err.Error(), echo)
						require.False(t, strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' && r != '\n' }), "%q", err)
					}
					s.Close()
				}
			}
		})
	}
	s := fetchtest.New(t)
	s.Put(setupPath, []byte("x"), released)
	src := client(s)
	src.Password = secret
	s.OnListing(func(string, string) fetchtest.Fault { return fetchtest.Fault{Data: []byte("/" + secret + "/x\r\n")} })
	_, err := src.Names(t.Context(), "/asp")
	require.Error(t, err)
	require.NotContains(t, err.Error(), secret)
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
	x.archive.Now = func() time.Time { // one byte in 50 years
		calls++
		return now.AddDate(50*min(calls-1, 1), 0, 0)
	}
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	told := x.events.of(fetch.EventProgress)
	require.EqualValues(t, 1, told[0].Done)
	for _, e := range told {
		require.GreaterOrEqual(t, e.Left, time.Duration(0))
		require.LessOrEqual(t, e.Done, e.Total)
	}
}

// A folder that cannot be read whole has not vanished.
func TestATreeWithAnUnreadableLineHasNotVanished(t *testing.T) {
	src := tree{
		"/asp":                {{Name: "7.12.100", Kind: fetch.KindFolder}},
		"/asp/7.12.100":       {{Name: "Setup", Kind: fetch.KindFolder}},
		"/asp/7.12.100/Setup": {{Name: "a.exe", Size: 1, Time: old}},
	}
	w := newWatcher(t)
	w.sees(t, src, "released: /asp/7.12.100, there at the first look")
	src["/asp/7.12.100/Setup"] = append(src["/asp/7.12.100/Setup"], fetch.Entry{Name: "????", Kind: fetch.KindUnreadable, Size: -1})
	w.sees(t, src)
	delete(src, "/asp/7.12.100")
	src["/asp"] = []fetch.Entry{}
	w.sees(t, src, "vanished: /asp/7.12.100")
}

func TestAHostileNameCostsLittleTime(t *testing.T) {
	src := tree{"/asp": {{Name: strings.Repeat("_", 200), Kind: fetch.KindFolder}, {Name: strings.Repeat("setup_", 33), Kind: fetch.KindFolder}}}
	f := finder()
	f.Layout.Patterns = []string{"{any}_{any}_{any}_{any}_{any}_{version}/{variant}", "{any}{variant}{sep}{any}{sep}{any}{sep}{any}{variant}{any}{version}"}
	began := time.Now()
	_, err := f.Find(t.Context(), src, "asp")
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*time.Second)
}

// flood is a server whose every folder is as full as a listing can be.
type flood struct{ tree }

func (flood) List(_ context.Context, dir string) ([]fetch.Entry, error) {
	if dir == "/asp" {
		var all []fetch.Entry
		for i := range 1500 {
			all = append(all, fetch.Entry{Name: fmt.Sprintf("7.12.%d", 100+i), Kind: fetch.KindFolder})
		}
		return all, nil
	}
	junk := fetch.Entry{Name: strings.Repeat("x", 150), Kind: fetch.KindFile}
	return slices.Repeat([]fetch.Entry{junk}, 10_000), nil
}

func TestAServerCannotFillTheMemory(t *testing.T) {
	_, err := finder().Find(t.Context(), flood{}, "asp")
	require.ErrorContains(t, err, "Layout.Patterns")
}

// Whoever writes the password into the address by mistake does not find it in
// a log.
func TestAPasswordInTheAddressIsNotShown(t *testing.T) {
	for _, addr := range []string{"site:hunter2@ftp.example.org", "ftp://site:hunter2@ftp.example.org:21", "site:hunt@er2@ftp.example.org:x"} {
		src := fetch.FTP{Addr: addr}
		_, err := src.List(t.Context(), "/asp")
		require.ErrorContains(t, err, "no address")
		for _, shown := range []string{err.Error(), src.String(), src.URL("/x"), fmt.Sprintf("%+v %#v", src, src)} {
			require.NotContains(t, shown, "hunt")
			require.Contains(t, shown, "ftp.example.org")
		}
	}
}

// bare is a Source without URLs.
type bare struct{ fetch.Source }

// A path that is no UTF-8 is a place to come from like any other.
func TestASourceWithoutURLsAndACP1251Path(t *testing.T) {
	x := newSetup(t, size)
	x.s.Remove(setupPath)
	x.s.Put("/\xe0\xf1\xef/7.12.100/Setup.exe", x.data, released)
	src := bare{x.src}
	rel, err := fetch.Finder{}.Latest(t.Context(), src, "асп", version.Setup)
	require.NoError(t, err)
	take := func() (fetch.Item, error) {
		return x.archive.Fetch(t.Context(), src, rel, version.Setup, fetch.Unauthenticated("a test"))
	}
	x.archive.Retry.Tries = 1
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
	require.NotEmpty(t, x.events.of(fetch.EventResumed))
}

// pad is a Source of one file.
type pad string

func (p pad) List(context.Context, string) ([]fetch.Entry, error) { return nil, errors.ErrUnsupported }

func (p pad) Open(context.Context, string, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(p))), nil
}

// As many files as a folder may have, with names as long as they may be.
func TestSidecarOfTheLargestFolder(t *testing.T) {
	const most, longest = 20_000, 400
	var lines strings.Builder
	c := fetch.Candidate{Name: "Setup", Remote: treePath}
	for i := range most {
		p := fetch.Part{Path: fmt.Sprintf("%0200d/%0199d", i, i), SHA256: fmt.Sprintf("%064x", i)}
		require.Len(t, p.Path, longest)
		c.Parts = append(c.Parts, p)
		_, _ = fmt.Fprintf(&lines, "%s *./%s\r\n", p.SHA256, p.Path)
	}
	began := time.Now()
	_, err := fetch.Sidecar(pad(lines.String())).Verify(t.Context(), c)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 10*time.Second)
}
