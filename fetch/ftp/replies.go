package ftp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A control is a control connection on which replies mean what RFC 959 and RFC
// 1123 (4.1.2.11) say: the first digit decides. The library compares whole codes,
// so it gets the one that it expects wherever the server's has the same meaning;
// the transcript has what the server said.
type control struct {
	net.Conn
	r       *bufio.Reader
	t       *transcript
	account string
	sent    []byte // the verb of an unfinished command; never an argument, which could be the password
	args    bool   // the verb has ended
	begun   bool   // the preliminary reply to a transfer has come
	out     []byte // replies for the library
}

func newControl(c net.Conn, t *transcript, account string) *control {
	return &control{Conn: c, r: bufio.NewReader(c), t: t, account: account}
}

// RemoteAddr returns a TCP address, which the library insists on: a connection
// through a proxy may have another kind.
func (c *control) RemoteAddr() net.Addr {
	if a, ok := c.Conn.RemoteAddr().(*net.TCPAddr); ok {
		return a
	}
	return &net.TCPAddr{IP: net.IPv4zero}
}

// errOutOfStep means that replies and commands no longer match.
var errOutOfStep = errors.New("the server has replied twice to one command")

// Write sends commands, and notes their verbs.
func (c *control) Write(p []byte) (int, error) {
	if c.unread() {
		return 0, errOutOfStep
	}
	const longest = 16
	whole := false
	for _, b := range p {
		switch {
		case b == '\n':
			c.command(string(c.sent))
			c.sent, c.args, whole = c.sent[:0], false, true
		case b == ' ' || b == '\r' || len(c.sent) == longest:
			c.args = true
		case !c.args:
			c.sent = append(c.sent, b)
		}
	}
	n, err := c.Conn.Write(p)
	if sent := c.t.sent; sent != nil && whole && err == nil && isTransfer(c.t.verb) {
		c.t.sent = nil
		sent()
	}
	return n, err
}

// unread reports whether a final reply has come that no command waits for. What a later read
// passes over does not count, nor does the server's farewell.
func (c *control) unread() bool {
	for n := c.r.Buffered(); n > 0; n = c.r.Buffered() {
		said, _ := c.r.Peek(n)
		line, _, whole := bytes.Cut(said, []byte("\n"))
		if blank := len(bytes.TrimSpace(line)) == 0; !blank && line[0] != '1' {
			return !bytes.HasPrefix(line, []byte("421"))
		} else if !whole {
			return false
		}
		_, _ = c.r.Discard(len(line) + 1)
	}
	return false
}

func (c *control) command(verb string) {
	if verb == "QUIT" {
		return // the library's own: what matters came before
	}
	c.begun = false
	c.t.command(verb)
}

// Read returns whole replies.
func (c *control) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *control) say(code int, text string) {
	c.out = fmt.Appendf(c.out, "%03d %s\r\n", code, text)
}

// next reads one reply, and says what it means.
func (c *control) next() error {
	code, lines, err := c.reply()
	if err != nil {
		c.t.noEPSV = c.t.noEPSV || c.t.verb == "EPSV"
		return err
	}
	verb, text := c.t.verb, c.t.text
	switch class := code / 100; {
	case code == 421: // the connection ends, whatever was asked
		c.say(code, text)
	case isTransfer(verb):
		c.transfer(code, text)
	case class == 1: // another reply follows
	case code == 332 && (verb == "USER" || verb == "PASS") && c.account != "":
		return c.sendAccount()
	case verb == "FEAT" && class > 3:
		c.features(nil)
	case verb == "OPTS" && class > 3: // a hint that the server may refuse
		c.say(501, text)
	case verb == "PBSZ" && class > 3: // so is this: PROT decides
		c.say(200, text)
	case class > 3:
		c.say(code, text)
	default:
		c.accepted(verb, code, lines)
	}
	return nil
}

// accepted passes on a reply of success.
func (c *control) accepted(verb string, code int, lines []string) {
	text := c.t.text
	switch verb {
	case "FEAT":
		c.features(lines)
		return
	case "USER":
		if code/100 == 3 && code != 332 {
			c.say(331, text)
			return
		}
	case "EPSV":
		if port := extendedPort(lines); port > 0 {
			c.say(229, fmt.Sprintf("(|||%d|)", port))
		} else {
			c.say(500, text) // the library then tries PASV
		}
		return
	case "PASV":
		if host := hostPort.FindStringSubmatch(strings.Join(lines, " ")); host != nil {
			c.say(227, "("+strings.Join(host[1:], ",")+")")
		} else {
			c.say(227, "cannot be read")
		}
		return
	case "SIZE", "MDTM":
		if value, ok := number213(verb, lines); ok {
			c.say(213, value)
		} else {
			c.say(504, text)
		}
		return
	}
	want, known := successes[verb]
	if !known {
		for _, l := range lines[:len(lines)-1] {
			c.out = fmt.Appendf(c.out, "%03d-%s\r\n", code, l)
		}
		c.say(code, lines[len(lines)-1])
		return
	}
	if code/100 == 3 && want/100 != 3 {
		want = code // more is wanted than there is
	}
	c.say(want, text)
}

// successes are the codes that the library expects.
var successes = map[string]int{
	"": 220, "AUTH": 234, "USER": 230, "PASS": 230, "ACCT": 230, "TYPE": 200, "OPTS": 200, "PBSZ": 200, "PROT": 200, "CWD": 250, "REST": 350,
}

