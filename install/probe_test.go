package install

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
)

func TestHTTPProbe(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  http.HandlerFunc
		version string
		err     string
	}{
		{"healthy", func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, http.MethodGet, r.Method)
			require.Equal(t, "Bearer hunter2", r.Header.Get("Authorization"))
			require.Equal(t, "asp.example", r.Host)
			_, _ = w.Write([]byte(" 7.13.100\r\nmore"))
		}, "7.13.100", ""},
		{"R12 error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, "", "status 503"},
		{"R12 login refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "", "status 403"},
		{"other success", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "", "status 204"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			require.NotEqual(t, "/login", r.URL.Path, "a redirect was followed")
			http.Redirect(w, r, "/login", http.StatusFound)
		}, "", "status 302"},
		{"endless line", func(w http.ResponseWriter, _ *http.Request) {
			line := []byte(strings.Repeat("7", 1<<12))
			for {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		}, "", "too long"},
		{"empty", func(http.ResponseWriter, *http.Request) {}, "", "empty"},
		{"torn", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "20")
			_, _ = w.Write([]byte("7.13"))
		}, "", "ended early"},
		{"hanging", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "", "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(c.answer)
			defer srv.Close()
			p := HTTPProbe{
				URL:    strings.Replace(srv.URL, "http://", "http://user:hunter2@", 1) + "/version?token=hunter2",
				Header: http.Header{"authorization": {"Bearer hunter2"}, "Host": {"asp.example"}},
			}
			if c.name == "hanging" {
				p.timeout = 100 * time.Millisecond
			}
			got, err := p.Version(t.Context())
			require.Equal(t, c.version, got)
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
			require.ErrorContains(t, err, "/version", "the error says where")
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestHTTPProbeWithStatusAndText(t *testing.T) {
	page := "<html>\n<h1>Опека и попечительство</h1>\n<p>Версия 7.13.100, вход в систему</p>" + strings.Repeat("\n", textLimit)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/login":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(page))
		case "/1251":
			b, err := charmap.Windows1251.NewEncoder().String(page)
			require.NoError(t, err)
			_, _ = w.Write([]byte(b))
		case "/late":
			_, _ = w.Write([]byte(page + "Версия 7.14.100"))
		}
	}))
	defer srv.Close()
	asked := 0
	then := ProbeFunc(func(context.Context) (string, error) { asked++; return "7.13.200", nil })
	shown := regexp.MustCompile(`Версия (\d[\d.]*\d)`)
	for _, c := range []struct {
		name, path, version, err string
		probe                    HTTPProbe
	}{
		{"text", "/1251", "7.13.100", "", HTTPProbe{Text: shown}},
		{"text without a group", "/1251", "7.13.100", "", HTTPProbe{Text: regexp.MustCompile(`7\.\d+\.\d+`)}},
		{"status and text", "/login", "7.13.100", "", HTTPProbe{Status: http.StatusUnauthorized, Text: shown}},
		{"another status", "/login", "", "status 401 instead of 200", HTTPProbe{Text: shown, Then: then}},
		{"another status wanted", "/1251", "", "status 200 instead of 401", HTTPProbe{Status: http.StatusUnauthorized, Then: then}},
		{"another text", "/1251", "", "the expected text is not in the answer", HTTPProbe{Text: regexp.MustCompile(`сервис недоступен`), Then: then}},
		{"text too far on", "/late", "", "the expected text is not in the answer", HTTPProbe{Text: regexp.MustCompile(`Версия (7\.14\.100)`)}},
		{"empty group", "/1251", "", "empty", HTTPProbe{Text: regexp.MustCompile(`Версия()`)}},
		{"then", "/login", "7.13.200", "", HTTPProbe{Status: http.StatusUnauthorized, Then: then}},
		{"text, then", "/1251", "7.13.200", "", HTTPProbe{Text: regexp.MustCompile(`вход в систему`), Then: then}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := asked
			c.probe.URL = srv.URL + c.path
			got, err := c.probe.Version(t.Context())
			require.Equal(t, c.version, got)
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
			require.Equal(t, before, asked, "Then is asked only where the page is as it must be")
		})
	}
}

