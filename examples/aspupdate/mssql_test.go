package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A sqlServer is the simulated SQL Server of backup/mssql in a process of its own, behind
// the protocol of the real one: the program and its driver are what they are.
type sqlServer struct {
	dir, addr, control string
}

func newSQLServer(t *testing.T) sqlServer {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		realtest.Skip(t, "the go command is not in PATH: %v", err)
	}
	s := sqlServer{dir: t.TempDir()}
	program := filepath.Join(t.TempDir(), "mssql.test")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Dir = filepath.Join("..", "..", "backup", "mssql")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	server := exec.Command(program)
	server.Env = append(os.Environ(), "ASPUPDATE_SIMULATED="+s.dir)
	in, err := server.StdinPipe() // it ends with this
	require.NoError(t, err)
	said, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = server.Wait()
	})
	line, err := bufio.NewReader(said).ReadString('\n')
	require.NoError(t, err)
	_, err = fmt.Sscan(line, &s.addr, &s.control)
	require.NoError(t, err)
	return s
}

// ask has the server do something behind the program's back.
func (s sqlServer) ask(t *testing.T, command string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.control)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = fmt.Fprintln(c, command)
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	return strings.TrimSpace(string(answer))
}

// script is what an installer does to the database.
func (s sqlServer) script(command string) string {
	host, port, _ := net.SplitHostPort(s.control)
	return fmt.Sprintf("/bin/bash -c 'exec 3<>/dev/tcp/%s/%s; echo \"%s\" >&3; read line <&3'\n", host, port, command)
}

// TestProbeOfSQLServers: every database of a pattern answers the version, with the rights of a user
// of its own.
func TestProbeOfSQLServers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the site's installers are shell scripts")
	}
	server := newSQLServer(t)
	for i := range 10 {
		name := fmt.Sprintf("asp_%d", i)
		require.Equal(t, "ok", server.ask(t, "add "+name))
		require.Equal(t, "ok", server.ask(t, "update "+name+" to 7.12.100"))
	}
	server.ask(t, "add opeka")
	s := newScriptSite(t, `
close = ['/bin/true']
open = ['/bin/true']
[[mssql]]
databases = 'asp_*'
uri_file = '${OWN}/asp.uri'
dir = '`+server.dir+`'`, "")
	require.NoError(t, os.WriteFile(filepath.Join(s.own, "asp.uri"), []byte("sqlserver://maintenance:s3cr3t@"+server.addr+"?encrypt=disable\n"), 0o600))
	s.installed("7.12.100")
	config, err := os.ReadFile(s.config())
	require.NoError(t, err)
	probe := func(of string) {
		text := regexp.MustCompile(`probe = \{ command = \[[^]]*\],`).ReplaceAllLiteralString(string(config), "probe = { sql = 'SELECT version FROM about', in = 'asp_*', "+of)
		require.NoError(t, os.WriteFile(s.config(), []byte(text), 0o600))
	}
	check := func(want string) {
		t.Helper()
		_, out := s.run("check", "--json")
		require.Contains(t, out, want)
		require.NotContains(t, out, "s3cr3t")
		s.last = ""
	}
	probe("")
	code, out := s.run("check")
	require.Equal(t, exitUsage, code, out)
	require.Contains(t, out, "sql needs role, a user of the database with whose rights it runs")
	probe(`role = "clerk's", `)
	check(`asp_0: the database does not answer the version query: error 15517: Cannot execute as`)
	probe("role = 'clerk', ")
	check(`"answers": "7.12.100"`)
	server.ask(t, "update asp_7 to 7.13.100")
	check(`the databases answer different versions: \"7.12.100\": asp_0, asp_1, asp_2, asp_3, asp_4 and 4 more; \"7.13.100\": asp_7`)
	for i := range 10 {
		server.ask(t, fmt.Sprintf("update asp_%d to 7.13.100", i))
	}
	check(`"answers": "7.13.100"`)
	server.ask(t, "add asp_10") // it has no version yet
	check("asp_10: the database does not answer the version query: error 208: Invalid object name 'about'.")
	server.ask(t, "add asp_11")
	check("2 of 12 databases fail: asp_10, asp_11")
	require.Empty(t, server.ask(t, "violations"), "nothing was asked with the rights of the login")
}

