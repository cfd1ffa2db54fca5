package fetchtest

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Server is an FTP server on loopback that serves files from memory, and
// fails on demand. Its fields are set before the first client
// connects; its methods may be called at any time by any goroutine.
type Server struct {
	Addr     string // host:port
	User     string // empty: any
	Password string // empty: any

	// Features are the reply to FEAT; nil means SIZE, MDTM, REST STREAM, MLST,
	// EPSV and UTF8. MLSD works if MLST is among them.
	Features []string
	// TLS, if set, allows AUTH TLS and protects data connections after it.
	// With Implicit, TLS starts with the first byte.
	TLS      *tls.Config
	Implicit bool

	l    net.Listener
	done sync.WaitGroup

	mu         sync.Mutex
	files      map[string]file
	onCommand  func(verb, arg string) string
	onList     func(dir string) []string
	onTransfer func(Transfer) Fault
	onListing  func(verb, dir string) Fault
	said       []string
	transfers  int
	sent       int64
	conns      map[net.Conn]bool
	resumed    int
}

type file struct {
	data []byte
	mod  time.Time
}

// A Transfer is one RETR.
type Transfer struct {
	N      int // its number since the server started, from 1 on
	Path   string
	Offset int64 // what REST asked for
}

// A Fault is how a transfer or a listing fails. The zero value is one that
// succeeds.
type Fault struct {
	Cut        int64  // stop after this many bytes of this transfer; 0: never; negative: before the first
	Stall      bool   // then send nothing more, with all connections open
	Reset      bool   // then reset the data connection
	Abrupt     bool   // then close the data connection without the close notification of TLS
	Drop       bool   // then close the control connection without a reply
	Begin      string // what begins the transfer; empty means "150 here it comes"
	Reply      string // what ends the transfer; empty means "226 done"
	IgnoreREST bool   // send from the start, whatever the offset
	Extra      []byte // sent after the file, or the listing
	Data       []byte // sent instead of the file's, or the listing's
	Before     func() // called before the first byte
	After      func() // called after the last one
}

// Listen starts an empty server.
func Listen() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: l.Addr().String(), l: l, files: map[string]file{}, conns: map[net.Conn]bool{}}
	s.done.Go(s.accept)
	return s, nil
}

// New starts an empty server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Close ends the server and waits for its goroutines.
func (s *Server) Close() {
	_ = s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.done.Wait()
}

// Drop closes all open connections without a reply.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Put creates or replaces a file and the directories above it.
func (s *Server) Put(name string, data []byte, mod time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path.Join("/", name)] = file{data, mod}
}

// Remove removes a file. A directory exists while it has a file.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, path.Join("/", name))
}

// OnCommand sets a function that returns the reply to each command, and, for an
// empty verb, the greeting. Empty means the usual reply, "hang" means that no reply ever comes. A
// success of USER, PASS, ACCT, AUTH, PROT, CWD and REST has its effect. In one of
// EPSV and PASV, PORT stands for the port, PORT/256 and PORT%256 for its two bytes.
func (s *Server) OnCommand(f func(verb, arg string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onCommand = f
}

// OnList sets a function that returns the raw lines of each listing; nil means
// the usual ones.
func (s *Server) OnList(f func(dir string) []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onList = f
}

// OnTransfer sets a function that returns how each transfer fails.
func (s *Server) OnTransfer(f func(Transfer) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onTransfer = f
}

// OnListing sets a function that returns how each listing, by MLSD or LIST,
// fails.
func (s *Server) OnListing(f func(verb, dir string) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onListing = f
}

// Commands returns all commands so far, without the argument of PASS.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// Sent returns how many bytes of files were sent so far.
func (s *Server) Sent() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// Transfers returns how many transfers were started so far.
func (s *Server) Transfers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transfers
}

// Open returns how many connections are open.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Resumed returns how many data connections resumed a TLS session.
func (s *Server) Resumed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resumed
}

func (s *Server) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		if !s.track(c, true) {
			return
		}
		s.done.Go(func() {
			defer s.track(c, false)
			newClient(s, c).serve()
		})
	}
}

// track remembers an open connection, or closes and forgets it.
func (s *Server) track(c net.Conn, open bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !open || s.conns == nil {
		_ = c.Close()
		delete(s.conns, c)
		return false
	}
	s.conns[c] = true
	return true
}

func (s *Server) lookup(name string) (file, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[name]
	return f, ok
}

// entries returns a directory's names in order, and whether it exists.
// Directories have no file.
func (s *Server) entries(dir string) (names []string, is map[string]*file, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	prefix := strings.TrimSuffix(dir, "/") + "/"
	is = map[string]*file{}
	for name, f := range s.files {
		rest, below := strings.CutPrefix(name, prefix)
		if !below {
			continue
		}
		first, _, deeper := strings.Cut(rest, "/")
		is[first] = &f
		if deeper {
			is[first] = nil
		}
	}
	for name := range is {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare[string])
	return names, is, dir == "/" || len(names) > 0
}

func (s *Server) features() []string {
	if s.Features != nil {
		return s.Features
	}
	return []string{"SIZE", "MDTM", "REST STREAM", "MLST type*;size*;modify*;", "EPSV", "UTF8"}
}

// body returns the contents of a listing, and how it fails.
func (s *Server) body(dir, verb string) ([]byte, Fault) {
	s.mu.Lock()
	on, onListing := s.onList, s.onListing
	s.mu.Unlock()
	var fault Fault
	if onListing != nil {
		fault = onListing(verb, dir)
	}
	if fault.Data != nil {
		return slices.Concat(fault.Data, fault.Extra), fault
	}
	var lines []string
	if on != nil {
		lines = on(dir)
	}
	if lines == nil {
		names, is, _ := s.entries(dir)
		for _, name := range names {
			lines = append(lines, line(name, is[name], verb))
		}
	}
	var b bytes.Buffer
	for _, l := range lines {
		b.WriteString(l + "\r\n")
	}
	return append(b.Bytes(), fault.Extra...), fault
}