// A SOAP service gets its envelope with POST, and its answer is searched as a page is.
func TestHTTPProbePosts(t *testing.T) {
	const envelope = "<soap:Envelope><GetVersion secret='hunter2'/></soap:Envelope>"
	answers := map[string]string{
		"/version": "<soap:Envelope><soap:Body><GetVersionResult>7.13.100</GetVersionResult></soap:Body></soap:Envelope>",
		"/fault":   "<soap:Envelope><faultstring>the database is being restructured</faultstring></soap:Envelope>",
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || err != nil || string(body) != envelope || r.Header.Get("SOAPAction") != `"urn:version"` {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/version", http.StatusTemporaryRedirect) // with which a body would be sent again
		default:
			_, _ = io.WriteString(w, r.Header.Get("Content-Type")+"\n"+answers[r.URL.Path])
		}
	}))
	defer srv.Close()
	probe := func(path string) HTTPProbe {
		return HTTPProbe{
			URL: srv.URL + path, Body: envelope, Header: http.Header{"soapaction": {`"urn:version"`}},
			Text: regexp.MustCompile(`<GetVersionResult>([^<]*)<`),
		}
	}
	got, err := probe("/version").Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.13.100", got)
	for path, want := range map[string]string{"/fault": "the expected text is not in the answer", "/moved": "status 307 instead of 200", "/": "the expected text"} {
		_, err := probe(path).Version(t.Context())
		require.ErrorContains(t, err, want, path)
		require.NotContains(t, err.Error(), "hunter2")
	}
	p := probe("/version")
	p.Text = nil
	got, err = p.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "text/xml; charset=utf-8", got, "unless a header says something else")
	p.Header.Set("Content-Type", "application/soap+xml; charset=utf-8")
	got, err = p.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "application/soap+xml; charset=utf-8", got)
	p.Header = nil
	_, err = p.Version(t.Context())
	require.ErrorContains(t, err, "status 400")
}

// A page that says what it must not is unhealthy, whatever version it shows.
func TestHTTPProbeWithATextThatMustNotBe(t *testing.T) {
	const version = "<p>Версия 7.13.100</p>"
	encode := func(m *charmap.Charmap, text string) string {
		b, err := m.NewEncoder().String(text)
		require.NoError(t, err)
		return b
	}
	utf16 := "\xff\xfe"
	for _, r := range version + "структура отличается" {
		utf16 += string([]byte{byte(r), byte(r >> 8)})
	}
	long := strings.Repeat("<p>строка</p>\n", notLimit/20)
	pages := map[string]string{
		"good":             version + "<p>Все базы готовы.</p>",
		"bad":              version + "<p>В списке есть базы, структура отличается от требуемой.</p>",
		"before":           "<p>структура отличается</p>" + version,
		"two lines":        version + "<p>структура\r\n      отличается</p>",
		"a fixed space":    version + "структура&nbsp;отличается",
		"a code page":      encode(charmap.Windows1251, version+"структура отличается"),
		"UTF-16":           utf16,
		"numbers":          version + "&#1089;&#x442;руктура отличается",
		"behind the limit": version + strings.Repeat(" ", textLimit) + "структура отличается",
		"long":             version + long,
		"no version":       "<p>Все базы готовы.</p>",
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, pages[r.URL.Path[1:]])
	}))
	defer srv.Close()
	asked := 0
	for name := range pages {
		for _, then := range []Probe{nil, ProbeFunc(func(context.Context) (string, error) { asked++; return "7.13.100", nil })} {
			asked = 0
			got, err := HTTPProbe{
				URL: srv.URL + "/" + url.PathEscape(name), Not: regexp.MustCompile("структура отличается"),
				Text: regexp.MustCompile(`Версия ([\d.]+)`), Then: then,
			}.Version(t.Context())
			switch name {
			case "good":
				require.NoError(t, err)
				require.Equal(t, "7.13.100", got)
				continue
			case "long":
				require.ErrorContains(t, err, "longer than 1024 KiB: it is not known", name)
			case "no version":
				require.ErrorContains(t, err, "the expected text is not in the answer")
			default:
				require.ErrorContains(t, err, "the answer has the text that must not be in it", name)
			}
			require.NotErrorIs(t, err, ErrFailed, "a restructuring may still go on")
			require.Zero(t, asked)
		}
	}
	// Without Text the first line is the version.
	pages["plain"] = "7.13.100\n" + strings.Repeat("x", answerLimit) + "структура"
	p := HTTPProbe{URL: srv.URL + "/plain", Not: regexp.MustCompile("отличается")}
	got, err := p.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.13.100", got)
	p.Not = regexp.MustCompile("структура")
	_, err = p.Version(t.Context())
	require.ErrorContains(t, err, "must not be")
}

