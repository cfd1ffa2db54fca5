package site

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// accepted fails if nginx does not accept its configuration, or does not include the file in it:
// then the file keeps no user out.
func (n nginxFence) accepted(ctx context.Context) error {
	test, included := n.test, false
	flag := slices.Index(test.Argv, "-t")
	lists := flag > 0 && strings.TrimSuffix(filepath.Base(test.Argv[0]), ".exe") == "nginx" // and no program in its place
	if lists {
		test.Argv = slices.Clone(test.Argv)
		test.Argv[flag] = "-T" // tests, and prints each file under its name
		file, err := os.Stat(n.Include)
		if err != nil {
			return err
		}
		test.Output = func(text string) {
			for line := range strings.Lines(text) {
				name, ok := strings.CutPrefix(strings.TrimSpace(line), "# configuration file ")
				if !ok {
					continue
				}
				fi, err := os.Stat(strings.TrimSuffix(name, ":")) // by another name perhaps
				included = included || err == nil && os.SameFile(file, fi)
			}
		}
	}
	if err := test.Run(ctx, nil); err != nil {
		return fmt.Errorf("nginx does not accept %s: %w", n.Include, err)
	}
	if lists && !included {
		return fmt.Errorf("nginx does not include %s: include it in the server block of nginx", n.Include)
	}
	return nil
}

// The addresses of this machine from which the site is asked: one that the file names, and one that it does not.
const (
	letIn   = "127.0.0.1"
	keptOut = "127.0.0.2"
)

// keepsOut waits until nginx keeps out an address that the file does not name, and lets in this
// machine. It fails if that does not come. For a tenth of a second, or longer on a busy machine, nginx
// has workers of the old configuration beside those of the new one, and either may answer: so it must last.
func (n nginxFence) keepsOut(ctx context.Context) error {
	const (
		patience = 30 * time.Second
		steady   = time.Second
		interval = 50 * time.Millisecond
	)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error // that says more than that the time is up
	for since := time.Now(); ; {
		out, err := n.refuses(ctx, keptOut)
		in := true
		if err == nil {
			in, err = n.refuses(ctx, letIn)
		}
		switch {
		case err == nil && out && !in && time.Since(since) >= steady:
			return nil
		case err == nil && out && !in:
		case err == nil && out:
			err = fmt.Errorf("%s keeps out this machine, too", n.URL)
		case err == nil:
			err = fmt.Errorf("%s still lets in %s, which the file does not name", n.URL, keptOut)
		}
		if err != nil {
			since = time.Now()
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nginx does not follow %s: %w", n.Include, cmp.Or(last, ctx.Err()))
		case <-time.After(interval):
		}
	}
}

// refuses reports whether the site refuses, by the file's rules, a request from an address of this machine.
func (n nginxFence) refuses(ctx context.Context, from string) (bool, error) {
	u, err := url.Parse(n.URL)
	if err != nil {
		return false, err
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, // an old worker would go on answering
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", port))
			},
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // this machine, and only the status counts
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL, nil)
	if err != nil {
		return false, err
	}
	res, err := client.Do(req)
	if err != nil {
		return false, err
	}
	after := res.Header.Get("Retry-After")
	ours := res.StatusCode == http.StatusServiceUnavailable && after == strconv.Itoa(n.retryAfter())
	return ours, res.Body.Close()
}
