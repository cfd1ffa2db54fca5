package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A scriptSite is a small installation: one distribution on a real vsftpd,
// installers that are shell scripts, and an application that is a directory.
type scriptSite struct {
	t              *testing.T
	ftp, site, own string
	server         realtest.Server
	env            []string // more of the environment

	last   string            // the output of the last command that failed; "" if the last one did not
	repair func(next string) // what a person does where a next: line says so; see followed
	values map[string]string

	noWayOut string // why the lines are not followed: nothing on this machine is wrong
}

// newScriptSite starts the server and writes the configuration. Application and
// distribution are more lines for these two tables; ${OWN} and ${SITE} in them
// are the site's directories.
func newScriptSite(t *testing.T, application, distribution string) *scriptSite {
	t.Helper()
	return newScriptSiteBy(t, realtest.Vsftpd, application, distribution)
}

// newScriptSiteBy is newScriptSite on a server of another make.
func newScriptSiteBy(t *testing.T, m realtest.Make, application, distribution string) *scriptSite {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the site's installers are shell scripts")
	}
	base := t.TempDir()
	s := &scriptSite{t: t, ftp: filepath.Join(base, "ftp"), site: filepath.Join(base, "site"), own: filepath.Join(base, "own")}
	for _, d := range []string{s.ftp, s.site, s.own} {
		require.NoError(t, os.Mkdir(d, 0o755))
	}
	s.server = realtest.FTP(t, m, s.ftp, realtest.Options{})
	t.Cleanup(s.leadOut)
	noData := "no_data = 'a test'"
	if strings.Contains(application, "[[") {
		noData = ""
	}
	if strings.Contains(application, "[[postgres]]") {
		noData = "unproven = 'a test of something else'"
	}
	require.NoError(t, os.WriteFile(s.config(), fmt.Appendf(nil, `
state = '%[1]s/state'
archive = '%[1]s/archive'
backups = '%[1]s/backups'
live = ['%[2]s']
%[7]s
[server]
address = '%[3]s'
settle = '1ms'
user = '%[4]s'
password_env = 'SITE_FTP_PASSWORD'
[window]
any_time = 'a test'
[deadlines]
probe = '1s'
[application]
%[5]s
[[distribution]]
name = 'АСП'
launcher = ['/bin/sh']
arguments = ['%[2]s', '%[1]s/backups']
unauthenticated = 'a test on loopback'
probe = { command = ['/bin/cat', '%[2]s/version'], installed = '%[2]s/version', interval = '50ms', steady = '50ms' }
%[6]s
`, s.own, s.site, s.server.Addr, s.server.User, s.expand(application), s.expand(distribution), noData), 0o600))
	return s
}

// leadOut follows the next: lines after a test that ends with a failure, until
// nothing is pending and users are in.
func (s *scriptSite) leadOut() {
	if s.t.Failed() || s.t.Skipped() || s.last == "" || s.noWayOut != "" {
		return
	}
	f := s.followed(func() error {
		if code, out := s.run("status"); code != exitDone {
			return fmt.Errorf("status exits with %d: %s", code, out)
		}
		return nil
	})
	f.repair, f.values = s.repair, s.values
	f.follow(s.t, s.last)
}

func (s *scriptSite) config() string { return filepath.Join(s.own, "aspupdate.toml") }

func (s *scriptSite) expand(text string) string {
	return os.Expand(text, func(name string) string { return map[string]string{"OWN": s.own, "SITE": s.site}[name] })
}

// run runs a command on the site and returns its output.
func (s *scriptSite) run(name string, args ...string) (code int, output string) {
	s.t.Helper()
	code, out, errs := aspupdate(s.t, append([]string{"SITE_FTP_PASSWORD=" + s.server.Password, "ASPUPDATE_CONFIG=" + s.config()}, s.env...), append([]string{name}, args...)...)
	require.NoError(s.t, typeable(out+errs))
	if s.last = ""; code != exitDone && code != exitNothing {
		s.last = out + errs
	}
	return code, out + errs
}

// publish puts one variant of a release on the server, with a modification time
// an hour ago.
func (s *scriptSite) publish(version, variant, script string) (path string) {
	s.t.Helper()
	path = filepath.Join(s.ftp, "АСП", version, variant+".sh")
	require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
	s.write(path, script)
	old := time.Now().Add(-time.Hour)
	require.NoError(s.t, os.Chtimes(path, old, old))
	return path
}

func (s *scriptSite) write(path, text string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(path, []byte(text), 0o644))
}

func (s *scriptSite) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.site, name))
	require.NoError(s.t, err)
	return string(b)
}

// output returns the output of a command, whatever its exit code.
func (s *scriptSite) output(name string) string {
	_, out := s.run(name)
	return out
}

// installed installs a version by hand, and archives its Setup.
func (s *scriptSite) installed(version string) {
	s.t.Helper()
	s.installedBy(version, "")
}

// installedBy is installed, by a Setup that does more.
func (s *scriptSite) installedBy(version, script string) {
	s.t.Helper()
	setup := s.publish(version, "Setup", "echo "+version+" > $1/version\n"+script)
	s.write(filepath.Join(s.site, "version"), version+"\n")
	code, out := s.run("archive", "import", "--distribution", "АСП", "--version", version, setup)
	require.Zero(s.t, code, out)
}
