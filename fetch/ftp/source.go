package ftp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/retry"
)

// TLS is how the connections of a [Source] are protected.
type TLS uint8

// The modes. Without TLS anyone on the network can read the password and replace files.
const (
	TLSNone     TLS = iota
	TLSExplicit     // AUTH TLS after the greeting, port 21
	TLSImplicit     // TLS from the first byte, port 990
)

const defaultTimeout = 30 * time.Second

// A Source is a [fetch.Source] over FTP. Only Addr is required. Each operation
// opens a connection and closes it; what [Source.Keep] returns keeps one for the
// next operation. A connection on which something failed is never used again.
//
// Printing or logging a Source shows no password.
type Source struct {
	Addr     string // host or host:port; the port defaults to 21, or 990 for implicit TLS
	User     string // empty means "anonymous"
	Password string `json:"-"`

	TLS TLS
	// TLSConfig decides which certificates are trusted: see [TrustCA],
	// [TrustCertificate] and [TrustAnyCertificate]; nil means the system's
	// roots. A configuration that checks no certificate and has neither
	// VerifyConnection nor VerifyPeerCertificate is refused before anything is
	// sent, and so is any configuration with TLSNone. An empty ServerName is
	// the host of Addr. Versions below 1.2 are never used, and each connection
	// gets a session cache of its own: servers demand that data connections
	// resume the session of their control connection.
	TLSConfig *tls.Config `json:"-"`

	// Timeout is how long the server may be silent, on any connection, and how long
	// it may take for a reply and for each 16 KiB. Zero means 30 seconds. Only
	// [Source.Hash] waits longer.
	Timeout time.Duration
	Retry   fetch.Retry // of connecting, logging in and commands

	// Dial makes every connection, such as through a proxy; nil means directly.
	// Data connections go to the same host as the control connection. It has
	// Timeout to succeed. Where it returns a [*fetch.Error], operations do too.
	Dial func(ctx context.Context, network, address string) (net.Conn, error) `json:"-"`
	// PASV uses PASV alone. Otherwise EPSV is tried first, and what does not work
	// on this server is remembered by the Source.
	PASV bool
	// Account is what a server gets that asks for an account at login (ACCT).
	Account string `json:"-"`

	Observe func(fetch.Event) `json:"-"` // may be nil

	keep   *keeper // nil: none
	origin *Source // of what Keep returned

	mu      sync.Mutex
	learned options // what the server does not support
}

var (
	_ fetch.Source  = (*Source)(nil)
	_ fetch.Stater  = (*Source)(nil)
	_ fetch.Locator = (*Source)(nil)
	_ fetch.Hasher  = (*Source)(nil)
	_ fetch.Keeper  = (*Source)(nil)
)

// String returns the server's URL, without user and password.
func (f *Source) String() string { return f.URL("/") }

// GoString is String: %#v shows no password either.
func (f *Source) GoString() string { return "ftp.Source{" + f.String() + "}" }

// LogValue is String for log/slog.
func (f *Source) LogValue() slog.Value { return slog.StringValue(f.String()) }

// URL returns the URL of a path on the server, without user and password.
func (f *Source) URL(name string) string {
	u := url.URL{Scheme: "ftp", Host: f.shownAddr(), Path: path.Join("/", name)}
	if f.TLS != TLSNone {
		u.Scheme = "ftps"
	}
	return u.String()
}

// shownAddr is Addr without a user and a password that are in it by mistake.
func (f *Source) shownAddr() string { return f.Addr[strings.LastIndexByte(f.Addr, '@')+1:] }

// address returns host and port apart.
func (f *Source) address() (host, port string, err error) {
	port = "21"
	if f.TLS == TLSImplicit {
		port = "990"
	}
	host = f.Addr
	if h, p, err := net.SplitHostPort(f.Addr); err == nil {
		host, port = h, cmp.Or(p, port)
	}
	host = strings.Trim(host, "[]")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@ ") {
		return "", "", fmt.Errorf("invalid address %q: write host or host:port", names.Show(f.shownAddr()))
	}
	return host, port, nil
}

func (f *Source) timeout() time.Duration { return cmp.Or(f.Timeout, defaultTimeout) }

