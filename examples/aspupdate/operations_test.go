package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/examples/internal/notify/notifytest"
	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/examples/internal/units"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestOperationsUnits lets systemd read the units of OPERATIONS.md, with this
// program in the place of the installed one.
func TestOperationsUnits(t *testing.T) {
	t.Parallel()
	analyze := realtest.Program(t, "systemd-analyze")
	dir := t.TempDir()
	units := regexp.MustCompile("(?s)`/etc/systemd/system/([a-z.-]+)`[^`]*\n\n```ini\n(.*?)```").FindAllStringSubmatch(readDocument(t, operations), -1)
	require.Len(t, units, 6)
	require.Len(t, blocks(readDocument(t, operations), "ini"), len(units))
	args := []string{"verify", "--man=no", "--recursive-errors=no"}
	for _, u := range units {
		path := filepath.Join(dir, u[1])
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(u[2], "/usr/local/bin/aspupdate", program)), 0o600))
		args = append(args, path)
	}
	out, err := exec.Command(analyze, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
	// 10 is no protection, 0 is all that systemd has.
	out, err = exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", filepath.Join(dir, "aspupdate-watch.service")).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestOperationsUnitsAreThoseOfTheCommand compares the units of OPERATIONS.md with those that aspupdate service
// install writes for the paths in it.
func TestOperationsUnitsAreThoseOfTheCommand(t *testing.T) {
	t.Parallel()
	m := units.Machine{
		Program: "/usr/local/bin/aspupdate", Config: "/etc/aspupdate/aspupdate.toml", WatchConfig: "/etc/aspupdate/watch.toml", Account: "aspupdate",
		Credentials: []string{"asp.uri", "ftp-password"}, WatchCredentials: []string{"ftp-password"},
	}
	list, err := (&units.Systemd{}).Units(units.Jobs(units.Needs{Data: true, Copies: true, Watch: true}), m)
	require.NoError(t, err)
	text := readDocument(t, operations)
	written := map[string]string{}
	for _, u := range list {
		written[u.Name] = units.Body(u.Text)
	}
	documented := map[string]string{}
	for _, u := range regexp.MustCompile("(?s)`/etc/systemd/system/([a-z.-]+)`[^`]*\n\n```ini\n(.*?)```").FindAllStringSubmatch(text, -1) {
		documented[u[1]] = u[2]
	}
	prove := documented["aspupdate-prove.service"]
	for _, row := range regexp.MustCompile("(?m)^\\| `(aspupdate-[a-z-]+)` \\| `([^`]+)` \\| `([^`]+)` \\|$").FindAllStringSubmatch(text, -1) {
		description := regexp.MustCompile("Description=.*").FindString(written[row[1]+".service"])
		other := strings.Replace(prove, "aspupdate prove --since 160h", "aspupdate "+row[2], 1)
		documented[row[1]+".service"] = regexp.MustCompile("Description=.*").ReplaceAllLiteralString(other, description)
		timer := strings.Replace(documented["aspupdate-prove.timer"], "Sat 02:00", row[3], 1)
		if row[1] == "aspupdate-copies-run" {
			timer = strings.Replace(timer, "Persistent=yes\n", "", 1)
		}
		documented[row[1]+".timer"] = timer
	}
	require.Equal(t, written, documented)
	for _, u := range list { // what is not needed is not there
		none, err := (&units.Systemd{}).Units(units.Jobs(units.Needs{}), m)
		require.NoError(t, err)
		needed := regexp.MustCompile("watch|prove|backups|copies").FindString(u.Name) == ""
		require.Equal(t, needed, slices.ContainsFunc(none, func(n units.Unit) bool { return n.Name == u.Name }), u.Name)
	}
}

// TestOperationsWatchConfiguration loads the configuration of the account that
// only watches, with the credentials that systemd makes for it.
func TestOperationsWatchConfiguration(t *testing.T) {
	text := configuration(t, "this account only watches")
	dir := t.TempDir()
	config := filepath.Join(dir, "watch.toml")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ftp-password"), []byte("x"), 0o600))
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if runtime.GOOS == "windows" {
		text = strings.ReplaceAll(text, `"/var/`, `"C:/`)
	}
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	_, err := site.Load(config)
	require.NoError(t, err)
}

// configuration returns the configuration in OPERATIONS.md that has a text.
func configuration(t *testing.T, with string) string {
	t.Helper()
	texts := blocks(readDocument(t, operations), "toml")
	i := slices.IndexFunc(texts, func(s string) bool { return strings.Contains(s, with) })
	require.GreaterOrEqual(t, i, 0, with)
	return texts[i]
}

// TestOperationsProbes loads the probes that OPERATIONS.md shows.
func TestOperationsProbes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	t.Setenv("ASPUPDATE_TEST_URI", "host=localhost")
	for _, with := range []string{"not_text", "SOAPAction"} {
		good := goodConfig(dir)
		text := regexp.MustCompile(`(?s)\[distribution\.probe\]\n.*?\n(\n|$)`).ReplaceAllLiteralString(good, configuration(t, with))
		require.NotEqual(t, good, text)
		text = strings.Replace(text, "no_data", "# no_data", 1) + "\n[[postgres]]\ndatabases = 'asp_*'\nuri_env = 'ASPUPDATE_TEST_URI'\n"
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := site.Load(path)
		require.NoError(t, err)
	}
}

