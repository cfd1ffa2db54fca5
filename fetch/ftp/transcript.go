package ftp

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// A transcript follows a control connection: it is the library's debug output,
// commands and replies in one stream. It keeps verbs and the last reply; never
// an argument, which could be the password.
type transcript struct {
	verb    string // of the last command
	code    int    // of the last reply
	text    string // of the last reply
	listing string // the verb of the last listing
	epsv    bool   // the server accepted EPSV
	cut     bool   // a reply to a listing mentions truncation

	listed bool                 // the next data connection is a listing's
	take   func(lines []string) // is called with its lines
	begun  []byte               // its last line, if that has not ended yet
	line   []byte               // an unfinished line of the control connection
}

// Write receives a piece of the library's debug output.
func (t *transcript) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			const longest = 4 << 10
			t.line = append(t.line, p[:min(len(p), max(0, longest-len(t.line)))]...)
			break
		}
		t.line = append(t.line, p[:i]...)
		t.add(strings.TrimRight(string(t.line), "\r"))
		clear(t.line) // it may have held the password
		t.line = t.line[:0]
		p = p[i+1:]
	}
	return n, nil
}

func (t *transcript) add(line string) {
	if len(line) >= 3 {
		if code, err := strconv.Atoi(line[:3]); err == nil && code >= 100 {
			t.reply(code, line[3:])
			return
		}
	}
	verb, _, _ := strings.Cut(line, " ")
	if len(verb) < 3 || len(verb) > 4 || strings.ToUpper(verb) != verb {
		return // a line from the middle of a long reply
	}
	if verb == "QUIT" {
		return // the library's own: what matters came before
	}
	t.verb = verb
	if verb == "MLSD" || verb == "LIST" {
		t.listing = verb
	}
}

func (t *transcript) reply(code int, text string) {
	if t.listing == t.verb && strings.Contains(strings.ToLower(text), "truncated") {
		t.cut = true
	}
	if strings.HasPrefix(text, "-") {
		return // more to come
	}
	t.code, t.text = code, strings.TrimSpace(text)
	t.epsv = t.epsv || code == 229
}

func (t *transcript) startListing(take func(lines []string)) {
	t.listed, t.cut, t.take, t.begun = true, false, take, nil
}

// endListing returns an error if the listing did not end with the end of a line.
func (t *transcript) endListing() error {
	t.listed, t.take = false, nil
	if len(t.begun) > 0 {
		return errors.New("the listing ends in the middle of a line")
	}
	return nil
}

// A listingWriter receives a listing byte for byte, and passes its lines on as
// they come: the server still writes the next ones.
type listingWriter struct{ *transcript }

func (b listingWriter) Write(p []byte) (int, error) {
	b.begun = append(b.begun, p...)
	if bytes.IndexByte(p, '\n') >= 0 {
		whole := bytes.LastIndexByte(b.begun, '\n') + 1
		b.take(splitLines(string(b.begun[:whole])))
		b.begun = append(b.begun[:0], b.begun[whole:]...)
	}
	return len(p), nil
}
