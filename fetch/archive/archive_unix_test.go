//go:build unix

package archive_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

func within(t *testing.T, d time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatal(what + " hangs")
	}
}

func setupFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Setup.exe")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// os.Open blocks before Stat could say what it is; ctx does not help.
func TestArchiveImportOfAFIFO(t *testing.T) {
	a, _ := aged(t)
	fifo := filepath.Join(t.TempDir(), "Setup.exe")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	within(t, 2*time.Second, "Import of a FIFO", func() {
		_, err := a.Import(t.Context(), fifo, key("asp", "7.01.100", version.Setup), archive.Unauthenticated("x"))
		require.ErrorContains(t, err, "neither a regular file")
	})
}

// one FIFO in the archive stops every List, Get, Fetch and Prune (with the lock held).
func TestArchiveAFIFOForAManifest(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100")
	it, err := a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
	manifest := filepath.Join(filepath.Dir(it.Path), "manifest.json")
	require.NoError(t, os.Remove(manifest))
	require.NoError(t, unix.Mkfifo(manifest, 0o600))
	within(t, 2*time.Second, "List", func() {
		items, err := a.List()
		require.Error(t, err)
		require.Len(t, items, 1)
	})
}

// a file that is still being written (copied from a stick, a share) is archived as a mixture.
func TestArchiveAFileThatChangesWhileItIsImported(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, file string){
		"grows": func(t *testing.T, file string) {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString("and the rest")
			require.NoError(t, err)
			require.NoError(t, f.Close())
		},
		"shrinks": func(t *testing.T, file string) { require.NoError(t, os.Truncate(file, 100_000)) },
		"other bytes": func(t *testing.T, file string) {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte("NEW"), 199_000)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			require.NoError(t, os.Chtimes(file, lab.Now, lab.Now))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := aged(t)
			file := setupFile(t, strings.Repeat("x", 200_000))
			asked := 0
			ctx := hooked{t.Context(), func() {
				if asked++; asked == 3 { // the lock, the first read, the second read
					change(t, file)
				}
			}}
			_, err := a.Import(ctx, file, key("asp", "7.01.100", version.Setup), archive.Unauthenticated("x"))
			require.Error(t, err)
			items, err := a.List()
			require.NoError(t, err)
			require.Empty(t, items)
		})
	}
}

// stage opens, and copyFrom truncates, the very file that is imported: it is
// destroyed, and 0 bytes are archived as a good Setup.
func TestArchiveImportOfThePartialItself(t *testing.T) {
	a, _ := aged(t)
	data := filepath.Join(a.Dir, "asp", "7.01.100", ".partial-Setup", "data")
	require.NoError(t, os.MkdirAll(data, 0o700))
	file := filepath.Join(data, "payload")
	require.NoError(t, os.WriteFile(file, []byte("all of it"), 0o600))
	it, err := a.Import(t.Context(), file, key("asp", "7.01.100", version.Setup), archive.Unauthenticated("x"))
	if err == nil {
		require.Equal(t, lab.Sum([]byte("all of it")), it.SHA256, "%d bytes", it.Size)
	}
	require.FileExists(t, file)
}

// a context that ends (or any passing read error) while the item that is there is
// hashed makes a good item "damaged": it is moved aside, and reported as an event.
func TestArchiveACancelledCheckIsNoDamage(t *testing.T) {
	a, seen := aged(t, "7.01.100")
	before, err := a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, _ = a.Import(ctx, setupFile(t, "setup 7.01.100"), key("asp", "7.01.100", version.Setup),
		archive.VerifierFunc(func(context.Context, archive.Candidate) (archive.Vouched, error) {
			cancel()
			return archive.Vouched{By: "a test"}, nil
		}))
	require.Empty(t, seen.of("damaged"))
	after, err := a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
	require.Equal(t, before.Archived, after.Archived, "the item that was there is untouched")
}

// what a newer program archived is moved aside as damaged by an older one.
func TestArchiveANewerFormatIsNotDamage(t *testing.T) {
	a, seen := aged(t, "7.01.100")
	it, err := a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
	edit(t, filepath.Dir(it.Path), `"format": 1`, `"format": 99`)
	_, err = a.Import(t.Context(), setupFile(t, "setup 7.01.100"), key("asp", "7.01.100", version.Setup), archive.Unauthenticated("x"))
	require.ErrorContains(t, err, "newer than this program")
	require.Empty(t, seen.of("damaged"))
	b, err := os.ReadFile(filepath.Join(filepath.Dir(it.Path), "manifest.json"))
	require.NoError(t, err)
	require.Contains(t, string(b), `"format": 99`)
}

