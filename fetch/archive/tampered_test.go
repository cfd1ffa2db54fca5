package archive_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/version"
)

// first returns the directory of the Setup of a version that aged made.
func first(t *testing.T, a *archive.Archive, v string) string {
	t.Helper()
	it, err := a.Get(key("asp", v, version.Setup))
	require.NoError(t, err)
	return filepath.Dir(it.Path)
}

// A manifest counts only if it matches its place and the files beside it, and
// names nothing outside.
func TestR10FalseManifests(t *testing.T) {
	field := func(name, value string) func(string) string {
		re := regexp.MustCompile(`"` + name + `": ("[^"]*"|[0-9]+)`)
		return func(m string) string { return re.ReplaceAllLiteralString(m, `"`+name+`": `+value) }
	}
	text := func(s string) func(string) string { return func(string) string { return s } }
	falsified := map[string]func(string) string{
		"no distribution":      field("distribution", `""`),
		"distribution above":   field("distribution", `"../asp"`),
		"distribution in caps": field("distribution", `"ASP"`),
		"version":              field("version", `"7.02.100"`),
		"no version":           field("version", `""`),
		"a version of sorts":   field("version", `"7.1.100"`),
		"variant":              field("variant", `"FullSetup"`),
		"no variant":           field("variant", `""`),
		"hash":                 field("sha256", `"`+strings.Repeat("a", 64)+`"`),
		"short hash":           field("sha256", `"abcd"`),
		"no hash":              field("sha256", `""`),
		"no size":              field("size", `0`),
		"negative size":        field("size", `-1`),
		"huge size":            field("size", `9223372036854775807`),
		"too large a number":   field("size", `99999999999999999999`),
		"newer format":         field("format", `1000`),
		"format as text":       field("format", `"1"`),
		"empty":                text(""),
		"null":                 text("null"),
		"a list":               text("[]"),
		"nested without end":   text(strings.Repeat("[", 1<<20)),
		"too long":             text(strings.Repeat(" ", 2<<20) + "{}"),
		"no text":              text("\x00\xff\xfe"),
	}
	for _, name := range []string{"", ".", "..", "../Setup.exe", "/etc/passwd", `..\\Setup.exe`, "C:Setup.exe", "sub/Setup.exe", "NUL", "con.exe", "Setup.exe.", " Setup.exe", `Setup.exe\u0000`, `Setup\u202eexe`, "other.exe", strings.Repeat("x", 201)} {
		falsified["file "+name] = field("file", `"`+name+`"`)
	}
	a, _ := aged(t, "7.01.100", "7.02.100")
	manifest := filepath.Join(first(t, a, "7.01.100"), "manifest.json")
	truth, err := os.ReadFile(manifest)
	require.NoError(t, err)
	for name, falsify := range falsified {
		t.Run(name, func(t *testing.T) {
			b := falsify(string(truth))
			require.NotEqual(t, string(truth), b)
			require.NoError(t, os.WriteFile(manifest, []byte(b), 0o600))
			items, err := a.List()
			require.ErrorContains(t, err, "the directory was left as it is")
			require.Equal(t, []string{"asp 7.02.100 Setup"}, numbers(items))
			_, err = a.Get(key("asp", "7.01.100", version.Setup))
			require.Equal(t, name != "newer format", errors.Is(err, archive.ErrNotFound), "%v", err)
		})
	}
	require.NoError(t, os.WriteFile(manifest, truth, 0o600))
	require.Len(t, whole(t, a), 2)
}

