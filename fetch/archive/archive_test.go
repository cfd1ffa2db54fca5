package archive_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
)

func setupKey() archive.Key {
	return archive.Key{Distribution: "asp", Version: version.MustParse("7.12.100"), Variant: version.Setup}
}

func TestR10WhatIsArchived(t *testing.T) {
	x := newSetup(t, size)
	x.archive.WithClock(func() time.Time { return lab.Now })
	it, err := x.fetch(t.Context())
	x.good(t, it, err)
	require.Equal(t, "Setup.exe", filepath.Base(it.Path))
	require.True(t, filepath.IsAbs(it.Path))
	require.False(t, it.Reused)
	require.Equal(t, archive.Vouched{By: "pinned SHA-256", Authenticated: true}, it.Vouched)
	require.Equal(t, "ftp://"+x.s.Addr+lab.SetupPath, it.Source)
	require.True(t, it.Archived.Equal(lab.Now))
	require.True(t, it.Modified.Equal(lab.Released))
	got, err := x.archive.Get(setupKey())
	require.NoError(t, err)
	require.Equal(t, it, got)
	all, err := x.archive.List()
	require.NoError(t, err)
	require.Equal(t, []archive.Item{it}, all)

	if runtime.GOOS != "windows" {
		fi, err := os.Stat(it.Path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o500), fi.Mode().Perm())
		fi, err = os.Stat(x.archive.Dir)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), fi.Mode().Perm())
	}
	left, err := filepath.Glob(filepath.Join(x.archive.Dir, "asp", "7.12.100", "*"))
	require.NoError(t, err)
	require.Len(t, left, 1, "no partial file stays")
}

// perVariant vouches for each variant by another verifier.
func perVariant(by map[version.Variant]archive.Verifier) archive.Verifier {
	return archive.VerifierFunc(func(ctx context.Context, c archive.Candidate) (archive.Vouched, error) {
		return by[c.Variant].Verify(ctx, c)
	})
}

func TestR10SetupIsArchivedWithEveryFullSetup(t *testing.T) {
	x := newSetup(t, size)
	x.s.Put("/asp/7.12.100/FullSetup.exe", []byte("full"), lab.Released)
	x.rel = lab.Latest(t, x.src)
	verify := perVariant(map[version.Variant]archive.Verifier{
		version.Setup: archive.PinnedSHA256(lab.Sum(x.data)), version.FullSetup: archive.PinnedSHA256(lab.Sum([]byte("full"))),
	})
	full, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.FullSetup, verify)
	require.NoError(t, err)
	require.Equal(t, version.FullSetup, full.Variant)
	it, err := x.archive.Get(setupKey())
	x.good(t, it, err)

	// And never without.
	y := newSetup(t, size)
	y.s.Put("/asp/7.12.100/FullSetup.exe", []byte("full"), lab.Released)
	y.rel = lab.Latest(t, y.src)
	_, err = y.archive.Fetch(t.Context(), y.src, y.rel, version.FullSetup, archive.PinnedSHA256(lab.Sum([]byte("full"))))
	require.ErrorIs(t, err, archive.ErrMismatch)
	y.empty(t)
	y.rel.Files = y.rel.Files[1:]
	_, err = y.archive.Fetch(t.Context(), y.src, y.rel, version.FullSetup, archive.Unauthenticated("a test"))
	require.ErrorIs(t, err, fetch.ErrNotFound)
	require.ErrorContains(t, err, "no Setup")
}

func TestWhatIsArchivedIsNotDownloadedAgain(t *testing.T) {
	x := newSetup(t, size)
	first, err := x.blind(t.Context())
	x.good(t, first, err)
	before := x.s.Transfers()
	again, err := x.blind(t.Context())
	x.good(t, again, err)
	require.True(t, again.Reused)
	require.Equal(t, before, x.s.Transfers(), "no payload byte moved")
	require.Len(t, x.events.of(archive.EventReused), 1)

	// Somebody vouches for it later: the archive remembers the better word.
	again, err = x.fetch(t.Context())
	x.good(t, again, err)
	require.True(t, again.Vouched.Authenticated)
	again, err = x.blind(t.Context())
	x.good(t, again, err)
	got, err := x.archive.Get(setupKey())
	require.NoError(t, err)
	require.True(t, got.Vouched.Authenticated)
}

