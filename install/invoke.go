package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/internal/process"
)

// An invocation is how an installer is started.
type invocation struct {
	argv []string
	// line is the whole command line on Windows, where the installer parses it
	// by rules of its own. Empty means argv, quoted by the common rules.
	line string
	env  []string // added to the command's
	// ownLog means that the arguments make the installer write the log itself.
	ownLog bool
}

// command returns what starts the private copy at path with its output in log, and
// with temp for temporary files.
func (inv invocation) command(c Command, path, temp string, log *os.File) *exec.Cmd {
	cmd := exec.Command(inv.argv[0], inv.argv[1:]...)
	cmd.Dir = cmp.Or(c.Dir, filepath.Dir(path))
	cmd.Env = process.WithTemp(append(append([]string{}, c.Env...), inv.env...), temp)
	cmd.Stdout, cmd.Stderr = log, log
	setLine(cmd, inv.line)
	return cmd
}

// A target is what an invocation depends on besides the command. All of it is
// a parameter, so that the invocations of each system are tested on every one.
type target struct {
	goos    string
	msiexec string // its absolute path, independent of the search path
	path    string // of the private copy
	head    []byte // the beginning of the copy
	log     string // for the installer's own log
}

// resolve returns c with the kind that was detected from the file that runs, and
// the kind's table. It fails where another kind was stated.
func (c Command) resolve(f contents) (Command, error) {
	var err error
	if c.Kind != Auto {
		if len(c.Launcher) == 0 {
			err = c.Kind.stated(f)
		}
		return c, err
	}
	if c.Kind, err = f.detect(); err != nil {
		return c, withNext(err)
	}
	if c.Kind == Plain && len(c.Args)+len(c.Launcher) == 0 {
		return c, withNext(unknown("the silent arguments of a plain program are not known"))
	}
	return c, c.addCodes()
}

func withNext(err error) error {
	if errors.Is(err, ErrUnknownKind) {
		return fmt.Errorf("%w; %s", err, nextKind)
	}
	return err
}

// invoke returns how to start the file, such as the private copy, on this machine. It fails
// where the machine surely cannot run it.
func (c Command) invoke(ctx context.Context, f contents, log string) (invocation, error) {
	head, err := f.head()
	if err != nil {
		return invocation{}, err
	}
	inv, err := c.invocation(c.Kind, target{goos: runtime.GOOS, msiexec: msiexec(), path: f.path, head: head, log: log})
	if err == nil {
		err = c.fits(ctx, f)
	}
	return inv, err
}

// found fails if the program that opens the installer is not on this machine. One that
// is relative to the private copy is not known before.
func (inv invocation) found(installer string) error {
	program := inv.argv[0]
	if program == installer || program != filepath.Base(program) && !filepath.IsAbs(program) {
		return nil
	}
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("the program that opens the installer was not found: %w; install it, or correct the launcher", err)
	}
	return nil
}

