package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goodConfig returns the smallest valid configuration, with its directories in
// dir.
func goodConfig(dir string) string {
	text, err := os.ReadFile("../internal/site/testdata/smallest.toml")
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer("DIR", filepath.ToSlash(dir), "\r\n", "\n").Replace(string(text))
}

// TestInvalidConfig changes the good configuration in one place each. The error
// names the place and what is allowed there.
func TestInvalidConfig(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		want     []string
	}{
		"unknown key at top level":      {"state =", "stat =", []string{":1:1:", `unknown key "stat"`, "allowed at the top", "state"}},
		"unknown key in a table":        {"address =", "addr =", []string{":6:1:", `unknown key "server.addr"`, "address", "password_env"}},
		"unknown key in a list":         {"name = 'АСП'", "nam = 'АСП'", []string{":15:1:", "distribution.nam", "unauthenticated"}},
		"unknown key inside probe":      {"http =", "htp =", []string{":19:1:", "distribution.probe.htp", "command", "interval"}},
		"wrong type":                    {"any_time = 'a test'", "any_time = 5", []string{":9:", "window.any_time must be a string in quotes"}},
		"not a duration":                {"any_time = 'a test'", "backup = 'an hour'", []string{":9:", `a duration such as "90s"`}},
		"not TOML":                      {"[server]", "[server", []string{":5:"}},
		"password in the file":          {"address =", "password = 'x'\naddress =", []string{"unknown key", "password_env"}},
		"missing":                       {"archive = 'DIR/archive'\n", "", []string{"archive is missing"}},
		"relative":                      {"'DIR/backups'", "'backups'", []string{"absolute"}},
		"no fence":                      {"no_fence = 'a test'", "", []string{"nothing keeps users out", "no_fence"}},
		"R9 no data":                    {"no_data = 'a test'", "", []string{"nothing is backed up (R9)", "no_data"}},
		"R9 data and no data":           {"[[distribution]]", "[[directory]]\npath = 'DIR/app'\n[[distribution]]", []string{"no_data excludes"}},
		"no restore":                    {"no_data = 'a test'", "[[command]]\nlive = 'DIR/a'\nbackup = ['x']", []string{"a [[command]]: no command to restore"}},
		"list without rename and drop":  {"no_data = 'a test'", "[[command]]\nlive = 'a'\nbackup = ['x']\nrestore = ['x']\nlist = ['x']", []string{"only some of List, Rename and Drop are set"}},
		"command on a relative path":    {"no_data = 'a test'", "[[command]]\nlive = 'a'\nbackup = ['x']\nrestore = ['x']", []string{"is not an absolute path"}},
		"close without open":            {"no_fence = 'a test'", "close = ['x']", []string{"or neither"}},
		"R13 without times":             {"any_time = 'a test'", "", []string{"backup, checks and rollback"}},
		"publisher without a name":      {"unauthenticated = 'a test'", "[distribution.publisher]\nroots = 'DIR/roots.pem'", []string{"distribution АСП: publisher", "set Publisher and Issuer, or Thumbprint"}},
		"publisher and unauthenticated": {"[distribution.probe]", "[distribution.publisher]\nname = 'Vendor'\n[distribution.probe]", []string{"publisher and unauthenticated exclude each other"}},
		"publisher's short hash":        {"[distribution.probe]", "[distribution.publisher]\nthumbprint = '12'\n[distribution.probe]", []string{"64 hexadecimal"}},
		"publisher without roots":       {"[distribution.probe]", "[distribution.publisher]\nname = 'Vendor'\nroots = 'DIR/none.pem'\n[distribution.probe]", []string{"publisher: ", "roots", "none.pem"}},
		"unknown zone":                  {"any_time = 'a test'", "any_time = 'a test'\nlocal = 'Europe/Samara'", []string{"MSK-1 to MSK+9"}},
		"unknown kind of message":       {"[window]", "[notify]\nkinds = ['success']\n[window]", []string{`notify.kinds has "success"`, "needs-operator"}},
		"no address of a person":        {"[window]", "[notify.mail]\nserver = 'smtp.example.org'\nfrom = 'a@example.org'\nto = ['admin']\n[window]", []string{`notify.mail.to has "admin"`}},
		"injected header":               {"[window]", "[notify.mail]\nserver = 'smtp.example.org'\nfrom = \"a@example.org\\r\\nBcc: evil@example.org\"\nto = ['b@example.org']\n[window]", []string{"notify.mail.from: ", "is a control character"}},
		"mail without a server":         {"[window]", "[notify.mail]\nto = ['b@example.org']\n[window]", []string{"notify.mail.server is missing"}},
		"mail password unencrypted":     {"[window]", "[notify.mail]\nserver = 'smtp.example.org'\ntls = 'none'\nuser = 'a'\npassword_env = 'X'\nfrom = 'a@example.org'\nto = ['b@example.org']\n[window]", []string{"unencrypted"}},
		"user without a password":       {"[window]", "[notify.mail]\nserver = 'smtp.example.org'\nuser = 'a'\nfrom = 'a@example.org'\nto = ['b@example.org']\n[window]", []string{"notify.mail.password_file is missing"}},
		"password in a mail address":    {"[window]", "[notify.mail]\nserver = 'smtp://a:secret@smtp.example.org'\nfrom = 'a@example.org'\nto = ['b@example.org']\n[window]", []string{"notify.mail.server must be a host or host:port alone"}},
		"unknown weekday":               {"[window]", "[calendar]\nweekday = 'friday'\n[window]", []string{"wednesday, monday"}},
		"missing decrees":               {"[window]", "[calendar]\ndecrees = 'DIR/none.json'\n[window]", []string{"calendar.decrees", "none.json"}},
		"address is a URL":              {"127.0.0.1:1'", "ftp://site:secret@127.0.0.1/asp'", []string{"server.address must be a host or host:port alone", "server.root"}},
		"address with a path":           {"127.0.0.1:1'", "127.0.0.1/asp'", []string{"server.address must be a host or host:port alone"}},
		"two mistakes":                  {"archive = 'DIR/archive'\nbackups = 'DIR/backups'", "backups = 'backups'", []string{"archive is missing", "absolute"}},
		"unknown TLS mode":              {"address =", "tls = 'yes'\naddress =", []string{"none, explicit, implicit"}},
		"two trust settings":            {"address =", "tls = 'explicit'\ntls_ca = 'x'\ntls_insecure = 'x'\naddress =", []string{"exclude each other"}},
		"trust without TLS":             {"address =", "tls_certificate = 'x'\naddress =", []string{`need tls = "explicit" or "implicit"`}},
		"missing CA file":               {"address =", "tls = 'implicit'\ntls_ca = 'DIR/ca.pem'\naddress =", []string{"server.tls_ca", "ca.pem"}},
		"invalid fingerprint":           {"address =", "tls = 'explicit'\ntls_certificate = 'AB:CD'\naddress =", []string{"server.tls_certificate", "64 hexadecimal digits"}},
		"no reason":                     {"address =", "tls = 'explicit'\ntls_insecure = ' '\naddress =", []string{"server.tls_insecure", "a reason is required"}},
		"hashes and unauthenticated":    {"unauthenticated =", "sha256_file = 'x'\nunauthenticated =", []string{"exclude each other"}},
		"unset variable":                {"address =", "password_env = 'ASPUPDATE_NOT_SET'\naddress =", []string{"ASPUPDATE_NOT_SET"}},
		"unknown kind":                  {"name = 'АСП'", "name = 'АСП'\nkind = 'wise'", []string{`kind = "wise"`, "auto, burn, deb"}},
		"two probes":                    {"http =", "command = ['x']\nfile = 'x'\nhttp =", []string{"distribution АСП: probe: give one source of the version"}},
		"no probe":                      {"http = 'http://127.0.0.1:1/'", "tcp = '127.0.0.1:1'", []string{"give one source of the version"}},
		"text without http":             {"http = 'http://127.0.0.1:1/'", "file = 'x'\ntext = 'x'", []string{"status and text need http"}},
		"invalid text":                  {"http =", "text = '('\nhttp =", []string{"text: error parsing regexp"}},
		"invalid text that must not be": {"http =", "not_text = '('\nhttp =", []string{"not_text: error parsing regexp"}},
		"no text that must not be":      {"http =", "not_text = 'x*'\nhttp =", []string{`not_text = "x*" matches every answer`}},
		"body without http":             {"http = 'http://127.0.0.1:1/'", "file = 'x'\nbody = 'x'", []string{"not_text, body and headers need http"}},
		"header with a space":           {"http =", "headers = { 'SOAP Action' = 'x' }\nhttp =", []string{`headers: "SOAP Action" cannot be sent`}},
		"sql without in":                {"http =", "sql = 'SELECT 1'\nhttp =", []string{"give both sql and in"}},
		"sql in an unknown database":    {"http =", "sql = 'SELECT 1'\nin = 'asp'\nhttp =", []string{`in = "asp": no [[postgres]]`}},
		"system without a version":      {"[[distribution]]", "[first_of_year]\nsystem = 'debian'\n[[distribution]]", []string{"first_of_year.system", "debian 12"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "aspupdate.toml")
			good := strings.ReplaceAll(goodConfig(dir), filepath.ToSlash(dir), "DIR")
			bad := strings.Replace(good, c.old, c.new, 1)
			require.NotEqual(t, good, bad)
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(bad, "DIR", filepath.ToSlash(dir))), 0o600))
			code, out, errs := aspupdate(t, nil, "update", "--config", path)
			require.Equal(t, exitUsage, code, errs)
			require.Empty(t, out)
			require.NotContains(t, errs, "secret")
			for _, want := range c.want {
				require.Contains(t, errs, want)
			}
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, left, 1, "nothing was changed")
		})
	}
	code, _, errs := aspupdate(t, nil, "update", "--config", "no-such-file.toml")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "file no-such-file.toml not found")
}
