package site

import (
	"net/http"
	"net/url"
)

// isWebAddress reports whether a text is the address of a web server, and of nothing
// more: it may be shown.
func isWebAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// host returns the server's host, with a port if it has one.
func (s *serverConfig) host() string {
	if u, err := url.Parse(s.URL); err == nil && s.URL != "" {
		return u.Host
	}
	return s.Address
}

// webClient returns a client for the server of url.
func (s *serverConfig) webClient() *http.Client {
	t := &http.Transport{DialContext: s.via, TLSClientConfig: s.trust.Clone()}
	if s.User == "" && s.value() == "" {
		return &http.Client{Transport: t}
	}
	return &http.Client{Transport: login{t, s.User, s.secret}}
}

// A login adds user and password to requests.
type login struct {
	http.RoundTripper
	user     string
	password secret
}

func (l login) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a RoundTripper changes none
	r.SetBasicAuth(l.user, l.password.value())
	return l.RoundTripper.RoundTrip(r)
}
