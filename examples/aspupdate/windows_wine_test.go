//go:build linux && !race

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// wineSite is an installation on a Windows by Wine: releases on a real vsftpd of
// this Linux, installers as Inno Setup, NSIS and wixl make them, an application that
// is a directory, and data in another one.
type wineSite struct {
	t       *testing.T
	w       *realtest.Wine
	kind    installerKind
	drive   string // C:
	ftp     string
	server  realtest.Server
	sums    []string // "version" = "hash" of each Setup
	program string
}

// An installerKind is how the installers of a wineSite are made and run.
type installerKind struct {
	name, ext string
	bits32    bool // they run only where Wine has support of 32 bits
	build     func(s *wineSite, version, out string)
	lines     string // of the configuration's distribution
}

const (
	wineApp  = `C:\Опека и попечительство`
	wineFrom = "7.13.100"
)

var installerKinds = []installerKind{
	{name: "inno", ext: ".exe", bits32: true, build: (*wineSite).buildInno, lines: `arguments = ['/DIR=` + wineApp + `']`},
	// Its uninstaller returns early and goes on in a copy of itself.
	{name: "nsis", ext: ".exe", build: (*wineSite).buildNSIS, lines: `arguments = ['/D=` + wineApp + `']
remove = ['` + wineApp + `\uninstall.exe', '/S']`},
	{name: "msi", ext: ".msi", build: (*wineSite).buildMSI, lines: `arguments = ['INSTALLDIR=` + wineApp + `\']`},
}

// TestOnWindows is the whole flow on a Windows: doctor, import, check, fetch, plan,
// update, one that fails, an operator's rollback, and an updater that is killed. With
// ASPUPDATE_SOAK=1 by each kind of installer, otherwise by Inno Setup's and NSIS's, of which
// the latter needs no support of 32 bits.
func TestOnWindows(t *testing.T) {
	w := realtest.StartWine(t)
	for _, kind := range installerKinds {
		if kind.name == "msi" && os.Getenv("ASPUPDATE_SOAK") != "1" { // NSIS's takes less time
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			if kind.bits32 {
				w.Bits32(t)
			}
			newWineSite(t, w, kind).flow()
		})
	}
}

