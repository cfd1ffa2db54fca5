package postgres

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/process"
)

// tools are pg_dump and pg_restore of one installation.
type tools struct {
	dump, restore string // paths
	major         int
	version       string // as printed by pg_dump
}

const maxLine = 64 << 10 // bytes

var versionForm = regexp.MustCompile(`\(PostgreSQL\) ([0-9]+)`)

// findTools finds programs that can read a server of that version
// (server_version_num): those of its own major version, or else the oldest newer
// ones, since the dump of a newer pg_dump may be of no use to an older server.
func (d *Database) findTools(ctx context.Context, server int) (tools, error) {
	want := server / 10000
	var best tools
	var seen []string
	for _, dir := range d.toolDirs() {
		t := tools{dump: filepath.Join(dir, "pg_dump"+exe()), restore: filepath.Join(dir, "pg_restore"+exe())}
		if _, err := os.Stat(t.restore); err != nil {
			continue
		}
		out, err := t.printVersion(ctx)
		if err != nil {
			continue
		}
		t.version = strings.TrimSpace(string(out))
		seen = append(seen, t.version+" in "+dir)
		m := versionForm.FindSubmatch(out)
		if m == nil {
			continue
		}
		if t.major, err = strconv.Atoi(string(m[1])); err != nil || t.major < want {
			continue
		}
		if best.dump == "" || t.major < best.major {
			best = t
		}
	}
	if err := ctx.Err(); err != nil {
		return tools{}, err
	}
	if best.dump == "" {
		return tools{}, advise(fmt.Errorf("%w: PostgreSQL %d requires pg_dump and pg_restore of that version or newer, found %q", backup.ErrIncompatible, want, seen),
			"install them or set Bin")
	}
	return best, nil
}

// printVersion returns what pg_dump --version prints.
func (t tools) printVersion(ctx context.Context) ([]byte, error) {
	cmd := exec.CommandContext(ctx, t.dump, "--version")
	cmd.Env = toolEnv()
	return cmd.Output()
}

// toolEnv returns the environment of all programs: nothing of this process's but what
// describes the machine. A password for something else that is in it is not passed on.
func toolEnv() []string { return append(process.BaseEnv(), "LC_ALL=C", "PG_COLOR=never") }

