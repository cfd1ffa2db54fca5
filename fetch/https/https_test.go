package https_test

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/https"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

func serve(t *testing.T, h http.Handler) *https.Source {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	return (&https.Source{Base: s.URL, Client: s.Client(), Timeout: 20 * time.Second}).Quick()
}

func files(t *testing.T, all map[string][]byte) string {
	t.Helper()
	root := t.TempDir()
	for name, data := range all {
		lab.Put(t, root, name, data)
	}
	return root
}

func TestHTTPSIsASource(t *testing.T) {
	for name, handler := range map[string]func(root string) http.Handler{
		"Go's index": func(root string) http.Handler { return http.FileServer(http.Dir(root)) },
		"below a directory": func(root string) http.Handler {
			return http.StripPrefix("/updates/of the vendor", http.FileServer(http.Dir(root)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			fetchtest.TestSource(t, func(t *testing.T, all map[string][]byte) fetch.Source {
				src := serve(t, handler(files(t, all)))
				if name == "below a directory" {
					src.Base += "/updates/of%20the%20vendor/"
				}
				return src
			})
		})
	}
}

// What the makes of servers write, and what a hostile one could.
func TestIndexPages(t *testing.T) {
	for name, c := range map[string]struct {
		page string
		want string
	}{
		"nginx":    {`<html><h1>Index of /asp/</h1><pre><a href="../">../</a>` + "\n" + `<a href="7.12.100/">7.12.100/</a>  04-Dec-2019 17:00    -` + "\n" + `<a href="Setup_7.12.100.exe">Setup_7.12..&gt;</a> 04-Dec-2019 17:00  12M</pre>`, "7.12.100/ Setup_7.12.100.exe"},
		"Apache":   {`<table><tr><th><a href="?C=N;O=D">Name</a></th></tr><tr><td><a href="/">Parent Directory</a></td></tr><tr><td><img src="x"><a href="7.12.100/">7.12.100/</a></td></tr><tr><td><a href="a&amp;b.txt">a&amp;b.txt</a>`, "7.12.100/ a&b.txt"},
		"Caddy":    {`<a href="./%D0%B0%D1%81%D0%BF/"><svg></svg><span class="name">асп</span></a><a href="./Setup.exe">`, "асп/ Setup.exe"},
		"IIS":      {`<A HREF="/">[To Parent Directory]</A><br> 12/4/2019  5:00 PM  &lt;dir&gt; <A HREF="/asp/7.12.100/">7.12.100</A><br>`, "7.12.100/"},
		"lighttpd": {`<tr><td class="n"><a href='Setup%20x.exe'>Setup x.exe</a></td><td class="s">12.0M</td></tr>`, "Setup x.exe"},
		"hostile":  {`<a href="https://evil.example/asp/x"><a href="//evil.example/asp/y"><a href="http://127.0.0.1/asp/z"><a href="javascript:alert(1)"><a href="../other/x"><a href="a/b"><a href="%2e%2e/"><a href="%2e%2e%2fx"><a href="ok" ><a href="ok"><a href="#top"><a href="">`, "!../x ok"},
		"no index": {`<html>welcome</html>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			src := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				if r.URL.Path == "/asp/" {
					_, _ = io.WriteString(w, c.page)
				}
			}))
			entries, err := src.List(t.Context(), "/asp")
			require.NoError(t, err)
			var got []string
			for _, e := range entries {
				got = append(got, map[fetch.Kind]string{fetch.KindUnreadable: "!"}[e.Kind]+e.Name+map[fetch.Kind]string{fetch.KindDir: "/"}[e.Kind])
			}
			require.Equal(t, c.want, strings.Join(got, " "))
		})
	}
}

// A release is found and archived, whatever breaks; what is archived is the file.
func TestNothingWrongIsArchived(t *testing.T) {
	data := lab.Payload(3_000_000)
	root := files(t, map[string][]byte{lab.SetupPath: data})
	for name, c := range map[string]struct {
		fault  func(w http.ResponseWriter, r *http.Request) bool // reports whether it has replied
		healed bool
	}{
		"nothing": {func(http.ResponseWriter, *http.Request) bool { return false }, true},
		"half, then cut": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:len(data)/2])
			panic(http.ErrAbortHandler)
		}, true},
		"half, as if all": {func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write(data[:len(data)/2]); return true }, true},
		"an error page": {func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, "<html>maintenance</html>")
			return true
		}, true},
		"unavailable": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}, true},
		"silence": {func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }, true},
		"another part": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 5-9/10")
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, true},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/other.exe", http.StatusFound)
			return true
		}, false},
		"another server's file": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/x", http.StatusFound)
			return true
		}, false},
	} {
		for always, when := range map[bool]string{true: "always", false: "once"} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				n := make(chan int, 1)
				n <- 0
				src := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".exe") {
						i := <-n + 1
						if n <- i; (always || i == 1) && c.fault(w, r) {
							return
						}
					}
					http.FileServer(http.Dir(root)).ServeHTTP(w, r)
				}))
				if src.Timeout = map[bool]time.Duration{true: lab.Silence, false: 2 * time.Second}[always]; name != "silence" {
					src.Timeout = 20 * time.Second
				}
				rel, err := lab.Finder().Latest(t.Context(), src, "asp", version.Setup)
				require.NoError(t, err)
				a := &archive.Archive{Dir: filepath.Join(t.TempDir(), "archive"), Settle: -1, Retry: lab.Soon}
				for range 2 {
					_, err = a.Fetch(t.Context(), src, rel, version.Setup, archive.Unauthenticated("a test"))
				}
				items, lerr := a.List()
				require.NoError(t, lerr)
				require.Equal(t, err == nil, len(items) == 1, "%v", err)
				require.True(t, err == nil || always || !c.healed, "%v", err)
				for _, it := range items {
					require.Equal(t, lab.Sum(data), it.SHA256)
				}
			})
		}
	}
}

func TestRefusals(t *testing.T) {
	for code, want := range map[int]error{401: fetch.ErrCredentials, 403: fs.ErrPermission, 404: fetch.ErrNotFound, 410: fetch.ErrNotFound, 400: fetch.ErrUnreachable, 302: fetch.ErrUnreachable} {
		src := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
		_, err := src.List(t.Context(), "/asp")
		require.ErrorIs(t, err, want, code)
	}
	src := serve(t, http.NotFoundHandler())
	src.Client = nil
	_, err := src.List(t.Context(), "/asp")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.ErrorContains(t, err, "certificates that are trusted")
	for _, base := range []string{"", "http://127.0.0.1/", "https://", "https://user:secret-word@host/", "ftp://host/"} {
		_, err := (&https.Source{Base: base}).List(t.Context(), "/")
		require.ErrorContains(t, err, "write https://host/directory", base)
		require.NotContains(t, err.Error(), "secret-word")
	}
	src = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("<a href=x>", 2<<20))
	}))
	_, err = src.List(t.Context(), "/")
	require.ErrorContains(t, err, "sends without end")
}

// A server that is never silent for long, and yet never comes to an end.
func TestAServerThatDripsIsGivenUp(t *testing.T) {
	src := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10000")
		for range 100 {
			if _, err := io.WriteString(w, "x"); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			time.Sleep(lab.Silence / 10)
		}
	}))
	src.Timeout = lab.Silence
	r, err := src.Open(t.Context(), "/asp/Setup.exe", 0)
	require.NoError(t, err)
	began := time.Now()
	_, err = io.Copy(io.Discard, r)
	require.ErrorContains(t, err, "or sends next to nothing")
	require.Error(t, r.Close())
	require.Less(t, time.Since(began), 3*lab.Silence)
}

// A page of 100,000 names: the newest release is found, though it is the last one, and
// not each of the others is asked for.
func TestAnIndexOf100000Names(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&page, "<a href=\"readme-%d.txt\">x</a>\n", i)
	}
	page.WriteString(`<a href="Setup_7.12.100.exe">Setup</a>`)
	var asked atomic.Int64
	src := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/asp/" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, page.String())
			return
		}
		w.Header().Set("Last-Modified", lab.Released.Format(http.TimeFormat))
		_, _ = io.WriteString(w, "x")
	}))
	rel, err := lab.Finder().Latest(t.Context(), src, "asp", version.Setup)
	require.NoError(t, err)
	require.Equal(t, "7.12.100", rel.Version.String())
	require.EqualValues(t, 1, rel.Files[0].Size)
	require.Less(t, asked.Load(), int64(5100))
}