// where letter case does not count (Windows), "ASP" and "asp" are one directory. A link
// does the same here. The good item of "asp" is moved aside as damaged, the one of "ASP"
// lies where List refuses it for ever.
func TestArchiveAnotherSpellingOfTheSameDirectory(t *testing.T) {
	a, seen := aged(t, "7.01.100")
	if _, err := os.Stat(filepath.Join(a.Dir, "ASP")); err != nil {
		require.NoError(t, os.Symlink("asp", filepath.Join(a.Dir, "ASP")))
	}
	_, err := a.Import(t.Context(), setupFile(t, "setup 7.01.100"), key("ASP", "7.01.100", version.Setup), archive.Unauthenticated("x"))
	require.Error(t, err)
	require.Empty(t, seen.of("damaged"))
	_, err = a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err, "what a rollback needs is still there")
	whole(t, a)
}

// a distribution whose name starts with a dot can be archived, and is hidden from List (and Prune).
func TestArchiveAHiddenDistribution(t *testing.T) {
	a, _ := aged(t)
	_, err := a.Import(t.Context(), setupFile(t, "x"), key(".asp", "7.01.100", version.Setup), archive.Unauthenticated("x"))
	if err == nil {
		require.Len(t, whole(t, a), 1)
	}
}

// a directory that cannot be read seems to be an empty archive.
func TestArchiveListOfWhatCannotBeRead(t *testing.T) {
	file := setupFile(t, "x") // as would be a directory without the right to read, a dead share, a bad disk
	_, err := (&archive.Archive{Settle: -1, Dir: file}).List()
	require.Error(t, err)
}

// the Setup is looked for before the lock is taken: a Prune (or a person) in between
// leaves a FullSetup alone.
func TestArchiveImportOfAFullSetupMeetsPrune(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100")
	file := setupFile(t, "full")
	pruned := false
	ctx := hooked{t.Context(), func() {
		if !pruned {
			pruned = true
			gone, err := a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
			require.NoError(t, err)
			require.Len(t, gone, 1)
		}
	}}
	_, err := a.Import(ctx, file, key("asp", "7.01.100", version.FullSetup), archive.Unauthenticated("x"))
	require.ErrorIs(t, err, archive.ErrNotFound)
}

// the same in Fetch, which gives the lock back between Setup and FullSetup.
func TestArchiveFetchOfAFullSetupMeetsPrune(t *testing.T) {
	x := newSetup(t, size)
	x.s.Put("/asp/7.12.100/FullSetup.exe", []byte("full"), lab.Released)
	x.rel = lab.Latest(t, x.src)
	store(t, x.archive, key("asp", "7.12.200", version.Setup), "a newer one", lab.Now)
	var mu sync.Mutex
	archived, pruned := false, false
	as := *x.archive
	a := &as
	a.Observe = func(e archive.Event) {
		mu.Lock()
		defer mu.Unlock()
		archived = archived || e.Kind == archive.EventArchived && e.Key.Variant == version.Setup
	}
	ctx := hooked{t.Context(), func() {
		mu.Lock()
		defer mu.Unlock()
		if !archived || pruned {
			return
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		gone, _ := x.archive.Prune(short, archive.Retention{Newest: 1}, nothingInUse) // gets the lock when Fetch has given it back
		pruned = len(gone) == 1
	}}
	_, err := a.Fetch(ctx, x.src, x.rel, version.FullSetup, archive.Unauthenticated("x"))
	t.Logf("pruned in between: %v, fetched: %v", pruned, err)
	_, errFull := a.Get(key("asp", "7.12.100", version.FullSetup))
	_, errSetup := a.Get(key("asp", "7.12.100", version.Setup))
	require.Equal(t, errFull == nil, errSetup == nil, "a FullSetup never without its Setup: %v, %v", errFull, errSetup)
}

// a link in the item's place makes Import claim what Get denies.
func TestArchiveALinkInThePlaceOfAnItem(t *testing.T) {
	a, _ := aged(t, "7.01.100")
	it, err := a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
	item := filepath.Dir(it.Path)
	elsewhere := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.Rename(item, elsewhere))
	require.NoError(t, os.Symlink(elsewhere, item))
	_, err = a.Import(t.Context(), setupFile(t, "setup 7.01.100"), key("asp", "7.01.100", version.Setup), archive.Unauthenticated("x"))
	require.NoError(t, err)
	_, err = a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
}

