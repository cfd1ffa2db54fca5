package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
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
	Status int         // of the answer; zero is 200
	// Text must match in the first 64 KiB of the body, which may be in a Russian
	// code page of Windows. Its first group, or the whole match if it has none,
	// is the version. nil matches everything.
	Text *regexp.Regexp
	// Then is queried for the version instead, once status and Text match: a
	// page may show that people can log in, but no version.
	Then Probe
	// Transport makes the connection, for example with a private certificate
	// authority; nil is [http.DefaultTransport].
	Transport http.RoundTripper

	timeout time.Duration // of one request, without Then; zero is 10 s
}

// textLimit is the length of an answer that is searched for a text.
const textLimit = 64 << 10

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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Host == "" {
		return "", fmt.Errorf("%w: the probe's URL is not a valid http or https address; correct it", ErrFailed)
	}
	// An address may contain a password or a token: only these parts are shown.
	where := (&url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path}).String()
	for name, values := range p.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
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
	if p.Then != nil && p.Text == nil {
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
	limit := int64(textLimit)
	if p.Text == nil {
		limit = answerLimit
	}
	b, err := io.ReadAll(io.LimitReader(body, limit))
	if err != nil {
		return "", fmt.Errorf("the answer ended early: %w", err)
	}
	if p.Text == nil {
		return firstLine(b)
	}
	found := p.Text.FindStringSubmatch(codePage("").decode(b))
	switch {
	case found == nil:
		return "", errors.New("the expected text is not in the answer")
	case p.Then != nil:
		return "", nil
	}
	return firstLine([]byte(found[min(1, len(found)-1)]))
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
