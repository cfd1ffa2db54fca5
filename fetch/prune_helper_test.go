package fetch_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/version"
)

var nothingInUse = []fetch.Key{}

func key(dist, v string, variant version.Variant) fetch.Key {
	return fetch.Key{Distribution: dist, Version: version.MustParse(v), Variant: variant}
}

// store imports an installer that holds text, as of a time.
func store(t testing.TB, a fetch.Archive, k fetch.Key, text string, at time.Time) fetch.Item {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	require.NoError(t, err)
	file := filepath.Join(dir, k.Variant.String()+".exe")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	a.Now = func() time.Time { return at }
	a.Observe = nil
	it, err := a.Import(context.Background(), file, k, fetch.Unauthenticated("a test"))
	require.NoError(t, err)
	return it
}

// aged is an archive of these versions of asp, each
// archived a day after the one before; the last one at the time now.
func aged(t testing.TB, versions ...string) (fetch.Archive, *events) {
	t.Helper()
	seen := &events{}
	a := fetch.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Observe: seen.observe, Now: func() time.Time { return now }}
	for i, v := range versions {
		store(t, a, key("asp", v, version.Setup), "setup "+v, now.AddDate(0, 0, i-len(versions)+1))
	}
	return a, seen
}

// contents is everything below dir but the lock, with its bytes; folders end
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

func numbers(items []fetch.Item) (all []string) {
	for _, it := range items {
		all = append(all, it.Distribution+" "+it.Version.String()+" "+it.Variant.String())
	}
	return all
}

// whole asserts that everything listed is there byte for byte.
func whole(t testing.TB, a fetch.Archive) []fetch.Item {
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
