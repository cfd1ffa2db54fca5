package site

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/install/service"
	"github.com/aspupdate/aspupdate/rollback"
)

// goodConfig is the smallest configuration that is accepted, with its
// directories in dir.
func goodConfig(dir string) string {
	text, err := os.ReadFile("testdata/smallest.toml")
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer("DIR", filepath.ToSlash(dir), "\r\n", "\n").Replace(string(text))
}

// oneStep returns the steps of an update of one distribution. An empty version
// means that nothing is installed.
func oneStep(name, from, to string) []step {
	steps, err := journaledSteps([]rollback.PlanPart{{Name: name, From: rollback.Release{Version: rollback.Version(from)}, To: rollback.Release{Version: rollback.Version(to)}}})
	if err != nil {
		panic(err)
	}
	return steps
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(goodConfig(dir)), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, "АСП", c.Distributions[0].Name)
}

// The first version called directories folders. Its configurations are read, and
// their data has the same name in the journal.
func TestFolderIsADirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	text := strings.Replace(goodConfig(dir), "no_data", "# no_data", 1) + "\n[[folder]]\npath = '" + filepath.Join(dir, "app") + "'\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, []pathConfig{{Path: filepath.Join(dir, "app")}}, c.Directories)
	u := &rollback.Update{}
	(&Site{Config: c}).protect(u)
	require.Equal(t, "folder "+filepath.Join(dir, "app"), u.Data[0].Name)
}

func TestConfiguredTrust(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	for keys, pinned := range map[string]bool{
		"":                   false,
		"tls = 'explicit'\n": false,
		"tls = 'explicit'\ntls_certificate = '" + strings.Repeat("aB:", 31) + "01'\n": true,
		"tls = 'implicit'\ntls_insecure = 'a laboratory'\n":                           true,
	} {
		text := strings.Replace(goodConfig(dir), "address =", keys+"address =", 1)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		c, err := Load(path)
		require.NoError(t, err, keys)
		src := (&Site{Config: c}).ftpServer()
		require.Equal(t, pinned, src.TLSConfig != nil, keys)
		if pinned {
			require.NotNil(t, src.TLSConfig.VerifyConnection)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Setenv("ASPUPDATE_TEST_PASSWORD", "correct horse")
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	text := strings.Replace(goodConfig(dir), "address =", "password_env = 'ASPUPDATE_TEST_PASSWORD'\naddress =", 1)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, "correct horse", c.Server.value())
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(format, c), "correct horse", format)
		require.NotContains(t, fmt.Sprintf(format, *c), "correct horse", format)
	}

	t.Setenv("ASPUPDATE_TEST_URI", "postgres://boss:correct%20horse@localhost/asp")
	c.NoData, c.Postgres = "", []postgresConfig{{Name: "asp", URIEnv: "ASPUPDATE_TEST_URI"}}
	d := &c.Distributions[0]
	d.Probe = probeConfig{SQL: "SELECT 1", InDB: "asp"}
	require.Empty(t, c.checkData())
	require.Empty(t, d.check(c))
	require.Contains(t, d.Probe.sources[0].value(), "horse")
	site := &Site{Config: c}
	u, err := site.update(oneStep(d.Name, "9.23.100", "9.23.101"))
	require.NoError(t, err)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, what := range []any{u, *u, u.Parts[0], u.Data, site, *site, site.Source()} {
			require.NotContains(t, fmt.Sprintf(format, what), "horse", "%s of a %T", format, what)
		}
	}
}

// Services alone can be the fence, and the application behind it.
func TestServicesAsFenceAndApplication(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	text := strings.Replace(goodConfig(dir), "no_fence = 'a test'", "fence_services = ['entry', 'pages']\nservices = ['asp']", 1)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	u, err := (&Site{Config: c}).update(oneStep("АСП", "9.23.100", "9.23.101"))
	require.NoError(t, err)
	kept := filepath.Join(c.State, "services")
	require.Equal(t, service.Group{{Name: "entry", Dir: kept}, {Name: "pages", Dir: kept}}, reflect.ValueOf(u.Fence).Index(0).Interface().(named).Fence)
	require.Equal(t, service.Group{{Name: "asp", Dir: kept}}, reflect.ValueOf(u.App).Index(0).Interface().(running).Group)
}

// Load reports every mistake at once.
func TestLoadReportsEveryMistake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(`state = 'state'
backups = '`+filepath.ToSlash(t.TempDir())+`'
[server]
tls = 'yes'
tls_ca = 'x'
tls_insecure = 'x'
password_env = 'ASPUPDATE_NOT_SET'
[application]
close = ['x']
[calendar]
weekday = 'friday'
[[postgres]]
uri_file = '/no/such/file'
[[distribution]]
name = 'АСП'
kind = 'wise'
probe = { sql = 'SELECT 1' }
[[distribution]]
`), 0o600))
	_, err := Load(path)
	require.ErrorIs(t, err, ErrConfig)
	lines := strings.Split(strings.TrimPrefix(err.Error(), "configuration: "+path+": "), "\n")
	for i, want := range []string{
		"server.address is missing",
		`server.tls = "yes"`,
		"exclude each other",
		"variable ASPUPDATE_NOT_SET is not set",
		`state = "state": give an absolute path`,
		"archive is missing",
		"a [[postgres]] has no name",
		"postgres.uri_file",
		"give both application.close and application.open",
		"window needs backup",
		"calendar.weekday",
		"distribution АСП: probe: give both sql and in",
		`distribution АСП: kind = "wise"`,
		"a [[distribution]] has no name",
	} {
		require.Contains(t, lines[i], want)
	}
	require.Len(t, lines, 14, "nothing that only follows from another: %s", err)
}
