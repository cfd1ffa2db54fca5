package page

import (
	"encoding/csv"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
)

// Names that are markup, a script, an event, a formula, a line of an event stream, and
// that turn the writing direction.
var hostile = []string{
	`<script>document.title='run'</script>`, `"><img src=x onerror="document.title='run'">`, `=cmd|' /C calc'!A0`, `село;=1+1`, "\u202eолес", "село\n\ndata: x", "+7", "-1", "@x", "＝1", " =2", "\t=3",
	`</li></ul></main><h1>x`, `javascript:document.title='run'`, `{{.}}`, strings.Repeat("Ж", 50),
}

// paths returns every path of the page with whether it needs the key.
func paths(key string) map[string]bool {
	site, id := link.Encode("Село №1"), link.Encode("май")
	all := map[string]bool{"/healthz": false, "/metrics": false, "/style.css": false, "/live.js": false}
	for _, path := range []string{"", "en/", "ru/", "en/site/" + site, "en/report/" + id + "/html", "en/report/" + id + "/csv"} {
		all["/"+key+"/"+path] = true
	}
	return all
}

// TestEveryAnswerHasThePolicy reads each path: all forbid scripts and styles in the
// page, and none has one.
func TestEveryAnswerHasThePolicy(t *testing.T) {
	address := newFleet(t, 3, hostile...).open()
	u, err := url.Parse(address)
	require.NoError(t, err)
	for path := range paths(strings.Trim(u.Path, "/")) {
		r, body := get(t, "GET", "http://"+u.Host+path, "")
		assert.Less(t, r.StatusCode, 400, path)
		p := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			assert.Contains(t, p, want, path)
		}
		assert.NotContains(t, p, "unsafe", path)
		assert.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"))
		assert.Equal(t, "same-origin", r.Header.Get("Referrer-Policy"), "the address is a secret")
		assert.Equal(t, "no-store", r.Header.Get("Cache-Control"))
		assert.Empty(t, r.Header.Get("Access-Control-Allow-Origin"))
		assert.Empty(t, r.Cookies)
		if strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			assert.NotRegexp(t, `(?i)<script>|<style|\son\w+\s*=\s*"?document|<[^>]+\sstyle=|href="javascript:`, body, path)
		}
	}
}

// TestOtherHosts has a name of another site that leads to the page (DNS rebinding).
func TestOtherHosts(t *testing.T) {
	address := newFleet(t, 3).open()
	u, err := url.Parse(address)
	require.NoError(t, err)
	for path := range paths(strings.Trim(u.Path, "/")) {
		for _, host := range []string{"evil.example", "evil.example:" + u.Port(), "127.0.0.1.evil.example", "localhost.evil.example:80", "169.254.169.254", "0.0.0.0:" + u.Port(), "127.0.0.1:x"} {
			r, body := get(t, "GET", "http://"+u.Host+path, "", "Host", host)
			assert.GreaterOrEqual(t, r.StatusCode, 400, "%s at %s", host, path)
			assert.NotContains(t, body, "Село")
		}
	}
	for _, host := range []string{u.Host, "localhost:9999", "[::1]:80", "127.0.0.1", "LOCALHOST"} { // the port may be that of ssh -L
		r, _ := get(t, "GET", address+"en/", "", "Host", host)
		assert.Equal(t, http.StatusOK, r.StatusCode, host)
	}
}

// TestWithoutTheKey has another account of the machine: it sees neither sites nor
// rollouts by name, and decides nothing.
func TestWithoutTheKey(t *testing.T) {
	g := newFleet(t, 3)
	address := g.open()
	u, err := url.Parse(address)
	require.NoError(t, err)
	for path, keyed := range paths(NewKey()) {
		r, body := get(t, "GET", "http://"+u.Host+path, "")
		assert.Equal(t, keyed, r.StatusCode == http.StatusNotFound, path)
		assert.NotContains(t, body, "Село", path)
		assert.NotContains(t, body, strings.Trim(u.Path, "/"))
	}
	r, _ := get(t, "POST", "http://"+u.Host+"/"+NewKey()+"/en/decide", decided("pause", "x", g.r.Generation), "Content-Type", "application/x-www-form-urlencoded")
	assert.Equal(t, http.StatusNotFound, r.StatusCode)
	assert.Empty(t, g.decided)
	assert.NotEqual(t, NewKey(), NewKey())
	assert.Len(t, NewKey(), 26, "128 bits and more")
}

