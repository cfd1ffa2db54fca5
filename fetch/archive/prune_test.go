package archive_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

func TestR10PruneRemovesWholeVersions(t *testing.T) {
	a, seen := aged(t, "7.01.100", "7.02.100", "7.03.100", "7.04.100")
	store(t, a, key("asp", "7.01.100", version.FullSetup), "full", lab.Now)
	store(t, a, key("asp", "7.02.100", version.FullSetup), "full", lab.Now.AddDate(0, 0, -30))
	store(t, a, key("asp", "7.02.100", version.Setup), "a re-release", lab.Now.AddDate(0, 0, -30))
	store(t, a, key("opeka", "7.01.100", version.Setup), "of another distribution", lab.Now.AddDate(0, 0, -99))
	partial := filepath.Join(a.Dir, "asp", "7.02.100", ".partial-FullSetup", "data")
	require.NoError(t, os.MkdirAll(partial, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(partial, "payload"), []byte("the start"), 0o600))
	before := contents(t, a.Dir)

	keep := archive.Retention{Newest: 2, Younger: 24 * time.Hour}
	plan, err := a.Prunable(keep, nothingInUse)
	require.NoError(t, err)
	require.Equal(t, before, contents(t, a.Dir), "a plan writes nothing")
	require.Equal(t, []string{"asp 7.02.100 Setup", "asp 7.02.100 Setup", "asp 7.02.100 FullSetup"}, sorted(numbers(plan)))

	gone, err := a.Prune(t.Context(), keep, nothingInUse)
	require.NoError(t, err)
	require.Equal(t, plan, gone)
	require.NoDirExists(t, filepath.Join(a.Dir, "asp", "7.02.100"), "with the start of its download")
	require.Equal(t, []string{
		"asp 7.04.100 Setup", "asp 7.03.100 Setup", "asp 7.01.100 Setup", "asp 7.01.100 FullSetup", // the last two for what is young among them
		"opeka 7.01.100 Setup",
	}, numbers(whole(t, a)))
	left, err := filepath.Glob(filepath.Join(a.Dir, "asp", ".*"))
	require.NoError(t, err)
	require.Empty(t, left)

	reported := seen.of(archive.EventPruned)
	require.Len(t, reported, 1, "one for each version")
	require.Equal(t, key("asp", "7.02.100", 0), reported[0].Key)
	require.Equal(t, filepath.Join(a.Dir, "asp", "7.02.100"), reported[0].Path)

	_, err = a.Get(key("asp", "7.02.100", version.Setup))
	require.ErrorIs(t, err, archive.ErrNotFound)
	require.ErrorContains(t, err, "ask the vendor's support for Setup of asp, version 7.02.100")
	again := store(t, a, key("asp", "7.02.100", version.Setup), "from support", lab.Now)
	require.NoError(t, a.Verify(t.Context(), again))
}

func TestR10PruneNeverTouchesWhatIsInUse(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100", "7.03.100", "7.12.100-beta", "7.12.100")
	gone, err := a.Prune(t.Context(), archive.Retention{Newest: 1, Younger: -time.Hour}, []archive.Key{
		key("asp", "7.03.100", version.FullSetup), // that only its Setup is archived does not matter
		{Distribution: "asp", Version: version.MustParse("7.01.100"), SHA256: strings.Repeat("0", 64)},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"asp 7.02.100 Setup", "asp 7.12.100-beta Setup"}, numbers(gone), "the oldest first")
	require.Equal(t, []string{"asp 7.12.100 Setup", "asp 7.03.100 Setup", "asp 7.01.100 Setup"}, numbers(whole(t, a)))
}

// The newest is the one with the highest number, whenever it was archived.
func TestR10PruneGoesByNumber(t *testing.T) {
	a, _ := aged(t, "7.12.1000", "7.12.100", "7.12.200-beta", "7.12.200")
	_, err := a.Prune(t.Context(), archive.Retention{Newest: 3}, nothingInUse)
	require.NoError(t, err)
	require.Equal(t, []string{"asp 7.12.1000 Setup", "asp 7.12.200 Setup", "asp 7.12.200-beta Setup"}, numbers(whole(t, a)))
	_, err = a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	require.NoError(t, err)
	require.Equal(t, []string{"asp 7.12.1000 Setup"}, numbers(whole(t, a)))
}

