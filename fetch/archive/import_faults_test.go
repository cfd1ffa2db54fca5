package archive_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

// Whatever happens to what is imported, at every step of the import: what is archived
// is what was there or what is there now, whole, or nothing is. With a hash only
// what it names is.
func TestNoImportPublishesAWrongFile(t *testing.T) {
	t.Parallel()
	const size = 1<<20 + 1000 // more than is read at once
	old, other := lab.Payload(size), lab.Payload(size + 1)[:size]
	trees := map[string]map[string][]byte{
		"Setup.exe": {"": old},
		"Setup":     {"a.cab": old[:1000], "b/b.cab": old, "c.cab": old[:2000]},
	}
	for name, fault := range lab.FileFaults(old, other) {
		for what, files := range trees {
			for _, pinned := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, pinned: %v", what, name, pinned), func(t *testing.T) {
					t.Parallel()
					dir := lab.InMemory(t)
					x := importFault{name: what, files: files, fault: fault, pinned: pinned}
					step := 1
					for ; x.at(t, filepath.Join(dir, fmt.Sprint(step)), step); step++ {
						require.NoError(t, os.RemoveAll(filepath.Join(dir, fmt.Sprint(step))))
					}
					const least = 6 // the file is found, opened, read three times, and looked at again
					require.Greater(t, step, least)
				})
			}
		}
	}
}

// An importFault is what happens to the largest of the files that are imported.
type importFault struct {
	name   string
	files  map[string][]byte // below the name; of a file, with an empty path
	fault  func(full string) error
	pinned bool
}

// at imports, and has the fault happen at a step. It reports whether there is such a
// step.
func (x importFault) at(t *testing.T, dir string, step int) (happened bool) {
	t.Helper()
	from := filepath.Join(dir, "stick", x.name)
	hit := ""
	for path, data := range x.files {
		full := put(t, from, path, data)
		if hit == "" || len(data) > len(x.files[hit]) {
			hit = path
		}
		require.NoError(t, os.Chtimes(full, lab.Released, lab.Released))
	}
	was := hashBelow(t, from)
	verify := archive.Unauthenticated("a test")
	if x.pinned {
		verify = archive.PinnedSHA256(was)
	}
	asked := 0
	ctx := hooked{t.Context(), func() {
		if asked++; asked == step {
			happened = true
			require.NoError(t, x.fault(filepath.Join(from, filepath.FromSlash(hit))))
		}
	}}
	a := &archive.Archive{Dir: filepath.Join(dir, "archive")}
	it, err := a.Import(ctx, from, setupKey(), verify)
	items, lerr := a.List()
	require.NoError(t, lerr)
	require.Equal(t, err == nil, len(items) == 1, "step %d: %v", step, err)
	if err == nil {
		may := []string{was}
		if !x.pinned {
			may = append(may, hashBelow(t, from))
		}
		require.Contains(t, may, items[0].SHA256, "step %d", step)
		require.NoError(t, a.Verify(t.Context(), it))
	}
	require.True(t, happened || err == nil, "%v", err)
	return happened
}

// put writes a file, or with an empty path dir itself as a file, and returns its name.
func put(t *testing.T, dir, path string, data []byte) string {
	t.Helper()
	full := filepath.Join(dir, filepath.FromSlash(path))
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o700))
	require.NoError(t, os.WriteFile(full, data, 0o600))
	return full
}

// hashBelow returns the hash of a file or of a directory as the archive has it; of
// what is not there, "".
func hashBelow(t *testing.T, from string) string {
	t.Helper()
	if b, err := os.ReadFile(from); err == nil {
		return lab.Sum(b)
	}
	files := map[string][]byte{}
	err := filepath.WalkDir(from, func(full string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(from, full)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)], err = os.ReadFile(full)
		return err
	})
	if err != nil || len(files) == 0 {
		return ""
	}
	return hashTree(files)
}

// Who still copies a tree onto the stick adds files to it, and writes those again
// that were imported already: half of it is no release.
func TestADirectoryThatChangesWhileItIsImported(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, dir string){
		"a file is added":              func(t *testing.T, dir string) { put(t, dir, "d.cab", []byte("late")) },
		"a directory is added":         func(t *testing.T, dir string) { put(t, dir, "late/d.cab", []byte("late")) },
		"a file that was copied":       func(t *testing.T, dir string) { put(t, dir, "a.cab", lab.Payload(1000)) },
		"a file that was copied, gone": func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "a.cab"))) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "Setup")
			for _, file := range []string{"a.cab", "b/b.cab", "c.cab"} {
				require.NoError(t, os.Chtimes(put(t, dir, file, []byte(file)), lab.Released, lab.Released))
			}
			a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive")}
			last := filepath.Join(a.Dir, "asp", "7.12.100", ".partial-Setup", "data", "payload", "c.cab")
			done := false
			ctx := hooked{t.Context(), func() {
				if _, err := os.Stat(last); err == nil && !done {
					done = true
					change(t, dir)
				}
			}}
			_, err := a.Import(ctx, dir, setupKey(), archive.Unauthenticated("a test"))
			require.True(t, done)
			require.ErrorContains(t, err, "changed while it was copied")
			items, err := a.List()
			require.NoError(t, err)
			require.Empty(t, items)
			it, err := a.Import(t.Context(), dir, setupKey(), archive.Unauthenticated("a test"))
			require.NoError(t, err)
			require.Equal(t, hashBelow(t, dir), it.SHA256)
		})
	}
}
