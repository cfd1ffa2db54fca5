package site

import (
	"context"
	"encoding/xml"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// A fakeIIS is a site of IIS with that program.
type fakeIIS struct {
	iisFence
	dir string
}

func newIIS(t *testing.T) *fakeIIS {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the program that plays IIS is a shell script")
	}
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "listed"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "pools"), 0o700))
	appcmd, err := os.ReadFile("testdata/appcmd.sh")
	require.NoError(t, err)
	program := filepath.Join(dir, "appcmd")
	require.NoError(t, os.WriteFile(program, appcmd, 0o700))
	c := &Config{State: filepath.Join(dir, "state"), Application: applicationConfig{IIS: iisConfig{Site: "asp", Allow: []string{"192.0.2.7"}, Appcmd: program}}}
	require.Empty(t, c.Application.IIS.check())
	s := &Site{Config: c}
	var u rollback.Update
	s.protect(&u)
	require.Equal(t, []rollback.FencePart{{Name: "IIS asp", State: "open"}}, u.FenceState(t.Context()))
	return &fakeIIS{s.iis(), dir}
}

// list gives the site an entry of its own.
func (f *fakeIIS) list(t *testing.T, name, attributes string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "listed", name), []byte(attributes), 0o600))
}

// is fails unless the site has these addresses, and is closed or open.
func (f *fakeIIS) is(t *testing.T, closed bool, addresses ...string) {
	t.Helper()
	got, err := f.Closed(t.Context())
	require.NoError(t, err)
	require.Equal(t, closed, got)
	entries, err := os.ReadDir(filepath.Join(f.dir, "listed"))
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.ElementsMatch(t, addresses, names)
}

func TestIISKeepsUsersOut(t *testing.T) {
	f := newIIS(t)
	f.list(t, "127.0.0.1", `ipAddress="127.0.0.1" subnetMask="255.255.255.255" allowed="true"`) // of the site itself
	f.list(t, "203.0.113.9", `ipAddress="203.0.113.9" allowed="false"`)
	for range 2 { // also after a crash
		require.NoError(t, f.Close(t.Context()))
		f.is(t, true, "127.0.0.1", "192.0.2.7", "203.0.113.9")
	}
	for range 2 {
		require.NoError(t, f.Open(t.Context()))
		f.is(t, false, "127.0.0.1", "203.0.113.9")
	}
}

// A site that has all our addresses listed already: there is nothing to add, and it is ours to
// open all the same.
func TestIISWithNothingToAdd(t *testing.T) {
	f := newIIS(t)
	f.Allow = nil
	f.list(t, "127.0.0.1", `ipAddress="127.0.0.1" allowed="true"`)
	for range 2 {
		require.NoError(t, f.Close(t.Context()))
		f.is(t, true, "127.0.0.1")
		require.NoError(t, f.Close(t.Context()), "after a crash")
		require.NoError(t, f.Open(t.Context()))
		f.is(t, false, "127.0.0.1")
	}
}

// Every command of closing and opening fails once, as when the process is killed before it; the
// same call then ends what was begun, and so does the other.
func TestIISAfterAFailureOfAnyCommand(t *testing.T) {
	for n := 1; ; n++ {
		f := newIIS(t)
		require.NoError(t, os.Remove(filepath.Join(f.dir, "asked")))
		fail := filepath.Join(f.dir, "fail-"+string(rune('0'+n)))
		require.NoError(t, os.WriteFile(fail, nil, 0o600))
		err := f.Close(t.Context())
		inClose := err != nil
		if !inClose {
			err = f.Open(t.Context())
		}
		require.NoError(t, os.Remove(fail))
		if err == nil {
			require.Greater(t, n, 7, "too few commands")
			return
		}
		require.ErrorContains(t, err, "Access denied")
		if n > 5 { // after the first command of opening
			require.NoFileExists(t, filepath.Join(f.dir, "closed"), "users are in whatever fails then")
		}
		if inClose && n%2 == 0 {
			require.NoError(t, f.Close(t.Context()))
			f.is(t, true, "127.0.0.1", "192.0.2.7")
		}
		require.NoError(t, f.Open(t.Context()))
		f.is(t, false)
	}
}

