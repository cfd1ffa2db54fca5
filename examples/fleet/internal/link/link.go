// Package link has what the center and the sites must agree on: subjects, the
// encoding of ids, the rights of a site, and how both connect.
package link

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/private"
)

// The names of what the store holds.
const (
	Reports  = "REPORTS"  // the stream of reports
	Desired  = "desired"  // the bucket of grants, by site
	Rollouts = "rollouts" // the bucket of rollouts
	Control  = "control"  // the subject of a person's decisions
)

var encoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// Encode returns an id as it is in subjects and keys: ids can be Cyrillic and can
// contain dots.
func Encode(id string) string { return strings.ToLower(encoding.EncodeToString([]byte(id))) }

// Decode returns the id that Encode encoded.
func Decode(s string) (string, error) {
	b, err := encoding.DecodeString(strings.ToUpper(s))
	return string(b), err
}

// ReportSubject returns the subject of the reports of a site.
func ReportSubject(site string) string { return "report." + Encode(site) }

// WakeSubject returns the subject on which a site learns that its grant has
// changed.
func WakeSubject(site string) string { return "wake." + Encode(site) }

// DesiredSubject returns the subject on which the store answers a site with its
// grant. It needs no consumer, and so no right to create one.
func DesiredSubject(site string) string {
	return "$JS.API.DIRECT.GET.KV_" + Desired + ".$KV." + Desired + "." + Encode(site)
}

// EnrollSubject returns the subject on which the holder of a ticket enrolls.
func EnrollSubject(site, ticket string) string { return "enroll." + Encode(site) + "." + ticket }

// inbox returns the prefix of the answers to a user: no other can read them.
func inbox(public string) string { return "_INBOX_" + public }

// SiteRights returns what a site may do: report, read its own grant, be woken.
func SiteRights(site, public string) jwt.Permissions {
	return jwt.Permissions{
		Pub: jwt.Permission{Allow: jwt.StringList{ReportSubject(site), DesiredSubject(site)}},
		Sub: jwt.Permission{Allow: jwt.StringList{WakeSubject(site), inbox(public) + ".>"}},
	}
}

// TicketRights returns what the holder of a ticket may do: enroll one site.
func TicketRights(site, public string) jwt.Permissions {
	return jwt.Permissions{
		Pub: jwt.Permission{Allow: jwt.StringList{EnrollSubject(site, public)}},
		Sub: jwt.Permission{Allow: jwt.StringList{inbox(public) + ".>"}},
	}
}

// A Login is what one needs to connect. It is a secret.
type Login struct {
	URL  string `json:"url"`
	CA   string `json:"ca"` // PEM: the one authority that the server's certificate may be of
	JWT  string `json:"jwt"`
	Seed string `json:"seed"`
}

// A Membership is what a site keeps of its enrollment, and what a ticket is
// before it. It is a secret.
type Membership struct {
	Site   string `json:"site"`
	Center string `json:"center"` // the public key that signs grants
	Ticket bool   `json:"ticket,omitempty"`
	Login  Login  `json:"login"`
}

// Load reads a membership from a file, which no other account may read.
func Load(path string) (m Membership, err error) {
	if err := private.CheckSecret(path); err != nil {
		return m, err
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return m, fmt.Errorf("the membership %s: %w", path, err)
	}
	return m, nil
}

// Save writes a membership to a file for its owner alone.
func (m Membership) Save(path string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(b, '\n'), 0o600)
}

// Connect connects as a user, over TLS 1.3 and to a server of the login's own
// authority, and reconnects for ever.
func (l Login) Connect(name string, options ...nats.Option) (*nats.Conn, error) {
	key, err := nkeys.FromSeed([]byte(l.Seed))
	if err != nil {
		return nil, fmt.Errorf("the key of the login: %w", err)
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(l.CA)) {
		return nil, errors.New("the login has no certificate of an authority")
	}
	return nats.Connect(l.URL, append([]nats.Option{
		nats.Name(name),
		nats.UserJWT(func() (string, error) { return l.JWT, nil }, key.Sign),
		nats.Secure(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}),
		nats.CustomInboxPrefix(inbox(public)),
		nats.MaxReconnects(-1),         // a client gives up after 60 otherwise
		nats.Timeout(30 * time.Second), // links are thin, and all come back at once
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectJitter(500*time.Millisecond, 2*time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // by default it prints
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1), // what cannot be sent now fails now, and is sent again
	}, options...)...)
}