// Where an installer was, its bytes behind a link are no installer.
func TestR10LinksInPlaceOfWhatIsArchived(t *testing.T) {
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(t.TempDir(), "link")); err != nil {
		t.Skipf("cannot create links: %v", err) // Windows without the privilege
	}
	for name, c := range map[string]struct {
		where func(item string) string
		fails bool
	}{
		"installer":         {func(item string) string { return filepath.Join(item, "Setup.exe") }, true},
		"item's directory":  {func(item string) string { return item }, false},
		"version directory": {filepath.Dir, false},
		"distribution":      {func(item string) string { return filepath.Dir(filepath.Dir(item)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := aged(t, "7.01.100", "7.02.100")
			path := c.where(first(t, a, "7.01.100"))
			moved := filepath.Join(t.TempDir(), "moved")
			require.NoError(t, os.Rename(path, moved))
			require.NoError(t, os.Symlink(moved, path))
			before := contents(t, moved)
			items, err := a.List()
			require.Equal(t, c.fails, err != nil)
			require.NotContains(t, numbers(items), "asp 7.01.100 Setup")
			_, err = a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
			require.Equal(t, c.fails, err != nil)
			require.Equal(t, before, contents(t, moved), "nothing behind a link is removed")
		})
	}
}

// What is in an item's place is moved aside, not written into and not lost.
func TestR10WhatIsInAnItemsPlaceIsMovedAside(t *testing.T) {
	for name, c := range map[string]struct {
		put  func(t *testing.T, place string)
		file string // below the place
	}{
		"a file": {func(t *testing.T, place string) { require.NoError(t, os.WriteFile(place, []byte("precious"), 0o600)) }, ""},
		"another directory": {func(t *testing.T, place string) {
			require.NoError(t, os.MkdirAll(place, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(place, "mine.txt"), []byte("precious"), 0o600))
		}, "mine.txt"},
		"an item without its manifest": {func(t *testing.T, place string) {
			require.NoError(t, os.MkdirAll(place, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(place, "Setup.exe"), []byte("precious"), 0o600))
		}, "Setup.exe"},
	} {
		t.Run(name, func(t *testing.T) {
			a, seen := aged(t, "7.01.100")
			place := first(t, a, "7.01.100")
			require.NoError(t, os.RemoveAll(place))
			c.put(t, place)
			file := filepath.Join(t.TempDir(), "Setup.exe")
			require.NoError(t, os.WriteFile(file, []byte("setup 7.01.100"), 0o600))
			it, err := a.Import(t.Context(), file, key("asp", "7.01.100", version.Setup), archive.Unauthenticated("a test"))
			require.NoError(t, err)
			require.Equal(t, place, filepath.Dir(it.Path))
			require.Len(t, whole(t, a), 1)
			reported := seen.of("damaged")
			require.Len(t, reported, 1)
			b, err := os.ReadFile(filepath.Join(reported[0].Path, c.file))
			require.NoError(t, err)
			require.Equal(t, "precious", string(b))
		})
	}
}

func TestR10ImportFromTheArchiveItself(t *testing.T) {
	a, seen := aged(t, "7.01.100")
	it, err := a.Get(key("asp", "7.01.100", version.Setup))
	require.NoError(t, err)
	again, err := a.Import(t.Context(), it.Path, it.Key, archive.PinnedSHA256(it.SHA256))
	require.NoError(t, err)
	require.Equal(t, it.Path, again.Path)
	require.Equal(t, it.Archived, again.Archived)
	require.True(t, again.Vouched.Authenticated, "now it is vouched for")
	require.Len(t, whole(t, a), 1)
	require.Empty(t, seen.of("damaged"))
	other, err := a.Import(t.Context(), it.Path, key("asp", "7.01.200", version.Setup), archive.Unauthenticated("a test"))
	require.NoError(t, err)
	require.Equal(t, it.SHA256, other.SHA256)
	require.Len(t, whole(t, a), 2)
}

