package site

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// A fakeNginx accepts every file, unless there is one named bad, and serves what it has read last.
func fakeNginx(t *testing.T) (n nginxFence, served func() string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake nginx is a shell script")
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "nginx")
	require.NoError(t, os.WriteFile(script, []byte("case $1 in -t) test ! -e "+dir+"/bad;; *) test ! -e "+dir+"/gone && cp "+dir+"/include "+dir+"/served;; esac\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "include"), []byte("# ours\n"), 0o640))
	c := &Config{State: filepath.Join(dir, "state"), Application: applicationConfig{Nginx: nginxConfig{
		Include: filepath.Join(dir, "include"), Allow: []string{"192.0.2.7", "2001:DB8::1"},
		Test: []string{"/bin/sh", script, "-t"}, Reload: []string{"/bin/sh", script, "-s", "reload"},
	}}}
	require.Empty(t, c.Application.Nginx.check())
	s := &Site{Config: c}
	var u rollback.Update
	s.protect(&u)
	require.Equal(t, "nginx "+c.Application.Nginx.Include, u.FenceState(t.Context())[0].Name)
	return s.nginx(), func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "served"))
		return string(text)
	}
}

func TestNginxKeepsUsersOut(t *testing.T) {
	n, served := fakeNginx(t)
	dir := filepath.Dir(n.Include)
	is := func(closed bool, text string) {
		t.Helper()
		got, err := n.Closed(t.Context())
		require.NoError(t, err)
		require.Equal(t, closed, got)
		file, err := os.ReadFile(n.Include)
		require.NoError(t, err)
		require.Equal(t, text, string(file))
		require.Equal(t, text, served())
		fi, err := os.Stat(n.Include)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o640), fi.Mode().Perm())
	}
	closed := string(n.closed())
	require.Equal(t, nginxMark+`
set $aspupdate_out 1;
if ($remote_addr = "127.0.0.1") { set $aspupdate_out 0; }
if ($remote_addr = "::1") { set $aspupdate_out 0; }
if ($remote_addr = "192.0.2.7") { set $aspupdate_out 0; }
if ($remote_addr = "2001:db8::1") { set $aspupdate_out 0; }
add_header Retry-After 1800 always;
if ($aspupdate_out) { return 503; }
`, closed)
	for range 2 { // also after a crash
		require.NoError(t, n.Close(t.Context()))
		is(true, closed)
	}
	for range 2 {
		require.NoError(t, n.Open(t.Context()))
		is(false, "# ours\n")
	}

	// Killed after the file was written, and after it was put back.
	require.NoError(t, replaceFile(n.copy, []byte("# ours\n")))
	require.NoError(t, n.write(n.closed()))
	require.NoError(t, n.Open(t.Context()))
	is(false, "# ours\n")
	require.NoError(t, n.Close(t.Context()))
	require.NoError(t, n.putBack())
	require.Equal(t, closed, served())
	require.NoError(t, n.Open(t.Context()))
	is(false, "# ours\n")

	// What nginx does not accept is not left, and nginx does not read it.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad"), nil, 0o600))
	require.ErrorContains(t, n.Close(t.Context()), "nginx does not accept "+n.Include)
	is(false, "# ours\n")
	require.NoError(t, os.Remove(filepath.Join(dir, "bad")))

	// nginx does not run: closing fails, and opening says that users may be out.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "gone"), nil, 0o600))
	require.Error(t, n.Close(t.Context()))
	require.Error(t, n.Open(t.Context()))
	require.NoError(t, os.Remove(filepath.Join(dir, "gone")))
	require.NoError(t, n.Open(t.Context()))
	is(false, "# ours\n")

	// A person has put something else there: that stays.
	require.NoError(t, n.Close(t.Context()))
	require.NoError(t, os.WriteFile(n.Include, []byte("# theirs\n"), 0o600))
	require.NoError(t, n.Open(t.Context()))
	is(false, "# theirs\n")
}

// On a full disk no new file can be made, and users are let in by the file that is there. A link
// that has taken its place leads nowhere.
func TestNginxIsOpenedOnAFullDisk(t *testing.T) {
	n, _ := fakeNginx(t)
	require.NoError(t, n.Close(t.Context()))
	require.NoError(t, n.overwrite([]byte("# ours\n")))
	closed, err := n.Closed(t.Context())
	require.NoError(t, err)
	require.False(t, closed)
	for _, other := range []string{n.copy, "served"} { // outside, and beside it
		require.NoError(t, os.Remove(n.Include))
		require.NoError(t, os.Symlink(other, n.Include))
		require.Error(t, n.overwrite([]byte("foreign")))
		text, err := os.ReadFile(n.Include)
		require.NoError(t, err)
		require.NotContains(t, string(text), "foreign")
	}
}

func TestNginxIsChecked(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "include")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for want, c := range map[string]nginxConfig{
		"include is missing":                        {Allow: []string{"192.0.2.7"}},
		`include = "nginx.conf": give an absolute`:  {Include: "nginx.conf"},
		"make an empty file":                        {Include: filepath.Join(dir, "none")},
		`allow has "192.0.2.0/24": give an address`: {Include: file, Allow: []string{"192.0.2.0/24"}},
		`allow has "::1\"; return 200; #": give an`: {Include: file, Allow: []string{`::1"; return 200; #`}},
		`allow has "fe80::1%\" }": give an address`: {Include: file, Allow: []string{`fe80::1%" }`}},
	} {
		m := c.check()
		require.Len(t, m, 1, want)
		require.True(t, strings.Contains(errors.Join(m...).Error(), want), "%v", m)
	}
	require.Empty(t, (&nginxConfig{}).check())
	if runtime.GOOS == "windows" {
		return // where a mode says nothing of other accounts
	}
	file = filepath.Join(realtest.SharedDir(t), "include")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Empty(t, (&nginxConfig{Include: file}).check())
	require.NoError(t, os.Chmod(file, 0o666)) // others can enter the directory
	m := (&nginxConfig{Include: file}).check()
	require.Len(t, m, 1)
	require.ErrorContains(t, m[0], "application.nginx.include: ")
}