func TestADamagedItemIsFetchedAgainAndKeptAside(t *testing.T) {
	x := newSetup(t, size)
	it, err := x.fetch(t.Context())
	x.good(t, it, err)
	patch(t, it.Path, 7)
	require.ErrorIs(t, x.archive.Verify(t.Context(), it), archive.ErrMismatch)
	it, err = x.fetch(t.Context())
	x.good(t, it, err)
	require.False(t, it.Reused)
	reported := x.events.of("damaged")
	require.Len(t, reported, 1)
	require.FileExists(t, filepath.Join(reported[0].Path, "Setup.exe"), "the damaged one is evidence")
}

func TestR13ARereleaseIsKeptBeside(t *testing.T) {
	x := newSetup(t, size)
	first, err := x.blind(t.Context())
	x.good(t, first, err)
	x.data = lab.Payload(size + 1)
	x.s.Put(lab.SetupPath, x.data, lab.Released.Add(24*time.Hour))
	x.rel = lab.Latest(t, x.src)
	x.archive.WithClock(func() time.Time { return time.Now().Add(time.Second) })
	second, err := x.blind(t.Context())
	x.good(t, second, err)
	require.NotEqual(t, first.Path, second.Path)
	require.Equal(t, []string{first.SHA256}, second.Others)
	require.Len(t, x.events.of("rerelease"), 1)
	require.NoError(t, x.archive.Verify(t.Context(), first), "the first is untouched")

	got, err := x.archive.Get(setupKey())
	require.NoError(t, err)
	require.Equal(t, second.SHA256, got.SHA256, "the one archived last")
	k := setupKey()
	k.SHA256 = first.SHA256
	got, err = x.archive.Get(k)
	require.NoError(t, err)
	require.Equal(t, first.Path, got.Path)
	all, err := x.archive.List()
	require.NoError(t, err)
	require.Len(t, all, 2)
}

func TestNothingIsPublishedBeforeItIsVouchedFor(t *testing.T) {
	boom := errors.New("the signature service is down")
	for name, c := range map[string]struct {
		verify archive.Verifier
		reason error
		text   string
		moved  bool
	}{
		"another hash": {archive.PinnedSHA256(strings.Repeat("0", 64)), archive.ErrMismatch, "pinned SHA-256 0000", true},
		"no hash":      {archive.PinnedSHA256("abc"), nil, "64 hexadecimal digits", false},
		"no reason":    {archive.Unauthenticated(" "), nil, "reason", false},
		"no verifier":  {nil, nil, "nothing vouches", false},
		"undecided":    {archive.VerifierFunc(func(context.Context, archive.Candidate) (archive.Vouched, error) { return archive.Vouched{}, boom }), boom, "", true},
		"no sidecar":   {archive.Sidecar(&ftp.Source{}), nil, "write host or host:port", true},
	} {
		t.Run(name, func(t *testing.T) {
			x := newSetup(t, size)
			_, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, c.verify)
			require.ErrorContains(t, err, c.text)
			if c.reason != nil {
				require.ErrorIs(t, err, c.reason)
			}
			require.Equal(t, c.moved, x.s.Sent() > 0)
			x.empty(t)
		})
	}
}

func TestTheVerifierSeesTheFile(t *testing.T) {
	x := newSetup(t, size)
	var seen archive.Candidate
	verify := archive.VerifierFunc(func(_ context.Context, c archive.Candidate) (archive.Vouched, error) {
		seen = c
		b, err := os.ReadFile(c.Path)
		require.NoError(t, err)
		require.Equal(t, lab.Sum(x.data), lab.Sum(b))
		return archive.Vouched{By: "publisher", Authenticated: true}, nil
	})
	it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, verify)
	x.good(t, it, err)
	require.Equal(t, "Setup.exe", seen.Name)
	require.Equal(t, lab.SetupPath, seen.Remote)
	require.Equal(t, it.SHA256, seen.SHA256)
}

func TestSidecar(t *testing.T) {
	for text, ok := range map[string]bool{
		"%s  Setup.exe\n": true, "%s *setup.exe\r\n": true, "%s": true, "\ufeff%s  ./Setup.exe": true, "%s  Other.exe\n": false, "": false, "nonsense": false,
	} {
		x := newSetup(t, size)
		x.s.Put(lab.SetupPath+".sha256", []byte(strings.ReplaceAll(text, "%s", lab.Sum(x.data))), lab.Released)
		x.rel = lab.Latest(t, x.src)
		require.Equal(t, lab.SetupPath+".sha256", x.rel.Files[0].Sidecar)
		it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.Sidecar(x.src))
		if !ok {
			require.ErrorContains(t, err, "no SHA-256 of Setup.exe", "%q", text)
			continue
		}
		x.good(t, it, err)
		require.False(t, it.Vouched.Authenticated)
	}
	x := newSetup(t, size)
	x.s.Put(lab.SetupPath+".sha256", []byte(strings.Repeat("a", 64)), lab.Released)
	_, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.Sidecar(x.src))
	require.ErrorIs(t, err, archive.ErrMismatch)
}

