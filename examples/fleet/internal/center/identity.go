// Package center is the center of a fleet: the identities of its sites, the
// server with the store, and the coordinator.
//
// The store can be lost: the center's own log has who belongs to the fleet and
// which rollouts were planned, and each site reports its whole state.
package center

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/private"
)

// ErrEnroll means that a site cannot be enrolled or revoked.
var ErrEnroll = errors.New("not possible")

// ticketLife is how long a ticket can be used.
const ticketLife = 24 * time.Hour

// An Identity has the keys of a center and its log: who belongs to the fleet,
// and which rollouts were decided on. It is safe for concurrent use.
type Identity struct {
	dir                                           string
	operator, system, account, crowd, coordinator nkeys.KeyPair // account is the center's, crowd that of the sites
	cert                                          tls.Certificate
	ca                                            string

	mu      sync.Mutex
	log     *os.File
	size    int64 // of the log, up to its last entry
	next    int
	last    time.Time         // of the last entry
	sites   map[string]member // by id
	barred  map[string]bool   // ids that are never enrolled again
	asked   map[string]bool   // requests of people that were carried out
	revoked map[string]time.Time
	tickets map[string]string // site by the ticket's public key
	plans   map[string]decided
	planned []string // in the order of their start
	issued  uint64   // the highest generation
}

// A member is an enrolled site.
type member struct {
	key    string // public
	ticket string // with which it enrolled
}

type secrets struct {
	Operator    string `json:"operator"`
	System      string `json:"system"`
	Account     string `json:"account"`
	Sites       string `json:"sites"` // their account
	Coordinator string `json:"coordinator"`
	Cert        string `json:"cert"`
	Key         string `json:"key"`
}

// Create makes the keys of a new center in a directory, which must not have
// any, with a certificate for these host names and addresses.
func Create(dir string, hosts ...string) error {
	if err := private.Mkdir(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, "identity.json")
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, errors.Join(err, fs.ErrExist))
	}
	var s secrets
	for _, k := range []struct {
		seed *string
		make func() (nkeys.KeyPair, error)
	}{{&s.Operator, nkeys.CreateOperator}, {&s.System, nkeys.CreateAccount}, {&s.Account, nkeys.CreateAccount}, {&s.Sites, nkeys.CreateAccount}, {&s.Coordinator, nkeys.CreateUser}} {
		key, err := k.make()
		if err != nil {
			return err
		}
		seed, err := key.Seed()
		if err != nil {
			return err
		}
		*k.seed = string(seed)
	}
	var err error
	if s.Cert, s.Key, err = certificate(hosts); err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(b, '\n'), 0o600)
}

// certificate makes a certificate that is its own authority.
func certificate(hosts []string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "aspupdate fleet"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return "", "", err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), nil
}

// Open opens the center in a directory, for the coordinator: the log is written by
// one process alone.
func Open(dir string) (*Identity, error) {
	i, err := keys(dir)
	if err != nil {
		return nil, err
	}
	return i, i.read()
}

// Login returns the login of the center in a directory, for the programs beside its
// coordinator. It leaves the log alone: its last line may be one that the
// coordinator is writing now.
func Login(dir, url string) (link.Login, error) {
	i, err := keys(dir)
	if err != nil {
		return link.Login{}, err
	}
	return i.Login(url)
}

func keys(dir string) (*Identity, error) {
	path := filepath.Join(dir, "identity.json")
	if err := private.CheckSecret(path); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s secrets
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Sites == "" {
		return nil, fmt.Errorf("%s: it is of an older version, whose sites share the account of the center: make a new center with fleet init, and enroll the sites again", path)
	}
	i := &Identity{
		dir: dir, ca: s.Cert, sites: map[string]member{}, barred: map[string]bool{}, asked: map[string]bool{}, revoked: map[string]time.Time{},
		tickets: map[string]string{}, plans: map[string]decided{},
	}
	var errs [6]error
	i.operator, errs[0] = nkeys.FromSeed([]byte(s.Operator))
	i.system, errs[1] = nkeys.FromSeed([]byte(s.System))
	i.account, errs[2] = nkeys.FromSeed([]byte(s.Account))
	i.coordinator, errs[3] = nkeys.FromSeed([]byte(s.Coordinator))
	i.crowd, errs[5] = nkeys.FromSeed([]byte(s.Sites))
	i.cert, errs[4] = tls.X509KeyPair([]byte(s.Cert), []byte(s.Key))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return i, nil
}

// Close closes the log.
func (i *Identity) Close() error { return i.log.Close() }

func public(k nkeys.KeyPair) string {
	p, _ := k.PublicKey() // a key that was parsed has one
	return p
}

// Ticket returns a ticket with which one site can enroll once, within a day. A
// site that is enrolled is replaced when the ticket is used.
func (i *Identity) Ticket(site, url string) (link.Membership, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if site == "" || len(site) > 100 {
		return link.Membership{}, fmt.Errorf("%w: the id of a site has from 1 to 100 bytes", ErrEnroll)
	}
	if i.barred[site] { // a key that it got after the backup is not known, and can still log in under this id
		return link.Membership{}, fmt.Errorf("%w: site %q was revoked after the backup that this center was restored from: enroll it under another id", ErrEnroll, site)
	}
	key, err := nkeys.CreateUser()
	if err != nil {
		return link.Membership{}, err
	}
	m, err := i.membership(i.crowd, key, site, url, link.TicketRights(site, public(key)), time.Now().Add(ticketLife))
	if err != nil {
		return m, err
	}
	m.Ticket = true
	return m, i.record(entry{Kind: "ticket", Site: site, Ticket: public(key)})
}

