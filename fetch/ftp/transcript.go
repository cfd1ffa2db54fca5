package ftp

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"
)

// A transcript has the last command and the server's own reply to it; never an
// argument, which could be the password.
type transcript struct {
	verb        string // of the last command; empty before the first
	code        int    // of the last reply
	text        string // of the last reply, in one line
	listing     string // the verb of the last listing
	epsv        bool   // the server accepted EPSV
	noEPSV      bool   // it refused EPSV, or never replied to it
	refusedEPSV bool   // for good
	cut         bool   // a reply to a listing mentions truncation
	bare        bool   // a transfer ended with a reply, and none had begun it
	sent        func() // is called once when a command that transfers data has been sent

	listed  bool                 // the next data connection is a listing's
	take    func(lines []string) // is called with its lines
	begun   []byte               // its last line, if that has not ended yet
	lines   int                  // that it had so far
	endless bool                 // the server sent more than anything needs
}

func (t *transcript) command(verb string) {
	t.verb, t.bare = verb, false
	if verb == "MLSD" || verb == "LIST" {
		t.listing = verb
	}
}

func (t *transcript) reply(code int, lines []string) {
	const longest = 400
	var said []string
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" {
			said = append(said, l)
		}
	}
	text := strings.Join(said, " ")
	t.code, t.text = code, text
	if len(text) > longest {
		t.text = text[:longest]
		if utf8.ValidString(text) {
			t.text = strings.ToValidUTF8(t.text, "") // no half letter
		}
	}
	t.epsv = t.epsv || code == 229
	t.noEPSV = t.noEPSV || t.verb == "EPSV" && code/100 > 3
	t.refusedEPSV = t.refusedEPSV || t.verb == "EPSV" && code/100 == 5
	if t.listing == t.verb && strings.Contains(strings.ToLower(text), "truncated") {
		t.cut = true
	}
}

func (t *transcript) startListing(take func(lines []string)) {
	t.listed, t.cut, t.take, t.begun, t.lines = true, false, take, nil, 0
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
		b.lines += bytes.Count(b.begun[:whole], []byte("\n"))
		b.take(splitLines(string(b.begun[:whole])))
		b.begun = append(b.begun[:0], b.begun[whole:]...)
	}
	if b.lines > maxListingLines || len(b.begun) > maxListingLine {
		b.endless = true
		return 0, errEndless
	}
	return len(p), nil
}
