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

// explain makes an *Error of what ended a session. What is temporary is
// decided here, by code and by kind, and nowhere else.
func (f *Source) explain(ctx context.Context, s *session, op, name string, err error) *fetch.Error {
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		if e.Err != nil && f.scrub(e.Err.Error()) != names.Show(e.Err.Error()) { // a line of a listing
			e.Err = errors.New(f.scrub(e.Err.Error()))
		}
		return e
	}
	if ctx.Err() != nil {
		return &fetch.Error{Op: op, Name: f.URL(name), Err: context.Cause(ctx)}
	}
	e := &fetch.Error{Op: op, Name: f.URL(name), Reason: fetch.ErrUnreachable}
	if isCertificate(err) {
		explainCertificate(e, err) // whatever the server says of that
		return e
	}
	e.Code = refused(err)
	if e.Code == 0 && s.phase == phaseLogin && s.said.code >= 400 && !lost(err) {
		e.Code = s.said.code // the library keeps only the text of some refusals
	}
	if e.Code != 0 {
		e.Err = fmt.Errorf("the server says %d %s", e.Code, f.scrub(s.said.text))
		f.explainCode(s, e)
		return e
	}
	switch dns := (*net.DNSError)(nil); {
	case errors.Is(err, ftp.ErrInvalidCommand):
		e.Reason, e.Err = fetch.ErrUnsafeName, errors.New("a name, the user or the password holds a line break")
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Err, e.Hint = err, "check the server's name"
	case s.limit.spent():
		e.Err = errTalk
	case lost(err):
		e.Err, e.Temporary, e.Hint = err, true, "check the network, or try later"
		if _, ok := errors.AsType[textproto.ProtocolError](err); ok { // it holds what the server said
			e.Err = errors.New(f.scrub(err.Error()))
		}
	default:
		e.Err = errors.New(f.scrub(err.Error()))
	}
	return e
}

// explainCode decides by the reply code.
func (f *Source) explainCode(s *session, e *fetch.Error) {
	said := strings.ToLower(s.said.text)
	crowded := strings.Contains(said, "too many") || strings.Contains(said, "already connected")
	switch {
	case e.Code/100 == 4 || e.Code == 530 && crowded:
		// 421, 425, 426, 450, 451 and their like; some servers say
		// "530 too many users" for 421, proftpd "530 Sorry, the maximum
		// number of clients (1) for this user are already connected."
		e.Temporary, e.Hint = true, "try later"
	case s.said.verb == "REST":
		e.Reason, e.Err = nil, fmt.Errorf("%w: the server does not start in the middle of a file: %w", errors.ErrUnsupported, e.Err)
	case s.said.verb == "AUTH" || s.said.verb == "PBSZ" || s.said.verb == "PROT":
		e.Hint = "the server does not offer this TLS mode"
	case e.Code == 530 || e.Code == 532 || s.phase == phaseLogin && (s.said.verb == "USER" || s.said.verb == "PASS"):
		e.Reason, e.Hint = fetch.ErrCredentials, "check user and password"
	case s.phase == phaseWork && (e.Code == 550 || e.Code == 553):
		e.Reason = fetch.ErrNotFound
	}
}

func isCertificate(err error) bool {
	_, wrong := errors.AsType[*tls.CertificateVerificationError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	return wrong || plain
}

// scrub makes a server's words fit to be shown: a server can repeat the
// password in what it says.
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
