package site

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

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
		`application.iis.appcmd = "appcmd"`:  {Site: "asp", Appcmd: "appcmd"},
		`application.iis.allow has "a', b'"`: {Site: "asp", Allow: []string{"a', b'"}},
	} {
		require.ErrorContains(t, c.check()[0], text)
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
