package notify

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/notify/notifytest"
)

// TestMain runs the operator's command, which is this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "command" {
		os.Exit(command(os.Args[2]))
	}
	os.Exit(m.Run())
}

// command appends its input and its variables to a file; "hang" never ends.
func command(what string) int {
	if what == "hang" {
		time.Sleep(time.Hour)
	}
	text, _ := io.ReadAll(os.Stdin)
	f, err := os.OpenFile(what, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "ASPUPDATE_") && !strings.HasPrefix(v, "ASPUPDATE_RUN=") { // which marks every child
			fmt.Fprintln(f, v)
		}
	}
	fmt.Fprintf(f, "%s", text)
	return 0
}

func newCommand(t *testing.T, what string) *Command {
	self, err := os.Executable()
	require.NoError(t, err)
	return &Command{Argv: []string{self, "command", what}, State: filepath.Join(t.TempDir(), "commands")}
}

// known is a server that asks for the password of newMail.
var known = notifytest.Behavior{Password: "correct horse"}

func newMail(s *notifytest.Server) *Mail {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.CA))
	return &Mail{
		Server: s.Addr, Trust: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, From: "asp@example.org", To: []string{"admin@example.org", "Другой <other@example.org>"},
		User: "site", Password: func() (string, error) { return "correct horse", nil },
	}
}

var hostile = Message{
	ID: "u1/committed\r\nBcc: evil@example.org", Kind: "committed", Time: time.Date(2026, 11, 30, 7, 0, 0, 0, time.UTC),
	Subject: "обновление АСП\r\nBcc: evil@example.org\r\n\r\nbody \x1b[2J\u202e", Text: "line\x1b]0;x\a\r\n.\r\nQUIT\r\n\u202elast\n",
	Fields: map[string]string{"ASPUPDATE_DISTRIBUTION": "АСП\nASPUPDATE_KIND=evil\x1b[2J"},
}

// A mail has the headers that it should, and no others, whatever names servers have. The
// command gets the same.
func TestDelivery(t *testing.T) {
	for name, set := range map[string]func(*notifytest.Behavior, *Mail){
		"starttls":    func(*notifytest.Behavior, *Mail) {},
		"implicit":    func(b *notifytest.Behavior, m *Mail) { b.Implicit, m.TLS = true, Implicit },
		"unencrypted": func(b *notifytest.Behavior, m *Mail) { b.NoTLS, m.TLS, m.User = true, Plain, "" },
	} {
		t.Run(name, func(t *testing.T) {
			s, behave := notifytest.New(t, known), known
			out := filepath.Join(t.TempDir(), "out")
			o := &Outbox{Dir: filepath.Join(t.TempDir(), "notify"), Mail: newMail(s), Command: newCommand(t, out)}
			set(&behave, o.Mail)
			s.Behave(behave)
			require.NoError(t, o.Check(t.Context()))
			require.NoError(t, o.Put(hostile))
			require.NoError(t, o.Put(hostile), "the same again")
			require.NoError(t, o.Locked(t.Context(), func() error { return o.Deliver(t.Context()) }))
			waiting, err := o.Waiting()
			require.NoError(t, err)
			require.Empty(t, waiting)

			mails, raw := s.Mails()
			require.Len(t, mails, 1)
			m := mails[0]
			require.NotContains(t, m.Header, "Bcc")
			require.Equal(t, "auto-generated", m.Header.Get("Auto-Submitted"))
			require.Equal(t, "u1/committed Bcc: evil@example.org", m.Header.Get("X-Aspupdate-ID"))
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			require.NoError(t, err)
			require.Equal(t, "обновление АСП Bcc: evil@example.org body [2J", strings.Join(strings.Fields(subject), " "))
			to, err := m.Header.AddressList("To")
			require.NoError(t, err)
			require.Equal(t, &mail.Address{Name: "Другой", Address: "other@example.org"}, to[1])
			require.NotContains(t, raw[0], "\x1b")
			require.Contains(t, raw[0], "last", "a dot is no end")

			got, err := os.ReadFile(out)
			require.NoError(t, err)
			require.Equal(t, "ASPUPDATE_DISTRIBUTION=АСП ASPUPDATE_KIND=evil[2J\nASPUPDATE_ID=u1/committed Bcc: evil@example.org\nASPUPDATE_KIND=committed\n"+
				"ASPUPDATE_SUBJECT=обновление АСП Bcc: evil@example.org  body [2J\nASPUPDATE_TIME=2026-11-30T07:00:00Z\nline]0;x\n.\nQUIT\nlast\n", string(got))
		})
	}
}

