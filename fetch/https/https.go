// Package https reads releases from a web server. [Source] is a fetch.Source. The
// directories are the index pages that web servers make: of nginx,
// Apache, Caddy, IIS and Go. Downloads go on where they stopped.
//
// A page is trusted no more than a listing by FTP: what counts are links to
// names directly below it on the same server, and a redirect to anything else is
// refused.
package https

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/retry"
)

// A Source is a [fetch.Source] over HTTPS. Only Base is required.
type Source struct {
	Base string // the URL of "/" of the source: https, without user and password
	// Client has the proxy, the trusted certificates and, in its Transport, the
	// credentials; nil means Go's defaults. Its CheckRedirect and Timeout are not used.
	Client *http.Client
	// Timeout is how long the server may be silent, and how long it may take for each
	// 16 KiB; zero means 30 seconds.
	Timeout time.Duration

	interval time.Duration // between attempts; 0 means the usual one
}

var (
	_ fetch.Source  = (*Source)(nil)
	_ fetch.Stater  = (*Source)(nil)
	_ fetch.Locator = (*Source)(nil)
)

const (
	maxPage  = 16 << 20 // bytes
	maxAsked = 5000     // files of a page whose size is asked for
)

// URL returns the URL of a path.
func (s *Source) URL(name string) string {
	u, err := s.url(name)
	if err != nil {
		return path.Join("/", name)
	}
	return u.String()
}

func (s *Source) url(name string) (*url.URL, error) {
	u, err := url.Parse(s.Base)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("invalid Source.Base: write https://host/directory, without user and password")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: path.Join("/", u.Path, path.Join("/", name))}, nil
}

// List reads the index page of a directory. Sizes and times that the page does not
// have exactly are asked for, of up to 5000 files.
func (s *Source) List(ctx context.Context, dir string) ([]fetch.Entry, error) {
	var entries []fetch.Entry
	err := s.attempts(ctx, "list", dir, func() error {
		r, err := s.get(ctx, http.MethodGet, dir, 0, "/")
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		page, err := io.ReadAll(io.LimitReader(r, maxPage+1))
		kind, _, _ := strings.Cut(r.resp.Header.Get("Content-Type"), ";")
		switch {
		case err != nil:
			return err
		case len(page) > maxPage:
			return errors.New("the server sends without end")
		case kind != "text/html":
			return fmt.Errorf("%w: not an index page", fetch.ErrNotFound)
		}
		entries = parseHTML(page, r.resp.Request.URL)
		return nil
	})
	if err != nil {
		return nil, err
	}
	asked := 0
	for i, e := range entries {
		if e.Kind != fetch.KindFile || asked == maxAsked {
			continue
		}
		asked++
		now, err := s.Stat(ctx, path.Join("/", dir, e.Name))
		if err == nil {
			entries[i] = now
		} else if !errors.Is(err, fetch.ErrNotFound) && !errors.Is(err, fs.ErrPermission) { // removed meanwhile, or not for us
			return nil, err
		}
	}
	return entries, nil
}

// Stat returns size and time of one file.
func (s *Source) Stat(ctx context.Context, name string) (fetch.Entry, error) {
	e := fetch.Entry{Name: path.Base(name), Size: -1}
	err := s.attempts(ctx, "stat", name, func() error {
		r, err := s.get(ctx, http.MethodHead, name, 0, "")
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		changed, _ := http.ParseTime(r.resp.Header.Get("Last-Modified")) // zero if unknown
		e.Size, e.Time = r.resp.ContentLength, changed.UTC()
		return nil
	})
	return e, err
}

