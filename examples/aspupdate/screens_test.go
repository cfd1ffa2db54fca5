package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/lang"
)

var golden = flag.Bool("golden", false, "write testdata/screens anew")

// TestScreens compares what the commands print in both languages with the files in
// testdata/screens. What differs from run to run is replaced by a sign.
func TestScreens(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // the screens have paths of Unix; the texts are the same
	}
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
[[directory]]
path = '${SITE}'`, "")
	good := func(version string) string { return "echo " + version + " > $1/version\n" }
	old := s.publish("7.12.100", "Setup", good("7.12.100"))
	s.publish("7.12.200", "Setup", good("7.12.200"))
	s.write(filepath.Join(s.site, "version"), "7.12.100\n")
	var screens = map[string]*strings.Builder{"en": {}, "ru": {}}
	run := func(both bool, args ...string) {
		for _, language := range []string{"en", "ru"} {
			if language == "ru" && !both {
				continue
			}
			code, out, errs := aspupdate(t, []string{"SITE_FTP_PASSWORD=" + s.server.Password, "NO_COLOR=1", "LC_ALL=" + language, "ASPUPDATE_CONFIG=" + s.config()}, args...)
			b := screens[language]
			b.WriteString("$ aspupdate " + s.stable(strings.Join(args, " ")) + "\n" + s.stable(out+errs))
			if code != 0 {
				fmt.Fprintf(b, "(exit code %d)\n", code)
			}
			b.WriteString("\n")
		}
	}
	run(true, "--help")
	run(true, "plan", "--help")
	run(true, "status")
	run(true, "doctor")
	run(true, "archive", "import", "--distribution", "АСП", "--version", "7.12.100", old)
	run(true, "check")
	run(true, "fetch")
	run(true, "plan")
	run(false, "update", "--override", "R13", "--reason", "a test")
	run(true, "status")
	run(true, "status", "--last", "5")
	run(true, "archive", "list")
	run(true, "backups", "verify")
	run(true, "rollback")
	run(true, "calendar", "2026-11")
	run(true, "lift", "--distribution", "АСП", "--reason", "проверка", "7.12.200")
	run(true, "backups", "prune")
	run(false, "plan", "--lang", "de")
	for language, b := range screens {
		compareScreen(t, language, b.String())
	}
	for line := range strings.Lines(screens["ru"].String()) {
		require.NotRegexp(t, `(?i)\b(the|is|was|and|not|cannot|of|with|back|to)\b`, strings.ReplaceAll(line, "a test on loopback", ""), "English in the Russian screens")
	}

	_, en, _ := aspupdate(t, []string{"LC_ALL=en", "ASPUPDATE_CONFIG=" + s.config(), "SITE_FTP_PASSWORD=" + s.server.Password}, "status", "--json")
	_, ru, _ := aspupdate(t, []string{"LC_ALL=ru", "ASPUPDATE_CONFIG=" + s.config(), "SITE_FTP_PASSWORD=" + s.server.Password}, "status", "--json")
	ages := regexp.MustCompile(`"(proof_)?age": [0-9.e-]+`)
	require.Equal(t, ages.ReplaceAllString(en, "$1"), ages.ReplaceAllString(ru, "$1"), "documents are the same in each language")
	require.True(t, json.Valid([]byte(ru)))
}

// compareScreen compares a screen with a file in testdata/screens.
func compareScreen(t *testing.T, name, screen string) {
	t.Helper()
	file := filepath.Join("testdata", "screens", name+".txt")
	if *golden {
		require.NoError(t, os.WriteFile(file, []byte(screen), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), screen, "go test -run TestScreens -golden writes them anew")
}

// stable returns a screen without what is different at each run.
func (s *scriptSite) stable(screen string) string {
	host, _ := os.Hostname()
	screen = strings.NewReplacer(s.own, "${OWN}", s.site, "${SITE}", filepath.Dir(program), "${BIN}", s.server.Addr, "${SERVER}").Replace(screen)
	for _, r := range [][2]string{
		{regexp.QuoteMeta(host), "${HOST}"},
		{`\b[0-9a-f]{32,64}\b`, "${HASH}"},
		{`SHA-256 [0-9a-f]{12}`, "SHA-256 ${HASH}"},
		{`\b[0-9]{8}-[0-9]{6}\.[0-9]+-[0-9a-f]{8}\b`, "${ID}"},
		{`process \d+`, "process ${PID}"},
		{`after \d+m?s`, "after ${SOME}"},
		{`\b20\d{6}T\d{6}Z-[0-9a-f]+`, "${UPDATE}"},
		{`20\d\d-\d\d-\d\d \d\d:\d\d (MSK|МСК)`, "${TIME} $1"},
		{`(?m)^\d\d:\d\d:\d\d`, "${CLOCK}"},
		{`\b\d+ (MB|МБ)`, "${SIZE} $1"},
		{`\b\d+ (bytes|байт\pL*)`, "${SIZE} $1"},
		{`(?m)^(.*\(devel\)).*$`, "${VERSION}"},
		{`/tmp/[^\s:;,)]+`, "${TMP}"},
		{`(?m)^(ok|warning|норма|внимание)( +)(clock|часы).*$`, "${CLOCKS}"},
		{`(?m)^(ok|warning|норма|внимание)( +)(restart|перезагрузка).*$`, "${RESTART}"},
		{`(?m)^(ok|warning|норма|внимание)( +)(calendar|календарь).*$`, "${CALENDAR}"},
		{`\(\pL+@[^)]*\)|\(root[^)]*\)`, "(${WHO})"},
		{`(?m)^(next expected|следующий ожидаемый).*$`, "${NEXT}"},
		{`(?m)^ *(or|или|not|не) .*20\d\d.*$\n`, ""},
		{`(late since|опаздывает с) .*`, "${LATE}"},
	} {
		screen = regexp.MustCompile(r[0]).ReplaceAllString(screen, strings.ReplaceAll(r[1], "${", "$${"))
	}
	return strings.ReplaceAll(screen, "$$", "$")
}

// TestHelpInRussian checks that no English is left in the help of any command.
func TestHelpInRussian(t *testing.T) {
	speak := lang.Russian()
	root := app(speak)
	require.NotContains(t, rootHelp(root, speak), " the ")
	for _, c := range root.Commands {
		if c.Name != "demo" {
			require.Regexp(t, `[а-я]`, c.Usage, c.Name)
		}
	}
	start := time.Now()
	for range 100 {
		_ = speak.Text("          restructuring, 3 min so far, usually at most 15 (http://127.0.0.1:39417/version answers with status 500 instead of 200)")
	}
	t.Logf("a text takes %v", time.Since(start)/100)
}