func TestIISRefuses(t *testing.T) {
	others := newIIS(t)
	others.list(t, "net", `ipAddress="10.0.0.0" subnetMask="255.0.0.0" allowed="true"`)
	require.ErrorContains(t, others.Close(t.Context()), "IIS lets in 10.0.0.0/255.0.0.0 at any time: add it to application.iis.allow")
	others.is(t, false, "net")

	own := newIIS(t)
	require.NoError(t, os.WriteFile(filepath.Join(own.dir, "closed"), nil, 0o600))
	require.ErrorContains(t, own.Close(t.Context()), "and not by this program")
	require.ErrorContains(t, own.Open(t.Context()), "open it by "+own.Appcmd+" set config asp /section:system.webServer/security/ipSecurity /allowUnlisted:true /commit:apphost")
	own.is(t, true)

	none := newIIS(t)
	none.Site = "none"
	require.ErrorContains(t, none.Close(t.Context()), "cannot read whom IIS lets in")
	_, err := none.Closed(t.Context())
	require.ErrorContains(t, err, "unknown")

	for text, c := range map[string]iisConfig{
		"application.iis.site is missing":    {Allow: []string{"192.0.2.7"}},
		`application.iis.site = "/text:*"`:   {Site: "/text:*"},
		`application.iis.allow has "::1"`:    {Site: "asp", Allow: []string{"::1"}},
		`application.iis.url = "asp"`:        {Site: "asp", URL: "asp"},
		`application.iis.appcmd = "appcmd"`:  {Site: "asp", Appcmd: "appcmd"},
		`application.iis.allow has "a', b'"`: {Site: "asp", Allow: []string{"a', b'"}},
	} {
		require.ErrorContains(t, c.check()[0], text)
	}
}

// serve plays the site: it follows the rules of appcmd while the role service is installed.
func (f *fakeIIS) serve(t *testing.T, role *atomic.Bool, deny http.HandlerFunc) {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, closed := os.Stat(filepath.Join(f.dir, "closed"))
		_, listed := os.Stat(filepath.Join(f.dir, "listed", from))
		if role.Load() && closed == nil && listed != nil {
			deny(w, r)
		}
	}))
	t.Cleanup(site.Close)
	f.URL = site.URL + "/"
	require.Empty(t, f.check())
}

// IIS takes rules that it does not follow: closing asks the site from both sides.
func TestIISIsCheckedFromOutsideAndInside(t *testing.T) {
	t.Parallel()
	f := newIIS(t)
	var role atomic.Bool
	role.Store(true)
	f.serve(t, &role, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	require.NoError(t, f.Close(t.Context()))
	require.NoError(t, f.Open(t.Context()))
	for url, want := range map[string]int{f.URL: 0, "": 1} {
		d := &doctor{Site: &Site{Config: &Config{Application: applicationConfig{IIS: iisConfig{Site: "asp", URL: url}}}}}
		d.iisEntrance()
		require.Len(t, d.findings, want)
	}

	role.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := f.Close(ctx)
	require.ErrorContains(t, err, "install the role service IP and Domain Restrictions")
	require.ErrorContains(t, err, f.URL+" still lets in 127.0.0.2")
	require.NoError(t, f.Open(t.Context()))
	f.is(t, false)
}

// A rollback closes the fence again while the application's pool is stopped: the site answers
// everybody with 503.
func TestIISIsClosedAgainWhileThePoolIsStopped(t *testing.T) {
	t.Parallel()
	f := newIIS(t)
	var role atomic.Bool
	role.Store(true)
	f.serve(t, &role, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	require.NoError(t, f.Close(t.Context()))
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(site.Close)
	f.URL = site.URL
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, f.Close(ctx))
	f.is(t, true, "127.0.0.1", "192.0.2.7")
}

// What refuses this machine, too, is no entrance for the probe; and another status is the application's own answer.
func TestIISRefusesAllOrByAnotherAnswer(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{http.StatusForbidden: "keeps out this machine, too", http.StatusServiceUnavailable: "still lets in 127.0.0.2"} {
		f := newIIS(t)
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(site.Close)
		f.URL = site.URL
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		require.ErrorContains(t, f.Close(ctx), want)
		cancel()
	}
}

// A site answers those whom it does not let in as denyAction says.
func TestIISAnswersByItsDenyAction(t *testing.T) {
	t.Parallel()
	for how, deny := range map[string]http.HandlerFunc{
		"Unauthorized": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"NotFound":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"AbortRequest": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		f := newIIS(t)
		var role atomic.Bool
		role.Store(true)
		f.serve(t, &role, deny)
		script, err := os.ReadFile(f.Appcmd)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(f.Appcmd, []byte(strings.ReplaceAll(string(script), "<ipSecurity", `<ipSecurity denyAction="`+how+`"`)), 0o700))
		require.NoError(t, f.Close(t.Context()), how)
		f.is(t, true, "127.0.0.1", "192.0.2.7")
	}
}

// What appcmd writes with its /config:* has the defaults, and other attributes.
func TestIISRulesAreRead(t *testing.T) {
	var s ipSecurity
	require.NoError(t, xml.Unmarshal([]byte(strings.ReplaceAll(`<system.webServer>
  <security>
    <ipSecurity enableReverseDns="false" allowUnlisted="False" denyAction="Forbidden" enableProxyMode="false">
      <add ipAddress="192.0.2.7" subnetMask="255.255.255.255" domainName="" allowed="True" />
      <add domainName="*.example.org" allowed="true" />
      <add ipAddress="127.0.0.1" />
    </ipSecurity>
  </security>
</system.webServer>`, "\n", "\r\n")), &s))
	require.True(t, s.closed())
	others, have := s.in([]string{"127.0.0.1", "192.0.2.7"})
	require.Equal(t, []string{"*.example.org"}, others)
	require.Equal(t, []string{"192.0.2.7"}, have)
}
