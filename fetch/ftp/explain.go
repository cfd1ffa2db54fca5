package ftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"

	"github.com/jlaffaye/ftp"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
)

// scrubbed is an error whose text does not quote the password.
type scrubbed struct {
	error
	text string
}

func (s scrubbed) Error() string { return s.text }

// Is finds sentinels, which quote no password. The causes themselves stay hidden.
func (s scrubbed) Is(target error) bool { return errors.Is(s.error, target) }

// explain makes a *fetch.Error of what ended a session. What is temporary is
// decided here, by code and by kind, and nowhere else.
func (f *Source) explain(ctx context.Context, s *session, op, name string, err error) *fetch.Error {
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		if f.quotesPassword(e.Err) { // a line of a listing
			e.Err = scrubbed{e.Err, f.scrub(e.Err.Error())}
		}
		return e
	}
	e := &fetch.Error{Op: op, Subject: f.URL(name)}
	if ctx.Err() != nil {
		e.Err = context.Cause(ctx)
		return e
	}
	if isCertificate(err) { // whatever the server replied to that
		explainCertificate(e, err)
		return e
	}
	e.Code = refused(err)
	if e.Code == 0 && s.phase == phaseLogin && s.transcript.code >= 400 && !lost(err) {
		e.Code = s.transcript.code // the library keeps only the text of some refusals
	}
	if e.Code != 0 {
		f.explainCode(s, e)
		return e
	}
	state, cause := fetch.ErrUnreachable, errors.New(f.scrub(err.Error()))
	switch dns := (*net.DNSError)(nil); {
	case errors.Is(err, ftp.ErrInvalidCommand):
		state, cause = fetch.ErrUnsafeName, errors.New("a line break in a name, the user or the password")
	case errors.As(err, &dns) && dns.IsNotFound:
		cause, e.Next = err, "check the server's name"
	case s.limit.exceeded():
		cause = errEndless
	case lost(err):
		e.Temporary, e.Next = true, "check the network, or try later"
		if _, ok := errors.AsType[textproto.ProtocolError](err); !ok { // that one quotes the server
			cause = err
		}
	}
	e.Err = fmt.Errorf("%w: %w", state, cause)
	return e
}

// explainCode decides by the reply code.
func (f *Source) explainCode(s *session, e *fetch.Error) {
	verb, text := s.transcript.verb, strings.ToLower(s.transcript.text)
	crowded := strings.Contains(text, "too many") || strings.Contains(text, "already connected")
	state := fetch.ErrUnreachable
	switch {
	case e.Code/100 == 4 || e.Code == 530 && crowded:
		// 421, 425, 426, 450, 451 and their like; some servers reply "530 too
		// many users" for 421, proftpd "530 Sorry, the maximum number of clients
		// (1) for this user are already connected."
		e.Temporary, e.Next = true, "try later"
	case verb == "REST":
		state = fmt.Errorf("%w: the server cannot start in the middle of a file", errors.ErrUnsupported)
	case verb == "AUTH" || verb == "PBSZ" || verb == "PROT":
		e.Next = "the server does not offer this TLS mode"
	case e.Code == 530 || e.Code == 532 || s.phase == phaseLogin && (verb == "USER" || verb == "PASS"):
		state, e.Next = fetch.ErrCredentials, "check user and password"
	case s.phase == phaseWork && (e.Code == 550 || e.Code == 553):
		state = fetch.ErrNotFound
	}
	e.Err = fmt.Errorf("%w: the server replied %d %s", state, e.Code, f.scrub(s.transcript.text))
}

func isCertificate(err error) bool {
	_, wrong := errors.AsType[*tls.CertificateVerificationError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	return wrong || plain
}

func (f *Source) quotesPassword(err error) bool {
	return err != nil && f.scrub(err.Error()) != names.Show(err.Error())
}

// scrub makes a server's text safe to show: a server can repeat the password
// in it.
func (f *Source) scrub(said string) string {
	if f.Password == "" {
		return names.Show(said)
	}
	// As it was sent, and as it would be shown.
	said = names.Text(strings.ReplaceAll(said, f.Password, "xxxxx"))
	return names.Show(strings.ReplaceAll(said, f.Password, "xxxxx"))
}

// guard turns a panic of the library, on a reply that it did not expect,
// into an error.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the server's reply cannot be read: %v", r)
	}
}
