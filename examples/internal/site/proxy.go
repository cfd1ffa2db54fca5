package site

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/proxy"

	"github.com/aspupdate/aspupdate/fetch"
)

// A dialFunc is [ftp.Source.Dial].
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dial returns the function that connects through the proxy of the configuration,
// or else of the environment variable ALL_PROXY; nil means directly.
func (s *serverConfig) dial() (dialFunc, error) {
	text, password, key := s.Proxy, s.proxyAuth.value(), "server.proxy"
	if text == "" {
		text, key = cmp.Or(os.Getenv("ALL_PROXY"), os.Getenv("all_proxy")), "ALL_PROXY"
		if text == "" || exempt(s.host(), cmp.Or(os.Getenv("NO_PROXY"), os.Getenv("no_proxy"))) {
			return nil, nil
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" { // the error would quote a password
		return nil, fmt.Errorf("%s: write it as socks5://host:1080 or http://host:3128, with user@ before the host if the proxy asks for one", key)
	}
	user := u.User.Username()
	if inURL, given := u.User.Password(); given {
		if key == "server.proxy" {
			return nil, errors.New("server.proxy holds a password: name a file with it in server.proxy_password_file")
		}
		password = inURL
	}
	p := through{key: key, user: user, password: password}
	switch u.Scheme {
	case "socks5", "socks5h":
		p.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "1080"))
		return p.socks, nil
	case "http":
		p.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "3128"))
		return p.connect, nil
	}
	return nil, fmt.Errorf("%s: a proxy of kind %q: allowed are socks5 and http", key, u.Scheme)
}

// asciiHost returns an address whose host may be in Cyrillic as the network knows
// it.
func asciiHost(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, ""
	}
	ascii, err := idna.Lookup.ToASCII(host)
	switch {
	case err != nil || ascii == host: // the connection reports what is wrong with it
		return address
	case port == "":
		return ascii
	}
	return net.JoinHostPort(ascii, port)
}

// exempt reports whether a host is in the list of NO_PROXY: names, domains and
// "*", separated by commas.
func exempt(address, list string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimPrefix(strings.TrimSpace(name), ".")
		if name == "*" || name != "" && (strings.EqualFold(host, name) || strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(name))) {
			return true
		}
	}
	return false
}

// through is a proxy.
type through struct {
	key            string // what the proxy comes from
	address        string
	user, password string
}

func (p through) String() string   { return p.address }
func (p through) GoString() string { return p.address }

// socks connects by SOCKS5 (RFC 1928). The proxy resolves names.
func (p through) socks(ctx context.Context, network, address string) (net.Conn, error) {
	var auth *proxy.Auth
	if p.user != "" {
		auth = &proxy.Auth{User: p.user, Password: p.password}
	}
	reached := false
	d, err := proxy.SOCKS5("tcp", p.address, auth, forward(func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		reached = err == nil
		return c, err
	}))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.key, err)
	}
	c, err := d.(proxy.ContextDialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, p.explain(err, reached, strings.Contains(err.Error(), "authentication"))
	}
	return c, nil
}

// forward is a function as the dialer of package proxy.
type forward dialFunc

func (f forward) Dial(network, address string) (net.Conn, error) {
	return f(context.Background(), network, address)
}

func (f forward) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

// maxProxyHeader limits what a proxy can make us hold.
const maxProxyHeader = 64 << 10 // bytes

// connect connects by the method CONNECT of HTTP.
func (p through) connect(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, p.address)
	if err != nil {
		return nil, p.explain(err, false, false)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if p.user != "" {
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password)))
	}
	limited := &io.LimitedReader{R: c, N: maxProxyHeader}
	r := bufio.NewReader(limited)
	err = req.Write(c)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(r, req) //nolint:bodyclose // a tunnel has no body, and what follows is the server's
	}
	if err != nil && limited.N == 0 {
		err = fmt.Errorf("it replied with more than %d bytes to CONNECT", maxProxyHeader)
	}
	limited.N = math.MaxInt64
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("it replied %s to CONNECT", resp.Status)
	}
	if err != nil {
		_ = c.Close()
		return nil, p.explain(err, true, resp != nil && resp.StatusCode == http.StatusProxyAuthRequired)
	}
	return &tunnel{c, r}, nil
}

// A tunnel is a connection whose first bytes may have come with the proxy's reply.
type tunnel struct {
	net.Conn
	r *bufio.Reader
}

func (t *tunnel) Read(p []byte) (int, error) { return t.r.Read(p) }

// explain says which proxy failed, and which key to change.
func (p through) explain(err error, reached, login bool) error {
	e := &fetch.Error{Op: "connect", Subject: "proxy " + p.address, Temporary: true}
	switch {
	case login:
		e.Temporary, e.Next = false, "check the user in "+p.key+", and server.proxy_password_file"
		e.Err = fmt.Errorf("%w: %w", fetch.ErrCredentials, err)
		return e
	case reached:
		e.Next = "let the proxy connect to the server, to port 21 and to the ports of its passive mode; check " + p.key
	default:
		e.Next = "check " + p.key + ", or start the proxy"
	}
	e.Err = fmt.Errorf("%w: %w", fetch.ErrUnreachable, err)
	return e
}
