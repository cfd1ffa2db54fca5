package archive_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

var nothingInUse = []archive.Key{}

func key(dist, v string, variant version.Variant) archive.Key {
	return archive.Key{Distribution: dist, Version: version.MustParse(v), Variant: variant}
}

// store imports an installer that holds text, as of a time.
func store(t testing.TB, a *archive.Archive, k archive.Key, text string, at time.Time) archive.Item {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	require.NoError(t, err)
	file := filepath.Join(dir, k.Variant.String()+".exe")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	then := *a
	then.WithClock(func() time.Time { return at }).Observe = nil
	it, err := then.Import(context.Background(), file, k, archive.Unauthenticated("a test"))
	require.NoError(t, err)
	return it
}

// aged is an archive of these versions of asp, each
// archived a day after the one before; the last one at the time now.
func aged(t testing.TB, versions ...string) (*archive.Archive, *events) {
	t.Helper()
	seen := &events{}
	a := (&archive.Archive{Settle: -1, Dir: filepath.Join(t.TempDir(), "archive"), Observe: seen.Observe}).WithClock(func() time.Time { return lab.Now })
	for i, v := range versions {
		store(t, a, key("asp", v, version.Setup), "setup "+v, lab.Now.AddDate(0, 0, i-len(versions)+1))
	}
	return a, seen
}

// contents is everything below dir but the lock, with its bytes; directories end
// with a slash.
func contents(t require.TestingT, dir string) map[string]string {
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == ".lock" {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		rel = filepath.ToSlash(rel)
		if err != nil || d.IsDir() {
			all[rel+"/"] = ""
			return err
		}
		b, err := os.ReadFile(path)
		all[rel] = string(b)
		return err
	}))
	return all
}

func numbers(items []archive.Item) (all []string) {
	for _, it := range items {
		all = append(all, it.Distribution+" "+it.Version.String()+" "+it.Variant.String())
	}
	return all
}

// whole asserts that everything listed is there byte for byte.
func whole(t testing.TB, a *archive.Archive) []archive.Item {
	t.Helper()
	items, err := a.List()
	require.NoError(t, err)
	for _, it := range items {
		require.NoError(t, a.Verify(context.Background(), it))
	}
	return items
}

// sorted puts Setup before FullSetup and leaves everything else where it is.
func sorted(names []string) []string {
	var first, then []string
	for _, n := range names {
		if strings.HasSuffix(n, "FullSetup") {
			then = append(then, n)
		} else {
			first = append(first, n)
		}
	}
	return append(first, then...)
}