func isTransfer(verb string) bool { return verb == "RETR" || verb == "LIST" || verb == "MLSD" }

// transfer passes on a reply to a command that transfers data: one that it
// begins, and one that it has ended. Where the second comes alone, an empty
// directory has nothing to transfer.
func (c *control) transfer(code int, text string) {
	switch code / 100 {
	case 1:
		if !c.begun {
			c.say(150, text)
		}
		c.begun = true
	case 2:
		if !c.begun {
			c.t.bare = true
			c.say(150, text)
		}
		c.begun = true
		c.say(226, text)
	default:
		c.say(code, text)
	}
}

// features passes on the reply to FEAT. MDTM is always among them: many a server
// has it and does not say so, and one that does not refuses it.
func (c *control) features(lines []string) {
	c.out = append(c.out, "211-Features\r\n MDTM\r\n"...)
	for _, l := range lines[min(1, len(lines)):] {
		verb, what, _ := strings.Cut(strings.TrimSpace(l), " ")
		if verb = strings.ToUpper(verb); verb == "MLSD" {
			verb = "MLST" // announced by the wrong name
		}
		if verb != "" && verb != "END" && verb != "MDTM" {
			c.out = fmt.Appendf(c.out, " %s\r\n", strings.TrimSpace(verb+" "+what))
		}
	}
	c.say(211, "End")
}

// sendAccount answers a server that asks for an account.
func (c *control) sendAccount() error {
	if _, err := c.Write([]byte("ACCT " + c.account + "\r\n")); err != nil {
		return err
	}
	return c.next()
}

// startTLS reads the greeting and asks for TLS.
func (c *control) startTLS() error {
	if err := c.expect(); err != nil {
		return err
	}
	if _, err := c.Write([]byte("AUTH TLS\r\n")); err != nil {
		return err
	}
	return c.expect()
}

// expect reads the final reply to a command, and returns a refusal as an error.
func (c *control) expect() error {
	code, lines := 100, []string(nil)
	for code/100 == 1 {
		var err error
		if code, lines, err = c.reply(); err != nil {
			return err
		}
	}
	if code/100 > 3 {
		return &textproto.Error{Code: code, Msg: lines[len(lines)-1]}
	}
	return nil
}

// reply reads a reply, with as many lines as it has, without the code.
func (c *control) reply() (code int, lines []string, err error) {
	line := ""
	for strings.TrimSpace(line) == "" {
		if line, err = c.line(); err != nil {
			return 0, nil, err
		}
		line = strings.TrimPrefix(line, "\ufeff")
	}
	code, text, more, ok := cutCode(line)
	if !ok {
		return 0, nil, textproto.ProtocolError("not a reply: " + line)
	}
	lines = append(lines, text)
	for more {
		if line, err = c.line(); err != nil {
			return 0, nil, err
		}
		again, text, on, ok := cutCode(line)
		if !ok || again != code {
			text, on = line, true
		}
		if lines, more = append(lines, text), on; len(lines) > maxReplyLines {
			c.t.endless = true
			return 0, nil, errEndless
		}
	}
	c.t.reply(code, lines)
	return code, lines, nil
}

// cutCode reads the code of a line, and whether more lines follow.
func cutCode(line string) (code int, text string, more, ok bool) {
	if len(line) < 3 || !isNumber(line[:3]) || line[0] < '1' || line[0] > '5' || len(line) > 3 && isDigit(line[3]) {
		return 0, "", false, false
	}
	code, _ = strconv.Atoi(line[:3])
	if len(line) == 3 {
		return code, "", false, true
	}
	return code, line[4:], line[3] == '-', true
}

// line reads one line, however it ends.
func (c *control) line() (string, error) {
	const longest = 4 << 10
	var line []byte
	for {
		part, err := c.r.ReadSlice('\n')
		line = append(line, part[:min(len(part), longest-len(line))]...)
		if err == nil {
			break
		}
		if err != bufio.ErrBufferFull { //nolint:errorlint // as bufio documents it
			return "", err
		}
	}
	return strings.TrimRight(string(line), "\r\n\x00"), nil
}

// extendedPort reads "(|||6446|)": the delimiter is any character (RFC 2428).
func extendedPort(lines []string) int {
	text := strings.Join(lines, " ")
	for i := 0; i+4 < len(text); i++ {
		d := text[i]
		if d < 33 || d > 126 || isDigit(d) || text[i+1] != d || text[i+2] != d {
			continue
		}
		digits, _, closed := strings.Cut(text[i+3:], string(d))
		if port, err := strconv.ParseUint(digits, 10, 16); err == nil && closed {
			return int(port)
		}
	}
	return 0
}

// hostPort finds "h1,h2,h3,h4,p1,p2", with or without parentheses (RFC 1123,
// 4.1.2.6).
var hostPort = regexp.MustCompile(`(\d{1,3}) ?, ?(\d{1,3}) ?, ?(\d{1,3}) ?, ?(\d{1,3}) ?, ?(\d{1,3}) ?, ?(\d{1,3})`)

// number213 reads the number or the time of a reply, among spaces and words.
func number213(verb string, lines []string) (string, bool) {
	for _, l := range lines {
		for field := range strings.FieldsSeq(l) {
			if verb == "SIZE" && size(field) >= 0 {
				return field, true
			}
			if _, err := time.Parse("20060102150405", field); verb == "MDTM" && err == nil {
				return field, true
			}
		}
	}
	return "", false
}