// invocation returns how to start an installer of the kind.
func (c Command) invocation(kind Kind, t target) (invocation, error) {
	if c.Uninstall && (kind != MSI || len(c.Launcher) > 0) {
		return invocation{}, fmt.Errorf("cannot uninstall by an installer of another kind than msi, or with a Launcher: %w; run the application's own uninstaller", errors.ErrUnsupported)
	}
	if i := slices.IndexFunc(c.Args, func(a string) bool { return strings.ContainsAny(a, "\x00\r\n") }); i >= 0 {
		return invocation{}, fmt.Errorf("argument %d contains a line feed or a zero byte; remove it", i+1)
	}
	if len(c.Launcher) > 0 {
		return invocation{argv: slices.Concat(c.Launcher, []string{t.path}, c.Args)}, nil
	}
	if system, ok := kind.system(t.head); ok && (system == "windows") != (t.goos == "windows") {
		return invocation{}, fmt.Errorf("an installer of kind %s for %s cannot run on %s: %w; run it there, or set a Launcher that opens it here", kind, system, t.goos, errors.ErrUnsupported)
	}
	direct := func(silent ...string) []string { return slices.Concat([]string{t.path}, silent, c.Args) }
	switch kind {
	case Script:
		program, err := interpreter(t.head)
		return invocation{argv: slices.Concat(program, direct())}, err
	case Deb:
		// The administrator's changes to configuration files stay.
		return invocation{
			argv: slices.Concat([]string{"dpkg", "--force-confdef", "--force-confold"}, c.Args, []string{"-i", t.path}),
			env:  []string{"DEBIAN_FRONTEND=noninteractive"},
		}, nil
	case apt:
		// As for dpkg; and it may go back (R15), install the same version once more,
		// and bring what the package needs, but remove nothing for it.
		return invocation{
			argv: slices.Concat([]string{"apt-get", "install", "--yes", "--allow-downgrades", "--reinstall", "--no-remove", "--no-install-recommends",
				"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "APT::Sandbox::User=root"}, c.Args, []string{t.path}),
			env: []string{"DEBIAN_FRONTEND=noninteractive"},
		}, nil
	case rpm:
		// It may go back (R15) and install the same version once more. What a package
		// needs is never left out.
		return invocation{
			argv: slices.Concat([]string{"rpm", "-U", "--oldpackage", "--replacepkgs"}, c.Args, []string{"--", globbed(t.path)}),
			env:  []string{"LANGUAGE=en"}, // for scriptFailed
		}, nil
	case makeself:
		return c.makeself(t)
	case MSI:
		return c.msi(t)
	case NSIS:
		return c.nsis(t)
	case Inno:
		return invocation{argv: direct("/SP-", "/VERYSILENT", "/SUPPRESSMSGBOXES", "/NORESTART", "/RESTARTEXITCODE=3010", "/LOG="+t.log), ownLog: true}, nil
	case Burn:
		return invocation{argv: direct("/quiet", "/norestart", "/log", t.log), ownLog: true}, nil
	}
	return invocation{argv: direct()}, nil
}

// system returns the system for which a file of the kind was made; ok is false
// if the file does not show it.
func (k Kind) system(head []byte) (goos string, ok bool) {
	switch {
	case k == MSI, k == NSIS, k == Inno, k == Burn, strings.HasPrefix(string(head), "MZ") && !slices.Contains([]Kind{Deb, apt, rpm, makeself, Script}, k):
		return "windows", true
	case k == Deb, k == apt, k == rpm, k == makeself, k == Script, strings.HasPrefix(string(head), "\x7fELF"):
		return "linux", true
	}
	return "", false
}

// worksInService reports whether a service of Windows does the kind's work,
// which goes on when the installer is ended.
func (k Kind) worksInService() bool { return k == MSI || k == Burn }

// needsRights reports whether installers of the kind need elevated rights. A setup of
// Inno does by default, which its manifest does not show: it elevates itself, with a
// question.
func (k Kind) needsRights() bool {
	return slices.Contains([]Kind{MSI, Burn, Inno, Deb, apt, rpm}, k)
}

// globbed returns the path for rpm, which takes it for a pattern and has no way to
// quote a brace. A question mark stands for any character, and the private copy is
// the one file that fits: its directory has a name of its own.
func globbed(path string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`*?[]{}\`, r) {
			return '?'
		}
		return r
	}, path)
}

// makeself passes the arguments to the script in the archive; those before "--"
// are for makeself itself. It unpacks beside the copy: programs may be forbidden
// in the machine's temporary directory, and what it leaves is removed.
func (c Command) makeself(t target) (invocation, error) {
	program, err := interpreter(t.head)
	own, args := []string(nil), c.Args
	if i := slices.Index(c.Args, "--"); i >= 0 {
		own, args = c.Args[:i], c.Args[i+1:]
	}
	for _, a := range own {
		switch a {
		case "--noexec", "--list", "--info", "--lsm", "--check", "--dumpconf", "--tar", "--confirm", "--help":
			return invocation{}, fmt.Errorf("the argument %s installs nothing, or asks; remove it", a)
		}
	}
	return invocation{
		argv: slices.Concat(program, []string{t.path, "--quiet", "--accept", "--nox11"}, own, []string{"--"}, args),
		env:  []string{"TMPDIR=" + filepath.Dir(t.path)},
	}, err
}

var property = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.]*)=(.*)$`)

// msi returns the command line of msiexec, which accepts NAME="a value", with
// doubled quotes in the value, and not "NAME=a value".
func (c Command) msi(t target) (invocation, error) {
	verb := "/i"
	if c.Uninstall {
		verb = "/x"
	}
	argv := slices.Concat([]string{t.msiexec, verb, t.path, "/qn", "/norestart", "/l*v", t.log}, c.Args)
	words := make([]string, len(argv))
	for i, arg := range argv {
		words[i] = quote(arg)
		if m := property.FindStringSubmatch(arg); m != nil {
			value := m[2]
			if value == "" || strings.ContainsAny(value, " \t\"") {
				value = `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
			}
			words[i] = m[1] + "=" + value
		}
	}
	return invocation{argv: argv, line: strings.Join(words, " "), ownLog: true}, nil
}

// nsis puts the directory last and does not quote it: for these installers
// (/D=) and their uninstallers (_?=) it is the rest of the line.
func (c Command) nsis(t target) (invocation, error) {
	var words, dirs []string
	for _, arg := range c.Args {
		if strings.HasPrefix(arg, "/D=") || strings.HasPrefix(arg, "_?=") {
			dirs = append(dirs, arg)
		} else {
			words = append(words, arg)
		}
	}
	switch {
	case len(dirs) > 1:
		return invocation{}, errors.New("more than one argument begins with /D= or _?=; use one")
	case len(dirs) == 1 && strings.Contains(dirs[0], `"`):
		return invocation{}, errors.New("the directory in /D= or _?= is written without quotes, even with spaces in it; remove them")
	}
	argv := slices.Concat([]string{t.path, "/S"}, words)
	var line []string
	for _, arg := range argv {
		line = append(line, quote(arg))
	}
	return invocation{argv: slices.Concat(argv, dirs), line: strings.Join(slices.Concat(line, dirs), " ")}, nil
}

// quote returns one argument for programs that parse their command line by the
// rules of Microsoft's C library. The standard library has it on Windows only;
// these lines are tested on every system.
func quote(arg string) string {
	if arg != "" && !strings.ContainsAny(arg, " \t\"") {
		return arg
	}
	var b strings.Builder
	b.WriteByte('"')
	slashes := 0
	for i := range len(arg) {
		switch arg[i] {
		case '\\':
			slashes++
		case '"':
			b.WriteString(strings.Repeat(`\`, slashes+1)) // doubles them, and escapes the quote
			slashes = 0
		default:
			slashes = 0
		}
		b.WriteByte(arg[i])
	}
	b.WriteString(strings.Repeat(`\`, slashes))
	b.WriteByte('"')
	return b.String()
}
