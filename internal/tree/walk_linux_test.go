package tree

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A name that is replaced between the moment when it was found and the moment
// when it is opened is not read, whatever took its place, and does not make the
// walk wait.
func TestReplacedNameIsNotRead(t *testing.T) {
	for what, replace := range map[string]func(name, secret string) error{
		"link to a file":      func(name, secret string) error { return os.Symlink(secret, name) },
		"link to a directory": func(name, secret string) error { return os.Symlink(filepath.Dir(secret), name) },
		"hard link":           func(name, secret string) error { return os.Link(secret, name) },
		"pipe":                func(name, _ string) error { return unix.Mkfifo(name, 0o600) },
		"socket":              func(name, _ string) error { return unix.Mknod(name, unix.S_IFSOCK|0o600, 0) },
		"file":                func(name, _ string) error { return os.WriteFile(name, []byte("another"), 0o600) },
		"directory":           func(name, _ string) error { return os.Mkdir(name, 0o700) },
		"nothing":             func(string, string) error { return nil },
	} {
		for _, name := range []string{"file", "directory", "."} {
			t.Run(name+" becomes "+what, func(t *testing.T) {
				parent := t.TempDir()
				dir, secret := filepath.Join(parent, "app"), filepath.Join(parent, "outside", "secret")
				write(t, filepath.Join(dir, "directory", "inside"), "inside")
				write(t, filepath.Join(dir, "file"), "mine")
				write(t, secret, "secret")
				w := walker{ctx: t.Context(), visit: func(n *Node) error {
					if n.Mode.IsRegular() {
						text, err := io.ReadAll(n.File)
						require.NoError(t, err)
						require.Contains(t, []string{"mine", "inside"}, string(text))
					}
					return nil
				}}
				w.hook = func(path string) {
					if path == name {
						require.NoError(t, os.Rename(filepath.Join(dir, name), filepath.Join(parent, "aside")))
						require.NoError(t, replace(filepath.Join(dir, name), secret))
					}
				}
				if name == "." {
					w.hook = func(path string) {
						if path == name {
							require.NoError(t, os.Rename(dir, filepath.Join(parent, "aside")))
							require.NoError(t, replace(dir, secret))
						}
					}
				}
				failed := make(chan error, 1)
				go func() { failed <- w.walk(rootAt(t, parent), "app") }()
				select {
				case err := <-failed:
					require.Error(t, err)
				case <-time.After(10 * time.Second):
					require.Fail(t, "the walk waits")
				}
			})
		}
	}
}

// What is reported of a file is what is true of the bytes that are read: the
// owner of a directory can exchange two names at any moment.
func TestNodeIsOfTheOpenFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "app", "a"), "a")
	write(t, filepath.Join(dir, "app", "z"), "zz")
	w := walker{ctx: t.Context(), visit: func(n *Node) error {
		if n.Mode.IsRegular() {
			text, err := io.ReadAll(n.File)
			require.NoError(t, err)
			require.EqualValues(t, len(text), n.Size)
		}
		return nil
	}}
	w.hook = func(path string) {
		if path == "a" {
			a, z := filepath.Join(dir, "app", "a"), filepath.Join(dir, "app", "z")
			require.NoError(t, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, z, unix.RENAME_EXCHANGE))
		}
	}
	require.ErrorIs(t, w.walk(rootAt(t, dir), "app"), ErrChanged)
}

