package archive_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

const size = 300_000

// Every fault, once at 1, 50 and 99 % of the file, with and without TLS: the
// next transfer heals it.
func TestFaultsAreHealedByResuming(t *testing.T) { noneLeak(t, healed) }

func healed(t *testing.T) {
	cert, pool := lab.Certificate(t)
	for name, fault := range map[string]fetchtest.Fault{
		"cut, then 226":             {},
		"cut, then 426":             {Reply: "426 broken"},
		"cut, then 451":             {Reply: "451 disk error"},
		"cut, then silence":         {Stall: true},
		"cut, then no more":         {Drop: true},
		"reset":                     {Reset: true, Reply: "426 broken"},
		"reset, then a lying ok":    {Reset: true},
		"cut without TLS's goodbye": {Abrupt: true},
		"from the start, once more": {IgnoreREST: true},
	} {
		for _, percent := range []int64{1, 50, 99} {
			for _, secure := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s at %d, TLS %v", name, percent, secure), func(t *testing.T) {
					t.Parallel()
					x := newSetup(t, size)
					if secure {
						x.s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
						x.src.TLS, x.src.TLSConfig = ftp.TLSExplicit, &tls.Config{RootCAs: pool}
					}
					if fault.Stall {
						x.src.Timeout = lab.Silence
					}
					x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
						f := fault
						switch {
						case tr.N == 1:
							f.Cut = size * percent / 100
						case !fault.IgnoreREST:
							return fetchtest.Fault{}
						}
						return f
					})
					it, err := x.blind(t.Context())
					x.good(t, it, err)
					require.NotEmpty(t, x.events.of("retry"))
					lab.NoneLeftOn(t, x.s)
					if fault.Reset || fault.IgnoreREST {
						return // a reset drops what was in flight
					}
					require.LessOrEqual(t, x.s.Sent(), int64(size+2*64<<10), "what came is not asked for again, but for the overlap")
				})
			}
		}
	}
}

// The same faults for ever: an error, never a wrong file.
func TestFaultsThatStayAreErrors(t *testing.T) { noneLeak(t, stay) }

func stay(t *testing.T) {
	for name, fault := range map[string]fetchtest.Fault{
		"truncated, then 226":   {Cut: 1000},
		"nothing comes":         {Cut: -1},
		"too much":              {Extra: []byte("extra")},
		"too much by far":       {Extra: make([]byte, 3<<20)},
		"silence":               {Cut: 1000, Stall: true},
		"stall before the data": {Cut: -1, Stall: true},
		"refused":               {Cut: -1, Reply: "451 disk error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newSetup(t, size)
			if fault.Stall {
				x.src.Timeout = lab.Silence
			}
			x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
				f := fault
				if f.Cut > 0 && tr.Offset > 0 {
					f.Cut = -1 // no progress
				}
				return f
			})
			_, err := x.blind(t.Context())
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			x.empty(t)
		})
	}
}

func TestIgnoredRESTIsNoticed(t *testing.T) {
	x := newSetup(t, size)
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		f := fetchtest.Fault{IgnoreREST: true}
		if tr.N == 1 {
			f.Cut = size / 2
		}
		return f
	})
	it, err := x.blind(t.Context())
	x.good(t, it, err)
}

// A file that repeats itself matches at every offset: only the number of bytes
// shows that the server ignored the offset.
func TestIgnoredRESTIsNoticedInRepetitiveFiles(t *testing.T) {
	x := newSetup(t, size)
	x.data = make([]byte, size)
	x.s.Put(lab.SetupPath, x.data, lab.Released)
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		f := fetchtest.Fault{IgnoreREST: true}
		if tr.N == 1 {
			f.Cut = size / 2
		}
		return f
	})
	it, err := x.blind(t.Context())
	x.good(t, it, err)
}

