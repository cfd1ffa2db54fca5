package archive_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/fetch/watch"
	"github.com/aspupdate/aspupdate/version"
)

// treeFiles is a variant that is a directory.
func treeFiles() map[string][]byte {
	return map[string][]byte{
		"setup.exe":            lab.Payload(50_000),
		"data/base.cab":        lab.Payload(300_001),
		"data/deep/empty.ini":  {},
		"Читай меня.txt":       []byte("кириллица"),
		"data/leftover.tmp":    []byte("the vendor's own"),
		"data/deep/x/y/z.html": []byte("<html>"),
	}
}

// hashTree is the hash of a directory, made by hand.
func hashTree(files map[string][]byte) string {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		lines.WriteString(lab.Sum(files[name]) + "  " + name + "\n")
	}
	return lab.Sum([]byte(lines.String()))
}

type treeSetup struct {
	*setup
	files map[string][]byte
}

const treePath = "/asp/7.12.100/Setup"

func newTree(t *testing.T) treeSetup {
	t.Helper()
	s := fetchtest.New(t)
	x := treeSetup{&setup{s: s, src: lab.Client(s), events: &events{}}, treeFiles()}
	for name, data := range x.files {
		s.Put(treePath+"/"+name, data, lab.Released)
	}
	x.archive = &archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon, Observe: x.events.Observe}
	x.rel = lab.Latest(t, x.src)
	return x
}

// good asserts that the item is the whole directory, and nothing but it.
func (x treeSetup) good(t *testing.T, it archive.Item, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, hashTree(x.files), it.SHA256)
	got := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(it.Path, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(it.Path, name)
		require.NoError(t, err)
		got[filepath.ToSlash(rel)], err = os.ReadFile(name)
		return err
	}))
	require.Equal(t, slices.Sorted(maps.Keys(x.files)), slices.Sorted(maps.Keys(got)))
	for name := range got {
		require.Equal(t, lab.Sum(x.files[name]), lab.Sum(got[name]), name)
	}
	require.NoError(t, x.archive.Verify(t.Context(), it))
	again, err := x.archive.Get(setupKey())
	require.NoError(t, err)
	require.Equal(t, it.Parts, again.Parts)
}

func TestR3AVariantThatIsADirectory(t *testing.T) {
	x := newTree(t)
	f, ok := x.rel.File(version.Setup)
	require.True(t, ok)
	require.Equal(t, treePath, f.Path)
	require.Len(t, f.Parts, len(x.files))
	total := 0
	for _, data := range x.files {
		total += len(data)
	}
	require.EqualValues(t, total, f.Size)
	require.True(t, f.Time.Equal(lab.Released))

	x.data = nil
	it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.PinnedSHA256(hashTree(x.files)))
	x.good(t, it, err)
	require.Equal(t, "Setup", filepath.Base(it.Path))
	require.EqualValues(t, total, it.Size)
	reported := x.events.of(archive.EventProgress)
	require.EqualValues(t, total, reported[len(reported)-1].Done)

	entry, err := it.Entry("data/base.cab")
	require.NoError(t, err)
	require.FileExists(t, entry)
	for _, bad := range []string{"", "nothing.exe", "../manifest.json", "data"} {
		_, err := it.Entry(bad)
		require.Error(t, err, bad)
	}

	before := x.s.Sent()
	again, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.PinnedSHA256(hashTree(x.files)))
	x.good(t, again, err)
	require.True(t, again.Reused)
	require.Equal(t, before, x.s.Sent(), "a rerun moves no payload bytes")
}

func TestADirectoryIsResumedFileByFile(t *testing.T) {
	x := newTree(t)
	ctx, cancel := context.WithCancel(t.Context())
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		if strings.HasSuffix(tr.Path, "setup.exe") {
			return fetchtest.Fault{Cut: 20_000, Stall: true, After: func() { time.AfterFunc(50*time.Millisecond, cancel) }}
		}
		return fetchtest.Fault{}
	})
	_, err := x.blind(ctx)
	require.ErrorIs(t, err, context.Canceled)
	x.empty(t)
	lab.NoneLeft(t, x.s)

	x.s.OnTransfer(nil)
	before := x.s.Sent()
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	require.LessOrEqual(t, x.s.Sent()-before, int64(50_000+1000), "what was whole is not asked for again")
	require.NotEmpty(t, x.events.of(archive.EventResumed))
}