// TestOperationsOffline loads the fence that OPERATIONS.md makes of app_offline.htm; the Russian manual has the same.
func TestOperationsOffline(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	fence := configuration(t, "app_offline.htm")
	require.Contains(t, blocks(readDocument(t, operationsRU), "toml"), fence)
	good := goodConfig(dir)
	text := strings.Replace(good, "[application]\nno_fence = 'a test'\n", fence, 1)
	require.NotEqual(t, good, text)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := site.Load(path)
	require.NoError(t, err)
	require.Len(t, c.Application.FenceStatus, 4)
}

// TestOperationsNotify sends a test notification as OPERATIONS.md configures it: through a mail
// server, and by curl to a messenger.
func TestOperationsNotify(t *testing.T) {
	t.Parallel()
	realtest.Program(t, "curl")
	text := readDocument(t, operations)
	const password = "correct horse"
	smtp := notifytest.New(t, notifytest.Behavior{Password: password})
	got := make(chan url.Values, 1)
	messenger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got <- r.PostForm
	}))
	t.Cleanup(messenger.Close)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return filepath.ToSlash(path)
	}
	secret := blocks(text, "")
	i := slices.IndexFunc(secret, func(s string) bool { return strings.Contains(s, "api.telegram.org") })
	require.GreaterOrEqual(t, i, 0)
	config := strings.NewReplacer("smtp.example.org:587", smtp.Addr, `user = "asp@example.org"`, `user = "site"`+"\ntls_ca = \""+file("ca.pem", smtp.CA)+`"`,
		"/etc/aspupdate/smtp-password", file("smtp-password", password),
		"/etc/aspupdate/telegram", file("telegram", strings.Replace(secret[i], "https://api.telegram.org", messenger.URL, 1)),
	).Replace(configuration(t, "[notify.mail]"))
	code, out, errs := aspupdate(t, []string{"ASPUPDATE_CONFIG=" + file("aspupdate.toml", goodConfig(dir)+config)}, "notify", "test")
	require.Zero(t, code, out+errs)
	mails, _ := smtp.Mails()
	require.Len(t, mails, 1)
	form := <-got
	require.Equal(t, "CHAT", form.Get("chat_id"))
	require.Contains(t, form.Get("text"), "a test of notifications")
}