// connectionEnv are the variables of this process that say how a connection to the server is made:
// pgx has read them, too, and what it has not passed on, libpq reads again. They hold paths and
// modes, no secrets.
func connectionEnv() (env []string) {
	for _, name := range append(slices.Sorted(maps.Values(passOn)), "PGSSLCRL", "PGSSLCRLDIR", "PGREQUIREPEER", "PGREQUIREAUTH", "PGSYSCONFDIR") {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// toolDirs returns the directories to search. A wrapper in PATH, as on Debian, comes
// after the real programs.
func (d *Database) toolDirs() []string {
	if d.Bin != "" {
		return []string{d.Bin}
	}
	var dirs []string
	for _, glob := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", `C:\Program Files\PostgreSQL\*\bin`} {
		found, _ := filepath.Glob(glob) // the patterns are good
		dirs = append(dirs, found...)
	}
	if path, err := exec.LookPath("pg_dump"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs
}

func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// command prepares a program that connects to a database of the session's server.
// The password is passed in the environment, which other accounts cannot read.
func (s *session) command(database, program, options string, args ...string) *exec.Cmd {
	args = append(args, "--no-password", "--dbname="+conninfo(
		"host", s.cfg.Host, "port", strconv.Itoa(int(s.cfg.Port)), "user", s.cfg.User, "dbname", database))
	cmd := exec.Command(program, args...)
	cmd.Env = append(append(toolEnv(), connectionEnv()...), passedOn(s.d.URI)...)
	cmd.Env = append(cmd.Env, "PGAPPNAME=aspupdate", "PGOPTIONS="+options)
	if s.cfg.Password != "" {
		cmd.Env = append(cmd.Env, "PGPASSWORD="+s.cfg.Password)
	}
	if s.cfg.RequireAuth != "" { // programs of PostgreSQL 16 and later know it
		cmd.Env = append(cmd.Env, "PGREQUIREAUTH="+s.cfg.RequireAuth)
	}
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run runs a command, and ends it with all processes that it has started when ctx
// ends. The error has the end of its messages.
func run(ctx context.Context, cmd *exec.Cmd) error {
	return runHeard(ctx, cmd, nothing)
}

// runHeard also passes each line to heard, and omits from the error those for
// which heard returns true, and what may have rows or passwords of the database in it.
func runHeard(ctx context.Context, cmd *exec.Cmd, heard func(line string) bool) error {
	stderr := &tail{max: 4 << 10}
	private := privateLines(filepath.Base(cmd.Path))
	lines := &lineWriter{line: func(line []byte) {
		if !heard(string(line)) && !private(string(line)) {
			_, _ = stderr.Write(line) // never fails
		}
	}}
	cmd.Stderr = lines
	err := process.Do(process.Disposable(ctx), cmd) // it works on a copy, which a later process drops
	lines.flush()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// privateLines returns a function that reports whether the next line of what a program prints is one of
// those that follow an error and may quote rows or statements.
func privateLines(program string) func(line string) bool {
	program = strings.TrimSuffix(program, ".exe") + ": "
	private := false
	return func(line string) bool {
		switch {
		case quotes.MatchString(line):
			private = true
		case strings.HasPrefix(line, program):
			private = false
		}
		return private
	}
}

var quotes = regexp.MustCompile(`^(pg_[a-z]+: (detail: )?)?(DETAIL|HINT|CONTEXT|QUERY|STATEMENT|LOCATION|Command was|Query was):`)

// conninfo joins keys and values the way libpq reads them.
func conninfo(pairs ...string) string {
	var b strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for pair := range slices.Chunk(pairs, 2) {
		fmt.Fprintf(&b, "%s='%s' ", pair[0], quote.Replace(pair[1]))
	}
	return strings.TrimSpace(b.String())
}

// passOn are the keys of a connection string that libpq also reads from the
// environment, and that pgx does not return.
var passOn = map[string]string{
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
	"sslsni": "PGSSLSNI", "sslnegotiation": "PGSSLNEGOTIATION", "channel_binding": "PGCHANNELBINDING",
	"ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
	"connect_timeout": "PGCONNECT_TIMEOUT", "krbsrvname": "PGKRBSRVNAME",
	"service": "PGSERVICE", "servicefile": "PGSERVICEFILE",
}

// passedOn returns those of a URI or of key=value words.
func passedOn(conn string) []string {
	var env []string
	add := func(key, value string) {
		if name := passOn[key]; name != "" {
			env = append(env, name+"="+value)
		}
	}
	if u, err := url.Parse(conn); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		for key, values := range u.Query() {
			add(key, values[0])
		}
		return env
	}
	for conn != "" {
		key, rest, ok := strings.Cut(conn, "=")
		if !ok {
			break
		}
		var value string
		value, conn = cutValue(strings.TrimLeft(rest, " \t\r\n"))
		add(strings.TrimSpace(key), value)
	}
	return env
}

// cutValue cuts one value off words that pgx has accepted.
func cutValue(s string) (value, rest string) {
	quoted := strings.HasPrefix(s, "'")
	if quoted {
		s = s[1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case quoted && c == '\'', !quoted && strings.IndexByte(" \t\r\n", c) >= 0:
			return b.String(), s[i+1:]
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// lineWriter passes on what is written to it line by line.
type lineWriter struct {
	line func([]byte)
	part []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		l.line(append(l.part, p[:i+1]...))
		l.part, p = l.part[:0], p[i+1:]
	}
	if l.part = append(l.part, p...); len(l.part) > maxLine {
		l.flush()
	}
	return n, nil
}

func (l *lineWriter) flush() {
	l.line(l.part)
	l.part = l.part[:0]
}

// tail keeps the last bytes written to it.
type tail struct {
	max int
	bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.Buffer.Write(p)
	if over := t.Len() - t.max; over > 0 {
		t.Next(over)
	}
	return n, err
}

// firstError keeps why writing failed: the program at the other end reports only a
// broken pipe.
type firstError struct {
	w   io.Writer
	err error
}

func (f *firstError) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil && f.err == nil {
		f.err = err
	}
	return n, err
}