func TestNoConfirmationOfTheEnd(t *testing.T) {
	for name, fault := range map[string]fetchtest.Fault{
		"426 after everything": {Reply: "426 broken"},
		"dropped":              {Drop: true},
		"silence":              {Stall: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newSetup(t, size)
			if fault.Stall {
				x.src.Timeout = lab.Silence
			}
			x.s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return fault })
			_, err := x.blind(t.Context())
			require.ErrorIs(t, err, fetch.ErrUnreachable, "nothing shows that it is whole")
			x.empty(t)
			it, err := x.fetch(t.Context())
			x.good(t, it, err)
		})
		t.Run(name+" once", func(t *testing.T) {
			t.Parallel()
			x := newSetup(t, size)
			if fault.Stall {
				x.src.Timeout = lab.Silence
			}
			x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
				if tr.N == 1 {
					return fault
				}
				return fetchtest.Fault{}
			})
			it, err := x.blind(t.Context())
			x.good(t, it, err)
			require.LessOrEqual(t, x.s.Sent(), int64(size+64<<10))
		})
	}
}

func TestAFileThatChangesInMidDownload(t *testing.T) {
	other := lab.Payload(size + 1)
	for name, change := range map[string]func(x *setup){
		"its size":              func(x *setup) { x.s.Put(lab.SetupPath, other, lab.Released) },
		"its time":              func(x *setup) { x.s.Put(lab.SetupPath, other[:size], lab.Released.Add(time.Hour)) },
		"it grows while read":   func(x *setup) { x.s.Put(lab.SetupPath, append(x.data[:size:size], 1), lab.Released) },
		"it vanishes":           func(x *setup) { x.s.Remove(lab.SetupPath) },
		"same bytes, new time":  func(x *setup) { x.s.Put(lab.SetupPath, x.data, lab.Released.Add(time.Hour)) },
		"replaced by a version": func(x *setup) { x.s.Remove(lab.SetupPath); x.s.Put("/asp/7.12.200/Setup.exe", other, lab.Released) },
	} {
		for _, cut := range []int64{0, size / 100, size / 2, size * 99 / 100} {
			t.Run(fmt.Sprintf("%s, cut at %d", name, cut), func(t *testing.T) {
				x := newSetup(t, size)
				x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
					if tr.N > 1 {
						return fetchtest.Fault{}
					}
					return fetchtest.Fault{Cut: cut, After: func() { change(x) }}
				})
				_, err := x.blind(t.Context())
				require.ErrorIs(t, err, fetch.ErrChanged)
				x.empty(t)
			})
		}
	}
}

// It shrinks between the question for its size and the next transfer. Some
// servers send nothing then, some refuse the offset.
func TestAFileThatShrinksBelowTheOffset(t *testing.T) {
	for _, refused := range []string{"", "RETR", "REST"} {
		t.Run("refused at "+refused, func(t *testing.T) {
			x := newSetup(t, size)
			shrunk := false
			x.s.OnCommand(func(verb, _ string) string {
				if verb == "REST" {
					shrunk = true
					x.s.Put(lab.SetupPath, x.data[:1000], lab.Released)
				}
				if shrunk && verb == refused {
					return "554 Restart offset is too large for file size"
				}
				return ""
			})
			x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
				if tr.N == 1 {
					return fetchtest.Fault{Cut: size / 2, Reply: "426 broken"}
				}
				return fetchtest.Fault{}
			})
			_, err := x.blind(t.Context())
			require.ErrorIs(t, err, fetch.ErrChanged)
			x.empty(t)
		})
	}
}

// Whatever gave up, the error says whether to try later.
func TestWhatIsTemporaryIsMarked(t *testing.T) {
	for name, last := range map[string]string{"the transfers": "", "the source": "421 going down"} {
		t.Run(name, func(t *testing.T) {
			x := newSetup(t, size)
			x.s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return fetchtest.Fault{Cut: -1, Drop: true} })
			var asked atomic.Int32
			x.s.OnCommand(func(verb, _ string) string {
				if verb == "RETR" && asked.Add(1) > 1 {
					return last
				}
				return ""
			})
			_, err := x.blind(t.Context())
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			e, ok := errors.AsType[*fetch.Error](err)
			require.True(t, ok)
			require.True(t, e.Temporary)
			if last != "" {
				require.Equal(t, 421, e.Code)
				require.LessOrEqual(t, int(asked.Load()), 2+lab.Soon.Attempts, "what the source gave up is not tried again")
			}
		})
	}
}