func TestImportTakesTheFileBehindALink(t *testing.T) {
	a, _ := aged(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sent by support"), []byte("setup"), 0o600))
	if err := os.Symlink(filepath.Join(dir, "sent by support"), filepath.Join(dir, "Setup.exe")); err != nil {
		t.Skipf("cannot create links: %v", err) // Windows without the privilege
	}
	it, err := a.Import(t.Context(), filepath.Join(dir, "Setup.exe"), key("asp", "7.01.100", version.Setup), archive.Unauthenticated("a test"))
	require.NoError(t, err)
	fi, err := os.Lstat(it.Path)
	require.NoError(t, err)
	require.True(t, fi.Mode().IsRegular(), "a copy, not the link")
	require.NoError(t, a.Verify(t.Context(), it))
}

// The archive's own names are names like others for an installer.
func TestImportOfAnyHarmlessName(t *testing.T) {
	names := []string{"payload", "journal.json", ".lock", "data", ".partial-Setup", ".pruned-7.01.100", "manifest.json.exe", "Опека 7.01.exe", "a'b & c;d.msi", "-rf"}
	a, _ := aged(t)
	dir := t.TempDir()
	for _, name := range names {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("setup "+name), 0o600))
		it, err := a.Import(t.Context(), filepath.Join(dir, name), key("asp", "7.01.100", version.Setup), archive.Unauthenticated("a test"))
		require.NoError(t, err, name)
		require.Equal(t, name, filepath.Base(it.Path))
	}
	require.Len(t, whole(t, a), len(names))
	if runtime.GOOS == "windows" {
		return // where the next ones cannot be made
	}
	for _, name := range []string{"Manifest.JSON", "NUL", "a:b", "Setup.exe.", "a\nb", `a\b`, "a?b", "\xff"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
		_, err := a.Import(t.Context(), filepath.Join(dir, name), key("asp", "7.01.100", version.Setup), archive.Unauthenticated("a test"))
		require.ErrorIs(t, err, fetch.ErrUnsafeName, "%q", name)
	}
	require.Len(t, whole(t, a), len(names))
}

// What is larger than the disk is refused before the first byte.
func TestImportOfAFileThatDoesNotFit(t *testing.T) {
	a, _ := aged(t, "7.01.100")
	vol, err := durable.VolumeOf(a.Dir)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "Setup.exe")
	f, err := os.Create(file)
	require.NoError(t, err)
	err = f.Truncate(vol.Free + 1<<30) // holes, where the file system has them
	require.NoError(t, f.Close())
	if err != nil {
		t.Skipf("cannot create a file with holes: %v", err)
	}
	before := contents(t, a.Dir)
	_, err = a.Import(t.Context(), file, key("asp", "7.02.100", version.Setup), archive.Unauthenticated("a test"))
	require.ErrorIs(t, err, archive.ErrNoSpace)
	require.Equal(t, before, contents(t, a.Dir))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, a.Verify(ctx, archive.Item{Path: file, Size: vol.Free + 1<<30}), context.Canceled, "no one waits for its last byte")
}

// The lock is the kernel's: a lock file that is left is none.
func TestALockFileIsNoLock(t *testing.T) {
	a, _ := aged(t)
	require.NoError(t, os.MkdirAll(a.Dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(a.Dir, ".lock"), []byte("pid 1\n"), 0o600))
	store(t, a, key("asp", "7.01.100", version.Setup), "setup", lab.Now)
	require.Len(t, whole(t, a), 1)

	require.NoError(t, os.Remove(filepath.Join(a.Dir, ".lock")))
	require.NoError(t, os.Mkdir(filepath.Join(a.Dir, ".lock"), 0o700))
	_, err := a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	require.ErrorContains(t, err, "another writer", "no writer works without it")
	require.Len(t, whole(t, a), 1)
}

// A reader never makes anything, and an archive that is not there is empty.
func TestReadersMakeNothing(t *testing.T) {
	a := &archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive")}
	items, err := a.List()
	require.NoError(t, err)
	require.Empty(t, items)
	_, err = a.Get(setupKey())
	require.ErrorIs(t, err, archive.ErrNotFound)
	items, err = a.Prunable(archive.Retention{Newest: 1}, nothingInUse)
	require.NoError(t, err)
	require.Empty(t, items)
	_, err = os.Lstat(a.Dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = os.Lstat(a.Dir)
	require.ErrorIs(t, err, fs.ErrNotExist, "not even Prune")
}