func TestUnauthenticatedIsWrittenDown(t *testing.T) {
	x := newSetup(t, size)
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(it.Path), "manifest.json"))
	require.NoError(t, err)
	require.Contains(t, string(b), "unauthenticated: a test")
	require.Contains(t, string(b), `"authenticated": false`)
}

func TestImport(t *testing.T) {
	dir := t.TempDir()
	store := &archive.Archive{Settle: -1, Dir: filepath.Join(dir, "archive")}
	data := lab.Payload(1000)
	file := filepath.Join(dir, "Setup from support.msi")
	require.NoError(t, os.WriteFile(file, data, 0o600))

	full := setupKey()
	full.Variant = version.FullSetup
	_, err := store.Import(t.Context(), file, full, archive.Unauthenticated("from support"))
	require.ErrorIs(t, err, archive.ErrNotFound)
	require.ErrorContains(t, err, "import the Setup of the same version first")

	it, err := store.Import(t.Context(), file, setupKey(), archive.PinnedSHA256(lab.Sum(data)))
	require.NoError(t, err)
	require.Equal(t, "Setup from support.msi", filepath.Base(it.Path))
	require.NoError(t, store.Verify(t.Context(), it))
	require.FileExists(t, file)
	again, err := store.Import(t.Context(), file, setupKey(), archive.PinnedSHA256(lab.Sum(data)))
	require.NoError(t, err)
	require.Equal(t, it.Path, again.Path)
	_, err = store.Import(t.Context(), file, full, archive.Unauthenticated("from support"))
	require.NoError(t, err)

	k := setupKey()
	k.SHA256 = strings.Repeat("0", 64)
	_, err = store.Import(t.Context(), file, k, archive.Unauthenticated("from support"))
	require.ErrorIs(t, err, archive.ErrMismatch)
	for _, bad := range []string{"manifest.json", "no such file", "empty"} {
		path := filepath.Join(dir, bad)
		switch bad {
		case "manifest.json":
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		case "empty":
			require.NoError(t, os.Mkdir(path, 0o700))
		}
		_, err = store.Import(t.Context(), path, setupKey(), archive.Unauthenticated("x"))
		require.Error(t, err, bad)
	}
	for _, key := range []archive.Key{{}, {Distribution: "../x", Version: k.Version, Variant: version.Setup}, {Distribution: "asp", Variant: version.Setup}, {Distribution: "asp", Version: k.Version}} {
		_, err = store.Import(t.Context(), file, key, archive.Unauthenticated("x"))
		require.Error(t, err)
	}
	items, err := store.List()
	require.NoError(t, err)
	require.Len(t, items, 2)
}

func TestR10AVersionThatIsNotThere(t *testing.T) {
	_, err := (&archive.Archive{Settle: -1, Dir: t.TempDir()}).Get(setupKey())
	require.ErrorIs(t, err, archive.ErrNotFound)
	require.ErrorContains(t, err, "ask the vendor's support for Setup of asp, version 7.12.100")
}

// What cannot be read may be there: the error does not send people to the support.
func TestR10AVersionThatCannotBeReadIsNotMissing(t *testing.T) {
	x := newSetup(t, 100)
	it, err := x.fetch(t.Context())
	x.good(t, it, err)
	manifest := filepath.Join(filepath.Dir(it.Path), "manifest.json")
	b, err := os.ReadFile(manifest)
	require.NoError(t, err)
	newer := bytes.Replace(b, []byte(`"format": 1`), []byte(`"format": 2`), 1)
	require.NoError(t, os.WriteFile(manifest, newer, 0o600))
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct{ dir, want string }{
		{x.archive.Dir, "newer than this program"}, {file, "not a directory"}, {"", "set Archive.Dir"},
	} {
		_, err := (&archive.Archive{Settle: -1, Dir: c.dir}).Get(setupKey())
		require.NotErrorIs(t, err, archive.ErrNotFound)
		require.NotContains(t, err.Error(), "support")
		require.ErrorContains(t, err, c.want)
	}
	require.NoError(t, os.WriteFile(manifest, b[:10], 0o600))
	_, err = x.archive.Get(setupKey())
	require.ErrorIs(t, err, archive.ErrNotFound, "it is damaged, and to be got again")
	require.ErrorContains(t, err, "ask the vendor's support")
}

