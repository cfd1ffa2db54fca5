package ftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/jlaffaye/ftp"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
)

// options are what a server turned out not to support. They are learned from a
// failure and tried at once with a new connection.
type options struct {
	noEPSV bool // EPSV leads to no data connection, such as behind a firewall that does not know it
	noMLSD bool // announces MLSD, and refuses it
	noHash bool // computes no SHA-256, or is silent for too long
	noSize refusals
	noTime refusals // refuses MDTM
}

// refusals counts how often a server has refused to return the size or the time of a file that is
// there. One refusal may be about the file alone.
type refusals int

const (
	enough   refusals = 2
	answered refusals = -1
)

func (r refusals) always() bool { return r >= enough }

// and returns the count after one more file.
func (r refusals) and(shown refusals) refusals {
	if shown == answered {
		return 0
	}
	return r + shown
}

// refusalsOf returns what the answer about one file that is there counts as.
func refusalsOf(err error) refusals {
	switch code := refused(err); {
	case err == nil:
		return answered
	case code == 500 || code == 502 || code == 504: // it does not know the command
		return enough
	case code/100 == 5:
		return 1
	}
	return 0
}

// after returns what to try next after a session that failed with err, if
// anything.
func (o options) after(s *session, err error) (options, bool) {
	switch {
	case s == nil:
	case s.epsvFailed(err) && !o.noEPSV:
		o.noEPSV = true
		return o, true
	case s.transcript.verb == "MLSD" && refused(err) != 0 && !o.noMLSD && !s.transferFailed(err):
		o.noMLSD = true
		return o, true
	}
	return o, false
}

// shows returns what a session with the options o, which ended with err or with
// success, shows about the server. A refusal is one for good. Silence could be an
// outage: it counts once PASV has led to a data connection, or MLSD's place was
// taken by LIST.
func (s *session) shows(o options, err error) options {
	t := &s.transcript
	return options{
		noEPSV: t.refusedEPSV || (o.noEPSV || t.noEPSV) && (err == nil || s.passive),
		noMLSD: o.noMLSD && err == nil || t.verb == "MLSD" && refused(err)/100 == 5,
		noHash: s.noHash,
		noSize: s.noSize, noTime: s.noTime,
	}
}

// epsvFailed reports whether PASV may work where EPSV did not: it was answered
// with silence or by closing the connection, no data connection could be made to
// its port, or the server says that there is none.
func (s *session) epsvFailed(err error) bool {
	t := &s.transcript
	return t.noEPSV && lost(err) || t.epsv && (s.dataRefused || isTransfer(t.verb) && refused(err) == 425)
}

// transferFailed reports whether the reply is about the connection and not about
// the command.
func (s *session) transferFailed(err error) bool {
	code := refused(err)
	return code == 421 || code == 425 || code == 426
}

// phase is how far a session got: what a reply means depends on it.
type phase uint8

const (
	phaseConnect phase = iota
	phaseLogin
	phaseWork
)

// A session is one control connection and its data connections. The library
// sets no deadlines and cannot be canceled; both happen below it, on the
// connections.
type session struct {
	ctx        context.Context //nolint:containedctx // of the present operation
	kept       bool            // it was kept from an earlier operation
	conn       *ftp.ServerConn
	phase      phase
	transcript transcript
	replies    *byteLimit // on the control connection
	listings   *byteLimit

	dataRefused bool // a data connection could not be made
	passive     bool // one was made after PASV
	noHash      bool // see options
	noSize      refusals
	noTime      refusals

	mu     sync.Mutex
	conns  []net.Conn
	ended  bool
	made   bool        // any connection was
	cancel func() bool // stops waiting for the context
}

func newSession() *session {
	return &session{replies: newByteLimit(maxReplies), listings: newByteLimit(maxListing)}
}

// endless reports whether the server has sent more than anything needs.
func (s *session) endless() bool {
	return s.transcript.endless || s.replies.exceeded() || s.listings.exceeded()
}

// dial connects and logs in. The session is returned with an error too: it has
// the last reply.
func (f *Source) dial(ctx context.Context, o options) (s *session, err error) {
	s = newSession()
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	defer guard(&err)
	d, err := f.begin(ctx, s)
	if err != nil {
		return s, err
	}
	opts := []ftp.DialOption{
		ftp.DialWithDialFunc(d.dial),
		ftp.DialWithDisabledEPSV(o.noEPSV),
		ftp.DialWithDisabledMLSD(o.noMLSD),
	}
	if f.TLS != TLSNone {
		opts = append(opts, ftp.DialWithTLS(d.config)) // the dialer has started it
	}
	if s.conn, err = ftp.Dial(d.address, opts...); err != nil {
		return s, err
	}
	s.phase = phaseLogin
	if err := s.conn.Login(f.login()); err != nil {
		return s, err
	}
	s.phase = phaseWork
	return s, nil
}

