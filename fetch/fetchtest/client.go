package fetchtest

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"path"
	"strconv"
	"strings"
	"time"
)

// A client is one control connection.
type client struct {
	s    *Server
	raw  net.Conn
	c    net.Conn // raw, or TLS on it
	r    *bufio.Reader
	dir  string
	user string
	in   bool // logged in
	priv bool // PROT P
	rest int64
	pasv net.Listener
}

func newClient(s *Server, c net.Conn) *client {
	cl := &client{s: s, raw: c, c: c, dir: "/"}
	if s.TLS != nil && s.Implicit {
		cl.c = tls.Server(c, s.TLS)
	}
	cl.r = bufio.NewReader(cl.c)
	return cl
}

func (c *client) say(format string, args ...any) bool {
	_, err := fmt.Fprintf(c.c, format+"\r\n", args...)
	return err == nil
}

func (c *client) serve() {
	defer c.unlisten()
	switch greeting := c.asked("", ""); {
	case greeting == "hang":
		_, _ = io.Copy(io.Discard, c.c)
		return
	case !c.say("%s", cmp.Or(greeting, "220 ready")):
		return
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if reply := c.asked(verb, arg); reply != "" {
			if reply == "hang" {
				_, _ = io.Copy(io.Discard, c.c)
				return
			}
			if reply = c.succeed(verb, arg, reply); !c.say("%s", reply) {
				return
			}
			if verb == "AUTH" && reply[0] == '2' {
				c.startTLS()
			}
			continue
		}
		if !c.command(verb, arg) {
			return
		}
	}
}

// succeed gives a scripted reply of success its effect, and returns it.
func (c *client) succeed(verb, arg, reply string) string {
	switch ok := reply[0] == '2'; {
	case verb == "USER", verb == "PASS", verb == "ACCT":
		c.in = c.in || ok
	case verb == "PROT":
		c.priv = c.priv || ok
	case (verb == "EPSV" || verb == "PASV") && strings.Contains(reply, "PORT"):
		if port, err := c.open(); err == nil {
			return strings.NewReplacer("PORT/256", strconv.Itoa(port/256), "PORT%256", strconv.Itoa(port%256), "PORT", strconv.Itoa(port)).Replace(reply)
		}
	case verb == "CWD" && ok:
		c.dir = path.Join(c.dir, arg)
		if strings.HasPrefix(arg, "/") {
			c.dir = path.Clean(arg)
		}
	case verb == "REST" && (ok || reply[0] == '3'):
		c.rest, _ = strconv.ParseInt(arg, 10, 64)
	}
	return reply
}

// asked records a command and calls the script for a reply. The greeting has an
// empty verb.
func (c *client) asked(verb, arg string) string {
	c.s.mu.Lock()
	on := c.s.onCommand
	if note := strings.TrimSpace(verb + " " + arg); note != "" {
		if verb == "PASS" {
			note = verb
		}
		c.s.said = append(c.s.said, note)
	}
	c.s.mu.Unlock()
	if on == nil {
		return ""
	}
	return on(verb, arg)
}

// command replies to one command, and reports whether to continue.
func (c *client) command(verb, arg string) bool {
	switch verb {
	case "USER":
		c.user = arg
		return c.say("331 password?")
	case "PASS":
		if c.s.User != "" && c.user != c.s.User || c.s.Password != "" && arg != c.s.Password {
			return c.say("530 no: %s is not your password", arg) // as some servers do
		}
		c.in = true
		return c.say("230 welcome")
	case "QUIT":
		c.say("221 bye")
		return false
	case "FEAT":
		return c.say("211-Features:\r\n %s\r\n211 End", strings.Join(c.s.features(), "\r\n "))
	case "AUTH":
		return c.auth()
	case "PBSZ", "TYPE", "OPTS":
		return c.say("200 fine")
	case "PROT":
		c.priv = true
		return c.say("200 fine")
	}
	if !c.in {
		return c.say("530 log in first")
	}
	return c.work(verb, path.Join(c.dir, arg), arg)
}

func (c *client) work(verb, name, arg string) bool {
	if strings.HasPrefix(arg, "/") {
		name = path.Clean(arg)
	}
	f, isFile := c.s.lookup(name)
	switch verb {
	case "CWD":
		if _, _, ok := c.s.entries(name); !ok {
			return c.say("550 no such directory")
		}
		c.dir = name
		return c.say("250 there")
	case "SIZE":
		if !isFile {
			return c.say("550 no such file")
		}
		return c.say("213 %d", len(f.data))
	case "MDTM":
		if !isFile {
			return c.say("550 no such file")
		}
		return c.say("213 %s", f.mod.UTC().Format("20060102150405"))
	case "REST":
		c.rest, _ = strconv.ParseInt(arg, 10, 64)
		return c.say("350 from there")
	case "EPSV", "PASV":
		return c.listen(verb)
	case "MLSD", "LIST":
		body, fault := c.s.body(name, verb)
		return c.send(body, fault, false)
	case "RETR":
		if !isFile {
			return c.say("550 no such file")
		}
		return c.retr(name, f)
	}
	return c.say("502 %s is not known", verb)
}

