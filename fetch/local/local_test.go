package local_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/fetch/local"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
)

func put(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	full := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o700))
	require.NoError(t, os.WriteFile(full, data, 0o600))
	require.NoError(t, os.Chtimes(full, lab.Released, lab.Released))
	return full
}

func TestLocalIsASource(t *testing.T) {
	fetchtest.TestSource(t, func(t *testing.T, files map[string][]byte) fetch.Source {
		dir := t.TempDir()
		for name, data := range files {
			put(t, dir, name, data)
		}
		return &local.Source{Dir: dir}
	})
}

// What a person brings on a stick is archived under the same guards.
func TestR10FromAStick(t *testing.T) {
	stick, data := t.TempDir(), lab.Payload(300_000)
	put(t, stick, "Опека/7.12.100/Setup/setup.exe", data)
	put(t, stick, "Опека/7.12.100/Setup/данные/ёлка.cab", data[:1000])
	put(t, stick, "Опека/7.12.100/Setup.sha256", []byte(lab.Sum([]byte("another"))))
	src := &local.Source{Dir: stick}
	rel, err := fetch.Finder{}.Latest(t.Context(), src, "Опека", version.Setup)
	require.NoError(t, err)
	a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Settle: -1}
	_, err = a.Fetch(t.Context(), src, rel, version.Setup, archive.WithServerHash(src, archive.Unauthenticated("a test")))
	require.ErrorIs(t, err, archive.ErrMismatch)
	it, err := a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
	require.NoError(t, err)
	require.Len(t, it.Parts, 2)
	require.NoError(t, a.Verify(t.Context(), it))
	_, err = (&archive.Archive{Dir: filepath.Join(t.TempDir(), "archive")}).Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
	require.ErrorIs(t, err, fetch.ErrNoRelease, "somebody may still copy onto it")
}

// A link leads nowhere: not out of the directory, and not within it.
func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	secret := put(t, t.TempDir(), "secret", []byte("secret"))
	put(t, dir, "asp/7.12.100/Setup.exe", []byte("x"))
	for name, to := range map[string]string{
		"asp/7.12.200": filepath.Dir(secret), "asp/7.12.100/FullSetup.exe": secret, "asp/7.12.100/near.exe": "Setup.exe",
	} {
		if err := os.Symlink(to, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			realtest.Skip(t, "links cannot be made here: %v", err)
		}
	}
	src := &local.Source{Dir: dir}
	found, err := fetch.Finder{}.Find(t.Context(), src, "asp")
	require.NoError(t, err)
	require.Len(t, found.Releases, 1)
	require.Len(t, found.Releases[0].Files, 1)
	for _, name := range []string{"/asp/7.12.200/secret", "/asp/7.12.100/FullSetup.exe", "/asp/7.12.100/near.exe", "/../" + filepath.Base(filepath.Dir(secret)) + "/secret"} {
		_, err := src.Open(t.Context(), name, 0)
		require.Error(t, err, name)
	}
}

func TestAStickThatIsPulledOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "stick")
	full := put(t, dir, "asp/7.12.100/Setup.exe", lab.Payload(3<<20))
	src := &local.Source{Dir: dir}
	r, err := src.Open(t.Context(), lab.SetupPath, 0)
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 1000))
	require.NoError(t, err)
	require.NoError(t, os.Truncate(full, 2000))
	_, _ = io.Copy(io.Discard, r)
	require.ErrorIs(t, r.Close(), fetch.ErrUnreachable, "half of it is no file")
	require.NoError(t, os.RemoveAll(dir))
	_, err = src.List(t.Context(), "/asp")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.ErrorContains(t, err, "connect the stick")
	_, err = fetch.Finder{}.Find(t.Context(), src, "asp")
	require.ErrorIs(t, err, fetch.ErrUnreachable, "not: no such distribution")
}

// In the middle of a download nothing half is archived, and what came is used
// when the stick is back.
func TestAStickThatIsPulledOutDuringADownload(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows renames no directory of an open file")
	}
	parent, data := t.TempDir(), lab.Payload(3<<20)
	dir := filepath.Join(parent, "stick")
	put(t, dir, "asp/7.12.100/Setup/a.cab", data)
	put(t, dir, "asp/7.12.100/Setup/b.cab", data)
	src := &local.Source{Dir: dir}
	rel, err := fetch.Finder{}.Latest(t.Context(), src, "asp", version.Setup)
	require.NoError(t, err)
	pulled := false
	a := &archive.Archive{Dir: filepath.Join(parent, "archive"), Settle: -1, Retry: lab.Soon, Observe: func(e archive.Event) {
		if e.Kind == archive.EventProgress && !pulled {
			pulled = true
			require.NoError(t, os.Rename(dir, dir+".away"))
		}
	}}
	_, err = a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	items, err := a.List()
	require.NoError(t, err)
	require.Empty(t, items)
	require.NoError(t, os.Rename(dir+".away", dir))
	_, err = a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
	require.NoError(t, err)
}

func TestADirectoryOf100000Names(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes 100,000 files")
	}
	dir := lab.InMemory(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "asp"), 0o700))
	for i := range 100_000 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "asp", fmt.Sprintf("readme %d.txt", i)), nil, 0o600))
	}
	put(t, dir, "asp/Setup_7.12.100.exe", []byte("x"))
	began := time.Now()
	rel, err := fetch.Finder{}.Latest(t.Context(), &local.Source{Dir: dir}, "asp", version.Setup)
	require.NoError(t, err)
	require.Equal(t, "7.12.100", rel.Version.String())
	require.Less(t, time.Since(began), time.Minute)
}

func TestNoDirectory(t *testing.T) {
	_, err := (&local.Source{}).List(context.Background(), "/")
	require.ErrorContains(t, err, "set Source.Dir")
}
