package crashfs

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The calls that the parser understands, and those that it would otherwise miss.
// The question mark is for calls that not every processor's kernel has.
const (
	understood = "openat,read,lseek,write,pwrite64,ftruncate,fsync,fdatasync,mkdirat,renameat,renameat2,unlinkat"
	refused    = "?open,?creat,?truncate,?rename,?mkdir,?unlink,?rmdir,?link,?symlink,linkat,symlinkat," +
		"fallocate,writev,pwritev,pwritev2,copy_file_range,sendfile,splice,openat2"
)

// Dir returns a directory for the test, in memory if possible: the model decides
// what a sync keeps, and a disk would only be slow.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "crashfs-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Trace runs cmd to its end and returns what it did in the directory root, a
// path without links. The command is one process that starts no other which
// writes there. Trace needs strace, and skips the test without it.
func Trace(t testing.TB, cmd *exec.Cmd, root string) Log {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("strace records the calls, on Linux only; the code that makes them is the same elsewhere")
	}
	strace := realtest.Program(t, "strace")
	base, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "strace")
	// All bytes as hexadecimal digits, so that nothing needs to be unquoted.
	args := []string{"-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", "16777216", "-o", out, "-e", "trace=" + understood + "," + refused}
	if msg, err := exec.Command(strace, append(args, "true")...).CombinedOutput(); err != nil {
		realtest.Skip(t, "strace may not trace here: %v: %s", err, msg)
	}
	traced := exec.Command(strace, append(append(args, "--", cmd.Path), cmd.Args[1:]...)...) //nolint:gosec // a test's own command
	traced.Env, traced.Dir = cmd.Env, cmd.Dir
	if msg, err := traced.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	ops, err := parse(f, root)
	if err != nil {
		t.Fatal(err)
	}
	return Log{Base: base, Ops: ops}
}

// A parser parses the output of strace.
type parser struct {
	root    string
	started map[string]string // by thread: a call that was interrupted by another thread's
	offsets map[int]int64     // by descriptor
	ops     []Op
}

var (
	callForm    = regexp.MustCompile(`^(\w+)\((.*)\) += (-?\d+)`)
	resumedForm = regexp.MustCompile(`^<\.\.\. \w+ resumed>(.*)$`)
)

func parse(r io.Reader, root string) ([]Op, error) {
	p := parser{root: root, started: map[string]string{}, offsets: map[int]int64{}}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return p.ops, err
		}
		thread, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		text = strings.TrimSpace(text)
		if begin, ok := strings.CutSuffix(text, " <unfinished ...>"); ok {
			p.started[thread] = begin
			continue
		}
		if m := resumedForm.FindStringSubmatch(text); m != nil {
			text = p.started[thread] + m[1]
		}
		m := callForm.FindStringSubmatch(text)
		if m == nil {
			continue // the end of a thread, a signal
		}
		ret, err := strconv.ParseInt(m[3], 10, 64)
		if err != nil {
			return nil, err
		}
		if ret < 0 {
			continue
		}
		if err := p.call(m[1], strings.Split(m[2], ", "), ret); err != nil {
			return nil, fmt.Errorf("%.300s: %w", text, err)
		}
	}
}

// call adds one call that succeeded.
func (p *parser) call(name string, args []string, ret int64) error {
	add := func(op Op, place string) {
		if rel, ok := p.rel(place); ok {
			op.Path = rel
			p.ops = append(p.ops, op)
		}
	}
	switch name {
	case "openat":
		place, err := at(args[0], args[1])
		if err != nil {
			return err
		}
		p.offsets[int(ret)] = 0
		flags := strings.Split(args[2], "|")
		for _, f := range flags {
			switch _, ours := p.rel(place); {
			case f == "O_CREAT":
				add(Op{Kind: Create}, place)
			case f == "O_TRUNC":
				add(Op{Kind: Truncate}, place)
			case ours && (f == "O_APPEND" || f == "O_TMPFILE"):
				return errors.New("this is not modeled")
			}
		}
	case "mkdirat", "unlinkat":
		place, err := at(args[0], args[1])
		if err != nil {
			return err
		}
		add(Op{Kind: map[string]Kind{"mkdirat": Mkdir, "unlinkat": Remove}[name]}, place)
	case "renameat", "renameat2":
		from, err := at(args[0], args[1])
		if err != nil {
			return err
		}
		to, err := at(args[2], args[3])
		if err != nil {
			return err
		}
		_, in := p.rel(from)
		rel, out := p.rel(to)
		if in != out || len(args) > 4 && args[4] != "RENAME_NOREPLACE" {
			return errors.New("this is not modeled")
		}
		add(Op{Kind: Rename, To: rel}, from)
	case "read", "lseek", "write", "pwrite64", "ftruncate", "fsync", "fdatasync":
		return p.file(name, args, ret, add)
	default:
		for _, arg := range args {
			if strings.Contains(arg, hexed(p.root)) {
				return errors.New("this is not modeled")
			}
		}
	}
	return nil
}

// file adds a call on an open file.
func (p *parser) file(name string, args []string, ret int64, add func(Op, string)) error {
	fd, place, err := descriptor(args[0])
	if err != nil {
		return err
	}
	switch name {
	case "read":
		p.offsets[fd] += ret
	case "lseek":
		p.offsets[fd] = ret
	case "write", "pwrite64":
		if _, ours := p.rel(place); !ours {
			return nil
		}
		data, err := unquote(args[1])
		if err != nil || int64(len(data)) < ret {
			return fmt.Errorf("data is missing: %w", err)
		}
		off := p.offsets[fd]
		if name == "pwrite64" {
			if off, err = strconv.ParseInt(args[3], 10, 64); err != nil {
				return err
			}
		} else {
			p.offsets[fd] += ret
		}
		add(Op{Kind: Write, Off: off, Data: data[:ret]}, place)
	case "ftruncate":
		size, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil {
			return err
		}
		add(Op{Kind: Truncate, Off: size}, place)
	default:
		add(Op{Kind: Sync}, place)
	}
	return nil
}

// rel returns the path below root, and whether place is below root.
func (p *parser) rel(place string) (string, bool) {
	if place == p.root {
		return "", true
	}
	return strings.CutPrefix(place, p.root+"/")
}

// at returns the path of a name relative to a directory.
func at(dir, name string) (string, error) {
	rel, err := unquote(name)
	if err != nil || path.IsAbs(rel) {
		return path.Clean(rel), err
	}
	_, base, err := descriptor(dir)
	return path.Join(base, rel), err
}

// descriptor parses "5<path>". A removed file has no path: what is written to it
// does not matter.
func descriptor(arg string) (fd int, place string, err error) {
	num, rest, _ := strings.Cut(arg, "<")
	if num != "AT_FDCWD" {
		if fd, err = strconv.Atoi(num); err != nil {
			return 0, "", err
		}
	}
	name, ok := strings.CutSuffix(rest, ">")
	if !ok {
		return fd, "", nil
	}
	place, err = unhex(name)
	return fd, place, err
}

func unquote(arg string) (string, error) {
	s, ok := strings.CutSuffix(arg, `"`)
	if !ok {
		return "", errors.New("a string is truncated")
	}
	return unhex(strings.TrimPrefix(s, `"`))
}

func unhex(s string) (string, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil && !strings.HasPrefix(s, `\x`) {
		return s, nil // a pipe, a socket
	}
	return string(b), err
}

func hexed(s string) string {
	var b strings.Builder
	for i := range len(s) {
		_, _ = fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	return b.String()
}
