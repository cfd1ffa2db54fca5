package files_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// rounds is how often an attack is repeated.
func rounds() int {
	if os.Getenv("ASPUPDATE_SOAK") != "" {
		return 1000
	}
	return 200
}

// TestMain also runs this program as the attacker.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "attack" {
		attacks[os.Args[2]](os.Args[3])
	}
	os.Exit(m.Run())
}

// attacks run until they are ended, each in a directory of the attacker.
var attacks = map[string]func(dir string){
	// exchange exchanges the attacker's own file with a file that only root may
	// read, with one that runs as root, with a link to a file elsewhere, and with
	// a pipe.
	"exchange": func(dir string) {
		mine := filepath.Join(dir, "app", "m-mine")
		for i := 0; ; i++ {
			other := []string{"a-private", "z-private", "a-runs-as-root", "z-runs-as-root", "link", "pipe", "directory"}[i%7]
			if i%7 >= 4 {
				other = filepath.Join(dir, other)
			} else {
				other = filepath.Join(dir, "app", other)
			}
			_ = unix.Renameat2(unix.AT_FDCWD, mine, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
			_ = unix.Renameat2(unix.AT_FDCWD, mine, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
		}
	},
	// replace puts root's private file, or a link to it, in the place of whatever
	// appears beside the application.
	"replace": func(dir string) {
		seen := map[string]bool{}
		for i := 0; ; {
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				path := filepath.Join(dir, e.Name())
				if seen[path] || !strings.Contains(e.Name(), "aspupdate") {
					continue
				}
				if os.Rename(path, filepath.Join(dir, fmt.Sprintf("stolen-%d", i))) != nil {
					continue
				}
				seen[path] = true
				i++
				switch i % 4 {
				case 0:
					_ = os.Link(filepath.Join(dir, "private"), path)
				case 1:
					_ = os.Symlink(filepath.Join(dir, "private"), path)
				case 2:
					_ = os.Rename(filepath.Join(dir, "private"), path)
				case 3:
					_ = os.Symlink(filepath.Join(dir, "mine"), path)
				}
			}
		}
	},
}

// attack starts an attacker, who is ended with the test.
func attack(t *testing.T, how, dir string) {
	t.Helper()
	cmd := realtest.Unprivileged(t, "attack", how, dir)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// attackersHome returns a directory of the attacker's, with an application in it.
func attackersHome(t *testing.T) (dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		realtest.Skip(t, "only root has something that others may not get")
	}
	dir = filepath.Join(realtest.SharedDir(t), "home")
	for _, d := range []string{dir, filepath.Join(dir, "app"), filepath.Join(dir, "directory")} {
		require.NoError(t, os.Mkdir(d, 0o755))
		realtest.ToUnprivileged(t, d)
	}
	return dir
}

const (
	private = "only root may read this"
	program = "this runs as root"
	mine    = "the attacker wrote this"
)

// file makes a file of root's with that mode, or the attacker's.
func file(t *testing.T, path, text string, mode os.FileMode, attackers bool) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	if attackers {
		realtest.ToUnprivileged(t, path)
	}
	require.NoError(t, os.Chmod(path, mode))
}