// manifests that no program wrote are believed.
func TestArchiveManifestsWithoutWhatEachHas(t *testing.T) {
	for name, edits := range map[string][2]string{
		"no format":       {`"format": 1,`, ``},
		"format 0":        {`"format": 1`, `"format": 0`},
		"negative format": {`"format": 1`, `"format": -1`},
		"never archived":  {`"archived": "2020-03-01T12:00:00Z",`, ``},
		"itself":          {`"Setup.exe"`, `"manifest.json"`},
		"trailing":        {"\n}\n", "\n}\n{}"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := aged(t, "7.01.100")
			it, err := a.Get(key("asp", "7.01.100", version.Setup))
			require.NoError(t, err)
			edit(t, filepath.Dir(it.Path), edits[0], edits[1])
			if name == "itself" {
				fi, err := os.Stat(filepath.Join(filepath.Dir(it.Path), "manifest.json"))
				require.NoError(t, err)
				edit(t, filepath.Dir(it.Path), `"size": 14`, `"size": `+itoa(fi.Size()+1))
			}
			_, err = a.List()
			require.Error(t, err)
		})
	}
}

func itoa(n int64) string {
	s := ""
	for ; n > 0; n /= 10 {
		s = string(rune('0'+n%10)) + s
	}
	return s
}

// a file planted beside the installer (a DLL that Windows would load from there) is not noticed.
func TestArchiveAPlantedFile(t *testing.T) {
	a, _ := aged(t, "7.01.100")
	it, err := a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(it.Path), "version.dll"), []byte("evil"), 0o600))
	require.Error(t, a.Verify(t.Context(), it))
}

// a clock that stepped back makes Get give a re-release that is not the last one.
func TestArchiveTheClockStepsBack(t *testing.T) {
	a, _ := aged(t)
	store(t, a, key("asp", "7.01.100", version.Setup), "first", lab.Now)
	second := store(t, a, key("asp", "7.01.100", version.Setup), "second", lab.Now.AddDate(-1, 0, 0))
	it, err := a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
	require.Equal(t, second.SHA256, it.SHA256, "whichever was archived last")
}

// Get takes a hash in either case, Import only in lower case, and says "mismatch".
func TestArchiveAnUpperCaseHash(t *testing.T) {
	a, _ := aged(t)
	k := key("asp", "7.01.100", version.Setup)
	k.SHA256 = strings.ToUpper(lab.Sum([]byte("x")))
	_, err := a.Import(t.Context(), setupFile(t, "x"), k, archive.Unauthenticated("x"))
	require.NoError(t, err)
}

// nothing at all is archived as a Setup, and counts as what a rollback installs.
func TestArchiveAnEmptyInstaller(t *testing.T) {
	a, _ := aged(t)
	_, err := a.Import(t.Context(), setupFile(t, ""), key("asp", "7.01.100", version.Setup), archive.Unauthenticated("x"))
	require.Error(t, err)
}

// the archive without a directory is the current directory to List and Get.
func TestArchiveNoDirectoryIsNotTheCurrentOne(t *testing.T) {
	a, _ := aged(t, "7.01.100")
	t.Chdir(a.Dir)
	items, err := (&archive.Archive{}).List()
	require.Error(t, err)
	require.Empty(t, items)
}

// a FullSetup is taken beside a Setup whose bytes are no longer its own.
func TestArchiveAFullSetupBesideADamagedSetup(t *testing.T) {
	a, _ := aged(t, "7.01.100")
	it, err := a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
	patch(t, it.Path, 3)
	_, err = a.Import(t.Context(), setupFile(t, "full"), key("asp", "7.01.100", version.FullSetup), archive.Unauthenticated("x"))
	require.ErrorIs(t, err, archive.ErrMismatch)
}

// a distribution's directory that is a link is followed by Get, Fetch and Import, and not by List and Prune.
func TestArchiveALinkInThePlaceOfADistribution(t *testing.T) {
	a, _ := aged(t, "7.01.100")
	elsewhere := filepath.Join(t.TempDir(), "asp")
	require.NoError(t, os.Rename(filepath.Join(a.Dir, "asp"), elsewhere))
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(a.Dir, "asp")))
	_, errGet := a.Get(key("asp", "7.01.100", version.Setup))
	items, errList := a.List()
	require.Equal(t, errGet == nil, len(items) == 1 && errList == nil, "%v, %v, %v", errGet, items, errList)
}

// what was sealed and vouched for before a crash is thrown away by the next
// attempt, although the server keeps no history: it could be published.
func TestArchiveACrashBetweenSealingAndPublishing(t *testing.T) {
	x := newSetup(t, size)
	it, err := x.fetch(t.Context())
	x.good(t, it, err)
	item := filepath.Dir(it.Path)
	data := filepath.Join(filepath.Dir(item), ".partial-Setup", "data")
	require.NoError(t, os.MkdirAll(filepath.Dir(data), 0o700))
	require.NoError(t, os.Rename(item, data)) // as it was just before the rename that publishes
	before := x.s.Sent()
	it, err = x.fetch(t.Context())
	x.good(t, it, err)
	require.Less(t, x.s.Sent()-before, int64(size), "the bytes that are there are not fetched again")
}