// Open reads a file from an offset on.
func (s *Source) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	var r *reader
	err := s.attempts(ctx, "open", name, func() (err error) {
		r, err = s.get(ctx, http.MethodGet, name, max(offset, 0), "")
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// attempts tries again what is temporary.
func (s *Source) attempts(ctx context.Context, op, name string, run func() error) error {
	tries := retry.Start(retry.Policy{Attempts: 3, Interval: s.interval})
	for {
		err := run()
		if err == nil {
			return nil
		}
		e := s.explain(ctx, op, name, err)
		wait, again := tries.Next()
		if !e.Temporary || !again {
			return e
		}
		if err := clock.Sleep(ctx, wait); err != nil {
			return fetch.Wrap(op, s.URL(name), err)
		}
	}
}

// A status is the code of a reply that is no success.
type status int

func (s status) Error() string {
	return fmt.Sprintf("the server replied %d %s", int(s), http.StatusText(int(s)))
}

var errRedirect = errors.New("the server redirects")

// get makes one request. end is added to the path: "/" for a directory.
func (s *Source) get(ctx context.Context, method, name string, offset int64, end string) (*reader, error) {
	u, err := s.url(name)
	if err != nil {
		return nil, &fetch.Error{Op: "connect", Subject: name, Err: err}
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + end
	inner, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(inner, method, u.String(), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	client := *cmp.Or(s.Client, &http.Client{})
	client.Timeout, client.CheckRedirect = 0, func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r := &reader{s: s, ctx: ctx, name: name, cancel: cancel}
	r.timer = time.AfterFunc(s.timeout(), func() { r.silent.Store(true); cancel() })
	r.resp, err = client.Do(req) //nolint:bodyclose // reader.Close does
	r.timer.Stop()
	if err != nil {
		r.stop()
		return nil, r.cause(err)
	}
	if err := r.check(offset); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (s *Source) timeout() time.Duration { return cmp.Or(s.Timeout, 30*time.Second) }

// explain makes a *fetch.Error of an error.
func (s *Source) explain(ctx context.Context, op, name string, err error) *fetch.Error {
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		return e
	}
	e := &fetch.Error{Op: op, Subject: s.URL(name)}
	code, _ := errors.AsType[status](err)
	text := errors.New(names.Show(err.Error()))
	switch {
	case ctx.Err() != nil:
		e.Err = context.Cause(ctx)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fetch.ErrNotFound):
		e.Err = err
	case code == http.StatusUnauthorized || code == http.StatusProxyAuthRequired:
		e.Err, e.Next = fmt.Errorf("%w: %w", fetch.ErrCredentials, text), "check user and password"
	case code == http.StatusForbidden:
		e.Err, e.Next = fmt.Errorf("%w: %w", fs.ErrPermission, text), "ask the server's owner to let this user read it, and to show index pages"
	case code == http.StatusNotFound || code == http.StatusGone:
		e.Err = fmt.Errorf("%w: %w", fetch.ErrNotFound, text)
	case code/100 == 4 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout, errors.Is(err, errRedirect):
		e.Err, e.Next = fmt.Errorf("%w: %w", fetch.ErrUnreachable, text), "check the server's address: redirects are not followed"
	case isCertificate(err):
		e.Err, e.Next = fmt.Errorf("%w: %w", fetch.ErrUnreachable, text), "check the server's name and the certificates that are trusted"
	default:
		e.Err, e.Temporary, e.Next = fmt.Errorf("%w: %w", fetch.ErrUnreachable, text), true, "check the network, or try later"
	}
	return e
}

var link = regexp.MustCompile(`(?is)<a\s[^>]*?href\s*=\s*("[^"]*"|'[^']*'|[^\s>"']+)`)

// parseHTML returns what a page links to directly below itself.
func parseHTML(page []byte, at *url.URL) (entries []fetch.Entry) {
	seen := map[string]bool{}
	for _, m := range link.FindAllSubmatch(page, -1) {
		to, err := at.Parse(html.UnescapeString(strings.Trim(string(m[1]), `"'`)))
		if err != nil || to.Scheme != at.Scheme || to.Host != at.Host || to.RawQuery != "" || to.User != nil {
			continue // to another place, or the same page in another order
		}
		name, below := strings.CutPrefix(to.EscapedPath(), at.EscapedPath())
		kind := fetch.KindFile
		if strings.HasSuffix(name, "/") {
			kind, name = fetch.KindDir, strings.TrimSuffix(name, "/")
		}
		raw, err := url.PathUnescape(name)
		if !below || err != nil || raw == "" || raw == "." || raw == ".." || strings.Contains(name, "/") || seen[raw] {
			continue
		}
		seen[raw] = true
		if strings.Contains(raw, "/") {
			kind = fetch.KindUnreadable
		}
		entries = append(entries, fetch.Entry{Name: raw, Kind: kind, Size: -1})
	}
	return entries
}

// A reader is the body of a reply.
type reader struct {
	s      *Source
	ctx    context.Context //nolint:containedctx // Open's: it governs the reading too
	name   string
	resp   *http.Response
	cancel context.CancelFunc
	timer  *time.Timer
	pace   clock.Pace
	silent atomic.Bool
	left   int64 // that must still come; below zero if unknown
	end    error
}

// check returns an error unless the reply has what was asked for.
func (r *reader) check(offset int64) error {
	switch code := r.resp.StatusCode; {
	case code/100 == 3:
		return fmt.Errorf("%w: to %s", errRedirect, r.resp.Header.Get("Location"))
	case code/100 != 2:
		return status(code)
	case r.resp.Header.Get("Content-Encoding") != "":
		return fmt.Errorf("the server encodes the file: %s", r.resp.Header.Get("Content-Encoding"))
	case offset > 0 && code != http.StatusPartialContent:
		return fmt.Errorf("%w: the server cannot start in the middle of a file", errors.ErrUnsupported)
	case offset == 0 && code != http.StatusOK, offset > 0 && !strings.HasPrefix(r.resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)):
		return fmt.Errorf("the server sends another part of the file than byte %d and what follows", offset)
	}
	r.left = r.resp.ContentLength
	return nil
}

// cause returns why a wait ended.
func (r *reader) cause(err error) error {
	if r.silent.Load() && r.ctx.Err() == nil {
		return fmt.Errorf("the server is silent for %v, or sends next to nothing", r.s.timeout())
	}
	return err
}

func (r *reader) Read(p []byte) (int, error) {
	if r.end != nil || len(p) == 0 {
		return 0, r.end
	}
	start := time.Now()
	r.timer.Reset(r.pace.Left(r.s.timeout()))
	n, err := r.resp.Body.Read(p)
	r.timer.Stop()
	r.pace.Took(start, n)
	r.left -= int64(n)
	if errors.Is(err, io.EOF) {
		r.end = io.EOF
	} else if err != nil {
		r.end = r.s.explain(r.ctx, "read", r.name, r.cause(err))
	}
	return n, r.end
}

// Close returns nil only after a read to an end that the server has confirmed: by
// the length that it gave, or by how it ended.
func (r *reader) Close() error {
	confirmed := r.left == 0 || r.resp.ProtoMajor > 1 || slices.Contains(r.resp.TransferEncoding, "chunked")
	r.stop()
	switch {
	case errors.Is(r.end, io.EOF) && confirmed:
		return nil
	case r.ctx.Err() != nil:
		return context.Cause(r.ctx)
	}
	return &fetch.Error{Op: "read", Subject: r.s.URL(r.name), Err: fmt.Errorf("%w: closed before the end, or the end is not confirmed", fetch.ErrUnreachable), Temporary: true}
}

func (r *reader) stop() {
	r.timer.Stop()
	r.cancel()
	if r.resp != nil {
		_ = r.resp.Body.Close()
	}
}

func isCertificate(err error) bool {
	_, wrong := errors.AsType[*tls.CertificateVerificationError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	return wrong || plain
}
