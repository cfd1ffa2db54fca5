package ftp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/textproto"
	"regexp"
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
	if s.endless() { // whatever it replies now that we have gone
		e.Err, e.Next = fmt.Errorf("%w: %w", fetch.ErrUnreachable, errEndless), "check the server's name, or ask the vendor for smaller directories"
		return e
	}
	if isCertificate(err) { // whatever the server replied to that
		f.explainCertificate(e, err)
		return e
	}
	e.Code = refused(err)
	if e.Code == 0 && s.phase == phaseLogin && (s.transcript.code >= 400 || s.transcript.code == 332) && !lost(err) {
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
	case oldTLS(err):
		e.Next = "client and server have no version of TLS in common, and this one uses none below 1.2: its owner must allow a newer one"
	case s.phase == phaseConnect && f.TLS == TLSNone && isTimeout(err) && s.transcript.code == 0 && s.connected():
		cause, e.Temporary = err, true
		e.Next = `the server sends no greeting: if it expects TLS from the first byte, set TLS to "implicit"; else try later`
	case errors.Is(err, errOutOfStep):
		cause, e.Temporary, e.Next = err, true, "try later; if it stays so, report to the server's owner that its replies do not match the commands"
	case lost(err):
		e.Temporary, e.Next = true, "check the network, or try later"
		if _, ok := errors.AsType[textproto.ProtocolError](err); !ok { // that one quotes the server
			cause = err
		}
	}
	e.Err = fmt.Errorf("%w: %w", state, cause)
	return e
}

// What servers say besides a code that has several meanings.
var (
	saysDenied  = regexp.MustCompile(`(?i)denied|permission|permitted|forbidden|access|запрещ|доступ`)
	saysMissing = regexp.MustCompile(`(?i)no such|not found|not exist|cannot find|не найден|не существует|ENOENT`)
	saysEmpty   = regexp.MustCompile(`(?i)no files|no such file|not found|empty|нет файлов|не найден|пуст`)
	saysBusy    = regexp.MustCompile(`(?i)too many|already connected|maximum|limit|exceed|busy|later|temporar|in use|занят|позже`)
	saysTLS     = regexp.MustCompile(`(?i)\b(tls|ssl|ftps|cleartext)\b|encrypt|secure`)
)

// isDenial reports whether a server says that something is there and not for this
// user.
func isDenial(text string) bool {
	text = names.Text(text)
	return saysDenied.MatchString(text) && !saysMissing.MatchString(text)
}

func isBusy(text string) bool { return saysBusy.MatchString(names.Text(text)) }

// explainCode decides by the reply code.
func (f *Source) explainCode(s *session, e *fetch.Error) {
	verb, text := s.transcript.verb, s.transcript.text
	login := s.phase == phaseLogin && (verb == "USER" || verb == "PASS" || verb == "ACCT")
	state := fetch.ErrUnreachable
	switch {
	case f.TLS == TLSNone && (s.phase != phaseWork || e.Code == 530) && saysTLS.MatchString(text):
		e.Next = `the server demands TLS: set TLS to "explicit"`
	case e.Code/100 == 4 || e.Code == 530 && isBusy(text):
		// 421, 425, 426, 450, 451 and their like; some servers reply "530 too
		// many users" for 421, proftpd "530 Sorry, the maximum number of clients
		// (1) for this user are already connected."
		e.Temporary, e.Next = true, "try later"
	case verb == "REST":
		state = fmt.Errorf("%w: the server cannot start in the middle of a file", errors.ErrUnsupported)
	case verb == "AUTH" || verb == "PBSZ" || verb == "PROT":
		e.Next = "the server does not offer this TLS mode"
	case e.Code == 332 || e.Code == 532:
		state, e.Next = fetch.ErrCredentials, "the server asks for an account: set Account"
	case login && verb == "ACCT":
		state, e.Next = fetch.ErrCredentials, "check user, password and account"
	case e.Code == 530 || login:
		state, e.Next = fetch.ErrCredentials, "check user and password"
	case s.phase == phaseWork && (e.Code == 550 || e.Code == 553) && isDenial(text):
		state, e.Next = fs.ErrPermission, "ask the server's owner to let this user read it"
	case s.phase == phaseWork && e.Op == "list" && verb == "LIST": // the directory is there, see session.list
		e.Next = "ask the server's owner why the directory cannot be listed"
	case s.phase == phaseWork && (e.Code == 550 || e.Code == 551 || e.Code == 553):
		state = fetch.ErrNotFound
	}
	if state == fetch.ErrUnreachable && e.Next == "" { //nolint:errorlint // it is not wrapped yet
		e.Next = "ask the server's owner why it refuses " + cmp.Or(verb, "connections")
	}
	e.Err = fmt.Errorf("%w: the server replied %d %s", state, e.Code, f.scrubReply(s))
}

func isCertificate(err error) bool {
	_, wrong := errors.AsType[*tls.CertificateVerificationError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	return wrong || plain
}

// oldTLS reports whether the two sides could not agree on a version of TLS.
func oldTLS(err error) bool { return strings.Contains(err.Error(), "protocol version") }

func (f *Source) quotesPassword(err error) bool {
	return err != nil && f.scrub(err.Error()) != names.Show(err.Error())
}

// scrub makes a server's text safe to show: a server can repeat the password
// in it. A short password is part of many words, and would garble the message:
// it is cut out of replies to login alone, by scrubReply.
func (f *Source) scrub(said string) string {
	const short = 6
	if len(f.Password) < short {
		return f.without(said, f.Account)
	}
	return f.without(said, f.Password, f.Account)
}

// scrubReply is scrub for the last reply of a session.
func (f *Source) scrubReply(s *session) string {
	if s.phase == phaseWork {
		return f.scrub(s.transcript.text)
	}
	return f.without(s.transcript.text, f.Password, f.Account)
}

func (f *Source) without(said string, secrets ...string) string {
	for _, secret := range secrets { // as it was sent, and as it would be shown
		if secret != "" {
			said = strings.ReplaceAll(names.Text(strings.ReplaceAll(said, secret, "xxxxx")), secret, "xxxxx")
		}
	}
	return names.Show(said)
}

// guard turns a panic of the library, on a reply that it did not expect,
// into an error.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the server's reply cannot be read: %v", r)
	}
}