func TestR10PruneRefuses(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100")
	require.NoError(t, os.MkdirAll(filepath.Join(a.Dir, "asp", "7.03.100", ".partial-Setup", "data"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(a.Dir, "asp", ".pruned-7.00.100"), 0o700))
	before := contents(t, a.Dir)
	for name, c := range map[string]struct {
		inUse []archive.Key
		text  string
		is    error
	}{
		"no list of what is in use":      {nil, "no list of the versions in use", nil},
		"a number mistyped":              {[]archive.Key{key("asp", "7.02.100", 0), key("asp", "7.01.200", 0)}, "prune /asp/7.01.200: not in the archive", archive.ErrNotFound},
		"another spelling":               {[]archive.Key{key("ASP", "7.01.100", 0)}, "check its spelling", archive.ErrNotFound},
		"a download that broke off":      {[]archive.Key{key("asp", "7.03.100", 0)}, "nothing was removed", archive.ErrNotFound},
		"no version":                     {[]archive.Key{{Distribution: "asp"}}, "no version", nil},
		"no distribution":                {[]archive.Key{key("", "7.01.100", 0)}, "empty", fetch.ErrUnsafeName},
		"a path for a distribution":      {[]archive.Key{key("../archive/asp", "7.01.100", 0)}, "unsafe name", fetch.ErrUnsafeName},
		"a directory for a distribution": {[]archive.Key{key("..", "7.01.100", 0)}, "unsafe name", fetch.ErrUnsafeName},
	} {
		t.Run(name, func(t *testing.T) {
			for _, prune := range map[string]func() ([]archive.Item, error){
				"prune": func() ([]archive.Item, error) { return a.Prune(t.Context(), archive.Retention{Newest: 1}, c.inUse) },
				"plan":  func() ([]archive.Item, error) { return a.Prunable(archive.Retention{Newest: 1}, c.inUse) },
			} {
				items, err := prune()
				require.Empty(t, items)
				require.ErrorContains(t, err, c.text)
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				require.Equal(t, before, contents(t, a.Dir))
			}
		})
	}
	_, err := (&archive.Archive{}).Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	require.ErrorContains(t, err, "set Archive.Dir")
}

// What cannot be read cannot be judged: it stays, and is not counted among
// the newest.
func TestR10PruneLeavesAloneWhatItCannotRead(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, item string)
		text   string
	}{
		"torn manifest": {func(t *testing.T, item string) {
			require.NoError(t, os.Truncate(filepath.Join(item, "manifest.json"), 30))
		}, "manifest.json is damaged"},
		"no installer": {func(t *testing.T, item string) { require.NoError(t, os.Remove(filepath.Join(item, "Setup.exe"))) }, "Setup.exe"},
		"newer format": {func(t *testing.T, item string) { edit(t, item, `"format": `, `"format": 9`) }, "newer than this program"},
		"no Setup":     {func(t *testing.T, item string) { require.NoError(t, os.RemoveAll(item)) }, "has no Setup"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := aged(t, "7.01.100", "7.02.100", "7.03.100", "7.04.100", "7.05.100")
			for _, v := range []string{"7.02.100", "7.05.100"} {
				store(t, a, key("asp", v, version.FullSetup), "full", lab.Now)
				it, err := a.Get(key("asp", v, version.Setup))
				require.NoError(t, err)
				c.damage(t, filepath.Dir(it.Path))
			}
			before := contents(t, a.Dir)
			gone, err := a.Prune(t.Context(), archive.Retention{Newest: 1}, []archive.Key{key("asp", "7.02.100", 0)})
			require.ErrorContains(t, err, c.text)
			require.ErrorContains(t, err, "7.02.100")
			require.ErrorContains(t, err, "7.05.100")
			require.Equal(t, []string{"asp 7.01.100 Setup", "asp 7.03.100 Setup"}, numbers(gone), "7.04.100 is the newest that can be read")
			for path, text := range contents(t, a.Dir) {
				require.Equal(t, before[path], text)
				delete(before, path)
			}
			for path := range before {
				require.NotContains(t, path, "7.02.100")
				require.NotContains(t, path, "7.05.100")
			}
		})
	}
}

