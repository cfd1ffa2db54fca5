package install

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/process"
)

// A Probe queries the application through the maintenance path.
//
// Version returns the version that is healthy now, or an error as long as none
// is, and returns when ctx ends. An error that wraps [ErrFailed] means that
// waiting is useless. Errors are shown to people and must contain no secret.
type Probe interface {
	Version(ctx context.Context) (string, error)
}

// A ProbeFunc is a function that is a [Probe].
type ProbeFunc func(ctx context.Context) (string, error)

// Version calls f.
func (f ProbeFunc) Version(ctx context.Context) (string, error) { return f(ctx) }

// probeTimeout bounds one query of the ready-made probes.
const probeTimeout = 10 * time.Second

// An HTTPProbe requests the version from an HTTP(S) address. The answer must
// have the expected status, and the first line of its body, without spaces
// around it and at most 256 bytes long, is the version; Text finds it in a page.
// Redirects are not followed: they may lead to a login page.
type HTTPProbe struct {
	URL    string
	Header http.Header // of the request, for example an Authorization; never shown
	// Body is sent with POST, as to a SOAP service, each time that the probe asks:
	// what it calls must change nothing. Its Content-Type is text/xml in UTF-8 unless
	// Header has another one. Without a body the request is a GET. It is never shown.
	Body   string
	Status int // of the answer; zero is 200
	// Text must match in the first 64 KiB of the body, which may be in a Russian
	// code page of Windows. Its first group, or the whole match if it has none,
	// is the version. nil matches everything.
	Text *regexp.Regexp
	// Not must not match in the body, neither as it is nor with HTML's character
	// references resolved and each run of spaces and line breaks as one space: a page
	// that shows a version may say in the same breath that a database is not
	// ready. The whole body is read, and one longer than 1 MiB is an error.
	Not *regexp.Regexp
	// Then is queried for the version instead, once status, Text and Not hold: a
	// page may show that people can log in, but no version.
	Then Probe
	// Transport makes the connection, for example with a private certificate
	// authority; nil is [http.DefaultTransport].
	Transport http.RoundTripper

	timeout time.Duration // of one request, without Then; zero is 10 s
}

const (
	// textLimit is the length of an answer that is searched for a text.
	textLimit = 64 << 10
	// notLimit is the length of an answer in which a text must not be.
	notLimit = 1 << 20
)

// Version implements [Probe].
func (p HTTPProbe) Version(ctx context.Context) (string, error) {
	version, err := p.ask(ctx)
	if err == nil && p.Then != nil {
		return p.Then.Version(ctx)
	}
	return version, err
}

// ask returns the version in the answer, "" if Then is to be queried.
func (p HTTPProbe) ask(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(p.timeout, probeTimeout))
	defer cancel()
	method, body := http.MethodGet, io.Reader(nil)
	if p.Body != "" {
		method, body = http.MethodPost, strings.NewReader(p.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.URL, body)
	if err != nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Host == "" {
		return "", fmt.Errorf("%w: the probe's URL is not a valid http or https address; correct it", ErrFailed)
	}
	// An address may contain a password or a token: only these parts are shown.
	where := (&url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path}).String()
	for name, values := range p.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if p.Body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	req.Close = true // the application restarts: its connections are not kept
	client := http.Client{
		Transport:     p.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // without the address
		}
		return "", fmt.Errorf("%s does not answer: %w", where, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if want := cmp.Or(p.Status, http.StatusOK); resp.StatusCode != want {
		return "", fmt.Errorf("%s answers with status %d instead of %d", where, resp.StatusCode, want)
	}
	if p.Then != nil && p.Text == nil && p.Not == nil {
		return "", nil
	}
	version, err := p.read(resp.Body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	return version, nil
}

// read returns the version in the body, "" if Then is to be queried.
func (p HTTPProbe) read(body io.Reader) (string, error) {
	limit := answerLimit
	switch {
	case p.Not != nil:
		limit = notLimit + 1
	case p.Text != nil:
		limit = textLimit
	}
	b, err := io.ReadAll(io.LimitReader(body, int64(limit)))
	if err != nil {
		return "", fmt.Errorf("the answer ended early: %w", err)
	}
	if err := p.without(b); err != nil {
		return "", err
	}
	if p.Text != nil {
		found := p.Text.FindStringSubmatch(page(b[:min(len(b), textLimit)]))
		if found == nil {
			return "", errors.New("the expected text is not in the answer")
		}
		b = []byte(found[min(1, len(found)-1)])
	}
	if p.Then != nil {
		return "", nil
	}
	return firstLine(b[:min(len(b), answerLimit)])
}

// without returns an error unless it is certain that Not does not match.
func (p HTTPProbe) without(b []byte) error {
	if p.Not == nil {
		return nil
	}
	text := page(b)
	plain := strings.Join(strings.Fields(html.UnescapeString(text)), " ")
	switch {
	case p.Not.MatchString(text), p.Not.MatchString(plain):
		return errors.New("the answer has the text that must not be in it")
	case len(b) > notLimit:
		return fmt.Errorf("the answer is longer than %d KiB: it is not known whether it has the text that must not be in it", notLimit>>10)
	}
	return nil
}

// page returns a body as UTF-8.
func page(b []byte) string {
	if rest, ok := bytes.CutPrefix(b, []byte(utf16Mark)); ok {
		return string(decodeUTF16(rest))
	}
	return codePage("").decode(b)
}

// A CommandProbe runs a program that prints the version: it must exit with 0,
// and the first line of its standard output that is not empty, without spaces around
// it and at most 256 bytes long, is the version. It may be in UTF-16 with a mark, as
// PowerShell writes it. All processes that it started are ended
// with the query. Standard input is empty, standard error is discarded.
type CommandProbe struct {
	Path string // as for [exec.Command]
	Args []string
	Env  []string // the whole environment, as in [Command]; nil is [BaseEnv]

	timeout time.Duration // of one query; zero is 10 s
}

// Version implements [Probe].
func (p CommandProbe) Version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, orDefault(p.timeout, probeTimeout), context.DeadlineExceeded)
	defer cancel()
	var out head
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Env, cmd.Stdout, cmd.WaitDelay = p.Env, &out, time.Second
	if cmd.Env == nil {
		cmd.Env = BaseEnv()
	}
	temp, err := os.MkdirTemp("", "aspupdate-probe-*")
	if err != nil {
		return "", err
	}
	defer func() { _ = durable.RemoveAll(temp) }()
	cmd.Env = process.WithTemp(cmd.Env, temp)
	t, err := process.Start(cmd, process.NewRecord(), nil)
	if t != nil {
		defer t.Close()
	}
	if err != nil {
		return "", fmt.Errorf("the probe %s could not be started: %w", p.Path, err)
	}
	select {
	case <-t.Exited():
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	// End everything that it started: only then has all output arrived.
	if endErr := t.End(); endErr != nil {
		return "", fmt.Errorf("the probe %s: %w", p.Path, errors.Join(err, endErr))
	}
	<-t.Exited()
	if err != nil {
		return "", fmt.Errorf("the probe %s was ended: %w", p.Path, err)
	}
	if exit, _ := t.Exit(); exit.Code != 0 {
		return "", fmt.Errorf("the probe %s exited with code %d instead of 0", p.Path, exit.Code)
	}
	version, err := firstLine(out.b)
	if err != nil {
		return "", fmt.Errorf("the probe %s: %w", p.Path, err)
	}
	return version, nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}
