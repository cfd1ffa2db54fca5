package site

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// An entrance is a site that is asked, once it is closed, from two addresses of this machine: one that
// is let in, and one that is not. What closes it may report success and keep no one out.
type entrance struct {
	url     string
	refused func(*http.Response, error) bool // by the rules that close it; the response is nil if the connection ended without one
}

// The two addresses.
const (
	letIn   = "127.0.0.1"
	keptOut = "127.0.0.2"
)

// isSite reports whether a text is an address that can be asked.
func isSite(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// keepsOut waits until the site refuses the one address, and lets in the other. It fails if that does not come.
// Rules are followed some time after they were set, by one process of a server before the other: so it must last.
func (e entrance) keepsOut(ctx context.Context) error {
	const (
		patience = 30 * time.Second
		steady   = time.Second
		interval = 50 * time.Millisecond
	)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error // that says more than that the time is up
	for since := time.Now(); ; {
		out, err := e.refuses(ctx, keptOut)
		in := true
		if err == nil {
			in, err = e.refuses(ctx, letIn)
		}
		switch {
		case err == nil && out && !in && time.Since(since) >= steady:
			return nil
		case err == nil && out && !in:
		case err == nil && out:
			err = fmt.Errorf("%s keeps out this machine, too", e.url)
		case err == nil:
			err = fmt.Errorf("%s still lets in %s, which stands for users", e.url, keptOut)
		}
		if err != nil {
			since = time.Now()
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return cmp.Or(last, ctx.Err())
		case <-time.After(interval):
		}
	}
}

// refuses reports whether the site refuses, by those rules, a request from an address of this machine.
func (e entrance) refuses(ctx context.Context, from string) (bool, error) {
	u, err := url.Parse(e.url)
	if err != nil {
		return false, err
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	connected := false
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, // an old worker would go on answering
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", port))
				connected = err == nil
				return conn, err
			},
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // this machine, and only the status counts
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, nil)
	if err != nil {
		return false, err
	}
	res, err := client.Do(req)
	if err != nil {
		if connected && ctx.Err() == nil && e.refused(nil, err) {
			return true, nil
		}
		return false, err
	}
	return e.refused(res, nil), res.Body.Close()
}
