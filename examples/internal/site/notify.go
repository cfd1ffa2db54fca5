package site

import (
	"crypto/tls"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/fetch/ftp"
)

// A notifyConfig says how people are notified of outcomes and releases.
type notifyConfig struct {
	Command     []string   `toml:"command"`     // gets each message on its standard input
	Environment []string   `toml:"environment"` // names of variables of this process that the command gets
	Kinds       []string   `toml:"kinds"`       // of which people are notified; empty means all of notifyKinds
	Mail        mailConfig `toml:"mail"`
}

// An announceConfig says how users are notified that they will be kept out.
type announceConfig struct {
	Command     []string        `toml:"command"`     // gets the announcement on its standard input
	Environment []string        `toml:"environment"` // names of variables of this process that the command gets
	Before      strict.Duration `toml:"before"`      // how long ahead; waited for before users are kept out
}

func (a *announceConfig) check() (m mistakes) {
	m.when(len(a.Command) == 0 && (a.Before != 0 || len(a.Environment) > 0), "announce.command is missing: give the program that notifies the users")
	m.when(len(a.Command) > 0 && a.Command[0] == "", "announce.command has no program")
	m.when(time.Duration(a.Before) > longestBefore, "announce.before = %v: an update waits for that long, give at most %v", time.Duration(a.Before), longestBefore)
	return m
}

// longestBefore is how long an update waits at most.
const longestBefore = 24 * time.Hour

// A mailConfig is a mail server, and who gets mail. The password is read when a mail is
// sent: a file that cannot be read must not keep an update from being finished.
type mailConfig struct {
	Server       string   `toml:"server"` // host or host:port
	TLS          string   `toml:"tls"`    // "starttls" or empty, "implicit" or "none"
	User         string   `toml:"user"`
	PasswordFile string   `toml:"password_file"`
	PasswordEnv  string   `toml:"password_env"`
	From         string   `toml:"from"`
	To           []string `toml:"to"`

	// At most one; without them the system's roots are trusted.
	TLSCA          string `toml:"tls_ca"`
	TLSCertificate string `toml:"tls_certificate"`
	trust          *tls.Config
}

// notifyKinds are the kinds of messages: how updates end, proofs of backups, releases.
var notifyKinds = []string{
	"committed", "rolled-back", "needs-operator", "awaiting-reboot", "abandoned", "interrupted",
	"proof-failed", "released", "re-released", "vanished", "late",
}

// On reports whether people are notified of anything.
func (n *notifyConfig) On() bool { return len(n.Command) > 0 || n.Mail.Server != "" }

// Wants reports whether people are notified of a kind.
func (n *notifyConfig) Wants(kind string) bool {
	return n.On() && (len(n.Kinds) == 0 || slices.Contains(n.Kinds, kind))
}

// Trust returns which certificates are trusted, nil for the system's roots.
func (c *mailConfig) Trust() *tls.Config { return c.trust }

// Password reads the password of the user.
func (c *mailConfig) Password() (string, error) {
	var s secret
	err := s.read("notify.mail.password", c.PasswordEnv, c.PasswordFile)
	return s.value(), err
}

func (n *notifyConfig) check() (m mistakes) {
	for _, kind := range n.Kinds {
		m.when(!slices.Contains(notifyKinds, kind), "notify.kinds has %q: allowed are %s", kind, strings.Join(notifyKinds, ", "))
	}
	m.when(len(n.Command) > 0 && n.Command[0] == "", "notify.command has no program")
	return append(m, n.Mail.check()...)
}

func (c *mailConfig) check() (m mistakes) {
	if c.Server == "" {
		m.when(c.TLS != "" || c.User != "" || c.From != "" || len(c.To) > 0, "notify.mail.server is missing: give a host or host:port")
		return m
	}
	// The address is not shown: it may hold a password.
	m.when(strings.ContainsAny(c.Server, "/@ "), "notify.mail.server must be a host or host:port alone, such as smtp.example.org:587; the rest belongs into notify.mail.user and notify.mail.password_file")
	m.when(!slices.Contains([]string{"", "starttls", "implicit", "none"}, c.TLS), "notify.mail.tls = %q: allowed are starttls, implicit, none", c.TLS)
	m.when(c.TLS == "none" && c.User != "", "notify.mail.tls = \"none\" would send the password of notify.mail.user unencrypted: use starttls or implicit, or leave out the user")
	m.when(c.User == "" && c.PasswordFile+c.PasswordEnv != "", "notify.mail.user is missing: the password is that of a user")
	m.when(c.User != "" && c.PasswordFile+c.PasswordEnv == "", "notify.mail.password_file is missing: give a file with the password of notify.mail.user")
	m.when(c.PasswordFile != "" && c.PasswordEnv != "", "notify.mail.password_env and notify.mail.password_file exclude each other")
	m.when(len(c.To) == 0, "notify.mail.to is missing: give the addresses to send mail to")
	addresses := []struct{ key, value string }{{"from", c.From}}
	for _, to := range c.To {
		addresses = append(addresses, struct{ key, value string }{"to", to})
	}
	for _, a := range addresses {
		_, err := mail.ParseAddress(a.value)
		m.when(err != nil, "notify.mail.%s has %q: give an address such as admin@example.org", a.key, a.value)
	}
	m.when(c.TLSCA != "" && c.TLSCertificate != "", "notify.mail: tls_ca and tls_certificate exclude each other")
	m.when(c.TLS == "none" && c.TLSCA+c.TLSCertificate != "", "notify.mail: tls_ca and tls_certificate need tls = \"starttls\" or \"implicit\"")
	m.add(readable("notify.mail.tls_ca", c.TLSCA))
	m.add(c.trusted())
	return m
}

// trusted reads which certificates are trusted.
func (c *mailConfig) trusted() (err error) {
	switch {
	case c.TLSCA != "":
		c.trust, err = ftp.TrustCA(c.TLSCA)
	case c.TLSCertificate != "":
		c.trust, err = ftp.TrustCertificate(c.TLSCertificate)
	}
	if err != nil {
		return fmt.Errorf("notify.mail: %w", err)
	}
	return nil
}