// TestSQLServer takes a site with a SQL Server through everything: refused until the
// self-test has passed on this server and version, proven, updated, an update that fails and
// takes the database back, an operator's rollback.
func TestSQLServer(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the site's installers are shell scripts")
	}
	server := newSQLServer(t)
	require.Equal(t, "ok", server.ask(t, "add asp"))
	before := server.ask(t, "state asp")
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
fence_status = ['/usr/bin/test', '!', '-e', '${OWN}/closed']
[[mssql]]
name = 'asp'
uri_file = '${OWN}/asp.uri'
dir = '`+server.dir+`'`, "")
	require.NoError(t, os.WriteFile(filepath.Join(s.own, "asp.uri"), []byte("sqlserver://maintenance:s3cr3t@"+server.addr+"?database=asp&encrypt=disable\n"), 0o600))
	s.installed("7.12.100")
	s.publish("7.13.100", "Setup", server.script("update asp to 7.13.100")+"echo 7.13.100 > $1/version\n")

	code, out := s.run("status")
	require.Zero(t, code, out)
	require.Contains(t, out, "mssql asp: the authors have not run backups of SQL Server on a real server")
	code, out = s.run("doctor")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "no self-test has passed on it")
	code, out = s.run("update", "--yes")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "not tested on this SQL Server")
	require.Contains(t, out, "next: aspupdate prove")
	require.Equal(t, before, server.ask(t, "state asp"))

	code, out = s.run("prove") // the self-test passes; there is no snapshot yet
	require.Equal(t, exitOther, code, out)
	require.Contains(t, out, "mssql asp: the self-test has passed on SIM, version 16.0.4135.4 Developer Edition (64-bit)")
	require.Contains(t, out, "next: aspupdate doctor --rehearse")
	require.Equal(t, "asp", server.ask(t, "list"), "it leaves nothing")
	code, out = s.run("doctor", "--rehearse")
	require.Zero(t, code, out)
	require.Contains(t, out, "proven by restoring it beside")
	require.Equal(t, before, server.ask(t, "state asp"))

	code, out = s.run("plan")
	require.Zero(t, code, out)
	require.Contains(t, out, "a backup like that of mssql asp was restored and compared on")
	code, out = s.run("update", "--yes")
	require.Zero(t, code, out)
	require.NotContains(t, out, "s3cr3t")
	updated := server.ask(t, "state asp")
	require.Equal(t, "MULTI_USER 7.13.100", updated)
	require.Equal(t, "7.13.100\n", s.read("version"))

	// An installer that fails after it has changed the database.
	s.publish("7.14.100", "Setup", server.script("update asp to 7.14.100")+"exit 1\n")
	code, out = s.run("update", "--yes")
	require.Equal(t, exitRolledBack, code, out)
	require.Equal(t, updated, server.ask(t, "state asp"), "as it was, and open")
	require.Equal(t, "asp", server.ask(t, "list"))
	s.last = ""

	// The server was updated: its self-test counts no more.
	server.ask(t, "version 16.0.4150.1")
	s.publish("7.15.100", "Setup", server.script("update asp to 7.15.100")+"echo 7.15.100 > $1/version\n")
	code, out = s.run("update", "--yes")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "the self-test has passed on SQL Server 16.0.4135.4 Developer Edition (64-bit) on SIM, and this is SQL Server 16.0.4150.1")
	code, out = s.run("prove")
	require.Zero(t, code, out)
	require.Contains(t, out, "proven: mssql asp")
	code, out = s.run("update", "--yes")
	require.Zero(t, code, out)

	// It is updated in the midst of an update that fails: the way back waits for a self-test,
	// which recovery runs by itself.
	now := server.ask(t, "state asp")
	s.publish("7.16.100", "Setup", server.script("version 16.0.4200.1")+server.script("update asp to 7.16.100")+"exit 1\n")
	code, out = s.run("update", "--yes")
	require.Equal(t, exitOperator, code, out)
	code, out = s.run("recover", "--retry", "the server was updated")
	require.Zero(t, code, out)
	require.Equal(t, now, server.ask(t, "state asp"))
	require.Equal(t, "asp", server.ask(t, "list"))
	s.last = ""

	code, out = s.run("status", "--json")
	require.Zero(t, code, out)
	var d statusDoc
	require.NoError(t, json.Unmarshal([]byte(out), &d), out)
	require.Len(t, d.SelfTests, 1)
	require.Equal(t, "16.0.4200.1 Developer Edition (64-bit)", d.SelfTests[0].Version)

	code, out = s.run("rollback")
	require.Zero(t, code, out)
	hash := regexp.MustCompile(`--confirm ([0-9a-f]+)`).FindStringSubmatch(out)
	require.NotNil(t, hash, out)
	code, out = s.run("rollback", "--confirm", hash[1], "--reason", "a test")
	require.Zero(t, code, out)
	require.Equal(t, updated, server.ask(t, "state asp"))
	require.Equal(t, "7.13.100\n", s.read("version"))
}