func TestFaultsInADirectoryAreHealed(t *testing.T) {
	x := newTree(t)
	n := 0
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
		n++
		return []fetchtest.Fault{{}, {Cut: 100}, {Reset: true, Cut: 7}, {Drop: true, Cut: 1000}, {}}[n%5]
	})
	it, err := x.blind(t.Context())
	x.good(t, it, err)
}

func TestADirectoryThatChangesInMidDownload(t *testing.T) {
	for name, change := range map[string]func(x treeSetup){
		"a file is added": func(x treeSetup) { x.s.Put(treePath+"/late.dll", []byte("x"), lab.Released) },
		"a file that came is new": func(x treeSetup) {
			x.s.Put(treePath+"/data/base.cab", lab.Payload(300_001), lab.Released.Add(time.Hour))
		},
		"a file is gone": func(x treeSetup) { x.s.Remove(treePath + "/Читай меня.txt") },
		"all is gone": func(x treeSetup) {
			for name := range x.files {
				x.s.Remove(treePath + "/" + name)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTree(t)
			x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault {
				if strings.HasSuffix(tr.Path, "setup.exe") {
					return fetchtest.Fault{After: func() { change(x) }}
				}
				return fetchtest.Fault{}
			})
			_, err := x.blind(t.Context())
			require.ErrorIs(t, err, fetch.ErrChanged)
			x.empty(t)
		})
	}
	x := newTree(t)
	x.s.Put(treePath+"/late.dll", []byte("x"), lab.Released)
	_, err := x.blind(t.Context())
	require.ErrorIs(t, err, fetch.ErrChanged, "since it was found")
	require.Zero(t, x.s.Transfers())
}

func TestADirectoryInTheArchiveThatWasTouched(t *testing.T) {
	x := newTree(t)
	it, err := x.blind(t.Context())
	x.good(t, it, err)
	planted := filepath.Join(it.Path, "version.dll")
	require.NoError(t, os.WriteFile(planted, []byte("evil"), 0o600))
	require.ErrorIs(t, x.archive.Verify(t.Context(), it), archive.ErrMismatch, "a file that was put there later would be loaded by the installer")
	require.NoError(t, os.Remove(planted))
	require.NoError(t, x.archive.Verify(t.Context(), it))
	patch(t, filepath.Join(it.Path, "data", "base.cab"), 1)
	require.ErrorIs(t, x.archive.Verify(t.Context(), it), archive.ErrMismatch)

	it, err = x.blind(t.Context())
	x.good(t, it, err)
	require.NotEmpty(t, x.events.of("damaged"))

	require.NoError(t, os.Remove(filepath.Join(it.Path, "setup.exe")))
	_, err = x.archive.Get(setupKey())
	require.ErrorIs(t, err, archive.ErrNotFound)
}

func TestImportOfADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "from support")
	files := treeFiles()
	for name, data := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o700))
		require.NoError(t, os.WriteFile(full, data, 0o600))
	}
	x := treeSetup{&setup{archive: &archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive")}}, files}
	it, err := x.archive.Import(t.Context(), dir, setupKey(), archive.PinnedSHA256(hashTree(files)))
	x.good(t, it, err)
	_, err = (&archive.Archive{Settle: -1, Dir: filepath.Join(dir, "archive")}).Import(t.Context(), dir, setupKey(), archive.Unauthenticated("x"))
	require.ErrorContains(t, err, "the archive itself is in this directory")
}

// A version may be a directory one time and a file the next.
func TestTheShapeOfAVariantMayChange(t *testing.T) {
	x := newTree(t)
	x.s.OnTransfer(func(tr fetchtest.Transfer) fetchtest.Fault { return fetchtest.Fault{Cut: -1, Drop: true} })
	_, err := x.blind(t.Context())
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	x.s.OnTransfer(nil)
	for name := range x.files {
		x.s.Remove(treePath + "/" + name)
	}
	x.data = lab.Payload(size)
	x.s.Put(lab.SetupPath, x.data, lab.Released)
	x.rel = lab.Latest(t, x.src)
	it, err := x.blind(t.Context())
	x.setup.good(t, it, err)
}

func TestNamesInCP1251(t *testing.T) {
	const dist, file = "\xce\xef\xe5\xea\xe0", "\xd7\xe8\xf2\xe0\xe9" // Опека, Читай
	s := fetchtest.New(t)
	x := treeSetup{&setup{s: s, src: lab.Client(s), events: &events{}}, map[string][]byte{"Читай": []byte("x"), "setup.exe": lab.Payload(1000)}}
	s.Put("/"+dist+"/7.12.100/Setup/"+file, x.files["Читай"], lab.Released)
	s.Put("/"+dist+"/7.12.100/Setup/setup.exe", x.files["setup.exe"], lab.Released)
	rel, err := fetch.Finder{}.Latest(t.Context(), x.src, "Опека", version.Setup)
	require.NoError(t, err)
	require.Equal(t, "Опека", rel.Distribution)
	store := &archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive"), Retry: lab.Soon}
	it, err := store.Fetch(t.Context(), x.src, rel, version.Setup, archive.PinnedSHA256(hashTree(x.files)))
	require.NoError(t, err)
	require.Equal(t, hashTree(x.files), it.SHA256)
	require.Equal(t, "Читай", it.Parts[1].Path)
	require.Contains(t, s.Commands(), "RETR /"+dist+"/7.12.100/Setup/"+file, "the server gets its own bytes back")
	again, err := store.Fetch(t.Context(), x.src, rel, version.Setup, archive.PinnedSHA256(hashTree(x.files)))
	require.NoError(t, err)
	require.True(t, again.Reused)

	_, err = fetch.Finder{}.Latest(t.Context(), x.src, "Опечатка", version.Setup)
	require.ErrorIs(t, err, fetch.ErrUnknownDistribution)
	require.ErrorContains(t, err, "the server has Опека")
}

func TestRateIsKept(t *testing.T) {
	x := newSetup(t, size)
	x.archive.Rate = 4 * size
	began := time.Now()
	it, err := x.fetch(t.Context())
	x.good(t, it, err)
	// The first eighth of a second is free.
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	x.archive = &archive.Archive{Settle: -1, Dir: t.TempDir(), Rate: 100}
	_, err = x.fetch(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	lab.NoneLeft(t, x.s)
}

func TestSidecarOfADirectory(t *testing.T) {
	lines := func(prefix string, files map[string][]byte) (text string) {
		for name, data := range files {
			text += lab.Sum(data) + " *" + prefix + name + "\n"
		}
		return text
	}
	x := newTree(t)
	short, wrong := treeFiles(), treeFiles()
	delete(short, "setup.exe")
	wrong["setup.exe"] = []byte("other")
	for _, c := range []struct {
		text string
		want string // in the error; empty: none
	}{
		{lines("", x.files), ""},
		{lines("./", x.files), ""},
		{lines("Setup/", x.files), ""},
		{hashTree(x.files), ""},
		{lines("", short), "no SHA-256"},
		{lines("", wrong), "file is not the one that was vouched for"},
		{hashTree(short), "file is not the one that was vouched for"},
		{"", "no SHA-256"},
	} {
		x.s.Put(treePath+".sha256", []byte(c.text), lab.Released)
		x.archive.Dir = t.TempDir()
		it, err := x.archive.Fetch(t.Context(), x.src, x.rel, version.Setup, archive.Sidecar(x.src))
		if c.want == "" {
			x.good(t, it, err)
			continue
		}
		require.ErrorContains(t, err, c.want)
		x.empty(t)
	}
	rel := lab.Latest(t, x.src)
	require.Equal(t, treePath+".sha256", rel.Files[0].Sidecar)
	_, err := x.archive.Fetch(t.Context(), x.src, rel, version.Setup, archive.RemoteHash(x.src))
	require.ErrorContains(t, err, "no hash of a directory")
}

func TestR13AReReleaseOfADirectoryIsSeen(t *testing.T) {
	x := newTree(t)
	var seen []watch.Sighting
	w := &watch.Watch{Distributions: []string{"asp"}, File: filepath.Join(t.TempDir(), "seen"), Report: func(_ context.Context, s watch.Sighting) error {
		seen = append(seen, s)
		return nil
	}}
	for range 2 {
		require.NoError(t, w.Check(t.Context(), x.src))
		require.Len(t, seen, 1)
	}
	require.Len(t, seen[0].Files[0].Parts, len(x.files))
	x.s.Remove(treePath + "/setup.exe")
	x.s.Put(treePath+"/setup2.exe", x.files["setup.exe"], lab.Released)
	require.NoError(t, w.Check(t.Context(), x.src))
	require.Len(t, seen, 2)
	require.Equal(t, watch.Rereleased, seen[1].Kind)
}
