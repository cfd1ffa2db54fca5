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
	Changed  = "changed"  // the subject on which the coordinator says that something has changed

	// Sites are in an account of their own, which sees the center's through these
	// alone: requests up, wake-ups down. So an answer goes back to that account,
	// whatever subject the request names for it. There is one export for all
	// requests, since the server ends a chain from an export to itself: an answer
	// that is sent to the subject of a request is dropped.
	Up   = "site.>"
	Down = "wake.*"

	reportPrefix = "site.report."
	grantPrefix  = "site.grant."
	enrollPrefix = "site.enroll."

	AllReports = reportPrefix + "*"
	AllGrants  = grantPrefix + "*"
	AllEnroll  = enrollPrefix + "*.*"

	// StoredGrant is where the store answers AllGrants. It needs no consumer, and so
	// no right to create one.
	StoredGrant = "$JS.API.DIRECT.GET.KV_" + Desired + ".$KV." + Desired + ".{{wildcard(1)}}"
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
func ReportSubject(site string) string { return reportPrefix + Encode(site) }

// Reporter returns the id of the site whose ReportSubject it is.
func Reporter(subject string) (string, error) {
	return Decode(strings.TrimPrefix(subject, reportPrefix))
}

// WakeSubject returns the subject on which a site learns that its grant has
// changed.
func WakeSubject(site string) string { return "wake." + Encode(site) }

// GrantSubject returns the subject on which the store answers a site with its
// grant.
func GrantSubject(site string) string { return grantPrefix + Encode(site) }

// EnrollSubject returns the subject on which the holder of a ticket enrolls.
func EnrollSubject(site, ticket string) string { return enrollPrefix + Encode(site) + "." + ticket }

// Enrolled returns the id of the site and the ticket of an EnrollSubject.
func Enrolled(subject string) (site, ticket string, err error) {
	id, ticket, _ := strings.Cut(strings.TrimPrefix(subject, enrollPrefix), ".")
	site, err = Decode(id)
	return site, ticket, err
}

// inbox returns the prefix of the answers to a user: no other can read them.
func inbox(public string) string { return "_INBOX_" + public }

// SiteRights returns what a site may do: report, read its own grant, be woken.
func SiteRights(site, public string) jwt.Permissions {
	return jwt.Permissions{
		Pub: jwt.Permission{Allow: jwt.StringList{ReportSubject(site), GrantSubject(site)}},
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
