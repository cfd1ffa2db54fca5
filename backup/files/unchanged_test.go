package files_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup/files"
)

// TestUnchangedSeesEverythingThatARestoreBringsBack changes one thing at a time.
func TestUnchangedSeesEverythingThatARestoreBringsBack(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the changes are those of Unix")
	}
	base := t.TempDir()
	d := &files.Directory{Path: filepath.Join(base, "app")}
	in := func(name string) string { return filepath.Join(d.Path, name) }
	require.NoError(t, os.MkdirAll(in("sub"), 0o755))
	write(t, in("a"), "text", 0o644)
	require.NoError(t, os.Symlink("a", in("link")))
	for name, change := range map[string]func() error{
		"":                    func() error { return nil },
		"bytes":               func() error { return os.WriteFile(in("a"), []byte("more text"), 0o644) },
		"time":                func() error { return os.Chtimes(in("a"), time.Now(), time.Unix(1, 0)) },
		"time of a directory": func() error { return os.Chtimes(in("sub"), time.Now(), time.Unix(1, 0)) },
		"mode":                func() error { return os.Chmod(in("a"), 0o600) },
		"rights, taken away and given back": func() error {
			if err := os.Chmod(d.Path, 0o700); err != nil {
				return err
			}
			return os.Chmod(d.Path, 0o755)
		},
		"a new file":    func() error { return os.WriteFile(in("sub/new"), nil, 0o600) },
		"a removed one": func() error { return os.Remove(in("a")) },
		"a link":        func() error { _ = os.Remove(in("link")); return os.Symlink("b", in("link")) },
		"bytes of one size, at the same time": func() error {
			fi, err := os.Stat(in("a"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(in("a"), []byte("tExt"), 0o644))
			return os.Chtimes(in("a"), fi.ModTime(), fi.ModTime())
		},
		"owner": func() error {
			if os.Geteuid() != 0 {
				return os.Remove(in("a")) // another account cannot give files away
			}
			return os.Lchown(in("link"), 1, 1)
		},
		"all of it": func() error { return os.RemoveAll(d.Path) },
	} {
		require.NoError(t, os.RemoveAll(d.Path))
		require.NoError(t, os.MkdirAll(in("sub"), 0o755))
		write(t, in("a"), "text", 0o644)
		require.NoError(t, os.Symlink("a", in("link")))
		m, err := d.Backup(t.Context(), t.TempDir())
		require.NoError(t, err)
		require.NoError(t, change())
		same, err := d.Unchanged(t.Context(), m)
		require.Equal(t, name == "", same, name)
		if name == "all of it" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err, name)
	}
}
