package main

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/notify/notifytest"
	"github.com/aspupdate/aspupdate/rollback"
)

// A notifiedSite is a configuration with a journal and a mail server.
type notifiedSite struct {
	t    *testing.T
	dir  string
	smtp *notifytest.Server
}

func newNotifiedSite(t *testing.T) *notifiedSite {
	s := &notifiedSite{t: t, dir: t.TempDir(), smtp: notifytest.New(t, notifytest.Behavior{Password: "correct horse"})}
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "password"), []byte("correct horse\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "ca.pem"), []byte(s.smtp.CA), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "state"), 0o700))
	s.configure("")
	return s
}

func (s *notifiedSite) configure(command string) {
	dir := filepath.ToSlash(s.dir)
	text := goodConfig(s.dir) + "\n[notify]\n" + command + "\n[notify.mail]\nserver = '" + s.smtp.Addr + "'\nuser = 'site'\npassword_file = '" + dir + "/password'\ntls_ca = '" + dir +
		"/ca.pem'\nfrom = 'asp@example.org'\nto = ['admin@example.org']\n"
	require.NoError(s.t, os.WriteFile(s.config(), []byte(text), 0o600))
}

func (s *notifiedSite) config() string { return filepath.Join(s.dir, "aspupdate.toml") }

// run runs a command, and returns its output, which has no secret.
func (s *notifiedSite) run(code int, env string, args ...string) string {
	s.t.Helper()
	got, out, errs := aspupdate(s.t, []string{"ASPUPDATE_CONFIG=" + s.config(), env}, args...)
	require.Equal(s.t, code, got, out+errs)
	require.NotContains(s.t, out+errs, "correct horse")
	return out + errs
}

// journal writes an update to the journal that ends, or waits, with a step.
func (s *notifiedSite) journal(update string, steps ...string) {
	s.t.Helper()
	plan := &rollback.Plan{Parts: []rollback.PlanPart{{Name: "АСП\x1b[2J\r\nBcc: evil@example.org", From: rollback.Release{Version: "7.12.100"}, To: rollback.Release{Version: "7.12.200"}}}}
	records := []record{{Update: update, Step: "intent", Phase: "done", Way: "forward", Plan: plan}}
	for _, step := range steps {
		records = append(records, record{Update: update, Step: step, Phase: "done", Way: "back"})
	}
	require.NoError(s.t, writeJournal(filepath.Join(s.dir, "state"), records...))
}

// mails returns the subjects and the texts of the mails that were received.
func (s *notifiedSite) mails() (list []string) {
	s.t.Helper()
	mails, _ := s.smtp.Mails()
	for _, m := range mails {
		require.NotContains(s.t, m.Header, "Bcc")
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		require.NoError(s.t, err)
		text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		require.NoError(s.t, err)
		require.Empty(s.t, steers(strings.ReplaceAll(string(text), "\r", "")))
		list = append(list, m.Header.Get("X-Aspupdate-ID")+"\n"+subject+"\n"+strings.ReplaceAll(string(text), "\r", ""))
	}
	return list
}