// begin ties a session to its context and returns what makes its
// connections. Nothing has been sent yet.
func (f *Source) begin(ctx context.Context, s *session) (*dialer, error) {
	host, port, err := f.address()
	if err != nil {
		return nil, &fetch.Error{Op: "connect", Subject: f.String(), Err: err}
	}
	if err := f.checkTrust(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s.attach(ctx)
	return &dialer{
		s: s, address: net.JoinHostPort(host, port), timeout: f.timeout(), mode: f.TLS, config: f.tlsConfig(host),
		via: f.Dial, account: f.Account,
	}, nil
}

func (f *Source) login() (user, password string) {
	user, password = f.User, f.Password
	if user == "" {
		user = "anonymous"
		if password == "" {
			password = "anonymous"
		}
	}
	return user, password
}

// tlsConfig gives each control connection a session cache of its own: one
// that is shared makes servers refuse the data connections of the others.
func (f *Source) tlsConfig(host string) *tls.Config {
	if f.TLS == TLSNone {
		return nil
	}
	c := f.TLSConfig.Clone()
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	if c.ServerName == "" {
		c.ServerName = host
	}
	c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	return c
}

// attach ends the session with a context.
func (s *session) attach(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = ctx
	s.cancel = context.AfterFunc(ctx, s.end)
}

// detach undoes attach, and reports whether the session can be used again.
func (s *session) detach() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.cancel() {
		return false
	}
	s.conns = s.conns[:1] // the control connection; the others are closed
	s.replies.reset()
	s.listings.reset()
	return true
}

// end closes all connections at once. It may be called at any time, by any
// goroutine, and more than once.
func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
	if s.cancel != nil {
		s.cancel()
	}
}

// connected reports whether the control connection was made.
func (s *session) connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// quit ends the session after a QUIT, without waiting for its reply.
func (s *session) quit() {
	_ = s.conn.Quit()
	s.end()
}

// add registers a connection to close, or closes it if the session has ended.
func (s *session) add(c net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		_ = c.Close()
		return net.ErrClosed
	}
	s.conns, s.made = append(s.conns, c), true
	return nil
}

func (s *session) open(name string, offset int64) (r *ftp.Response, err error) {
	defer guard(&err)
	return s.conn.RetrFrom(name, uint64(max(offset, 0)))
}

func (s *session) list(dir string) (entries []fetch.Entry, err error) {
	defer guard(&err)
	if err := s.conn.ChangeDir(dir); err != nil {
		return nil, err
	}
	now := time.Now()
	var pieces [][]fetch.Entry
	ask := func() error {
		_, err := s.conn.List("")
		return err
	}
	err = s.lines(dir, ask, func(lines []string) {
		if s.transcript.listing == "MLSD" {
			pieces = append(pieces, parseMLSD(lines))
		} else {
			pieces = append(pieces, parseLIST(lines, now))
		}
	})
	if s.isEmpty(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return slices.Concat(pieces...), nil
}

// isEmpty reports whether a refusal to list a directory, which the server has
// just changed into, says that nothing is in it (RFC 959 has 450 for that). Any
// other refusal is an error: a tree without the files of a directory that could
// not be read would seem whole at each sighting.
func (s *session) isEmpty(err error) bool {
	code := refused(err)
	return s.transcript.verb == "LIST" && (code == 450 || code == 550) && saysEmpty.MatchString(names.Text(s.transcript.text)) && !isDenial(s.transcript.text) && !isBusy(s.transcript.text)
}

// lines calls take with the lines of a listing, a few at a time. They are
// complete only if the error is nil.
func (s *session) lines(dir string, ask func() error, take func(lines []string)) error {
	count := 0
	s.transcript.startListing(func(lines []string) {
		count += len(lines)
		take(lines)
	})
	err := ask()
	cut := s.transcript.endListing()
	switch {
	case err != nil:
		return err
	case cut != nil:
		return &fetch.Error{Op: "list", Subject: dir, Err: fmt.Errorf("%w: %w", fetch.ErrUnreachable, cut), Temporary: true, Next: "check the network, or try later"}
	case s.transcript.cut || count == pureFTPdLimit:
		return &fetch.Error{Op: "list", Subject: dir, Code: s.transcript.code, Err: fmt.Errorf("the server cut the listing short after %d lines", count),
			Next: "ask the vendor to remove files, or to raise the server's limit"}
	}
	return nil
}

// stat returns the size and the time of a file, or the one that the server has. It does not ask for what
// the server is known to refuse. Where it asks and gets neither, the listing shows whether the file is there.
func (s *session) stat(name string, known options) (e fetch.Entry, err error) {
	defer guard(&err)
	e = fetch.Entry{Name: path.Base(name), Kind: fetch.KindFile, Size: -1}
	var serr, terr error
	if !known.noSize.always() {
		var size int64
		if size, serr = s.conn.FileSize(name); serr == nil {
			e.Size = size
		} else if lost(serr) {
			return e, serr
		}
	}
	if !known.noTime.always() {
		var t time.Time
		if t, terr = s.conn.GetTime(name); terr == nil {
			e.Time = t.UTC().Truncate(time.Second)
		} else if lost(terr) {
			return e, terr
		}
	}
	some := e.Size >= 0 || !e.Time.IsZero()
	if !some && (serr != nil || terr != nil) {
		entries, err := s.list(path.Dir(name))
		if err != nil {
			return e, err
		}
		if !slices.ContainsFunc(entries, func(l fetch.Entry) bool { return l.Name == e.Name && l.Kind == fetch.KindFile }) {
			return e, &textproto.Error{Code: 550, Msg: "not in its directory's listing"}
		}
	}
	if !known.noSize.always() {
		s.noSize = refusalsOf(serr)
	}
	if !known.noTime.always() {
		s.noTime = refusalsOf(terr)
	}
	return e, nil
}

// refused returns the reply code of a refusal, or 0.
func refused(err error) int {
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		return e.Code
	}
	return 0
}

// lost reports whether err is about the connection, and not a reply to a
// command.
func lost(err error) bool {
	_, timeout := errors.AsType[net.Error](err)
	_, protocol := errors.AsType[textproto.ProtocolError](err)
	return timeout || protocol || refused(err) == 421 || errors.Is(err, errOutOfStep) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
