package https_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/https"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
)

// protocols are the versions of HTTP that nginx speaks, with whether they are 2.
var protocols = map[string]bool{"HTTP/1.1": false, "HTTP/2": true}

// onNginx returns a source on a real nginx. The kernel keeps little on the way from it:
// what happens to nginx in the middle of a file is felt there.
func onNginx(s realtest.Server, two bool) *https.Source {
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: two}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetReadBuffer(64 << 10)
	}
	return (&https.Source{Base: "https://" + s.Addr, Client: &http.Client{Transport: login{t, s}}, Timeout: 20 * time.Second}).Quick()
}

// A login adds user and password to requests.
type login struct {
	http.RoundTripper
	s realtest.Server
}

func (l login) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(l.s.User, l.s.Password)
	return l.RoundTripper.RoundTrip(r)
}

func TestNginxIsASource(t *testing.T) {
	t.Parallel()
	for name, two := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fetchtest.TestSource(t, func(t *testing.T, all map[string][]byte) fetch.Source {
				return onNginx(realtest.HTTPS(t, files(t, all)), two)
			})
		})
	}
}

// A tree with Cyrillic names is found by nginx's index pages and archived. Who does
// not log in, or cannot tell who the server is, gets nothing.
func TestFetchFromNginx(t *testing.T) {
	t.Parallel()
	const distribution = "Опека и попечительство"
	tree := map[string][]byte{"setup.exe": lab.Payload(200_000), "данные/ёлка.cab": lab.Payload(70_000), "a b/-x & y's.txt": []byte("x"), "Й %20;й.ini": {}}
	all := map[string][]byte{"пусто/x": nil}
	for name, data := range tree {
		all[distribution+"/7.12.100/Setup/"+name] = data
	}
	root := files(t, all)
	s := realtest.HTTPS(t, root)
	for name, two := range protocols {
		src := onNginx(s, two)
		rel, err := lab.Finder().Latest(t.Context(), src, distribution, version.Setup)
		require.NoError(t, err, name)
		a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Settle: -1, Retry: lab.Soon}
		it, err := a.Fetch(t.Context(), src, rel, version.Setup, archive.WithServerHash(src, archive.Unauthenticated("a test")))
		require.NoError(t, err, name)
		require.NoError(t, a.Verify(t.Context(), it))
		got := map[string]string{}
		for _, p := range it.Parts {
			got[p.Path] = p.SHA256
		}
		require.Len(t, got, len(tree))
		for name, data := range tree {
			require.Equal(t, lab.Sum(data), got[name], name)
		}
		_, err = lab.Finder().Find(t.Context(), src, "нет такого")
		require.ErrorIs(t, err, fetch.ErrUnknownDistribution)
		require.ErrorContains(t, err, distribution)
	}
	require.NoError(t, os.Chmod(filepath.Join(root, "пусто"), 0))
	_, err := onNginx(s, false).List(t.Context(), "/пусто")
	require.ErrorIs(t, err, fs.ErrPermission, "nginx has no rights")
	wrong := s
	wrong.Password = "not-it"
	_, err = onNginx(wrong, false).List(t.Context(), "/")
	require.ErrorIs(t, err, fetch.ErrCredentials)
	require.NotContains(t, err.Error(), "not-it")
	wrong = s
	wrong.Roots = nil
	_, err = onNginx(wrong, false).List(t.Context(), "/")
	require.ErrorContains(t, err, "certificates that are trusted")
}

// A cut is a source that stops once when so many bytes of a file have come, and
// remembers from where files were read.
type cut struct {
	*https.Source
	at            int64
	reached, goOn chan struct{}
	offsets       []int64
}

func (c *cut) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	c.offsets = append(c.offsets, offset)
	r, err := c.Source.Open(ctx, name, offset)
	if err != nil {
		return nil, err
	}
	return &cutReader{r, c}, nil
}

type cutReader struct {
	io.ReadCloser
	c *cut
}

func (r *cutReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.c.at -= int64(n); r.c.at <= 0 && r.c.reached != nil {
		close(r.c.reached)
		r.c.reached = nil
		<-r.c.goOn
	}
	return n, err
}

// fetch fetches, and calls act when the cut is met.
func (c *cut) fetch(t *testing.T, a *archive.Archive, rel fetch.Release, act func()) (it archive.Item, err error) {
	t.Helper()
	reached, ended := make(chan struct{}), make(chan struct{})
	c.reached, c.goOn = reached, make(chan struct{})
	go func() {
		defer close(ended)
		it, err = a.Fetch(t.Context(), c, rel, version.Setup, archive.Unauthenticated("a test"))
	}()
	select {
	case <-reached:
	case <-ended:
		require.FailNow(t, "the fetch ended too early", "%v", err)
	}
	act()
	close(c.goOn)
	<-ended
	return it, err
}

// nginx ends in the middle of a download, and the download goes on where it stopped.
func TestADownloadFromNginxIsResumed(t *testing.T) {
	t.Parallel()
	data := lab.Payload(8 << 20) // by HTTP/2 the client reads 4 MiB ahead
	for name, two := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := realtest.HTTPS(t, files(t, map[string][]byte{lab.SetupPath: data}))
			src := &cut{Source: onNginx(s, two), at: 1 << 20}
			rel, err := lab.Finder().Latest(t.Context(), src, "asp", version.Setup)
			require.NoError(t, err)
			a := &archive.Archive{Dir: filepath.Join(lab.InMemory(t), "archive"), Settle: -1, Retry: lab.Soon}
			it, err := src.fetch(t, a, rel, s.Restart)
			require.NoError(t, err)
			require.Equal(t, lab.Sum(data), it.SHA256)
			require.Len(t, src.offsets, 2)
			require.Zero(t, src.offsets[0])
			require.Greater(t, src.offsets[1], int64(1<<19))
		})
	}
}

// Whatever happens to the file while nginx sends it, or between two transfers of it: what
// is archived is the file as it was or as it is, or nothing is.
func TestNoChangeOnNginxPublishesAWrongFile(t *testing.T) {
	t.Parallel()
	const size = 2 << 20
	old, other := lab.Payload(size), lab.Payload(size + 1)[:size]
	for name, fault := range lab.FileFaults(old, other) {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, nginx restarted: %v", name, restarted), func(t *testing.T) {
				root := files(t, map[string][]byte{lab.SetupPath: old})
				full := filepath.Join(root, filepath.FromSlash(lab.SetupPath))
				s := realtest.HTTPS(t, root)
				src := &cut{Source: onNginx(s, false), at: 1 << 18}
				src.Timeout = 2 * time.Second // nginx waits for the rest of a file that was cut
				rel, err := lab.Finder().Latest(t.Context(), src, "asp", version.Setup)
				require.NoError(t, err)
				a := &archive.Archive{Dir: filepath.Join(lab.InMemory(t), "archive"), Settle: -1, Retry: fetch.Retry{Attempts: 2, Interval: time.Millisecond}}
				_, err = src.fetch(t, a, rel, func() {
					if restarted {
						s.Restart()
					}
					require.NoError(t, fault(full))
					_ = os.Chmod(full, 0o644)
				})
				require.Error(t, err, "the server has another file by now")
				items, lerr := a.List()
				require.NoError(t, lerr)
				require.Empty(t, items)
				now, rerr := os.ReadFile(full)
				if rerr != nil || len(now) == 0 {
					return
				}
				rel, err = fetch.Finder{Settle: -1}.Latest(t.Context(), src, "asp", version.Setup)
				require.NoError(t, err)
				it, err := a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
				require.NoError(t, err)
				require.Equal(t, lab.Sum(now), it.SHA256)
			})
		}
	}
}