func (c *client) auth() bool {
	if c.s.TLS == nil {
		return c.say("502 no TLS")
	}
	if !c.say("234 go on") {
		return false
	}
	c.startTLS()
	return true
}

func (c *client) startTLS() {
	c.c = tls.Server(c.raw, c.s.TLS)
	c.r = bufio.NewReader(c.c)
}

func (c *client) unlisten() {
	if c.pasv != nil {
		_ = c.pasv.Close()
		c.pasv = nil
	}
}

func (c *client) listen(verb string) bool {
	port, err := c.open()
	switch {
	case err != nil:
		return c.say("425 %v", err)
	case verb == "EPSV":
		return c.say("229 Entering (|||%d|)", port)
	}
	return c.say("227 Entering (127,0,0,1,%d,%d)", port/256, port%256)
}

// open waits for a data connection.
func (c *client) open() (port int, err error) {
	c.unlisten()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	c.pasv = l
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (c *client) retr(name string, f file) bool {
	c.s.mu.Lock()
	c.s.transfers++
	n, on := c.s.transfers, c.s.onTransfer
	c.s.mu.Unlock()
	offset := c.rest
	c.rest = 0
	var fault Fault
	if on != nil {
		fault = on(Transfer{n, name, offset})
	}
	data := f.data
	if fault.Data != nil {
		data = fault.Data
	}
	if fault.IgnoreREST {
		offset = 0
	}
	data = data[min(offset, int64(len(data))):]
	return c.send(append(data[:len(data):len(data)], fault.Extra...), fault, true)
}

// send sends data over the data connection, as far as the fault allows.
func (c *client) send(data []byte, fault Fault, counts bool) bool {
	if c.pasv == nil {
		return c.say("425 no data connection")
	}
	if !c.say("%s", cmp.Or(fault.Begin, "150 here it comes")) {
		return false
	}
	_ = c.pasv.(*net.TCPListener).SetDeadline(time.Now().Add(5 * time.Second))
	raw, err := c.pasv.Accept()
	c.unlisten()
	if err != nil {
		return c.say("425 %v", err)
	}
	if !c.s.track(raw, true) {
		return false
	}
	defer c.s.track(raw, false)
	d := raw
	if c.priv {
		t := tls.Server(raw, c.s.TLS)
		if t.Handshake() != nil {
			return c.say("425 no TLS")
		}
		if t.ConnectionState().DidResume {
			c.s.mu.Lock()
			c.s.resumed++
			c.s.mu.Unlock()
		}
		d = t
	}
	if fault.Before != nil {
		fault.Before()
	}
	if fault.Cut != 0 {
		data = data[:min(max(fault.Cut, 0), int64(len(data)))]
	}
	n, werr := d.Write(data)
	if counts {
		c.s.mu.Lock()
		c.s.sent += int64(n)
		c.s.mu.Unlock()
	}
	if fault.After != nil {
		fault.After()
	}
	switch {
	case fault.Stall:
		_, _ = io.Copy(io.Discard, c.c) // until the client gives up
		return false
	case fault.Reset:
		_ = raw.(*net.TCPConn).SetLinger(0)
		_ = raw.Close()
	case fault.Abrupt:
		_ = raw.Close()
	default:
		_ = d.Close()
	}
	if fault.Drop {
		return false
	}
	if werr != nil {
		return c.say("426 %v", "the connection broke")
	}
	return c.say("%s", cmp.Or(fault.Reply, "226 done"))
}

// line writes an entry as servers do: RFC 3659 or ls -l.
func line(name string, f *file, verb string) string {
	mlsd := verb == "MLSD"
	switch {
	case mlsd && f == nil:
		return "type=dir;modify=20191204200000; " + name
	case mlsd:
		return fmt.Sprintf("type=file;size=%d;modify=%s; %s", len(f.data), f.mod.UTC().Format("20060102150405"), name)
	case f == nil:
		return "drwxr-xr-x    2 ftp      ftp          4096 Dec 04  2019 " + name
	}
	when := f.mod.UTC().Format("Jan 02  2006")
	if time.Since(f.mod) < 180*24*time.Hour {
		when = f.mod.UTC().Format("Jan 02 15:04")
	}
	return fmt.Sprintf("-rw-r--r--    1 ftp      ftp      %8d %s %s", len(f.data), when, name)
}
