package ftp

import (
	"context"
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

// hashTimeout is how much longer than Timeout the server may be silent while
// it reads a large file from its disk: ten minutes by default.
const hashTimeout = 20

// Hash returns the SHA-256 of a file that the server computes, by the command
// HASH (draft-bryan-ftp-hash) or else XSHA256, if FEAT offers one of them. The
// server may be silent for twenty times Timeout, once in the life of the Source;
// canceling ends the wait.
func (f *Source) Hash(ctx context.Context, name string) (string, error) {
	if f.recall().noHash && ctx.Err() == nil {
		return "", &fetch.Error{Op: "hash", Subject: f.URL(name), Err: errNoHash}
	}
	var sum string
	err := f.attempts(ctx, "hash", name, func(options) (s *session, err error) {
		s = newSession()
		defer s.end()
		c, err := f.control(ctx, s)
		if err == nil {
			sum, err = c.hash(name)
		}
		return s, err
	})
	return sum, err
}

// A controlConn is a control connection for commands that the library does not
// have. There are never data connections.
type controlConn struct {
	f        *Source
	s        *session
	raw      *conn
	text     *textproto.Conn
	features map[string]string // by verb in capitals
}

// control connects and logs in.
func (f *Source) control(ctx context.Context, s *session) (*controlConn, error) {
	d, err := f.begin(ctx, s)
	if err != nil {
		return nil, err
	}
	nc, err := d.dial("tcp", d.address)
	if err != nil {
		return nil, err
	}
	c := &controlConn{f: f, s: s, raw: d.control, text: textproto.NewConn(nc)}
	if _, err := c.reply(220); err != nil {
		return nil, err
	}
	s.phase = phaseLogin
	user, password := f.login()
	_, err = c.command(331, "USER "+user)
	switch {
	case err == nil:
		_, err = c.command(230, "PASS "+password)
	case refused(err) == 230:
		err = nil
	}
	if err != nil {
		return nil, err
	}
	s.phase = phaseWork
	return c, c.prepare()
}

// prepare reads what the server offers, and selects UTF-8 names and binary
// data.
func (c *controlConn) prepare() error {
	text, err := c.command(211, "FEAT")
	if err != nil && lost(err) {
		return err
	}
	c.features = map[string]string{}
	if err == nil {
		for line := range strings.SplitSeq(text, "\n") {
			verb, what, _ := strings.Cut(strings.TrimSpace(line), " ")
			c.features[strings.ToUpper(verb)] = what
		}
	}
	if _, ok := c.features["UTF8"]; ok {
		if _, err := c.command(200, "OPTS UTF8 ON"); err != nil && lost(err) {
			return err // a refusal may mean that it is always on
		}
	}
	_, err = c.command(200, "TYPE I")
	return err
}

// command sends a command and expects a certain reply code; 2 is any that
// begins so. Names are sent as they are, byte for byte, but one with a line
// break would be two commands.
func (c *controlConn) command(want int, command string) (string, error) {
	if strings.ContainsAny(command, "\r\n\x00") {
		return "", ftp.ErrInvalidCommand
	}
	if err := c.text.PrintfLine("%s", command); err != nil {
		return "", err
	}
	return c.reply(want)
}

func (c *controlConn) reply(want int) (string, error) {
	_, text, err := c.text.ReadResponse(want)
	return text, err
}

func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

var errNoHash = fmt.Errorf("the server computes no SHA-256 of the file: %w", errors.ErrUnsupported)

// hash uses the better of the two commands that the server has.
func (c *controlConn) hash(name string) (string, error) {
	verb := ""
	if _, ok := c.features["XSHA256"]; ok && !ranged(name) {
		verb = "XSHA256"
	}
	if offersSHA256(c.features["HASH"]) {
		switch _, err := c.command(200, "OPTS HASH SHA-256"); {
		case err == nil:
			verb = "HASH"
		case lost(err):
			return "", err
		}
	}
	if verb == "" {
		c.s.noHash = !ranged(name)
		return "", &fetch.Error{Op: "hash", Subject: name, Err: errNoHash}
	}
	text, err := c.longCommand(verb, name)
	if code := refused(err); code/100 == 5 && code != 550 && code != 553 {
		c.s.noHash = code == 500 || code == 502 || code == 504 // the others are about this file
		return "", &fetch.Error{Op: "hash", Subject: name, Code: code, Err: fmt.Errorf("%w: it replied %d to %s", errNoHash, code, verb)}
	}
	if err != nil {
		return "", err
	}
	sum, ok := parseHash(verb, lastLine(text))
	if !ok {
		return "", &fetch.Error{Op: "hash", Subject: name, Code: c.s.transcript.code,
			Err: fmt.Errorf("no SHA-256 of the whole file in the server's reply to %s: %s", verb, c.f.scrub(lastLine(text)))}
	}
	_ = c.text.PrintfLine("QUIT")
	return sum, nil
}

// longCommand sends a command that takes the server a long time. The time limit
// holds whatever the server sends in the meantime.
func (c *controlConn) longCommand(verb, name string) (string, error) {
	timeout := hashTimeout * c.raw.timeout
	c.raw.timeout = 2 * timeout // the timer fires first
	timer := time.AfterFunc(timeout, c.s.end)
	text, err := c.command(2, verb+" "+name)
	if !timer.Stop() {
		c.s.noHash = true // another attempt, and another file, would take as long
		return "", &fetch.Error{Op: "hash", Subject: name, Err: fmt.Errorf("%w: no reply to %s within %v", fetch.ErrUnreachable, verb, timeout)}
	}
	return text, err
}

// ranged reports whether a name could be read as a shorter one followed by a
// range of bytes, which XSHA256 allows: "file 1 2" or "file;1;2".
func ranged(name string) bool {
	_, err := strconv.ParseUint(name[strings.LastIndexByte(name, ' ')+1:], 10, 64)
	return err == nil || strings.ContainsAny(name, `;"`)
}

// offersSHA256 reads FEAT's line about HASH, such as "SHA-1*;SHA-256;".
func offersSHA256(algorithms string) bool {
	for a := range strings.SplitSeq(algorithms, ";") {
		if strings.EqualFold(strings.TrimSuffix(strings.TrimSpace(a), "*"), "SHA-256") {
			return true
		}
	}
	return false
}

// parseHash reads the last line of a reply: "SHA-256 0-49 <hash> <name>" to
// HASH, anything with exactly one hash to XSHA256.
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
