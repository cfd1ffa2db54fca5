package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/strict"
)

// steers returns what in a program's output could steer a terminal, a page or a
// log.
func steers(output string) string {
	for i, r := range output {
		_, size := utf8.DecodeRuneInString(output[i:])
		if r == utf8.RuneError && size == 1 || r != '\n' && !unicode.IsGraphic(r) {
			return fmt.Sprintf("%q", output[max(0, i-20):min(len(output), i+20)])
		}
	}
	return ""
}

// hostile is a name that clears the screen, sets the title, turns the writing
// direction, and fakes a line of ours.
const hostile = "EVIL\x1b[2J\x1b]0;x\a\x7f\u009b31m\u202egpj\u2066\u200b\ufeff\r"

// Names on the server, of data and in answers of children reach every command,
// the journal and the operator's command, and none of them steers what shows it.
func TestOutputOfHostileNames(t *testing.T) {
	data := filepath.Join(t.TempDir(), hostile+"\nnext: evil")
	require.NoError(t, os.Mkdir(data, 0o700))
	key, err := strict.JSON(data, "") // TOML has the same escapes
	require.NoError(t, err)
	events := filepath.Join(t.TempDir(), "events")
	s := newScriptSite(t, "no_fence = 'a test'\n[[directory]]\npath = "+string(key)+"\n[notify]\ncommand = ['"+os.Args[0]+"', 'append-message', '"+events+"']", "")
	s.installed("7.12.100")
	s.noWayOut = "only the owner of the server can remove these names"
	for _, dir := range []string{"АСП/" + hostile, "АСП/7.12.200/" + hostile, hostile} {
		require.NoError(t, os.MkdirAll(filepath.Join(s.ftp, dir), 0o755))
		s.write(filepath.Join(s.ftp, dir, hostile+"\xff.sh"), "")
	}
	s.publish("7.12.200", "Setup", "printf '%b' '"+strings.NewReplacer("\x1b", `\033`, "\a", `\007`, "\r", `\015`).Replace(hostile)+`\nnext: evil\n' >&2; echo 7.12.200 > $1/version; exit 7`+"\n")
	s.write(filepath.Join(s.site, "version"), "7.12.100\n")

	all := ""
	check := func(code int, out string) {
		t.Helper()
		require.Empty(t, steers(out), "exit code %d:\n%q", code, out)
		require.NotContains(t, out, "\nnext: evil")
		all += out
	}
	for _, args := range [][]string{
		{"check"}, {"doctor"}, {"doctor", "--json"}, {"fetch"}, {"plan"}, {"plan", "--json"}, {"update", "--yes"}, {"status"}, {"status", "--json"},
		{"archive", "list"}, {"backups", "list"}, {"backups", "list", "--json"}, {"backups", "verify"}, {hostile}, {"lift", hostile, "--distribution", hostile, "--reason", hostile},
		{"adopt", "--reason", hostile}, {"status"}, {"archive", "import", "--distribution", hostile, "--version", "7.12.100", hostile},
	} {
		check(s.run(args[0], args[1:]...))
	}
	s.write(filepath.Join(s.site, "version"), hostile+"\n")
	check(s.run("check"))
	check(s.run("plan"))
	check(s.run("doctor", "--json"))
	require.Contains(t, all, "EVIL")
	require.Contains(t, all, `\u001b`, "JSON has the exact text, escaped")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "watch", "--config", s.config())
	cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(events)
		return strings.Contains(string(b), "7.12.200")
	}, 30*time.Second, 50*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait()
	check(0, out.String())
	b, err := os.ReadFile(events)
	require.NoError(t, err)
	require.Empty(t, steers(string(b)))
	require.NotContains(t, string(b), "\nnext: evil")
}