// Directories and links that a person put there are no versions.
func TestPruneLeavesAloneWhatIsNotItsOwn(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100")
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "precious"), []byte("x"), 0o600))
	for _, dir := range []string{"notes", filepath.Join("asp", "7.00.000"), filepath.Join("asp", "copy of 7.01.100"), filepath.Join("asp", "7.01.200", ".damaged-Setup-0123-20200101")} {
		require.NoError(t, os.MkdirAll(filepath.Join(a.Dir, dir), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(a.Dir, "asp", "7.00.100"), []byte("a file"), 0o600))
	linked := os.Symlink(outside, filepath.Join(a.Dir, "asp", ".pruned-7.00.100")) == nil // Windows may not allow it
	if linked {
		require.NoError(t, os.Symlink(outside, filepath.Join(a.Dir, "asp", "7.00.200")))
	}
	gone, err := a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	require.NoError(t, err)
	require.Equal(t, []string{"asp 7.01.100 Setup"}, numbers(gone))
	require.FileExists(t, filepath.Join(outside, "precious"))
	require.FileExists(t, filepath.Join(a.Dir, "asp", "7.00.100"))
	for _, dir := range []string{"notes", filepath.Join("asp", "7.00.000"), filepath.Join("asp", "copy of 7.01.100"), filepath.Join("asp", "7.01.200", ".damaged-Setup-0123-20200101")} {
		require.DirExists(t, filepath.Join(a.Dir, dir))
	}
	if linked {
		require.FileExists(t, filepath.Join(a.Dir, "asp", "7.00.200", "precious"))
	}
}

func TestPruneStopsBetweenVersions(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100", "7.03.100", "7.04.100")
	ctx, cancel := context.WithCancel(t.Context())
	a.Observe = func(archive.Event) { cancel() }
	gone, err := a.Prune(ctx, archive.Retention{Newest: 1}, nothingInUse)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{"asp 7.01.100 Setup"}, numbers(gone))
	require.Len(t, whole(t, a), 3)
	_, err = a.Prune(ctx, archive.Retention{Newest: 1}, nothingInUse)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, whole(t, a), 3)
}

// A version that does not go stays whole, and the others go.
func TestPruneGoesOnPastAVersionThatStays(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100", "7.03.100", "7.04.100")
	inTheWay := filepath.Join(a.Dir, "asp", ".pruned-7.02.100")
	a.Observe = func(archive.Event) { _ = os.WriteFile(inTheWay, nil, 0o600) }
	gone, err := a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	require.ErrorIs(t, err, fs.ErrExist)
	require.ErrorContains(t, err, "prune /asp/7.02.100")
	require.Equal(t, []string{"asp 7.01.100 Setup", "asp 7.03.100 Setup"}, numbers(gone))
	require.Equal(t, []string{"asp 7.04.100 Setup", "asp 7.02.100 Setup"}, numbers(whole(t, a)))
	a.Observe = nil
	gone, err = a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	require.NoError(t, err)
	require.Equal(t, []string{"asp 7.02.100 Setup"}, numbers(gone))
}

