package install

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestInvocations(t *testing.T) {
	const exe, log = `C:\run 1\Setup.exe`, `C:\logs\a b.installer.log`
	windows := target{goos: "windows", msiexec: `C:\Windows\System32\msiexec.exe`, path: exe, head: []byte("MZ"), log: log}
	linux := target{goos: "linux", msiexec: "msiexec", path: "/s/run-1/Setup", head: []byte("#!/usr/bin/env -S bash -e\n"), log: "/s/a.log"}
	for _, c := range []struct {
		name   string
		kind   Kind
		cmd    Command
		on     target
		argv   string // joined by |
		line   string
		ownLog bool
	}{
		{"plain", Plain, Command{Args: []string{"-s", "A B"}}, windows, exe + "|-s|A B", "", false},
		{"launcher", MSI, Command{Launcher: []string{"wine", "x"}, Args: []string{"A B"}}, linux, "wine|x|/s/run-1/Setup|A B", "", false},
		{
			"nsis", NSIS, Command{Args: []string{`/D=C:\Q A`, "/X=a b"}}, windows, exe + `|/S|/X=a b|/D=C:\Q A`,
			`"C:\run 1\Setup.exe" /S "/X=a b" /D=C:\Q A`, false,
		},
		{"nsis uninstaller", NSIS, Command{Args: []string{`_?=C:\Q A`}}, windows, exe + `|/S|_?=C:\Q A`, `"C:\run 1\Setup.exe" /S _?=C:\Q A`, false},
		{"nsis alone", NSIS, Command{}, windows, exe + "|/S", `"C:\run 1\Setup.exe" /S`, false},
		{
			"inno", Inno, Command{Args: []string{`/DIR=C:\Q A`}}, windows,
			exe + "|/SP-|/VERYSILENT|/SUPPRESSMSGBOXES|/NORESTART|/RESTARTEXITCODE=3010|/LOG=" + log + `|/DIR=C:\Q A`, "", true,
		},
		{"burn", Burn, Command{Args: []string{"X=1"}}, windows, exe + "|/quiet|/norestart|/log|" + log + "|X=1", "", true},
		{
			"msi", MSI, Command{Args: []string{`TARGETDIR=C:\Программы и данные\`, "A=1", "B=", `C=say "x"`, "/log me"}}, windows,
			`C:\Windows\System32\msiexec.exe|/i|` + exe + "|/qn|/norestart|/l*v|" + log + `|TARGETDIR=C:\Программы и данные\|A=1|B=|C=say "x"|/log me`,
			`C:\Windows\System32\msiexec.exe /i "C:\run 1\Setup.exe" /qn /norestart /l*v "C:\logs\a b.installer.log"` +
				` TARGETDIR="C:\Программы и данные\" A=1 B="" C="say ""x""" "/log me"`, true,
		},
		{
			"msi off", MSI, Command{Uninstall: true}, windows,
			`C:\Windows\System32\msiexec.exe|/x|` + exe + "|/qn|/norestart|/l*v|" + log,
			`C:\Windows\System32\msiexec.exe /x "C:\run 1\Setup.exe" /qn /norestart /l*v "C:\logs\a b.installer.log"`, true,
		},
		{"script", Script, Command{Args: []string{"A B"}}, linux, "/usr/bin/env|-S bash -e|/s/run-1/Setup|A B", "", false},
		{"rpm", rpm, Command{Args: []string{"--root=/x"}}, linux, "rpm|-U|--oldpackage|--replacepkgs|--root=/x|--|/s/run-1/Setup", "", false},
		{
			"apt", apt, Command{Args: []string{"./libasp.deb"}}, linux,
			"apt-get|install|--yes|--allow-downgrades|--reinstall|--no-remove|--no-install-recommends|-o|Dpkg::Options::=--force-confdef|-o|Dpkg::Options::=--force-confold|-o|APT::Sandbox::User=root|./libasp.deb|/s/run-1/Setup", "", false,
		},
		{"makeself", makeself, Command{Args: []string{"--site", "A B"}}, linux, "/usr/bin/env|-S bash -e|/s/run-1/Setup|--quiet|--accept|--nox11|--|--site|A B", "", false},
		{"makeself's own options", makeself, Command{Args: []string{"--target", "/opt/asp", "--", "--site"}}, linux, "/usr/bin/env|-S bash -e|/s/run-1/Setup|--quiet|--accept|--nox11|--target|/opt/asp|--|--site", "", false},
		{"deb", Deb, Command{Args: []string{"--root=/x"}}, linux, "dpkg|--force-confdef|--force-confold|--root=/x|-i|/s/run-1/Setup", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv, err := c.cmd.invocation(c.kind, c.on)
			require.NoError(t, err)
			require.Equal(t, c.argv, strings.Join(inv.argv, "|"))
			require.Equal(t, c.line, inv.line)
			require.Equal(t, c.ownLog, inv.ownLog)
			require.Equal(t, slices.Contains([]Kind{Deb, apt, rpm, makeself}, c.kind), len(inv.env) == 1)
		})
	}
	for _, c := range []struct {
		name string
		kind Kind
		cmd  Command
		on   target
		want string
	}{
		{"two directories", NSIS, Command{Args: []string{`/D=C:\a`, `/D=C:\b`}}, windows, "use one"},
		{"a quoted directory", NSIS, Command{Args: []string{`/D="C:\a"`}}, windows, "without quotes"},
		{"a line feed", MSI, Command{Args: []string{"A=1", "B=2\r\n/x"}}, windows, "argument 2 contains a line feed"},
		{"makeself that unpacks only", makeself, Command{Args: []string{"--noexec", "--"}}, linux, "--noexec installs nothing"},
		{"a zero byte", Plain, Command{Args: []string{"a\x00b"}}, windows, "zero byte"},
		{"an msi on Linux", MSI, Command{}, linux, "of kind msi for windows cannot run on linux"},
		{"nsis on Linux", NSIS, Command{}, linux, "of kind nsis for windows cannot run on linux"},
		{"inno on Linux", Inno, Command{}, linux, "cannot run on linux"},
		{"burn on Linux", Burn, Command{}, linux, "cannot run on linux"},
		{"a PE on Linux", Plain, Command{}, target{goos: "linux", head: []byte("MZ")}, "of kind plain for windows cannot run on linux"},
		{"a deb on Windows", Deb, Command{}, windows, "cannot run on windows"},
		{"a script on Windows", Script, Command{}, target{goos: "windows", head: []byte("#!/bin/sh\n")}, "cannot run on windows"},
		{"an ELF on Windows", Plain, Command{}, target{goos: "windows", head: []byte("\x7fELF")}, "cannot run on windows"},
		{"no interpreter", Script, Command{}, target{goos: "linux", head: []byte("echo\n")}, "set the Launcher"},
		{"Windows' lines", Script, Command{}, target{goos: "linux", head: []byte("#!/bin/sh\r\n")}, "dos2unix"},
		{"nsis off", NSIS, Command{Uninstall: true}, windows, "of another kind than msi"},
		{"msi off by a launcher", MSI, Command{Uninstall: true, Launcher: []string{"wine"}}, linux, "with a Launcher"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.cmd.invocation(c.kind, c.on)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Command{}.invocation(MSI, linux)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// unquote reads one argument as Microsoft's C library does.
func unquote(line string) (arg, rest string) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(line); i++ {
		n := 0
		for i < len(line) && line[i] == '\\' {
			n, i = n+1, i+1
		}
		if i < len(line) && line[i] == '"' {
			b.WriteString(strings.Repeat(`\`, n/2))
			if n%2 == 1 {
				b.WriteByte('"')
			} else {
				quoted = !quoted
			}
			continue
		}
		b.WriteString(strings.Repeat(`\`, n))
		if i == len(line) || line[i] == ' ' && !quoted {
			return b.String(), line[i:]
		}
		b.WriteByte(line[i])
	}
	return b.String(), ""
}

func TestQuoteIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		arg := rapid.StringMatching(`[a\\" é/=]{0,12}`).Draw(t, "arg")
		got, rest := unquote(quote(arg) + " next")
		require.Equal(t, arg, got)
		require.Equal(t, " next", rest)
	})
}

// Whatever the values are, none of them becomes an argument of its own.
func TestPropertiesOfMSIStayOneWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[a\\" é/=]{0,12}`).Draw(t, "value")
		inv, err := Command{Args: []string{"P=" + value}}.invocation(MSI, target{goos: "windows", msiexec: "m", path: "p", log: "l"})
		require.NoError(t, err)
		word, ok := strings.CutPrefix(inv.line, "m /i p /qn /norestart /l*v l P=")
		require.True(t, ok)
		if inner, quoted := strings.CutPrefix(word, `"`); quoted {
			inner, quoted = strings.CutSuffix(inner, `"`)
			require.True(t, quoted)
			require.NotContains(t, strings.ReplaceAll(inner, `""`, ""), `"`, "no quote ends the value early")
			word = strings.ReplaceAll(inner, `""`, `"`)
		} else {
			require.NotContains(t, word, " ")
		}
		require.Equal(t, value, word)
	})
}

func TestAutoDetectsTheKind(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the scripts of this test are for a Unix shell")
	}
	dir := t.TempDir()
	write := func(name, text string) Command {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return Command{Path: path, SHA256: sumOf(t, path), Kind: Auto}
	}
	r, _ := newRunner(t)
	cmd := write("Setup", "#!/bin/sh -e\necho \"$1\"\nexit 127\n")
	cmd.Args = []string{"A B"}
	out, err := r.Run(t.Context(), cmd)
	require.ErrorContains(t, err, "a command of the script was not found")
	require.Equal(t, "A B\n", out.Tail)
	require.Equal(t, Script, out.Kind)
	require.Equal(t, 1, out.attempts)
	require.Empty(t, out.OwnLog)

	for name, want := range map[string]string{
		"echo no interpreter\n": "the header is not that of an installer; set the Kind",
		string(fakePE{section: ".text", data: []byte("x")}.bytes()): "the silent arguments of a plain program are not known; set the Kind",
		string(compoundFile(0x84)):                                  "an installer of kind msi for windows cannot run on linux",
	} {
		out, err = r.Run(t.Context(), write("Setup", name))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "nothing was started")
		require.Equal(t, Outcome{}, out)
		requireClean(t, r)
	}

	exe, err := os.Executable()
	require.NoError(t, err)
	cmd = Command{Path: exe, SHA256: sumOf(t, exe), Kind: Auto, Args: []string{"exit=3"}, Env: fakeEnv()}
	out, err = r.Run(t.Context(), cmd)
	require.ErrorIs(t, err, ErrFailed)
	require.EqualValues(t, 3, out.Code)
	require.Equal(t, Plain, out.Kind, "the caller gave the arguments")
}

func TestBusyIsRetriedABoundedNumberOfTimes(t *testing.T) {
	busy := Codes{7: {Status: Busy, Meaning: "another one", Next: "later"}}
	count := func(events *[]Event, kind EventKind) (n int) {
		for _, e := range *events {
			if e.Kind == kind {
				n++
			}
		}
		return n
	}
	run := func(pause time.Duration, deadline time.Duration, steps ...string) (Outcome, *[]Event, error) {
		r, events := newRunner(t)
		r.busyInterval, r.busyTimeout = pause, 2*time.Second
		cmd := fake(t, steps...)
		cmd.Codes, cmd.Deadline = busy, deadline
		out, err := r.Run(t.Context(), cmd)
		requireClean(t, r)
		return out, events, err
	}
	out, events, err := run(50*time.Millisecond, time.Minute, "exit=7")
	require.ErrorIs(t, err, ErrFailed)
	require.Equal(t, Busy, out.Status)
	require.Greater(t, out.attempts, 1, "a start may take a second")
	require.Equal(t, out.attempts, count(events, eventStarted))
	require.Equal(t, out.attempts-1, count(events, eventBusy))
	for _, e := range *events {
		if e.Kind == eventBusy {
			require.Regexp(t, `trying again in 50ms, for another [12]s at most`, e.Text, "the time that is left is shown")
			break
		}
	}

	mark := filepath.Join(t.TempDir(), "done")
	out, events, err = run(time.Millisecond, time.Minute, "first="+mark, "exit=7")
	require.NoError(t, err)
	require.Equal(t, OK, out.Status)
	require.Equal(t, 2, out.attempts)
	require.Equal(t, 1, count(events, eventBusy))

	out, _, _ = run(-1, time.Minute, "exit=7")
	require.Equal(t, 1, out.attempts, "never, with a negative interval")
	out, _, _ = run(time.Hour, time.Minute, "exit=7")
	require.Equal(t, Busy, out.Status)
	require.Equal(t, 1, out.attempts, "not past the deadline")
}