// Enroll makes the holder of a ticket a site of the fleet, by the public key that
// the site has made, and returns its JWT. The same key may come again, as when
// the answer was lost; another one is refused.
func (i *Identity) Enroll(site, ticket, key string) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !nkeys.IsValidPublicUserKey(key) {
		return "", fmt.Errorf("%w: the key of the site is not valid", ErrEnroll)
	}
	if i.tickets[ticket] != site {
		return "", fmt.Errorf("%w: the ticket is unknown: run fleet enroll again", ErrEnroll)
	}
	used := ""
	for other, m := range i.sites {
		if m.ticket == ticket {
			used = m.key
		}
		if other != site && m.key == key { // revoking one of the two would cut off both
			return "", fmt.Errorf("%w: the key is that of another site", ErrEnroll)
		}
	}
	switch used {
	case key:
	case "":
		if _, gone := i.revoked[key]; gone {
			return "", fmt.Errorf("%w: the key of the site was revoked", ErrEnroll)
		}
		if err := i.record(entry{Kind: "enrolled", Site: site, Key: key, Ticket: ticket}); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("%w: the ticket was used by another machine: was this one cloned? Run fleet enroll again, which replaces the other", ErrEnroll)
	}
	return i.user(i.crowd, key, site, link.SiteRights(site, key), time.Time{})
}

// Revoke removes a site from the fleet. Its tickets cannot be used any more, also
// those of a site that has not enrolled yet.
func (i *Identity) Revoke(site, reason, request string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if request != "" && i.asked[request] {
		return nil
	}
	_, enrolled := i.sites[site]
	if !enrolled && !slices.Contains(slices.Collect(maps.Values(i.tickets)), site) {
		return fmt.Errorf("%w: site %q is not enrolled and has no ticket", ErrEnroll, site)
	}
	return i.record(entry{Kind: "revoked", Site: site, Reason: reason, Asked: request})
}

// Sites returns the ids of the enrolled sites, sorted.
func (i *Identity) Sites() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Sorted(maps.Keys(i.sites))
}

// key returns the public key of an enrolled site, "" if it is not.
func (i *Identity) key(site string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.sites[site].key
}

// user returns the JWT of a user of an account.
func (i *Identity) user(account nkeys.KeyPair, key, name string, rights jwt.Permissions, expires time.Time) (string, error) {
	c := jwt.NewUserClaims(key)
	c.Name, c.Permissions = name, rights
	if !expires.IsZero() {
		c.Expires = expires.Unix()
	}
	return c.Encode(account)
}

func (i *Identity) membership(account, key nkeys.KeyPair, site, url string, rights jwt.Permissions, expires time.Time) (m link.Membership, err error) {
	seed, err := key.Seed()
	if err != nil {
		return m, err
	}
	token, err := i.user(account, public(key), site, rights, expires)
	return link.Membership{Site: site, Center: public(i.coordinator), Login: link.Login{URL: url, CA: i.ca, JWT: token, Seed: string(seed)}}, err
}

// Login returns the login of the center's own programs, which may do everything.
func (i *Identity) Login(url string) (link.Login, error) {
	m, err := i.membership(i.account, i.coordinator, "center", url, jwt.Permissions{}, time.Time{})
	return m.Login, err
}

// accounts returns the claims of the accounts: the system's, the center's, and
// that of the sites with the keys that were revoked.
func (i *Identity) accounts() (system, fleet, sites *jwt.AccountClaims) {
	i.mu.Lock()
	defer i.mu.Unlock()
	system = jwt.NewAccountClaims(public(i.system))
	fleet = jwt.NewAccountClaims(public(i.account))
	fleet.Name = "fleet"
	fleet.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	fleet.AddMapping(link.AllGrants, jwt.WeightedMapping{Subject: link.StoredGrant})
	fleet.Exports.Add(&jwt.Export{Name: "requests", Subject: link.Up, Type: jwt.Service}, &jwt.Export{Name: "wake-ups", Subject: link.Down, Type: jwt.Stream})
	sites = jwt.NewAccountClaims(public(i.crowd))
	sites.Name = "sites"
	sites.Imports.Add(&jwt.Import{Name: "requests", Account: fleet.Subject, Subject: link.Up, Type: jwt.Service},
		&jwt.Import{Name: "wake-ups", Account: fleet.Subject, Subject: link.Down, Type: jwt.Stream})
	for key, at := range i.revoked {
		sites.RevokeAt(key, at.Add(time.Second)) // JWTs have seconds
	}
	return system, fleet, sites
}

// Host returns the first name of the center's certificate.
func (i *Identity) Host() string {
	c := i.cert.Leaf
	if len(c.IPAddresses) > 0 {
		return c.IPAddresses[0].String()
	}
	return c.DNSNames[0]
}