// A volume that is mounted in a directory, of another device or of the same
// one, is neither walked nor removed.
func TestMountsAreNotEntered(t *testing.T) {
	realtest.WithMounts(t, "TestMountsAreNotEntered", func() {
		for _, what := range []string{"bind of a directory", "bind of a file", "tmpfs"} {
			t.Run(what, func(t *testing.T) {
				dir := t.TempDir()
				app, share := filepath.Join(dir, "app"), filepath.Join(dir, "share")
				write(t, filepath.Join(share, "precious"), "precious")
				write(t, filepath.Join(app, "sub", "mine"), "mine")
				at, args := filepath.Join(app, "sub"), []string{"--bind", share, filepath.Join(app, "sub")}
				switch what {
				case "bind of a file":
					at = filepath.Join(app, "sub", "mine")
					args = []string{"--bind", filepath.Join(share, "precious"), at}
				case "tmpfs":
					args = []string{"-t", "tmpfs", "tmpfs", at}
				}
				out, err := exec.Command("mount", args...).CombinedOutput()
				require.NoError(t, err, "%s", out)
				t.Cleanup(func() { _ = exec.Command("umount", at).Run() })
				rel, err := filepath.Rel(app, at)
				require.NoError(t, err)

				err = WalkPath(t.Context(), app, func(n *Node) error {
					require.NotEqual(t, rel, n.Path)
					return nil
				})
				require.ErrorContains(t, err, rel+" is mounted there from another volume")
				root, err := openRoot(dir)
				require.NoError(t, err)
				defer func() { _ = root.Close() }()
				require.ErrorContains(t, Remove(root, "app"), rel+" is mounted there from another volume")
				require.FileExists(t, filepath.Join(share, "precious"))
				require.ErrorContains(t, Movable(root, "app"), at+" is mounted inside")
				require.NoError(t, Movable(root, "share"))
				require.NoError(t, Movable(root, "none"))
				require.ErrorContains(t, Movable(rootAt(t, filepath.Dir(at)), filepath.Base(at)), "a mount point cannot be renamed")
			})
		}
	})
}

func TestUnescape(t *testing.T) {
	require.Equal(t, `/srv/a b\c`+"\n", unescape(`/srv/a\040b\134c\012`))
	require.Equal(t, `/x\04`, unescape(`/x\04`))
}

// Who owns the directory above can put a pipe, a link or another directory in
// the place of one, also of one that was made just now.
func TestReplacedDirectoryIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	require.NoError(t, os.Symlink("real", filepath.Join(dir, "link")))
	for _, name := range []string{"pipe", "link"} {
		for what, open := range map[string]func() (*Root, error){
			"exact":  func() (*Root, error) { return OpenExact(filepath.Join(dir, name)) },
			"below":  func() (*Root, error) { return OpenExact(filepath.Join(dir, name, "sub")) },
			"enters": func() (*Root, error) { return rootAt(t, dir).enter(name) },
		} {
			failed := make(chan error, 1)
			go func() { _, err := open(); failed <- err }()
			select {
			case err := <-failed:
				require.Error(t, err, "%s %s", what, name)
			case <-time.After(10 * time.Second):
				require.Failf(t, "it waits", "%s %s", what, name)
			}
		}
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "real"), 0o755))
	r, err := OpenExact(filepath.Join(dir, "real"))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "real"), r.Name())
	require.ErrorContains(t, ours(r), "another owner, or the permissions")
	require.NoError(t, os.Chmod(filepath.Join(dir, "real"), 0o700))
	require.NoError(t, ours(r))
	write(t, filepath.Join(dir, "real", "file"), "x")
	require.ErrorContains(t, ours(r), "it is not empty")
	require.NoError(t, r.Close())

	made, err := Make(rootAt(t, dir), "made")
	require.NoError(t, err)
	require.NoError(t, made.Close())
	_, err = Make(rootAt(t, dir), "link")
	require.Error(t, err)
}

// Who may write a file can set its time back, and is found out all the same.
func TestChangedWithTheTimeSetBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(path, []byte("before"), 0o600))
	require.NoError(t, WalkPath(t.Context(), dir, func(n *Node) error {
		if n.Path != "f" {
			return nil
		}
		require.NoError(t, n.Changed())
		for now := n.status; now.Equal(n.status); { // the clock of a file system has ticks
			require.NoError(t, os.WriteFile(path, []byte("behind"), 0o600))
			require.NoError(t, os.Chtimes(path, n.ModTime, n.ModTime))
			fi, err := os.Stat(path)
			require.NoError(t, err)
			var at Node
			at.set(fi)
			now = at.status
		}
		require.ErrorIs(t, n.Changed(), ErrChanged)
		return nil
	}))
}