// TestOperationsRestoreByHand types the commands of OPERATIONS.md after an
// update: a database and a directory are brought back without this program,
// which then agrees.
func TestOperationsRestoreByHand(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bash", "jq", "zstd", "tar", "sha256sum"} {
		realtest.Program(t, name)
	}
	s := newRealSite(t)
	s.config = map[string]string{"[server]": "[[directory]]\npath = '" + s.site + "'\n\n[server]"}
	s.writeConfig(t)
	s.sql(t, "asp", "SET ROLE clerk; CREATE TABLE child (name text); INSERT INTO child VALUES ('Иванова')")
	// More than a pipe holds: who reads a part of the dump alone does not end the commands.
	s.sql(t, "asp", "CREATE TABLE ballast AS SELECT md5(random()::text) FROM generate_series(1, 30000)")
	// The owner of the database leaves code in it for the role that loads the dump or reads it.
	s.sql(t, "asp", "CREATE EXTENSION hstore; COMMENT ON EXTENSION hstore IS 'its'; GRANT CREATE ON SCHEMA public TO clerk")
	clerk, err := pgx.Connect(t.Context(), s.cluster.URI("clerk", "clerk", "asp"))
	require.NoError(t, err)
	_, err = clerk.Exec(t.Context(), `CREATE FUNCTION evil_does() RETURNS void LANGUAGE plpgsql AS $evil$ BEGIN
			BEGIN RESET ROLE; COPY (SELECT 1) TO PROGRAM 'touch attacked'; EXCEPTION WHEN OTHERS THEN END;
			BEGIN ALTER ROLE clerk SUPERUSER; EXCEPTION WHEN OTHERS THEN END; END $evil$;
		CREATE FUNCTION evil(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM public.evil_does(); RETURN $1; END';
		CREATE TABLE trap (n int CHECK (evil(n) = n), m int GENERATED ALWAYS AS (evil(n)) STORED, h hstore); INSERT INTO trap VALUES (1);
		CREATE INDEX ON trap ((n + evil(0))); ALTER TABLE trap ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON trap USING (evil(n) = n);
		CREATE MATERIALIZED VIEW seen AS SELECT evil(1) AS n; CREATE INDEX ON child ((length(name) + evil(0))); GRANT SELECT ON child TO PUBLIC`)
	require.NoError(t, err)
	require.NoError(t, clerk.Close(t.Context()))
	s.publish(t, "7.13.100", both("DROP TABLE IF EXISTS child;"))
	code, out, errs := s.run(t, "update")
	require.Zero(t, code, out+errs)

	commands := blocks(readDocument(t, operations), "sh")
	require.Len(t, commands, 5)
	read, check, database, directory, setup := commands[0], commands[1], commands[2], commands[3], commands[4]
	var snapshots []record
	for line := range strings.Lines(s.bash(t, s.dir, "", read)) {
		var r record
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		if r.Step == "snapshot" && r.Phase == "done" {
			snapshots = append(snapshots, r)
		}
	}
	require.Len(t, snapshots, 3)
	for _, r := range snapshots {
		require.Contains(t, s.bash(t, s.dir, r.Ref, check), "manifest.json: OK\n")
		switch dir := filepath.Join(s.dir, "backups", backup.ID(r.Ref)); r.Part {
		case "postgres asp":
			require.Contains(t, s.bash(t, dir, r.Ref, database), "COMMIT")
		case "folder " + s.site:
			s.bash(t, dir, r.Ref, strings.ReplaceAll(directory, "/opt/asp", s.site))
		default: // the other database in the same way
			text := strings.NewReplacer("asp_hand", "opeka_hand", "'asp'", "'opeka'", "DATABASE asp ", "DATABASE opeka ", "TO asp;", "TO opeka;",
				"asp_before", "opeka_before", "public.child", "public.meta").Replace(database)
			require.Contains(t, s.bash(t, dir, r.Ref, text), "COMMIT")
		}
	}
	hash, name, ok := strings.Cut(strings.TrimSpace(s.bash(t, s.dir, "", setup)), "  ")
	require.True(t, ok)
	require.Contains(t, name, "/Setup-"+hash[:8])

	code, out, errs = s.run(t, "adopt", "--reason", "restored by hand")
	require.Zero(t, code, out+errs)
	code, out, errs = s.run(t, "status")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "АСП: committed 7.12.100")
	clerk, err = pgx.Connect(t.Context(), s.cluster.URI("clerk", "clerk", "asp"))
	require.NoError(t, err)
	var back string
	require.NoError(t, clerk.QueryRow(t.Context(), "SELECT name FROM child").Scan(&back))
	require.Equal(t, "Иванова", back)
	require.NoError(t, clerk.Close(t.Context()))
	s.sql(t, "asp", `DO $$ BEGIN
		ASSERT NOT (SELECT rolsuper FROM pg_roles WHERE rolname = 'clerk'), 'the owner of the database is a superuser';
		ASSERT (SELECT count(*) = 0 FROM pg_roles WHERE rolname LIKE '%hand'), 'the role that loads is left';
		ASSERT (SELECT pg_get_userbyid(relowner) = 'clerk' AND relforcerowsecurity AND relrowsecurity FROM pg_class WHERE relname = 'trap'), 'trap differs';
		ASSERT (SELECT pg_get_userbyid(datdba) = 'clerk' FROM pg_database WHERE datname = 'asp'), 'the database belongs to another role';
		ASSERT has_table_privilege('public', 'public.child', 'SELECT'), 'rights are missing'; END $$`)
	require.NoFileExists(t, filepath.Join(s.cluster.Data, "attacked"), "a command ran as the server's account")
}

// bash runs commands in a directory, as a person types them.
func (s *realSite) bash(t *testing.T, dir, snapshot, commands string) string {
	t.Helper()
	cmd := exec.Command("bash", "-ec", commands)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), s.env()...), "S="+snapshot, "PATH="+s.cluster.Bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", commands, out)
	return string(out)
}
