package page

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
)

// events returns a function that waits for the next event of a page.
func events(t *testing.T, address string, headers ...string) func() (id, data string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	in := bufio.NewReaderSize(answer.Body, 1<<20)
	return func() (id, data string) {
		for {
			line, err := in.ReadString('\n')
			require.NoError(t, err)
			line = strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(line, "id: "):
				id = line[4:]
			case strings.HasPrefix(line, "data: "):
				data += line[6:] + "\n"
			case line == "" && id != "":
				return id, data
			}
		}
	}
}

func versionOf(t *testing.T, body string) string {
	_, rest, ok := strings.Cut(body, `data-version="`)
	require.True(t, ok)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

// TestOnlyWhatChangesIsSent has a page of 1,000 sites: a change of one is sent as what
// has it, also to a browser that connects again, and everything to one that knows
// another process.
func TestOnlyWhatChangesIsSent(t *testing.T) {
	g := newFleet(t, 1000, hostile...)
	address := g.open() + "en/"
	begun := time.Now()
	_, body := get(t, "GET", address, "")
	t.Logf("1,000 sites: %d kB in %v", len(body)>>10, time.Since(begun).Round(time.Millisecond))
	v := versionOf(t, body)
	wait := events(t, address+"live?since="+v)
	cell := `id="s-` + link.Encode("Село №1") + `" class="updating"`
	begun = time.Now()
	g.report("Село №1", func(h *rollout.Heard) { h.Activity, h.Release = rollout.Updating, next })
	id, data := wait()
	took := time.Since(begun)
	t.Logf("a change: %d bytes after %v", len(data), took.Round(time.Millisecond))
	assert.Less(t, took, 20*time.Second) // a second is the promise, and machines can be busy
	assert.Contains(t, data, cell)
	assert.Less(t, len(data), 10_000)
	assert.NotContains(t, data, link.Encode("Село №500"))
	assert.NotEqual(t, v, id)

	_, again := events(t, address+"live?since="+id, "Last-Event-ID", v)()
	assert.Equal(t, data, again, "the header is newer than the address")
	_, all := events(t, address+"live?since=17")()
	assert.Contains(t, all, link.Encode("Село №500"))
	assert.Contains(t, all, cell)
}

// TestNothingChanges has a center that is asked again and says the same: nothing is sent.
func TestNothingChanges(t *testing.T) {
	g := newFleet(t, 3)
	p := &Page{Ask: g.ask, Key: NewKey()}
	f := newFaces()["en"]
	p.read(t.Context(), 0)
	one := p.current(f)
	p.read(t.Context(), 0)
	assert.Same(t, one, p.current(f))
	g.report("Село №1", func(h *rollout.Heard) { h.Activity, h.Release = rollout.Updating, next })
	p.read(t.Context(), 0)
	two := p.current(f)
	assert.NotSame(t, one, two)
	assert.Equal(t, one, f.since(versionOf(t, f.part("page", map[string]any{"Main": "", "Version": one.version}))))
}

// TestTooManyViewers opens more pages than are served at once.
func TestTooManyViewers(t *testing.T) {
	g := newFleet(t, 1)
	p := &Page{Ask: g.ask, Key: NewKey()}
	require.True(t, p.watch.view(maxViewers))
	r, _ := get(t, "GET", serveTest(t, p)+p.Path()+"en/live", "")
	assert.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
}

// TestLanguages has what readers ask for: in the address, by their browser, and what
// the page was started with.
func TestLanguages(t *testing.T) {
	g := newFleet(t, 1)
	for _, c := range []struct{ flag, query, accept, want string }{
		{"", "", "", "en/"}, {"", "", "ru-RU,ru;q=0.9,en;q=0.5", "ru/"}, {"", "?lang=en", "ru", "en/"}, {"ru", "", "en", "ru/"}, {"ru", "?lang=en", "ru", "en/"}, {"", "?lang=xx", "de", "en/"},
	} {
		p := &Page{Ask: g.ask, Key: NewKey(), Lang: c.flag}
		server := serveTest(t, p)
		r, _ := get(t, "GET", server+p.Path()+c.query, "", "Accept-Language", c.accept)
		assert.Equal(t, http.StatusSeeOther, r.StatusCode)
		assert.True(t, strings.HasSuffix(r.Header.Get("Location"), "/"+c.want), "%v: %s", c, r.Header.Get("Location"))
	}
}

func BenchmarkPage(b *testing.B) {
	g := newFleet(b, 1000)
	p := &Page{Ask: g.ask, Key: NewKey()}
	p.read(b.Context(), 0)
	f, size := newFaces()["ru"], 0
	for b.Loop() {
		size = len(f.render(p.view(p.watch.last())).text())
	}
	b.ReportMetric(float64(size), "bytes")
}