// List lists a directory, by MLSD where the server has it, else by LIST. It
// changes into the directory first: some servers list a missing directory as an
// empty one, and treat a name like "-a" as an option.
func (f *Source) List(ctx context.Context, dir string) ([]fetch.Entry, error) {
	var entries []fetch.Entry
	err := f.with(ctx, "list", dir, func(s *session) (err error) {
		entries, err = s.list(dir)
		return err
	})
	return entries, err
}

// Stat returns size and time of one file, by SIZE and MDTM. Without one of them the
// error wraps [errors.ErrUnsupported], see [fetch.Stater].
func (f *Source) Stat(ctx context.Context, name string) (fetch.Entry, error) {
	var e fetch.Entry
	err := f.with(ctx, "stat", name, func(s *session) (err error) {
		e, err = s.stat(name, f.recall())
		return err
	})
	if err == nil && (e.Size < 0 || e.Time.IsZero()) { // no failure of the connection
		err = &fetch.Error{Op: "stat", Subject: f.URL(name), Err: fmt.Errorf("%w: the server does not return both size and time", errors.ErrUnsupported)}
	}
	return e, err
}

// Open reads a file from an offset on. Its connection is open until Close.
func (f *Source) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	var r io.ReadCloser
	err := f.attempts(ctx, "open", name, func(o options) (*session, error) {
		s, err := f.session(ctx, o)
		if err != nil {
			return s, err
		}
		resp, err := s.open(name, offset)
		if err != nil {
			s.end()
			return s, err
		}
		r = &transfer{ctx: ctx, f: f, s: s, r: resp, name: name}
		return s, nil
	})
	return r, err
}

// with runs op on a connection, and again where that may help.
func (f *Source) with(ctx context.Context, op, name string, run func(*session) error) error {
	return f.attempts(ctx, op, name, func(o options) (s *session, err error) {
		if s, err = f.session(ctx, o); err != nil {
			return s, err
		}
		if err = run(s); err != nil {
			s.end()
			return s, err
		}
		f.learn(o, s, nil) // before another operation takes it
		f.done(s)
		return nil, nil //nolint:nilnil // it is no longer ours
	})
}

// learn remembers what an attempt has shown, also one that failed for another
// reason: the next operation would wait for the same silence again.
func (f *Source) learn(o options, s *session, err error) {
	if s == nil {
		return
	}
	shown := s.shows(o, err)
	f = cmp.Or(f.origin, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.learned.noEPSV = f.learned.noEPSV || shown.noEPSV
	f.learned.noMLSD = f.learned.noMLSD || shown.noMLSD
	f.learned.noHash = f.learned.noHash || shown.noHash
	f.learned.noSize, f.learned.noTime = f.learned.noSize.and(shown.noSize), f.learned.noTime.and(shown.noTime)
	s.noSize, s.noTime = 0, 0 // a connection that is kept shows it once
}

func (f *Source) recall() options {
	f = cmp.Or(f.origin, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.learned
	o.noEPSV = o.noEPSV || f.PASV
	return o
}

// attempts makes each attempt with what was learned in the ones before, and
// turns what went wrong into an *Error.
func (f *Source) attempts(ctx context.Context, op, name string, run func(options) (*session, error)) error {
	o := f.recall()
	tries := retry.Start(retry.Policy(f.Retry))
	for {
		s, err := run(o)
		f.learn(o, s, err)
		if err == nil {
			return nil
		}
		if s != nil && s.kept && !isTimeout(err) && ctx.Err() == nil {
			continue // the kept connection may have ended: that says nothing about the server
		}
		if next, better := o.after(s, err); better && ctx.Err() == nil {
			o = next // another dialect of the same server, not another attempt
			continue
		}
		e := f.explain(ctx, s, op, name, err)
		wait, again := tries.Next()
		if !e.Temporary || !again {
			return e
		}
		f.observe(fetch.Event{Kind: EventRetry, Path: name, Attempt: tries.Made, Wait: wait, Err: e})
		if err := clock.Sleep(ctx, wait); err != nil {
			return fetch.Wrap(op, f.URL(name), err)
		}
	}
}
