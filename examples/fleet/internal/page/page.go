// Package page is the page of a fleet: what its center knows, live, for the people
// who watch a rollout, with the decisions pause, resume and abort. It also serves
// the report of a rollout, metrics and health.
//
// It listens on loopback alone. Its address has a key, which other accounts of the
// machine do not know: there is no cookie, so nothing that another site makes a
// browser send has any right here. Names and texts of sites are hostile.
package page

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
)

//go:embed style.css live.js
var assets embed.FS

// A Page serves a fleet. Its fields do not change once it runs.
type Page struct {
	Ask  func(context.Context, center.Command) (center.Answer, error)
	Key  string           // of the address; see [NewKey]
	Lang string           // "en" or "ru" for all readers; "" is what each one's browser asks for
	Zone *time.Location   // of the center; nil is Moscow's
	Now  func() time.Time // nil is the clock

	watch watch
}

// NewKey returns a random key for the address.
func NewKey() string { return strings.ToLower(rand.Text()) }

// Path returns the path of the page, which is a secret.
func (p *Page) Path() string { return "/" + p.Key + "/" }

func (p *Page) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

const (
	maxForm   = 16 << 10
	maxReason = 1000
	patience  = 20 * time.Second // for an answer of the coordinator
)

// Serve serves on a listener, which must be on loopback, until ctx is done.
func (p *Page) Serve(ctx context.Context, l net.Listener) error {
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return fmt.Errorf("the page listens on loopback alone, and %s is not: use ssh -L, or a proxy with a login of its own", l.Addr())
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() { defer close(ended); p.follow(within) }()
	s := &http.Server{
		Handler: p.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return within }, // live ones end with it
	}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	err := s.Serve(l)
	cancel()
	<-ended
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Handler returns the handler of everything. What it serves is as fresh as [Page.Serve]
// keeps it.
func (p *Page) Handler() http.Handler {
	mux, faces := http.NewServeMux(), newFaces()
	mux.HandleFunc("GET /healthz", p.healthz)
	mux.HandleFunc("GET /metrics", p.metrics)
	mux.HandleFunc("GET /style.css", asset("text/css; charset=utf-8"))
	mux.HandleFunc("GET /live.js", asset("text/javascript; charset=utf-8"))
	keyed := func(pattern string, f http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if subtle.ConstantTimeCompare([]byte(r.PathValue("key")), []byte(p.Key)) != 1 {
				http.Error(w, "page not found: its address has a key; fleet page writes it to page.url in the center's directory", http.StatusNotFound)
				return
			}
			f(w, r)
		})
	}
	spoken := func(method, rest string, f func(http.ResponseWriter, *http.Request, *face)) {
		keyed(method+" /{key}/{lang}/"+rest, func(w http.ResponseWriter, r *http.Request) {
			if spoken := faces[r.PathValue("lang")]; spoken != nil {
				f(w, r, spoken)
			} else {
				http.NotFound(w, r)
			}
		})
	}
	keyed("GET /{key}/{$}", p.choose)
	spoken("GET", "{$}", p.index)
	spoken("GET", "live", p.live)
	spoken("GET", "site/{site}", p.site)
	spoken("GET", "report/{rollout}/{format}", p.report)
	spoken("POST", "decide", p.decide)
	return p.guard(mux)
}

// policy lets a page use its own files and nothing else: no script or style that is
// in the page itself, none from elsewhere, and no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard refuses what comes from other sites, also where a name of theirs leads to
// this address (DNS rebinding), and has browsers keep to the policy.
func (p *Page) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // the address is a secret
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !ours(r.Host) {
			http.Error(w, fmt.Sprintf("invalid host %q: use 127.0.0.1, [::1] or localhost", r.Host), http.StatusMisdirectedRequest)
			return
		}
		if err := origin.Check(r); err != nil {
			http.Error(w, "refused: it comes from another site; decide on the page itself", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ours reports whether a Host names loopback; the port may be that of ssh -L.
func ours(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}
	return slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, strings.ToLower(name))
}

var known = language.NewMatcher([]language.Tag{language.English, language.Russian})

// choose leads to the page in the language of the reader.
func (p *Page) choose(w http.ResponseWriter, r *http.Request) {
	lang := r.URL.Query().Get("lang")
	if lang != "en" && lang != "ru" {
		lang = p.Lang
	}
	if lang == "" {
		_, i := language.MatchStrings(known, r.Header.Get("Accept-Language"))
		lang = []string{"en", "ru"}[i]
	}
	http.Redirect(w, r, lang+"/", http.StatusSeeOther) //nolint:gosec // one of two
}

func asset(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := assets.ReadFile(path.Base(r.URL.Path))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(b) //nolint:gosec // a file of the program
	}
}

// decide carries out a decision of a person.
func (p *Page) decide(w http.ResponseWriter, r *http.Request, f *face) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		f.fail(w, http.StatusBadRequest, "the form cannot be read")
		return
	}
	op, reason := r.PostForm.Get("op"), strings.TrimSpace(r.PostForm.Get("reason"))
	generation, err := strconv.ParseUint(r.PostForm.Get("generation"), 10, 64)
	switch {
	case !slices.Contains([]string{"pause", "resume", "abort"}, op) || err != nil || generation == 0:
		f.fail(w, http.StatusBadRequest, "the form cannot be read")
		return
	case reason == "":
		f.fail(w, http.StatusBadRequest, "a reason is required")
		return
	case len(reason) > maxReason:
		f.fail(w, http.StatusBadRequest, fmt.Sprintf("the reason is longer than %d bytes", maxReason))
		return
	}
	id := r.PostForm.Get("rollout")
	command := center.Command{Op: op, Rollout: id, Reason: reason, Generation: generation}
	if op == "resume" {
		n, err := strconv.Atoi(r.PostForm.Get("accepts"))
		if err != nil {
			f.fail(w, http.StatusBadRequest, "the form cannot be read")
			return
		}
		command.Accepts = &n
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if _, err := p.Ask(ctx, command); err != nil {
		f.write(w, http.StatusConflict, "failed", failure{err.Error(), true}) // the answer can be lost, or that to a repeated request
		return
	}
	p.read(ctx, 0)                                                    // so that the page shows it
	http.Redirect(w, r, "./#r-"+link.Encode(id), http.StatusSeeOther) //nolint:gosec // a fragment of letters and digits
}

// site shows what is known of one site.
func (p *Page) site(w http.ResponseWriter, r *http.Request, f *face) {
	id, err := link.Decode(r.PathValue("site"))
	p.read(r.Context(), time.Second)
	s := p.watch.last()
	i := slices.IndexFunc(s.answer.Sites, func(s center.SiteState) bool { return s.ID == id })
	if err != nil || i < 0 {
		f.fail(w, http.StatusNotFound, "site not found")
		return
	}
	f.write(w, http.StatusOK, "site", p.siteView(s, s.answer.Sites[i]))
}

// A failure is why a request was not carried out, or may not have been.
type failure struct {
	Why    string
	Unsure bool
}

func (f *face) fail(w http.ResponseWriter, code int, why string) {
	f.write(w, code, "failed", failure{Why: why})
}

// Address returns the address of the page on a listener, which is a secret.
func (p *Page) Address(l net.Addr) string {
	return (&url.URL{Scheme: "http", Host: l.String(), Path: p.Path()}).String()
}