func TestListReportsWhatItCannotRead(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, item string){
		"torn manifest": func(t *testing.T, item string) {
			require.NoError(t, os.Truncate(filepath.Join(item, "manifest.json"), 30))
		},
		"no manifest":       func(t *testing.T, item string) { require.NoError(t, os.Remove(filepath.Join(item, "manifest.json"))) },
		"no installer":      func(t *testing.T, item string) { require.NoError(t, os.Remove(filepath.Join(item, "Setup.exe"))) },
		"newer format":      func(t *testing.T, item string) { edit(t, item, `"format": 1`, `"format": 2`) },
		"escaping name":     func(t *testing.T, item string) { edit(t, item, `"Setup.exe"`, `"../Setup.exe"`) },
		"other version":     func(t *testing.T, item string) { edit(t, item, `7.12.100",`, `7.12.200",`) },
		"wrong size":        func(t *testing.T, item string) { edit(t, item, `"size": 300000`, `"size": 300001`) },
		"a directory moved": func(t *testing.T, item string) { require.NoError(t, os.Rename(item, item+"x")) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newSetup(t, size)
			x.s.Put("/other/7.12.100/Setup.exe", []byte("x"), lab.Released)
			rel, err := fetch.Finder{}.Latest(t.Context(), x.src, "other", version.Setup)
			require.NoError(t, err)
			_, err = x.archive.Fetch(t.Context(), x.src, rel, version.Setup, archive.Unauthenticated("a test"))
			require.NoError(t, err)
			it, err := x.fetch(t.Context())
			x.good(t, it, err)
			damage(t, filepath.Dir(it.Path))
			items, err := x.archive.List()
			require.Error(t, err)
			require.Len(t, items, 1, "the others are listed all the same")
			_, err = x.archive.Get(setupKey())
			require.Equal(t, name != "newer format", errors.Is(err, archive.ErrNotFound), "%v", err)
		})
	}
}

func edit(t *testing.T, item, from, to string) {
	t.Helper()
	name := filepath.Join(item, "manifest.json")
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Contains(t, string(b), from)
	require.NoError(t, os.WriteFile(name, []byte(strings.Replace(string(b), from, to, 1)), 0o600))
}

// Several writers of one archive wait for one another, and one download
// serves them all.
func TestWritersWaitForOneAnother(t *testing.T) {
	t.Parallel()
	x := newSetup(t, size)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			it, err := x.blind(context.Background())
			if err != nil || it.SHA256 != lab.Sum(x.data) {
				t.Errorf("%v, %v", it, err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, x.s.Transfers())
	x.s.OnTransfer(func(fetchtest.Transfer) fetchtest.Fault { return fetchtest.Fault{Cut: 1, Stall: true} })
	x.s.Put(lab.SetupPath, lab.Payload(10), lab.Released)
	ctx, cancel := context.WithCancel(t.Context())
	x.rel = lab.Latest(t, x.src)
	done := make(chan error)
	go func() { _, err := x.blind(ctx); done <- err }()
	require.Eventually(t, func() bool { return x.s.Transfers() == 2 }, 5*time.Second, time.Millisecond)
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err := x.blind(short)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// A crash between sealing and publishing leaves an installer under its name.
func TestWhatACrashLeftIsNotPublished(t *testing.T) {
	x := newSetup(t, size)
	data := filepath.Join(x.archive.Dir, "asp", "7.12.100", ".partial-Setup", "data")
	require.NoError(t, os.MkdirAll(filepath.Join(data, "dir", "deep"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "Setup.msi"), []byte("old"), 0o500))
	require.NoError(t, os.WriteFile(filepath.Join(data, "manifest.json"), []byte("{}"), 0o600))
	it, err := x.fetch(t.Context())
	x.good(t, it, err)
	entries, err := os.ReadDir(filepath.Dir(it.Path))
	require.NoError(t, err)
	require.Len(t, entries, 2)
}

// A link in the archive is not followed.
func TestLinksInTheArchiveAreNotFollowed(t *testing.T) {
	x := newSetup(t, size)
	outside := t.TempDir()
	data := filepath.Join(x.archive.Dir, "asp", "7.12.100", ".partial-Setup", "data")
	require.NoError(t, os.MkdirAll(data, 0o700))
	victim := filepath.Join(outside, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("precious"), 0o600))
	if err := os.Symlink(victim, filepath.Join(data, "payload")); err != nil {
		realtest.Skip(t, "links: %v", err)
	}
	it, err := x.fetch(t.Context())
	x.good(t, it, err)
	b, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "precious", string(b))
}