func TestHTTPProbeChecksCertificates(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("7.13.100")) }))
	defer srv.Close()
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	p := HTTPProbe{URL: srv.URL + "/version?token=hunter2"}
	_, err := p.Version(t.Context())
	require.ErrorContains(t, err, "certificate", "the system's roots do not vouch for it")
	require.NotContains(t, err.Error(), "hunter2")
	p.Transport = srv.Client().Transport
	got, err := p.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.13.100", got)
}

func TestHTTPProbeWithoutAServer(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	_, err := HTTPProbe{URL: srv.URL + "/?token=hunter2"}.Version(t.Context())
	require.ErrorContains(t, err, "does not answer")
	require.NotContains(t, err.Error(), "hunter2")
	for _, bad := range []string{"", "http://hunter2:%zz", "ftp://hunter2/", "hunter2/version", "http:///hunter2"} {
		_, err = HTTPProbe{URL: bad}.Version(t.Context())
		require.ErrorIs(t, err, ErrFailed, "no wait mends a URL")
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func fakeProbe(t *testing.T, steps ...string) CommandProbe {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return CommandProbe{Path: exe, Args: steps, Env: fakeEnv("SECRET=hunter2"), timeout: time.Minute}
}

func TestCommandProbe(t *testing.T) {
	for _, c := range []struct {
		name    string
		steps   []string
		version string
		err     string
	}{
		{"healthy", []string{"complain=noise", "print= 7.13.100 ", "print=more", "flood=5000"}, "7.13.100", ""},
		{"not healthy", []string{"print=7.13.100", "exit=3"}, "", "code 3 instead of 0"},
		{"silent", nil, "", "empty"},
		{"talkative", []string{"print=" + strings.Repeat("7", 300)}, "", "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := fakeProbe(t, c.steps...).Version(t.Context())
			require.Equal(t, c.version, got)
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	_, err := CommandProbe{Path: filepath.Join(t.TempDir(), "none")}.Version(t.Context())
	require.ErrorContains(t, err, "could not be started")
}

func TestCommandProbeLeavesNoProcess(t *testing.T) {
	dir := t.TempDir()
	// What it leaves holds its output open, and must not hold up the answer.
	got, err := fakeProbe(t, "print=7.13.100", "daemon=", "pid="+filepath.Join(dir, "a"), "hang").Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.13.100", got)
	if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
		requireDead(t, awaitPID(t, filepath.Join(dir, "a")))
	}

	steps := trees(dir)["grandchild in a session"]
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the operator said so")
	done := make(chan error, 1)
	probe := fakeProbe(t, steps...)
	go func() {
		_, err := probe.Version(ctx)
		done <- err
	}()
	all := pids(t, steps)
	cancel(why)
	require.ErrorIs(t, <-done, why)
	requireDead(t, all...)

	probe = fakeProbe(t, "hang")
	probe.timeout = 100 * time.Millisecond
	_, err = probe.Version(t.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
