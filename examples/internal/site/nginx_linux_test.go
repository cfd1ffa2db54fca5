package site

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A realNginx is a fence in front of an application. What else the server block includes is named more*.
type realNginx struct {
	nginxFence
	dir, url string
}

func newRealNginx(t *testing.T, include string) *realNginx {
	t.Helper()
	dir := realtest.SharedDir(t) // nginx's own account reads the file
	file := filepath.Join(dir, "include")
	require.NoError(t, os.WriteFile(file, []byte("# ours\n"), 0o644))
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the application") }))
	t.Cleanup(application.Close)
	addr, command := realtest.Nginx(t, fmt.Sprintf("%s\ninclude %s/more*;\nlocation / { proxy_pass %s; }", fmt.Sprintf(include, file), dir, application.URL))
	c := &Config{State: t.TempDir(), Application: applicationConfig{Nginx: nginxConfig{
		Include: file, Allow: []string{"127.0.0.3"}, URL: "http://" + addr + "/",
		Test: append(slices.Clone(command), "-t"), Reload: append(slices.Clone(command), "-s", "reload"),
	}}}
	require.Empty(t, c.Application.Nginx.check())
	return &realNginx{(&Site{Config: c}).nginx(), dir, "http://" + addr + "/"}
}

// ask returns what the site answers an address of this machine.
func (n *realNginx) ask(t *testing.T, from string) (status int, after, body string) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}}
	res, err := client.Get(n.url)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, res.Header.Get("Retry-After"), string(text)
}

func (n *realNginx) letsIn(t *testing.T, from ...string) {
	t.Helper()
	for _, one := range from {
		status, _, body := n.ask(t, one)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "the application", body)
	}
}

// isOpen waits until all are let in, time after time: nginx carries out a reload later, and workers of both
// configurations answer for a while.
func (n *realNginx) isOpen(t *testing.T) {
	t.Helper()
	n.holds(t, "# ours\n")
	in := 0
	require.Eventually(t, func() bool {
		status, _, _ := n.ask(t, "127.0.0.2")
		if in++; status != http.StatusOK {
			in = 0
		}
		return in == 25
	}, 30*time.Second, 20*time.Millisecond)
	n.letsIn(t, "127.0.0.1", "127.0.0.2")
}

func (n *realNginx) holds(t *testing.T, text string) {
	t.Helper()
	file, err := os.ReadFile(n.Include)
	require.NoError(t, err)
	require.Equal(t, text, string(file))
}

func TestNginxKeepsUsersOutOnARealServer(t *testing.T) {
	t.Parallel()
	n := newRealNginx(t, "include %s;")
	n.isOpen(t)
	for range 2 {
		require.NoError(t, n.Close(t.Context()))
		status, after, _ := n.ask(t, "127.0.0.2") // at once
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.Equal(t, "1800", after)
		n.letsIn(t, "127.0.0.1", "127.0.0.3")
	}
	for range 2 {
		require.NoError(t, n.Open(t.Context()))
		n.isOpen(t)
	}

	// Killed after the file was written, and after it was put back: nginx has not read it.
	require.NoError(t, replaceFile(n.copy, []byte("# ours\n")))
	require.NoError(t, n.write(n.closed()))
	require.NoError(t, n.Open(t.Context()))
	n.isOpen(t)
	require.NoError(t, n.Close(t.Context()))
	require.NoError(t, n.putBack())
	require.NoError(t, n.Open(t.Context()))
	n.isOpen(t)
}

// A configuration that nginx refuses leaves what was there.
func TestNginxRefusesWhatItIncludes(t *testing.T) {
	t.Parallel()
	n := newRealNginx(t, "include %s;")
	require.NoError(t, n.accepted(t.Context()))
	more := filepath.Join(n.dir, "more")
	require.NoError(t, os.WriteFile(more, []byte("nonsense;\n"), 0o644))
	err := n.Close(t.Context())
	require.ErrorContains(t, err, "nginx does not accept "+n.Include)
	require.ErrorContains(t, err, `unknown directive "nonsense"`)
	require.NoError(t, os.Remove(more))
	n.isOpen(t)
}

// A file that no server block includes keeps no user out.
func TestNginxDoesNotIncludeTheFile(t *testing.T) {
	t.Parallel()
	n := newRealNginx(t, "# %s")
	require.ErrorContains(t, n.Close(t.Context()), "nginx does not include "+n.Include+": include it in the server block of nginx")
	n.isOpen(t)

	// By a link, as of sites-enabled, it is included under another name.
	require.NoError(t, os.Symlink(n.Include, filepath.Join(n.dir, "more")))
	require.NoError(t, n.Close(t.Context()))
	status, _, _ := n.ask(t, "127.0.0.2")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NoError(t, n.Open(t.Context()))
	n.isOpen(t)
}

// What nginx does not carry out is no closed entry, whatever the commands report.
func TestNginxDoesNotFollowTheFile(t *testing.T) {
	t.Parallel()
	n := newRealNginx(t, "include %s;")
	reload := n.reload.Argv
	n.reload.Argv = []string{"/bin/true"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorContains(t, n.Close(ctx), "still lets in 127.0.0.2, which stands for users")
	n.reload.Argv = reload
	require.NoError(t, n.Open(t.Context()))
	n.isOpen(t)
}