// TestDecisionsFromElsewhere has decisions that another site makes a browser send, with
// the key, and those without a reason or on a rollout that has changed.
func TestDecisionsFromElsewhere(t *testing.T) {
	g := newFleet(t, 3)
	address := g.open()
	generation := g.r.Generation
	post := func(form string, headers ...string) (reply, string) {
		return get(t, "POST", address+"en/decide", form, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
	}
	good := decided("pause", "the support is ill", generation)
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"}, {"Origin", "null"}, {"Origin", "http://127.0.0.1:1"}, {"Host", "evil.example"},
	} {
		r, _ := post(good, headers...)
		assert.GreaterOrEqual(t, r.StatusCode, 400, headers)
	}
	for form, code := range map[string]int{
		decided("pause", "", generation):                         http.StatusBadRequest,
		decided("pause", " \n\t ", generation):                   http.StatusBadRequest,
		decided("pause", strings.Repeat("x", 1001), generation):  http.StatusBadRequest,
		decided("pause", strings.Repeat("x", 20000), generation): http.StatusBadRequest,
		decided("pause", "x", 0):                                 http.StatusBadRequest,
		decided("revoke", "x", generation):                       http.StatusBadRequest,
		decided("ticket", "x", generation):                       http.StatusBadRequest,
		decided("pause", "x", generation+1):                      http.StatusConflict,
		decided("resume", "it runs already", generation):         http.StatusConflict,
		"op=pause&rollout=%D0&reason=x&generation=%zz":           http.StatusBadRequest,
	} {
		r, body := post(form)
		assert.Equal(t, code, r.StatusCode, form)
		assert.Contains(t, body, map[int]string{http.StatusBadRequest: "Nothing was changed", http.StatusConflict: "before you repeat the decision"}[code])
	}
	r, _ := get(t, "GET", address+"en/decide?"+good, "")
	assert.Equal(t, http.StatusMethodNotAllowed, r.StatusCode, "a link decides nothing")
	assert.Empty(t, g.decided)

	r, _ = post(good, "Origin", strings.TrimSuffix(address[:strings.Index(address[7:], "/")+7], "/"), "Sec-Fetch-Site", "same-origin")
	require.Equal(t, http.StatusSeeOther, r.StatusCode)
	require.Len(t, g.decided, 1)
	assert.Equal(t, "the support is ill", g.decided[0].Reason)
	assert.Equal(t, rollout.Paused, g.r.Phase)
	_, body := get(t, "GET", address+"en/", "")
	assert.Contains(t, body, "the support is ill")
}

// TestCSVHasNoFormulas reads the table as a program does that expects commas, and as one
// that expects semicolons: there are as many cells, and none begins as a formula.
func TestCSVHasNoFormulas(t *testing.T) {
	g := newFleet(t, 1, hostile...)
	g.report(hostile[2], func(h *rollout.Heard) { h.Activity, h.Release = rollout.Updating, next })
	g.report(hostile[2], func(h *rollout.Heard) {
		h.Activity, h.Committed = "", []rollout.Release{{Distribution: "=1+1", Version: old.Version, SHA256: "@x"}}
		h.Quarantined = []rollout.Failure{{Release: next, Code: "=2+5\";=3"}}
	})
	address := g.open()
	for lang, separator := range map[string]rune{"en": ',', "ru": ';'} {
		r, body := get(t, "GET", address+lang+"/report/"+link.Encode("май")+"/csv", "")
		require.Equal(t, http.StatusOK, r.StatusCode)
		assert.Contains(t, r.Header.Get("Content-Disposition"), "attachment")
		body, marked := strings.CutPrefix(body, "\uFEFF")
		assert.True(t, marked)
		reader := csv.NewReader(strings.NewReader(body))
		reader.Comma = separator
		rows, err := reader.ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, 1+1+len(hostile))
		for _, row := range rows {
			assert.Len(t, row, len(columns))
			for _, cell := range row {
				assert.NotRegexp(t, `^\s*[=+\-@|%＝＋－＠]|[\r\n\t]`, cell)
			}
		}
		for line := range strings.Lines(body) { // each cell is quoted: no other separator is one
			assert.Regexp(t, `^("(?:[^"]|"")*"[,;]?)+\r\n$`, line)
		}
	}
}

// TestMetricsHaveNoNamesOfSites compares metrics and health with the state of a center
// that works, and that does not.
func TestMetricsHaveNoNamesOfSites(t *testing.T) {
	g := newFleet(t, 5, hostile...)
	g.report("Село №3", func(h *rollout.Heard) { h.Time = h.Time.Add(rollout.MaxSkew * 2) })
	g.report("Село №4", func(h *rollout.Heard) { h.Activity = rollout.Decision })
	g.report("Село №5", func(h *rollout.Heard) { h.On = h.On.Add(-rollout.GrantLife) })
	g.down = true
	silent := serveTest(t, &Page{Ask: g.ask, Key: NewKey()})
	r, _ := get(t, "GET", silent+"/healthz", "")
	assert.Equal(t, http.StatusServiceUnavailable, r.StatusCode, "it has never answered")
	g.down = false
	p := &Page{Ask: g.ask, Key: NewKey()}
	server := serveTest(t, p)
	r, _ = get(t, "GET", server+"/healthz", "")
	assert.Equal(t, http.StatusOK, r.StatusCode, "asked before the page asks by itself")
	r, text := get(t, "GET", server+"/metrics", "")
	assert.Contains(t, r.Header.Get("Content-Type"), "version=0.0.4")
	for _, want := range []string{
		"aspupdate_fleet_up 1\n", "aspupdate_fleet_sites 21\n", "aspupdate_fleet_sites_skewed 1\n", "aspupdate_fleet_sites_silent 1\n", "aspupdate_fleet_decisions 1\n",
		`aspupdate_fleet_rollout_phase{rollout="май",phase="running"} 1` + "\n", `aspupdate_fleet_rollout_sites{rollout="май",state="granted"} 2` + "\n", `state="waiting"} 19` + "\n",
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "Село")
	g.down = true
	p.read(t.Context(), 0)
	r, _ = get(t, "GET", server+"/healthz", "")
	assert.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
	_, text = get(t, "GET", server+"/metrics", "")
	assert.Contains(t, text, "aspupdate_fleet_up 0\n")
	_, body := get(t, "GET", server+p.Path()+"en/", "")
	assert.Contains(t, body, "The center does not answer")
	assert.Contains(t, body, "Село №1", "what was known stays")
}

// TestLoopbackAlone has a listener that others of the network can reach.
func TestLoopbackAlone(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	g := newFleet(t, 1)
	require.ErrorContains(t, (&Page{Ask: g.ask, Key: NewKey()}).Serve(t.Context(), l), "listens on loopback alone")
}
