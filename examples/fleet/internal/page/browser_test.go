package page

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A browser is a tab of a headless Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func newBrowser(t *testing.T) browser {
	path := ""
	for _, name := range []string{"chromium", "google-chrome", "chromium-browser"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		realtest.Skip(t, "neither chromium nor google-chrome is installed")
	}
	dir, err := os.MkdirTemp("", "aspupdate-chromium-")
	require.NoError(t, err)
	t.Cleanup(func() { // children may still write
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, time.Minute, 50*time.Millisecond)
	})
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.DisableGPU, chromedp.UserDataDir(filepath.Join(dir, "profile")), chromedp.Env("HOME="+dir, "TMPDIR="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir), chromedp.WSURLReadTimeout(2*time.Minute))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel() })
	require.NoError(t, chromedp.Do(ctx))
	return browser{t, ctx}
}

func (b browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

func eval[T any](b browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	require.NoError(b.t, err, expression)
	return v
}

// until waits for an element.
func (b browser) until(selector string) {
	b.t.Helper()
	b.do(chromedp.WaitReady(chromedp.CSS(selector)))
}

func (b browser) keys(keys string) { b.t.Helper(); b.do(chromedp.KeyEvent(keys)) }

// tab presses the key until an element has the focus.
func (b browser) tab(id string) {
	b.t.Helper()
	for range 60 {
		b.keys(kb.Tab)
		if eval[string](b, "document.activeElement.id") == id {
			return
		}
	}
	b.t.Fatalf("the key Tab does not reach %s", id)
}

// TestInABrowser has a page of 1,000 sites in Chromium: hostile names run nothing and
// break nothing, changes appear without a reload, and the keyboard is enough to pause.
func TestInABrowser(t *testing.T) {
	b := newBrowser(t)
	g := newFleet(t, 1000, hostile...)
	address := g.open()
	enc := link.Encode("май")
	first, third := "s-"+link.Encode("Село №1"), "Село №3"

	begun := time.Now()
	b.do(chromedp.EmulateViewport(360, 800), chromedp.Navigate(address+"?lang=en"))
	b.until("#cells")
	t.Logf("1,000 sites are shown after %v", time.Since(begun).Round(time.Millisecond))
	assert.Equal(t, 1000+len(hostile), eval[int](b, "document.querySelectorAll('#cells > li').length"))
	assert.Equal(t, "Fleet", eval[string](b, "document.title"), "a name has run")
	assert.Equal(t, "1 1 0", eval[string](b, "['script', 'h1', 'img'].map(x => document.querySelectorAll(x).length).join(' ')"), "a name is markup")
	assert.True(t, eval[bool](b, "document.documentElement.scrollWidth <= innerWidth"), "narrow screens scroll sideways")
	assert.Zero(t, eval[int](b, "[...document.querySelectorAll('input:not([type=hidden])')].filter(x => !x.labels.length).length"), "fields without a label")
	assert.Equal(t, "1 1 2 1", eval[string](b, "['main', 'header', 'nav[aria-label]', '[role=status][aria-live=polite]'].map(x => document.querySelectorAll(x).length).join(' ')"))

	// What an attacker has on the page still runs nothing: the policy forbids it.
	assert.Equal(t, "Fleet", eval[string](b, `(() => { const s = document.createElement("script"); s.textContent = "document.title = 'run'"; document.body.append(s); s.remove(); return document.title })()`))

	// A change appears in the same document.
	eval[int](b, "window.mark = 1")
	b.until("#lost[hidden]")
	begun = time.Now()
	g.report("Село №1", func(h *rollout.Heard) { h.Activity, h.Release = rollout.Updating, next })
	b.until("#" + first + ".updating")
	t.Logf("a change is shown after %v", time.Since(begun).Round(time.Millisecond))
	require.Equal(t, 1, eval[int](b, "window.mark"), "the page was loaded again")

	// The keyboard is enough, and the focus can be seen.
	b.tab("pause-" + enc)
	assert.NotEqual(t, "none", eval[string](b, "getComputedStyle(document.activeElement).outlineStyle"))
	b.keys(kb.Enter)
	require.Empty(t, g.decisions(), "a reason is required")
	b.keys("the support is ill")
	b.keys(kb.Enter)
	b.until(".phase.paused")
	decisions := g.decisions()
	require.Len(t, decisions, 1)
	assert.Equal(t, "the support is ill", decisions[0].Reason)
	assert.Contains(t, eval[string](b, "document.querySelector('#status').textContent"), "paused")

	// What a person has begun to type stays when the form changes.
	b.tab("resume-" + enc)
	b.keys("half")
	g.report(third, func(h *rollout.Heard) { h.Quarantined = []rollout.Failure{{Release: next, Code: "<b>1603"}} })
	b.until(fmt.Sprintf("#r-%s-forms form p", enc)) // "failures that are accepted with it"
	assert.Equal(t, "half resume-"+enc, eval[string](b, "document.activeElement.value + ' ' + document.activeElement.id"))

	if dir := os.Getenv("ASPUPDATE_SCREENSHOTS"); dir != "" {
		b.shots(address, dir)
	}
}

// shots writes the page as people see it.
func (b browser) shots(address, dir string) {
	for _, s := range []struct {
		name, lang, scheme string
		width              int64
	}{{"light", "en", "light", 1280}, {"dark", "ru", "dark", 1280}, {"narrow", "ru", "light", 360}} {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}}})
		require.NoError(b.t, err)
		b.do(chromedp.EmulateViewport(s.width, 1600), chromedp.Navigate(address+s.lang+"/"))
		b.until("#cells")
		image, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		require.NoError(b.t, err)
		require.NoError(b.t, os.WriteFile(filepath.Join(dir, s.name+".png"), image, 0o600))
	}
}