// What cannot be sent waits, is not sent twice by a way that took it, and says later that
// it is late. No error has the password.
func TestWaits(t *testing.T) {
	s := notifytest.New(t, notifytest.Behavior{Password: "another"})
	out := filepath.Join(t.TempDir(), "out")
	o := &Outbox{Dir: filepath.Join(t.TempDir(), "notify"), Mail: newMail(s), Command: newCommand(t, out)}
	require.NoError(t, o.Put(hostile))
	fails := func(want string) {
		t.Helper()
		err := o.Deliver(t.Context())
		require.ErrorContains(t, err, want)
		waiting, werr := o.Waiting()
		require.NoError(t, werr)
		require.Len(t, waiting, 1)
		require.Contains(t, waiting[0].Failed, want)
		for _, secret := range []string{"correct horse", "AHNpdGUAY29ycmVjdCBob3JzZQ=="} {
			require.NotContains(t, err.Error()+waiting[0].Failed, secret)
		}
	}
	fails("this is wrong: (secret)")
	refuses := notifytest.Behavior{Password: "correct horse", Refuse: "550 no such user"}
	s.Behave(refuses)
	fails("no such user")
	s.Behave(notifytest.Behavior{Password: "correct horse", NoTLS: true})
	fails("STARTTLS")
	s.Behave(refuses)
	o.Mail.Trust = nil
	fails("certificate")
	o.Mail = newMail(s)
	o.Mail.Password = func() (string, error) { return "", errors.New("the file is not there") }
	fails("the file is not there")
	o.Mail = newMail(s)
	s.Stop()
	fails("refused")
	s.Behave(known)
	s.Restart()
	require.NoError(t, o.Deliver(t.Context()))
	mails, raw := s.Mails()
	require.Len(t, mails, 1)
	require.Contains(t, strings.ReplaceAll(raw[0], "=\r\n", ""), "this notification is late: earlier attempts failed, 6 so far, the last one with: mail: ")
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(got), "ASPUPDATE_KIND=committed"), "the command took it at once: %s", got)
}

// A server or a command that hangs is not waited for.
func TestHangs(t *testing.T) {
	s := notifytest.New(t, notifytest.Behavior{Silent: true})
	o := &Outbox{Dir: filepath.Join(t.TempDir(), "notify"), Mail: newMail(s), Command: newCommand(t, "hang"), Limit: 200 * time.Millisecond}
	require.NoError(t, o.Put(hostile))
	begun := time.Now()
	err := o.Deliver(t.Context())
	require.ErrorContains(t, err, "no answer within 200ms")
	require.Less(t, time.Since(begun), Limit, "a slow machine has its time")
	waiting, err := o.Waiting()
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	require.Empty(t, waiting[0].Done)
	for _, r := range o.Test(t.Context(), hostile) {
		require.Error(t, r.Err, r.Way)
	}
}

// The oldest give way where too many wait, and a file that cannot be read keeps no other from
// being sent.
func TestMany(t *testing.T) {
	o := &Outbox{Dir: filepath.Join(t.TempDir(), "notify")}
	for i := range most + 3 {
		m := hostile
		m.ID, m.Time = fmt.Sprint(i), hostile.Time.Add(time.Duration(i)*time.Minute)
		require.NoError(t, o.Put(m))
	}
	list, err := o.Waiting()
	require.NoError(t, err)
	require.Len(t, list, most)
	require.Equal(t, "3", list[0].ID)
	require.NoError(t, os.WriteFile(filepath.Join(o.Dir, "waiting", "bad.json"), []byte("{"), 0o600))
	list, err = o.Waiting()
	require.ErrorContains(t, err, "bad.json")
	require.Len(t, list, most)
}