// The owner of a directory exchanges names while it is backed up. No backup has
// the bytes of one file with the owner or the rights of another, what is
// outside of the directory is not read, and a pipe keeps nothing waiting.
func TestBackupWhileItsOwnerAttacks(t *testing.T) {
	home := attackersHome(t)
	app := filepath.Join(home, "app")
	for _, p := range []string{"a-", "z-"} {
		file(t, filepath.Join(app, p+"private"), private, 0o600, false)
		file(t, filepath.Join(app, p+"runs-as-root"), program, 0o755|os.ModeSetuid, false)
	}
	file(t, filepath.Join(app, "m-mine"), mine, 0o666, true)
	secret := filepath.Join(realtest.SharedDir(t), "secret")
	file(t, secret, "outside", 0o600, false)
	require.NoError(t, os.Symlink(secret, filepath.Join(home, "link")))
	require.NoError(t, unix.Mkfifo(filepath.Join(home, "pipe"), 0o666))
	attack(t, "exchange", home)

	target := &files.Directory{Path: app}
	took := 0
	for range rounds() {
		dir := t.TempDir()
		done := make(chan error, 1)
		go func() { _, err := target.Backup(t.Context(), dir); done <- err }()
		select {
		case err := <-done:
			if err == nil {
				took++
			}
		case <-time.After(time.Minute):
			require.Fail(t, "a backup waits")
		}
		for _, h := range entries(t, filepath.Join(dir, "tree.tar.zst")) {
			switch h.text {
			case private:
				require.Equal(t, []int{0, 0o600}, []int{h.Uid, int(h.Mode)}, h.Name)
			case program:
				require.Equal(t, []int{0, 0o4755}, []int{h.Uid, int(h.Mode)}, h.Name)
			case mine:
				require.NotZero(t, h.Uid, h.Name)
				require.EqualValues(t, 0o666, h.Mode, h.Name)
			case "":
			default:
				require.Failf(t, "foreign bytes", "%s: %s", h.Name, h.text)
			}
		}
	}
	t.Logf("%d of %d backups found nothing changed", took, rounds())
}

type entry struct {
	*tar.Header
	text string
}

// entries reads the whole files of a backup, which may end early.
func entries(t *testing.T, file string) (list []entry) {
	t.Helper()
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	z, err := zstd.NewReader(f)
	require.NoError(t, err)
	defer z.Close()
	tr := tar.NewReader(z)
	for {
		h, err := tr.Next()
		if err != nil {
			return list
		}
		text, err := io.ReadAll(tr)
		if err != nil {
			return list
		}
		list = append(list, entry{h, string(text)})
	}
}

// The owner of the directory beside which a restore is made replaces what it
// makes. Root's files keep their rights, and no file that runs as root, or that
// only root may read, has the attacker's name or bytes.
func TestRestoreWhileItsOwnerAttacks(t *testing.T) {
	home := attackersHome(t)
	app := filepath.Join(home, "app")
	file(t, filepath.Join(app, "runs-as-root"), program, 0o755|os.ModeSetuid, false)
	file(t, filepath.Join(app, "open"), "open", 0o666, false)
	require.NoError(t, os.Chmod(app, 0o777))
	file(t, filepath.Join(home, "mine"), mine, 0o666, true)
	target := &files.Directory{Path: app}
	snapshot := t.TempDir()
	m, err := target.Backup(t.Context(), snapshot)
	require.NoError(t, err)
	attack(t, "replace", home)

	restored := 0
	for range rounds() {
		_ = os.Remove(filepath.Join(home, "private"))
		held, err := os.OpenFile(filepath.Join(home, "private"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		require.NoError(t, err)
		r, err := target.Restore(t.Context(), snapshot, m)
		if err == nil {
			restored++
			require.Equal(t, program, read(t, filepath.Join(app, "runs-as-root")))
			_ = r.Discard(t.Context())
		}
		fi, serr := held.Stat()
		require.NoError(t, errors.Join(serr, held.Close()))
		require.Equal(t, os.FileMode(0o600), fi.Mode(), "root's private file")
		requireNoGain(t, home)
		stolen, gerr := filepath.Glob(filepath.Join(home, "stolen-*"))
		require.NoError(t, gerr)
		for _, path := range stolen {
			_ = os.RemoveAll(path) // or each round takes longer than the one before
		}
		if err == nil {
			continue
		}
		if fi, err := os.Lstat(app); err != nil || !fi.IsDir() { // the attacker took it: the next round has something to replace
			_ = os.Remove(app)
			require.NoError(t, os.Mkdir(app, 0o755))
		}
	}
	t.Logf("%d of %d restores succeeded", restored, rounds())
}

// requireNoGain asserts that what runs as root has root's bytes.
func requireNoGain(t *testing.T, home string) {
	t.Helper()
	out, err := exec.Command("find", home, "-xdev", "-type", "f", "-perm", "/6000", "-size", fmt.Sprint("-", len(program)+1, "c"), "-exec", "grep", "-L", "-x", program, "{}", "+").Output()
	require.Empty(t, string(out), "%v", err)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return program // the attacker has moved the directory since
	}
	require.NoError(t, err)
	return string(text)
}
