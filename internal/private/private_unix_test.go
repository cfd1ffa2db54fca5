//go:build unix

package private

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// tree makes directories ("name/") and files with modes, and links ("name>to")
// in a directory that everybody may enter.
func tree(t *testing.T, entries ...string) string {
	t.Helper()
	t.Setenv("TMPDIR", "/tmp") // one's own may be closed to all others
	dir := realtest.SharedDir(t)
	for _, e := range entries {
		name, mode, _ := strings.Cut(e, " ")
		if link, to, ok := strings.Cut(name, ">"); ok {
			require.NoError(t, os.Symlink(strings.ReplaceAll(to, "DIR", dir), filepath.Join(dir, link)))
			continue
		}
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			require.NoError(t, os.Mkdir(path, 0o700))
		} else {
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		}
		bits := fs.FileMode(0)
		for _, digit := range mode {
			bits = bits<<3 | fs.FileMode(digit-'0')
		}
		if bits&0o1000 != 0 {
			bits = bits&^0o1000 | fs.ModeSticky
		}
		defer func() { require.NoError(t, os.Chmod(path, bits)) }() // the innermost first
	}
	return dir
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []string
		path    string
		want    string // "" if it is ours
	}{
		{"a directory of ours", []string{"a/ 755", "a/b/ 755"}, "a/b", ""},
		{"what everybody may write", []string{"a/ 777"}, "a", "a is 0777"},
		{"a group", []string{"a/ 770"}, "a", "a is 0770"},
		{"a file", []string{"f 666"}, "f", "f is 0666"},
		{"a file of ours", []string{"f 644"}, "f", ""},
		{"a parent", []string{"a/ 777", "a/b/ 700", "a/b/f 600"}, "a/b/f", "a is 0777"},
		{"a sticky parent", []string{"a/ 1777", "a/b/ 700"}, "a/b", ""},
		{"a sticky directory itself", []string{"a/ 1777"}, "a", "a is 0777"},
		{"below what no other account can enter", []string{"a/ 700", "a/b/ 777", "a/b/c/ 777"}, "a/b/c", ""},
		{"beside what no other account can enter", []string{"x/ 700", "a/ 777"}, "x/../a", "a is 0777"},
		{"not there yet", []string{"a/ 755"}, "a/b/c", ""},
		{"not there yet, in a parent of all", []string{"a/ 777"}, "a/b/c", "a is 0777"},
		{"a link", []string{"a/ 755", "l>a"}, "l", ""},
		{"a link to what all may write", []string{"a/ 777", "l>a"}, "l", "a is 0777"},
		{"a link with a way through what all may write", []string{"a/ 777", "b/ 755", "l>a/../b"}, "l", "a is 0777"},
		{"an absolute link", []string{"a/ 777", "a/b/ 755", "x/ 700", "x/l>DIR/a/b"}, "x/l", "a is 0777"},
		{"a link out of what no other account can enter", []string{"a/ 777", "x/ 700", "x/l>../a"}, "x/l", "a is 0777"},
		{"a link to the parent", []string{"a/ 755", "a/l>.."}, "a/l", ""},
		{"a link to the parent of all", []string{"a/ 777", "a/b/ 755", "a/b/l>.."}, "a/b/l", "a is 0777"},
		{"a link to itself", []string{"l>l"}, "l", "too many links"},
		{"a link to nothing", []string{"l>gone/x"}, "l", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tree(t, c.entries...)
			err := Check(dir + "/" + c.path)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			var e *Error
			require.ErrorAs(t, err, &e)
			if name, mode, ok := strings.Cut(c.want, " is "); !ok {
				require.Equal(t, c.want, e.Why)
			} else {
				require.Contains(t, e.Why, "the mode of "+filepath.Join(dir, name)+" is "+mode)
				require.Equal(t, "chmod go-w "+filepath.Join(dir, name), e.Next)
			}
		})
	}
}

func TestCheckOfARelativePath(t *testing.T) {
	dir := tree(t, "a/ 777", "a/b/ 755", "a/b/f 600")
	t.Chdir(filepath.Join(dir, "a", "b"))
	require.ErrorContains(t, Check("f"), "the mode of "+filepath.Join(dir, "a")+" is 0777")
	require.Error(t, Check("f\x00"))
}

// As root: what belongs to another account is not ours, whatever its mode.
func TestCheckOfOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root gives files away")
	}
	const nobody = 65534
	for name, theirs := range map[string]string{"a directory": "a/b", "a parent": "a", "a link": "l", "a file": "a/b/f"} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, "a/ 755", "a/b/ 755", "a/b/f 600", "l>a/b/f")
			require.NoError(t, Check(dir+"/l"))
			require.NoError(t, os.Lchown(filepath.Join(dir, theirs), nobody, nobody))
			require.ErrorContains(t, Check(dir+"/l"), filepath.Join(dir, theirs)+" belongs to nobody; change its owner")
		})
	}
}

// For an account without permissions root's files are as good as its own, and
// those of a third account are not.
func TestCheckAsAnotherAccount(t *testing.T) {
	realtest.AsNobody(t, "TestCheck(OfARelativePath)?")
	realtest.AsNobody(t, "TestRootIsTrusted")
}

func TestRootIsTrusted(t *testing.T) {
	require.NoError(t, Check("/etc/passwd"))
	require.NoError(t, Check(t.TempDir()))
}

func TestCheckSecret(t *testing.T) {
	dir := tree(t, "a/ 755", "a/mine 600", "a/read 640", "a/all 644", "x/ 700", "x/all 644", "w/ 777", "w/mine 600")
	require.NoError(t, CheckSecret(dir+"/a/mine"))
	require.ErrorContains(t, CheckSecret(dir+"/a/read"), "is 0640, and others may read it; chmod 600 ")
	require.Error(t, CheckSecret(dir+"/a/all"))
	require.Error(t, CheckSecret(dir+"/x/all"), "wider than 0600, wherever it is")
	require.Error(t, CheckSecret(dir+"/w/mine"))
	require.NoError(t, CheckSecret(dir+"/a/gone"))
}

// Credentials of systemd are readable by the group of root.
func TestCheckSecretOfSystemd(t *testing.T) {
	dir := tree(t, "unit/ 750", "unit/password 440", "unit/all 444", "other/ 750", "other/password 440")
	require.Error(t, CheckSecret(dir+"/unit/password"))
	t.Setenv("CREDENTIALS_DIRECTORY", dir+"/unit")
	require.NoError(t, CheckSecret(dir+"/unit/password"))
	require.Error(t, CheckSecret(dir+"/unit/all"))
	require.Error(t, CheckSecret(dir+"/other/password"))
}

func TestMkdir(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, Mkdir(filepath.Join(dir, "a")))
	fi, err := os.Stat(filepath.Join(dir, "a"))
	require.NoError(t, err)
	require.Equal(t, fs.ModeDir|0o700, fi.Mode())
	require.True(t, errors.Is(Mkdir(filepath.Join(dir, "a")), fs.ErrExist))
}