func TestAReleaseThatChangedSinceItWasFound(t *testing.T) {
	x := newSetup(t, size)
	x.s.Put(lab.SetupPath, x.data[:size-1], lab.Released)
	_, err := x.fetch(t.Context())
	require.ErrorIs(t, err, fetch.ErrChanged)
	require.Zero(t, x.s.Transfers())
	x.s.Remove(lab.SetupPath)
	_, err = x.fetch(t.Context())
	require.ErrorIs(t, err, fetch.ErrNotFound)
}

// stop cancels the download once half of the file is there.
func stop(t *testing.T, x *setup) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	x.s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault {
		return fetchtest.Fault{Cut: size / 2, Stall: true, After: func() { time.AfterFunc(50*time.Millisecond, cancel) }}
	})
	_, err := x.blind(ctx)
	require.ErrorIs(t, err, context.Canceled)
	x.empty(t)
	lab.NoneLeft(t, x.s)
	x.s.OnTransfer(nil)
}

func TestALaterCallGoesOnWhereTheLastOneStopped(t *testing.T) {
	x := newSetup(t, size)
	stop(t, x)
	before := x.s.Sent()
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	require.NotEmpty(t, x.events.of(archive.EventResumed))
	require.LessOrEqual(t, x.s.Sent()-before, int64(size/2+64<<10))
}

func TestAPartialFileOfAnotherReleaseIsNotGoneOnWith(t *testing.T) {
	for name, other := range map[string]struct {
		data []byte
		mod  time.Time
	}{
		"other time": {lab.Payload(size), lab.Released.Add(time.Hour)},
		"other size": {lab.Payload(size + 5), lab.Released},
	} {
		t.Run(name, func(t *testing.T) {
			x := newSetup(t, size)
			stop(t, x)
			x.data = other.data
			x.s.Put(lab.SetupPath, x.data, other.mod)
			x.rel = lab.Latest(t, x.src)
			it, err := x.blind(t.Context())
			x.good(t, it, err)
			require.Empty(t, x.events.of(archive.EventResumed))
		})
	}
}

// Size and time can stay while the bytes change: the overlap shows it.
func TestAPartialFileThatDoesNotFitIsStartedAgain(t *testing.T) {
	x := newSetup(t, size)
	stop(t, x)
	x.data = bytes.Repeat([]byte("other"), size/5)
	x.s.Put(lab.SetupPath, x.data, lab.Released)
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	require.NotEmpty(t, x.events.of(archive.EventRestarted))
}

func TestADamagedPartialFileIsNotGoneOnWith(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, payload, journal string){
		"a hole":               func(t *testing.T, p, _ string) { patch(t, p, 10) },
		"a torn journal":       func(t *testing.T, _, j string) { require.NoError(t, os.Truncate(j, 20)) },
		"shorter than it says": func(t *testing.T, p, _ string) { require.NoError(t, os.Truncate(p, 1000)) },
		"no journal":           func(t *testing.T, _, j string) { require.NoError(t, os.Remove(j)) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newSetup(t, size)
			stop(t, x)
			dir := filepath.Join(x.archive.Dir, "asp", "7.12.100", ".partial-Setup")
			damage(t, filepath.Join(dir, "data", "payload"), filepath.Join(dir, "journal.json"))
			it, err := x.blind(t.Context())
			x.good(t, it, err)
		})
	}
}

// patch changes one byte of a file.
func patch(t *testing.T, name string, at int64) {
	t.Helper()
	require.NoError(t, os.Chmod(name, 0o600))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	require.NoError(t, err)
	b[0]++
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestAnEmptyFileIsNoInstaller(t *testing.T) {
	x := newSetup(t, size)
	x.s.Put(lab.SetupPath, nil, lab.Released)
	found, err := fetch.Finder{}.Find(t.Context(), x.src, "asp")
	require.NoError(t, err)
	require.Empty(t, found.Releases, "an upload has begun, perhaps")
	x.rel.Files[0].Size = 0
	_, err = x.blind(t.Context())
	require.ErrorContains(t, err, "empty")
	x.empty(t)
}

// A source without Stat, and without anything that this package knows.
type plain struct{ fetch.Source }

func TestAnySourceWillDo(t *testing.T) {
	x := newSetup(t, size)
	it, err := x.archive.Fetch(t.Context(), plain{x.src}, x.rel, version.Setup, archive.PinnedSHA256(lab.Sum(x.data)))
	x.good(t, it, err)
	require.Equal(t, lab.SetupPath, it.Source)
}