// TestNotificationsByMail follows outcomes that the journal has to a mail server that is up,
// down, silent or refuses. The result of the command is the same each time.
func TestNotificationsByMail(t *testing.T) {
	t.Parallel()
	s := newNotifiedSite(t)
	s.run(0, "", "recover")
	require.Empty(t, s.mails(), "what was before is not told")
	require.Contains(t, s.run(0, "LC_ALL=ru_RU.UTF-8", "notify", "test"), "отправлено: почта для admin@example.org")
	require.Len(t, s.mails(), 1)
	require.Contains(t, s.mails()[0], "пробное уведомление\nэто проверка уведомлений; ничего не случилось\n")
	_, doctor, _ := aspupdate(t, []string{"ASPUPDATE_CONFIG=" + s.config()}, "doctor")
	require.Contains(t, doctor, "ok       mail "+s.smtp.Addr+": accepts connection and user; no mail was sent")

	s.smtp.Stop()
	s.journal("u1", "rolled-back", "end")
	require.Contains(t, s.run(0, "", "status"), "notifications not sent yet: 1, ")
	out := s.run(0, "", "recover")
	require.Contains(t, out, "a notification could not be sent; the next run tries again: ")
	require.Regexp(t, `notifications not sent yet: 1, the oldest of .*; mail: .*refused`, s.run(0, "", "status"))
	require.Contains(t, s.run(0, "", "status", "--json"), `"waiting": 1`)
	_, doctor, _ = aspupdate(t, []string{"ASPUPDATE_CONFIG=" + s.config()}, "doctor")
	require.Contains(t, doctor, "warning  mail "+s.smtp.Addr+": ")
	s.smtp.Restart()
	require.NotContains(t, s.run(0, "", "recover"), "notification")
	require.Len(t, s.mails(), 2)
	require.Regexp(t, `^u1/rolled-back\naspupdate .*: update АСП\[2J.*7.12.100 to 7.12.200: rolled-back\n(?s).*this notification is late: earlier attempts failed, 1 so far`, s.mails()[1])
	require.NotContains(t, s.run(0, "", "status"), "notifications")
	s.run(0, "", "recover")
	require.Len(t, s.mails(), 2, "once")

	require.NoError(t, os.Remove(filepath.Join(s.dir, "password")))
	s.journal("u2", "needs-operator")
	require.Contains(t, s.run(6, "LC_ALL=ru", "recover"), "уведомление не удалось отправить")
	require.Contains(t, s.run(1, "", "notify", "test"), "NOT SENT: mail to admin@example.org: notify.mail.password_file: ")
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "password"), []byte("correct horse\n"), 0o600))
	s.run(6, "LC_ALL=ru", "recover")
	require.Len(t, s.mails(), 3)
	require.Regexp(t, `^u2/needs-operator/\d+\naspupdate .*: нужно решение человека\n`, s.mails()[2])
	require.Regexp(t, `(?m)^далее: .*aspupdate recover --retry ПРИЧИНА`, s.mails()[2])
	s.run(6, "", "recover")
	require.Len(t, s.mails(), 3, "once")
}

// TestNotificationsOfAKilledProcess kills the program after the outcome and before the message is
// through. The next run passes it on.
func TestNotificationsOfAKilledProcess(t *testing.T) {
	t.Parallel()
	s := newNotifiedSite(t)
	told, hold := filepath.Join(s.dir, "told"), filepath.Join(s.dir, "hold")
	s.configure("command = ['" + os.Args[0] + "', 'append-message', '" + told + "', '" + hold + "']")
	s.run(0, "", "recover")
	require.NoError(t, os.WriteFile(hold, nil, 0o600))
	s.smtp.Stop()
	s.journal("u1", "commit", "end")
	cmd := exec.Command(program, "recover")
	cmd.Env = append(os.Environ(), "ASPUPDATE_CONFIG="+s.config())
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { _, err := os.Stat(told); return err == nil }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.NoError(t, os.Remove(hold))
	s.smtp.Restart()
	s.run(0, "", "recover")
	require.Len(t, s.mails(), 1)
	require.Regexp(t, `^u1/committed\n`, s.mails()[0])
	text, err := os.ReadFile(told)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(text), "ID=u1/committed\n"), "at least once, with the same ID: %s", text)
}

// TestWatchNotifiesOfWhatWasNotTold: what a process did not live to tell is told by the watch.
func TestWatchNotifiesOfWhatWasNotTold(t *testing.T) {
	t.Parallel()
	s := newNotifiedSite(t)
	s.run(0, "", "recover")
	s.journal("u1", "commit", "end")
	cmd := exec.Command(program, "watch")
	cmd.Env = append(os.Environ(), "ASPUPDATE_CONFIG="+s.config())
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return len(s.mails()) == 1 }, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.Regexp(t, `^u1/committed\n`, s.mails()[0])
}
