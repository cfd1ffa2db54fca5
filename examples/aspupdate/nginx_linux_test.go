package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// An nginxSite is a scriptSite behind a real nginx. Its user, who comes from 127.0.0.2, writes without
// end; the installers, on the machine itself, are let in.
type nginxSite struct {
	*scriptSite
	include string

	mu      sync.Mutex
	changes bool // an installer is at work
	writes  int
	wrong   int // while an installer was at work
}

func newNginxSite(t *testing.T) *nginxSite {
	t.Helper()
	n := &nginxSite{}
	dir := realtest.SharedDir(t) // nginx's own account reads the file
	n.include = filepath.Join(dir, "include")
	require.NoError(t, os.WriteFile(n.include, []byte("# before\n"), 0o644))
	application := httptest.NewServer(n)
	t.Cleanup(application.Close)
	addr, command := realtest.Nginx(t, fmt.Sprintf("include %s;\nlocation / { proxy_pass %s; proxy_set_header X-From $remote_addr; }", n.include, application.URL))
	quoted := "'" + strings.Join(command, "', '") + "'"
	n.scriptSite = newScriptSite(t, fmt.Sprintf(`
[application.nginx]
include = '%s'
url = 'http://%s/'
test = [%s, '-t']
reload = ['/bin/sh', '${OWN}/reload', %s, '-s', 'reload']`, n.include, addr, quoted, quoted), "")
	n.write(filepath.Join(n.own, "reload"), "[ ! -e $0.kill ] || { rm $0.kill; kill -9 $PPID; exit; }\n[ ! -e $0.later ] || mv $0.later $0.kill\nexec \"$@\"\n")
	n.installed("7.12.100")
	n.start(t, "http://"+addr+"/")
	return n
}

// start has the user write.
func (n *nginxSite) start(t *testing.T, url string) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	user := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}}
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan struct{})
	t.Cleanup(func() { cancel(); <-left })
	go func() {
		defer close(left)
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
			if err != nil {
				return
			}
			if res, err := user.Do(req); err == nil {
				_ = res.Body.Close()
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
}

// ServeHTTP is the application. The installers report there what they do.
func (n *nginxSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case r.URL.Path == "/begin" || r.URL.Path == "/end":
		n.changes = r.URL.Path == "/begin"
	case r.Header.Get("X-From") != "127.0.0.2":
	case n.changes:
		n.wrong++
	default:
		n.writes++
	}
	_, _ = io.WriteString(w, "the application")
}

// publishes publishes a release whose installer looks from both addresses.
func (n *nginxSite) publishes(version, end string) {
	n.t.Helper()
	url := n.url()
	n.publish(version, "Setup", fmt.Sprintf(`curl --noproxy '*' -sf %[1]sbegin || exit 8
test $(curl --noproxy '*' -s --interface 127.0.0.2 -o /dev/null -w '%%{http_code}' %[1]s) = 503 || exit 9
%[2]s
code=$?
curl --noproxy '*' -sf %[1]send
exit $code
`, url, end))
}

func (n *nginxSite) url() string {
	text, err := os.ReadFile(n.config())
	require.NoError(n.t, err)
	_, after, _ := strings.Cut(string(text), "url = '")
	url, _, _ := strings.Cut(after, "'")
	return url
}

// isOpen fails unless the user is let in again, and was never while an installer was at work.
func (n *nginxSite) isOpen() {
	n.t.Helper()
	text, err := os.ReadFile(n.include)
	require.NoError(n.t, err)
	require.Equal(n.t, "# before\n", string(text))
	count := func() int { n.mu.Lock(); defer n.mu.Unlock(); return n.writes }
	before := count()
	require.Eventually(n.t, func() bool { return count() > before }, 30*time.Second, 10*time.Millisecond, "the user writes again")
	require.Zero(n.t, n.wrong)
	code, out := n.run("status")
	require.Zero(n.t, code, out)
}

// TestNginxAsTheFenceOnARealServer updates behind a real nginx: an update that is committed, and one
// that fails.
func TestNginxAsTheFenceOnARealServer(t *testing.T) {
	t.Parallel()
	n := newNginxSite(t)
	n.publishes("7.13.100", "echo 7.13.100 > $1/version")
	code, out := n.run("update", "--yes")
	require.Zero(t, code, out)
	require.Equal(t, "7.13.100\n", n.read("version"))
	n.isOpen()
	n.publishes("7.14.100", "false")
	code, out = n.run("update", "--yes")
	require.Equal(t, exitRolledBack, code, out)
	require.Equal(t, "7.13.100\n", n.read("version"))
	n.last = ""
	n.isOpen()
}

// TestNginxAndAKilledUpdater kills the updater between a write of the file and the reload of nginx: when
// it closes, and when it opens after a commit. recover puts it right.
func TestNginxAndAKilledUpdater(t *testing.T) {
	t.Parallel()
	for moment, installed := range map[string]string{"kill": "7.12.100", "later": "7.13.100"} {
		t.Run(moment, func(t *testing.T) {
			n := newNginxSite(t)
			n.publishes("7.13.100", "echo 7.13.100 > $1/version")
			n.write(filepath.Join(n.own, "reload."+moment), "")
			_, out := n.run("update", "--yes")
			require.NoFileExists(t, filepath.Join(n.own, "reload."+moment), out)
			require.NoFileExists(t, filepath.Join(n.own, "reload.kill"), "it was killed: %s", out)
			require.Equal(t, installed+"\n", n.read("version"))
			code, out := n.run("recover")
			require.Zero(t, code, out)
			require.Equal(t, installed+"\n", n.read("version"))
			n.isOpen()
		})
	}
}

// TestNginxThatIncludesNothing is found by doctor, and stops an update before anything is changed.
func TestNginxThatIncludesNothing(t *testing.T) {
	t.Parallel()
	n := newNginxSite(t)
	other := filepath.Join(filepath.Dir(n.include), "other")
	n.write(other, "# before\n")
	text, err := os.ReadFile(n.config())
	require.NoError(t, err)
	right := string(text)
	n.write(n.config(), strings.Replace(right, "include = '"+n.include, "include = '"+other, 1))
	n.publishes("7.13.100", "echo 7.13.100 > $1/version")
	want := "nginx does not include " + other
	code, out := n.run("doctor")
	require.NotZero(t, code)
	require.Contains(t, out, want)
	code, out = n.run("update", "--yes")
	require.NotZero(t, code)
	require.Contains(t, out, want)
	require.Equal(t, "7.12.100\n", n.read("version"))
	kept, err := os.ReadFile(other)
	require.NoError(t, err)
	require.Equal(t, "# before\n", string(kept))

	// A file that is not there stops every command.
	require.NoError(t, os.Remove(other))
	code, out = n.run("doctor")
	require.NotZero(t, code)
	require.Contains(t, out, "application.nginx.include")
	n.write(n.config(), right)
	n.last = ""
	code, out = n.run("update", "--yes")
	require.Zero(t, code, out)
	n.isOpen()
}
