package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/aspupdate/aspupdate/internal/safetext"
)

// TLS says how a connection to a mail server is encrypted.
const (
	STARTTLS = "starttls" // required: a server without it gets nothing
	Implicit = "implicit" // from the first byte
	Plain    = "none"
)

// Mail sends messages through an SMTP server.
type Mail struct {
	Server   string // host or host:port
	TLS      string // "" is STARTTLS
	Trust    *tls.Config
	User     string                 // "" for a server that asks for none
	Password func() (string, error) // of the user
	From     string
	To       []string
}

func (m *Mail) name() string { return "mail" }

// HostPort returns the server's host, and its port or the usual one.
func (m *Mail) HostPort() (host string, port int, err error) {
	host, text, err := net.SplitHostPort(m.Server)
	if err != nil {
		usual := map[string]int{"": 587, STARTTLS: 587, Implicit: 465, Plain: 25}
		return m.Server, usual[m.TLS], nil //nolint:nilerr // there is no port
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("invalid port %q", text)
	}
	return host, port, nil
}

func (m *Mail) send(ctx context.Context, messages []*Message, done func(*Message, error)) error {
	password := ""
	if m.User != "" {
		var err error
		if password, err = m.Password(); err != nil {
			return err
		}
	}
	client, err := m.client(ctx, password)
	if err != nil {
		return err
	}
	if err := client.DialWithContext(ctx); err != nil {
		return m.explained(err, password)
	}
	defer func() { _ = client.Close() }()
	for _, one := range messages {
		letter, err := m.letter(*one)
		if err == nil {
			err = m.explained(client.Send(letter), password)
		}
		done(one, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil
}

func (m *Mail) client(ctx context.Context, password string) (*mail.Client, error) {
	host, port, err := m.HostPort()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if m.Trust != nil {
		config = m.Trust.Clone()
	}
	config.ServerName = host
	options := []mail.Option{mail.WithPort(port), mail.WithTLSConfig(config), mail.WithoutNoop(), mail.WithHELO(helo())}
	switch m.TLS {
	case Implicit:
		options = append(options, mail.WithSSL())
	case Plain:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if end, ok := ctx.Deadline(); ok {
		options = append(options, mail.WithTimeout(max(time.Millisecond, time.Until(end))))
	}
	if m.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.User), mail.WithPassword(password))
	}
	return mail.NewClient(host, options...)
}

// helo returns the name of this machine, if a server can read it.
func helo() string {
	name, err := os.Hostname()
	if err != nil || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r > '~' || r <= ' ' }) {
		return "localhost"
	}
	return name
}

// letter returns a message as a mail.
func (m *Mail) letter(one Message) (*mail.Msg, error) {
	letter := mail.NewMsg()
	if err := letter.From(m.From); err != nil {
		return nil, err
	}
	if err := letter.To(m.To...); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(one.ID))
	domain := "localhost"
	if from := letter.GetFrom(); len(from) == 1 {
		domain = from[0].Address[strings.LastIndex(from[0].Address, "@")+1:]
	}
	letter.SetMessageIDWithValue(hex.EncodeToString(sum[:16]) + "@" + domain)
	letter.SetDate()
	letter.Subject(subject(one.Subject))
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // no answers of people who are away
	letter.SetGenHeader("X-Aspupdate-ID", subject(one.ID))
	letter.SetGenHeader("X-Aspupdate-Kind", subject(one.Kind))
	letter.SetBodyString(mail.TypeTextPlain, safetext.Clean(one.Text))
	return letter, nil
}

// explained returns an error of the server as one line without the password, which a server might
// repeat.
func (m *Mail) explained(err error, password string) error {
	if err == nil {
		return nil
	}
	text := safetext.Line(err.Error())
	if password != "" {
		for _, secret := range []string{base64.StdEncoding.EncodeToString([]byte("\x00" + m.User + "\x00" + password)), base64.StdEncoding.EncodeToString([]byte(password)), password} {
			text = strings.ReplaceAll(text, secret, "(secret)")
		}
	}
	return errors.New(subject(text))
}
