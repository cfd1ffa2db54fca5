package ftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/jlaffaye/ftp"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/digest"
)

// hashPatience is how much longer than Idle the server may be silent while
// it reads a large file from its disk: ten minutes by default.
const hashPatience = 20

// Hash asks the server for the SHA-256 of a file, by the command HASH
// (draft-bryan-ftp-hash) or else XSHA256, if FEAT offers one of them. The
// server may take twenty times Idle for it, once; canceling ends the wait.
func (f *Source) Hash(ctx context.Context, name string) (string, error) {
	var sum string
	err := f.attempts(ctx, "hash", name, func(options) (s *session, err error) {
		s = &session{limit: &countdown{left: maxTalk}}
		defer s.end()
		t, err := f.talk(ctx, s)
		if err == nil {
			sum, err = t.hash(name)
		}
		return s, err
	})
	return sum, err
}

// A talk is a control connection for commands that the library does not
// have. There are never data connections.
type talk struct {
	f        *Source
	s        *session
	wire     *conn
	text     *textproto.Conn
	features map[string]string // by verb in capitals
}

// talk connects and logs in.
func (f *Source) talk(ctx context.Context, s *session) (*talk, error) {
	d, err := f.begin(ctx, s)
	if err != nil {
		return nil, err
	}
	c, err := d.dial("tcp", d.address)
	if err != nil {
		return nil, err
	}
	t := &talk{f: f, s: s, wire: d.control, text: textproto.NewConn(c)}
	if _, err := t.reply(220); err != nil {
		return nil, err
	}
	if f.TLS == TLSExplicit {
		if _, err := t.ask(234, "AUTH TLS"); err != nil {
			return nil, err
		}
		// What came in the clear behind the reply stays with the old reader.
		t.text = textproto.NewConn(tls.Client(c, d.config))
	}
	s.phase = phaseLogin
	user, password := f.login()
	_, err = t.ask(331, "USER "+user)
	switch {
	case err == nil:
		_, err = t.ask(230, "PASS "+password)
	case refused(err) == 230:
		err = nil
	}
	if err != nil {
		return nil, err
	}
	s.phase = phaseWork
	return t, t.prepare()
}

// prepare learns what the server offers, and sets what names and bytes mean.
func (t *talk) prepare() error {
	text, err := t.ask(211, "FEAT")
	if err != nil && lost(err) {
		return err
	}
	t.features = map[string]string{}
	if err == nil {
		for line := range strings.SplitSeq(text, "\n") {
			verb, what, _ := strings.Cut(strings.TrimSpace(line), " ")
			t.features[strings.ToUpper(verb)] = what
		}
	}
	if _, ok := t.features["UTF8"]; ok {
		if _, err := t.ask(200, "OPTS UTF8 ON"); err != nil && lost(err) {
			return err // a refusal may mean that it is always on
		}
	}
	_, err = t.ask(200, "TYPE I")
	return err
}

// ask says a command and wants a certain reply; 2 is any that begins so.
// Names go as they are, byte for byte, but one with a line break would be two
// commands.
func (t *talk) ask(want int, command string) (string, error) {
	if strings.ContainsAny(command, "\r\n\x00") {
		return "", ftp.ErrInvalidCommand
	}
	t.s.said.verb, _, _ = strings.Cut(command, " ")
	if err := t.text.PrintfLine("%s", command); err != nil {
		return "", err
	}
	return t.reply(want)
}

func (t *talk) reply(want int) (string, error) {
	code, text, err := t.text.ReadResponse(want)
	if code != 0 {
		t.s.said.code, t.s.said.text = code, lastLine(text)
	}
	return text, err
}

func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

var errNoHash = fmt.Errorf("the server computes no SHA-256 of it: %w", errors.ErrUnsupported)

// hash asks by the better of the two commands that the server has.
func (t *talk) hash(name string) (string, error) {
	verb := ""
	if _, ok := t.features["XSHA256"]; ok && !ranged(name) {
		verb = "XSHA256"
	}
	if offersSHA256(t.features["HASH"]) {
		switch _, err := t.ask(200, "OPTS HASH SHA-256"); {
		case err == nil:
			verb = "HASH"
		case lost(err):
			return "", err
		}
	}
	if verb == "" {
		return "", &fetch.Error{Op: "hash", Name: name, Err: errNoHash}
	}
	text, err := t.wait(verb, name)
	if code := refused(err); code/100 == 5 && code != 550 && code != 553 {
		return "", &fetch.Error{Op: "hash", Name: name, Code: code, Err: fmt.Errorf("%w, it answers %d to %s", errNoHash, code, verb)}
	}
	if err != nil {
		return "", err
	}
	sum, ok := parseHash(verb, lastLine(text))
	if !ok {
		return "", &fetch.Error{Op: "hash", Name: name, Code: t.s.said.code,
			Err: fmt.Errorf("the server's answer to %s holds no SHA-256 of the whole file: %s", verb, t.f.scrub(lastLine(text)))}
	}
	_ = t.text.PrintfLine("QUIT")
	return sum, nil
}

// wait asks for what takes the server long. However it fills the time, it
// has so much of it and no more.
func (t *talk) wait(verb, name string) (string, error) {
	patience := hashPatience * t.wire.idle
	t.wire.idle = 2 * patience // the timer comes first
	timer := time.AfterFunc(patience, t.s.end)
	text, err := t.ask(2, verb+" "+name)
	if !timer.Stop() {
		// Once is enough: another try would take as long.
		return "", &fetch.Error{Op: "hash", Name: name, Reason: fetch.ErrUnreachable, Err: fmt.Errorf("no answer to %s within %v", verb, patience)}
	}
	return text, err
}

// ranged reports whether a name could be taken for a shorter one with a
// range of bytes behind it, which XSHA256 allows: "file 1 2" or "file;1;2".
func ranged(name string) bool {
	_, err := strconv.ParseUint(name[strings.LastIndexByte(name, ' ')+1:], 10, 64)
	return err == nil || strings.ContainsAny(name, `;"`)
}

// offersSHA256 reads what FEAT says of HASH, such as "SHA-1*;SHA-256;".
func offersSHA256(algorithms string) bool {
	for a := range strings.SplitSeq(algorithms, ";") {
		if strings.EqualFold(strings.TrimSuffix(strings.TrimSpace(a), "*"), "SHA-256") {
			return true
		}
	}
	return false
}

// parseHash reads the last line of a reply: "SHA-256 0-49 <hash> <name>" to
// HASH, to XSHA256 whatever holds exactly one hash.
func parseHash(verb, line string) (string, bool) {
	fields := strings.Fields(line)
	if verb == "HASH" {
		if len(fields) < 3 || !strings.EqualFold(fields[0], "SHA-256") || !strings.HasPrefix(fields[1], "0-") {
			return "", false
		}
		return digest.Parse(fields[2])
	}
	var found []string
	for _, field := range fields {
		if sum, ok := digest.Parse(strings.Trim(field, `"`)); ok {
			found = append(found, sum)
		}
	}
	if len(found) != 1 {
		return "", false
	}
	return found[0], true
}