// Windows keeps a directory where it is while a file in it is open; elsewhere
// readers continue.
func TestPruneOfAVersionThatIsBeingRead(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100", "7.03.100")
	it, err := a.Get(key("asp", "7.02.100", version.Setup))
	require.NoError(t, err)
	f, err := os.Open(it.Path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	gone, err := a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	if runtime.GOOS == "windows" {
		require.ErrorContains(t, err, "see what has its files open")
		require.Equal(t, []string{"asp 7.01.100 Setup"}, numbers(gone))
		require.Len(t, whole(t, a), 2)
		require.NoError(t, f.Close())
		gone, err = a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
		require.NoError(t, err)
		require.Len(t, gone, 1)
		return
	}
	require.NoError(t, err)
	require.Len(t, gone, 2)
	b := make([]byte, 100)
	n, _ := f.Read(b)
	require.Equal(t, "setup 7.02.100", string(b[:n]))
	require.Len(t, whole(t, a), 1)
}

// A crash while a version is deleted leaves it hidden with some of its files
// gone: readers see nothing of it, and the next Prune deletes the rest.
func TestR10PruneAfterACrash(t *testing.T) {
	for gone := 0; ; gone++ {
		a, _ := aged(t, "7.01.100", "7.02.100", "7.03.100")
		store(t, a, key("asp", "7.01.100", version.FullSetup), "full", lab.Now)
		hidden := filepath.Join(a.Dir, "asp", ".pruned-7.01.100")
		require.NoError(t, os.Rename(filepath.Join(a.Dir, "asp", "7.01.100"), hidden))
		var files []string // the deepest first, as they are deleted
		require.NoError(t, filepath.WalkDir(hidden, func(path string, _ fs.DirEntry, err error) error {
			files = append([]string{path}, files...)
			return err
		}))
		if gone > len(files) {
			require.Equal(t, 8, gone, "two items of two files and a directory each, and their directory: all was tried")
			break
		}
		for _, path := range files[:gone] {
			require.NoError(t, os.Remove(path))
		}

		require.Equal(t, []string{"asp 7.03.100 Setup", "asp 7.02.100 Setup"}, numbers(whole(t, a)))
		_, err := a.Get(key("asp", "7.01.100", version.Setup))
		require.ErrorIs(t, err, archive.ErrNotFound)
		if gone == 0 { // it may come back meanwhile
			store(t, a, key("asp", "7.01.100", version.Setup), "setup 7.01.100", lab.Now.AddDate(0, 0, -9))
		}
		_, err = a.Prune(t.Context(), archive.Retention{Newest: 1}, []archive.Key{key("asp", "7.02.100", 0)})
		require.NoError(t, err)
		require.NoFileExists(t, hidden)
		require.NoDirExists(t, hidden)
		require.Equal(t, []string{"asp 7.03.100 Setup", "asp 7.02.100 Setup"}, numbers(whole(t, a)))
	}
}

// Prune and a download do not meet: the later one waits, or stops waiting.
func TestR10PruneAndWritersWaitForOneAnother(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100")
	file := filepath.Join(t.TempDir(), "Setup.exe")
	require.NoError(t, os.WriteFile(file, []byte("setup"), 0o600))
	_, err := a.Import(t.Context(), file, key("asp", "7.01.100", version.Setup), archive.VerifierFunc(func(ctx context.Context, _ archive.Candidate) (archive.Vouched, error) {
		soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := a.Prune(soon, archive.Retention{Newest: 1}, nothingInUse)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "another writer")
		require.Len(t, whole(t, a), 2)
		return archive.Vouched{By: "a test"}, nil
	}))
	require.NoError(t, err)
	require.Len(t, whole(t, a), 3)

	a.Observe = func(archive.Event) {
		soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := a.Import(soon, file, key("asp", "7.01.100", version.Setup), archive.Unauthenticated("a test"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	gone, err := a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	require.NoError(t, err)
	require.Len(t, gone, 2)
}

func TestR10PruneWithoutARetentionRemovesNothing(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100")
	gone, err := a.Prune(t.Context(), archive.Retention{}, nothingInUse)
	require.NoError(t, err)
	require.Empty(t, gone)
	require.Len(t, whole(t, a), 2)
	gone, err = a.Prune(t.Context(), archive.Retention{Younger: time.Hour}, nothingInUse)
	require.NoError(t, err)
	require.Equal(t, []string{"asp 7.01.100 Setup"}, numbers(gone), "the newest version stays even when it is old")
}