func (s *wineSite) flow() {
	t := s.t
	code, out := s.run("doctor")
	require.Equal(t, exitPrevious, code, out)
	require.Contains(t, out, "archive import")
	code, out = s.run("archive", "import", "--distribution", "АСП", "--version", wineFrom, `C:\from support\`+wineFrom+s.kind.ext)
	require.Zero(t, code, out)
	code, out = s.run("doctor")
	require.Zero(t, code, out)
	require.Contains(t, out, "sufficient for its installer")

	code, out = s.run("check")
	require.Zero(t, code, out)
	require.Contains(t, out, "АСП 7.13.200 may be installed")
	code, out = s.run("fetch")
	require.Zero(t, code, out)
	plan := s.plan("plan")
	s.inOrder(wineFrom, "entered before")
	code, out = s.run("update", "--plan", plan)
	require.Zero(t, code, out)
	s.inOrder("7.13.200", "entered before", "restructured by 7.13.200")

	s.publish("7.13.300") // it damages the data, and fails
	code, out = s.run("update", "--yes")
	require.Equal(t, exitRolledBack, code, out)
	s.inOrder("7.13.200", "entered before", "restructured by 7.13.200")
	if s.kind.name == "inno" { // its setup reports success
		require.Contains(t, out, "but its log")
		require.Contains(t, out, "reports a failure")
	}
	time.Sleep(10 * time.Second) // an uninstaller that was not waited for would remove the application now
	s.inOrder("7.13.200", "entered before", "restructured by 7.13.200")

	code, out = s.run("rollback", "--confirm", s.plan("rollback"), "--reason", "a test") // R15
	require.Zero(t, code, out)
	s.inOrder(wineFrom, "entered before")

	s.publish("7.14.100") // it waits
	s.kill("update", "--yes")
	code, out = s.run("status")
	require.Equal(t, exitInterrupted, code, out)
	time.AfterFunc(time.Second, func() { s.write("steps/go", "") })
	code, out = s.run("recover")
	require.Zero(t, code, out)
	s.inOrder("7.14.100", "entered before", "restructured by 7.14.100")
	code, out = s.run("doctor")
	require.Zero(t, code, out)
}

// newWineSite installs the first version and writes the configuration.
func newWineSite(t *testing.T, w *realtest.Wine, kind installerKind) *wineSite {
	t.Helper()
	s := &wineSite{t: t, w: w, kind: kind, drive: filepath.Join(w.Prefix, "drive_c"), ftp: filepath.Join(t.TempDir(), "ftp")}
	require.NoError(t, os.Mkdir(s.ftp, 0o755))
	for _, dir := range []string{"own", "steps", "data", "from support", s.path(wineApp)} {
		require.NoError(t, os.RemoveAll(s.path(dir)))
	}
	for _, dir := range []string{"own", "steps", "data", "from support"} {
		require.NoError(t, os.Mkdir(s.path(dir), 0o700))
	}
	s.program = s.path("own/aspupdate.exe")
	b, err := os.ReadFile(w.Build(t, "."))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.program, b, 0o700))

	s.write("steps/close.cmd", "@echo closed> C:\\steps\\closed\r\n")
	s.write("steps/open.cmd", "@if exist C:\\steps\\closed del C:\\steps\\closed\r\n")
	// It is healthy while the data is whole.
	s.write("steps/version.cmd", "@if exist C:\\data\\half exit /b 1\r\n@type %1\r\n")
	s.write("data/rows", "entered before\r\n")
	// What an installer does to the data.
	s.write("steps/7.13.200.cmd", "@echo restructured by 7.13.200>> C:\\data\\rows\r\n")
	s.write("steps/7.13.300.cmd", "@echo half> C:\\data\\rows\r\n@echo half> C:\\data\\half\r\n@exit /b 3\r\n")
	s.write("steps/7.14.100.cmd", "@echo at> C:\\steps\\at\r\n:again\r\n@if not exist C:\\steps\\go goto again\r\n@echo restructured by 7.14.100>> C:\\data\\rows\r\n")
	for _, v := range []string{wineFrom, "7.13.200", "7.13.300", "7.14.100"} {
		out := s.path("from support/" + v + kind.ext)
		kind.build(s, v, out)
		b, err := os.ReadFile(out)
		require.NoError(t, err)
		sum := sha256.Sum256(b)
		s.sums = append(s.sums, fmt.Sprintf("%q = %q", v, hex.EncodeToString(sum[:])))
	}
	s.server = realtest.VSFTPD(t, s.ftp)
	s.publish("7.13.200")
	s.write("own/aspupdate.toml", fmt.Sprintf(`
state = 'C:\own\state'
archive = 'C:\own\archive'
backups = 'C:\own\backups'
live = ['%[1]s']
[server]
address = '%[2]s'
settle = '1ms'
user = '%[3]s'
password_env = 'SITE_FTP_PASSWORD'
[window]
any_time = 'a test'
[deadlines]
probe = '30s'
[application]
close = ['cmd', '/c', 'C:\steps\close.cmd']
open = ['cmd', '/c', 'C:\steps\open.cmd']
[[directory]]
path = 'C:\data'
[[distribution]]
name = 'АСП'
kind = 'auto'
%[4]s
sha256 = { %[5]s }
probe = { command = ['cmd', '/c', 'C:\steps\version.cmd', '%[1]s\version.txt'], interval = '200ms', steady = '200ms' }
`, wineApp, s.server.Addr, s.server.User, kind.lines, strings.Join(s.sums, ", ")))

	// The first version was installed by hand.
	cmd := map[string]*exec.Cmd{
		"inno": w.Command(s.path("from support/"+wineFrom+".exe"), "/SP-", "/VERYSILENT", "/SUPPRESSMSGBOXES", "/NORESTART", "/DIR="+wineApp),
		"nsis": w.Command(append([]string{s.path("from support/" + wineFrom + ".exe"), "/S"}, strings.Split("/D="+wineApp, " ")...)...), // not quoted
		"msi":  w.Command("msiexec", "/i", `C:\from support\`+wineFrom+".msi", "/qn", "INSTALLDIR="+wineApp+`\`),
	}[kind.name]
	w.Output(t, cmd)
	return s
}

// path returns the path on Linux of one on C:.
func (s *wineSite) path(name string) string {
	return filepath.Join(s.drive, filepath.FromSlash(strings.ReplaceAll(strings.TrimPrefix(name, `C:\`), `\`, "/")))
}

func (s *wineSite) write(name, text string) {
	require.NoError(s.t, os.WriteFile(s.path(name), []byte(text), 0o600))
}

// publish puts a release on the server, with a modification time an hour ago.
func (s *wineSite) publish(version string) {
	s.t.Helper()
	b, err := os.ReadFile(s.path("from support/" + version + s.kind.ext))
	require.NoError(s.t, err)
	file := filepath.Join(s.ftp, "АСП", version, "Setup"+s.kind.ext)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(s.t, os.WriteFile(file, b, 0o644))
	old := time.Now().Add(-time.Hour)
	require.NoError(s.t, os.Chtimes(file, old, old))
}

// wineCommand returns a command on Windows whose output is in a file: Wine's
// processes in the background would keep a pipe open.
func wineCommand(ctx context.Context, t *testing.T, w *realtest.Wine, env []string, args ...string) (cmd *exec.Cmd, output func() string) {
	t.Helper()
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	require.NoError(t, err)
	like := w.Command(args...)
	cmd = exec.CommandContext(ctx, like.Path, like.Args[1:]...)
	cmd.Env = slices.Concat(like.Env, env)
	cmd.Stdout, cmd.Stderr = said, said
	return cmd, func() string {
		_ = said.Close()
		b, err := os.ReadFile(said.Name())
		require.NoError(t, err)
		return string(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")))
	}
}

// wineRun runs it to its end and returns its exit code and output. One that prints
// nothing was not started: on a busy machine Wine fails at times. The limit only ends
// one that hangs.
func wineRun(t *testing.T, w *realtest.Wine, env []string, args ...string) (code int, out string) {
	t.Helper()
	const limit = 15 * time.Minute
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		cmd, output := wineCommand(ctx, t, w, env, args...)
		_ = cmd.Run()
		out = output()
		require.NoError(t, ctx.Err(), "%v: %s", args, out)
		cancel()
		if code = cmd.ProcessState.ExitCode(); code == 0 || out != "" {
			break
		}
	}
	return code, out
}

func (s *wineSite) env() []string {
	return []string{`ASPUPDATE_CONFIG=C:\own\aspupdate.toml`, "SITE_FTP_PASSWORD=" + s.server.Password}
}

// run runs a command of the program and returns its exit code and output.
func (s *wineSite) run(args ...string) (code int, out string) {
	s.t.Helper()
	code, out = wineRun(s.t, s.w, s.env(), append([]string{s.program}, args...)...)
	s.t.Logf("%v: %d\n%s", args, code, out)
	return code, out
}

// plan returns the hash of what a command plans.
func (s *wineSite) plan(name string) string {
	s.t.Helper()
	code, out := s.run(name, "--json", "--quiet")
	require.Zero(s.t, code, out)
	var plan rollback.Plan
	require.NoError(s.t, json.NewDecoder(strings.NewReader(out[max(0, strings.Index(out, "{")):])).Decode(&plan), out)
	require.NotEmpty(s.t, plan.Hash)
	return plan.Hash
}

// kill starts a command and kills it by SIGKILL while the installer runs.
func (s *wineSite) kill(args ...string) {
	s.t.Helper()
	cmd, output := wineCommand(s.t.Context(), s.t, s.w, s.env(), append([]string{s.program}, args...)...)
	require.NoError(s.t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for {
		if _, err := os.Stat(s.path("steps/at")); err == nil {
			break
		}
		select {
		case <-ended:
			s.t.Fatalf("the update ended before it could be killed: %s", output())
		case <-time.After(20 * time.Millisecond):
		}
	}
	require.NoError(s.t, s.killProgram())
	<-ended
	s.t.Logf("killed:\n%s", output())
}

// killProgram kills the program by SIGKILL. Wine may have started it by another one.
func (s *wineSite) killProgram() error {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, dir := range procs {
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if strings.TrimSpace(string(name)) != filepath.Base(s.program) || !bytes.Contains(env, []byte("WINEPREFIX="+s.w.Prefix+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return err
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	}
	return errors.New("it does not run")
}

// inOrder fails unless the version is installed, the data has these rows, and users
// are in.
func (s *wineSite) inOrder(version string, rows ...string) {
	s.t.Helper()
	got, err := os.ReadFile(s.path(wineApp + `\version.txt`))
	require.NoError(s.t, err)
	require.Equal(s.t, version, strings.TrimSpace(string(got)))
	got, err = os.ReadFile(s.path("data/rows"))
	require.NoError(s.t, err)
	require.Equal(s.t, strings.Join(rows, "\r\n")+"\r\n", string(got))
	require.NoFileExists(s.t, s.path("steps/closed"), "users are in")
}

// step returns the command that an installer runs after it has copied its files.
func step(version string) string {
	if version == wineFrom {
		return ""
	}
	return `C:\steps\` + version + ".cmd"
}

func (s *wineSite) source(name string) string {
	path, err := filepath.Abs(filepath.Join("../../install/testdata", name))
	require.NoError(s.t, err)
	return path
}

func (s *wineSite) buildInno(version, out string) {
	compilers := realtest.InnoCompilers(s.t)
	compiler := filepath.Join(compilers[len(compilers)-1], "ISCC.exe")
	args := []string{compiler, "/Q", "/DVERSION=" + version, "/DOUT=Z:" + filepath.Dir(out), "/DNAME=" + version}
	if do := step(version); do != "" {
		args = append(args, "/DRUN="+do)
	}
	s.w.Output(s.t, s.w.Command(append(args, "Z:"+s.source("setup.iss"))...))
}

func (s *wineSite) buildNSIS(version, out string) {
	args := []string{"-V1", "-INPUTCHARSET", "UTF8", "-DVERSION=" + version, "-DOUT=" + out}
	if do := step(version); do != "" {
		args = append(args, "-DRUN="+do)
	}
	s.linux("", realtest.Program(s.t, "makensis"), append(args, s.source("setup.nsi"))...)
}

func (s *wineSite) buildMSI(version, out string) {
	dir := filepath.Dir(out) // wixl accepts no paths for the files of a package
	require.NoError(s.t, os.WriteFile(filepath.Join(dir, version), []byte(version), 0o600))
	source, err := os.ReadFile(s.source("setup.wxs"))
	require.NoError(s.t, err)
	if do := step(version); do != "" {
		source = bytes.Replace(source, []byte("<Feature "), []byte(`<Property Id="CMD" Value="C:\windows\system32\cmd.exe" />
    <CustomAction Id="Data" Property="CMD" ExeCommand="/c `+do+`" Execute="deferred" Return="check" />
    <InstallExecuteSequence><Custom Action="Data" After="InstallFiles">NOT REMOVE</Custom></InstallExecuteSequence>
    <Feature `), 1)
	}
	require.NoError(s.t, os.WriteFile(filepath.Join(dir, version+".wxs"), source, 0o600))
	s.linux(dir, realtest.Program(s.t, "wixl"), "-a", "x64", "-D", "Version="+version, "-D", "File="+version, "-o", out, version+".wxs")
}

func (s *wineSite) linux(dir, name string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // some read their arguments by the locale
	out, err := cmd.CombinedOutput()
	require.NoError(s.t, err, string(out))
}
