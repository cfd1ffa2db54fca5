package center

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

// A Server is the embedded NATS server with the store.
type Server struct {
	identity *Identity
	nats     *server.Server
}

// maxPayload holds a rollout over 10,000 sites.
const maxPayload = 8 << 20

// Serve starts the server on a host and port; port -1 takes a free one. Each
// message is on the disk before it is confirmed: by default a power cut would
// lose two minutes.
func (i *Identity) Serve(host string, port int) (*Server, error) {
	system, fleet, sites := i.accounts()
	resolver := &server.MemAccResolver{}
	for _, claims := range []*jwt.AccountClaims{system, fleet, sites} {
		token, err := claims.Encode(i.operator)
		if err == nil {
			err = resolver.Store(claims.Subject, token)
		}
		if err != nil {
			return nil, err
		}
	}
	options := &server.Options{
		Host: host, Port: port, ServerName: "center", NoSigs: true, NoLog: true, MaxPayload: maxPayload,
		JetStream: true, StoreDir: filepath.Join(i.dir, "store"), SyncAlways: true,
		SystemAccount: public(i.system), AccountResolver: resolver,
		TrustedKeys: []string{public(i.operator)},
		TLS:         true, TLSTimeout: 30, AuthTimeout: 60,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{i.cert}, MinVersion: tls.VersionTLS13},
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		s.Shutdown()
		return nil, errors.New("the server does not accept connections")
	}
	return &Server{i, s}, nil
}

// URL returns where the server listens.
func (s *Server) URL() string { return s.nats.ClientURL() }

// Update makes the server refuse the keys that were revoked since it started, and
// cuts their connections.
func (s *Server) Update() error {
	_, _, sites := s.identity.accounts()
	token, err := sites.Encode(s.identity.operator)
	if err != nil {
		return err
	}
	if err := s.nats.AccountResolver().Store(sites.Subject, token); err != nil {
		return err
	}
	account, err := s.nats.LookupAccount(sites.Subject)
	if err != nil {
		return fmt.Errorf("the account of the sites: %w", err)
	}
	s.nats.UpdateAccountClaims(account, sites)
	return nil
}

// Close stops the server.
func (s *Server) Close() {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}

// Port returns the port at which the server listens.
func (s *Server) Port() int {
	if a, ok := s.nats.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}
