package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Command is a program that runs to its end in a tree of its own.
type Command struct {
	Argv  []string
	Env   []string // the whole environment; nil is [BaseEnv]. What is not of that is shown by its name alone.
	Input []byte   // of its standard input
	// Whole means that the run lasts until the last process of the tree has ended,
	// as a program needs that goes on in a copy of itself. Otherwise a service that
	// the program starts lives on.
	Whole bool
	// Regardless means that the program runs also where neither it nor its output
	// can be recorded, as on a full disk: one that lets people in again, or starts what
	// they use. If a crash hides whether it has ended, it is known by its command line.
	Regardless bool
	// Seen, if not nil, is called with what the program prints while it runs, in whole
	// lines, by one call at a time and not after Run has returned. Of a flood it gets
	// parts.
	Seen func([]byte)
}

// Run runs a command to its end, recorded in the directory dir, where [Settle]
// finds it if this process dies. An error has the end of what the command printed.
// Its output goes to a file and not to a pipe, which a service that it starts
// would keep open. If ctx ends first, the command is ended with everything that it
// has started.
func Run(ctx context.Context, dir string, c Command) error {
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env = c.Env
	if cmd.Env == nil {
		cmd.Env = BaseEnv()
	}
	if c.Input != nil {
		cmd.Stdin = bytes.NewReader(c.Input)
	}
	r := run{dir: dir, whole: c.Whole, regardless: c.Regardless}
	out, err := openOutput()
	switch {
	case err != nil && c.Regardless: // its output is lost
		if err := r.do(ctx, cmd); err != nil {
			return fmt.Errorf("%s: %w", c.Argv[0], err)
		}
		return nil
	case err != nil:
		return err
	}
	defer func() { _, _ = out.Close(), durable.Remove(out.Name()) }()
	cmd.Stdout, cmd.Stderr, r.output = out, out, out.Name()
	hide, _ := Hider(cmd.Env)
	var lines wholeLines
	var seen func([]byte)
	if c.Seen != nil {
		lines.show = func(b []byte) { c.Seen([]byte(hide.Replace(string(b)))) }
		seen = lines.seen
	}
	limited := Follow(out.Name(), 0, LogLimits, seen)
	err = r.do(ctx, cmd)
	limited()
	lines.end()
	if err != nil {
		text := hide.Replace(end(out, LogLimits.Most)) // of a secret that is cut in two one half would be shown
		return fmt.Errorf("%s: %w: %s", c.Argv[0], err, strings.TrimSpace(text[max(0, len(text)-shown):]))
	}
	return nil
}

// shown is how much of its output the error of a command has, in bytes.
const shown = 500

// openOutput makes the file for what a command prints. It is open for appending, as [Limits] need,
// which cut it while the command goes on.
func openOutput() (*os.File, error) {
	made, err := os.CreateTemp("", outputPrefix+"*")
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(made.Name(), os.O_RDWR|os.O_APPEND, 0)
	if err := errors.Join(err, made.Close()); err != nil {
		return nil, errors.Join(err, durable.Remove(made.Name()))
	}
	return out, nil
}

// wholeLines collects output until a line of it has ended, or is very long.
type wholeLines struct {
	show func([]byte)
	rest []byte
}

func (l *wholeLines) seen(b []byte) {
	const most = 64 << 10
	l.rest = append(l.rest, b...)
	n := bytes.LastIndexByte(l.rest, '\n') + 1
	if n == 0 && len(l.rest) > most {
		n = len(l.rest)
	}
	if n > 0 {
		l.show(l.rest[:n])
		l.rest = bytes.Clone(l.rest[n:])
	}
}

func (l *wholeLines) end() {
	if len(l.rest) > 0 {
		l.show(l.rest)
	}
}

// end returns the last bytes of a file.
func end(f *os.File, n int64) string {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	b, _ := io.ReadAll(io.NewSectionReader(f, max(0, size-n), n))
	return string(b)
}

// Keys of contexts.
type (
	recordsKey    struct{}
	disposableKey struct{}
)

// Recorded returns a context in which [Do] records what it runs in the directory
// dir, where [Settle] finds it if this process dies.
func Recorded(ctx context.Context, dir string) context.Context {
	return context.WithValue(ctx, recordsKey{}, dir)
}

// Disposable returns a context in which [Do] runs what is of no use once this process
// has died, such as a dump that nothing will seal: [Settle] ends it at once.
func Disposable(ctx context.Context) context.Context {
	return context.WithValue(ctx, disposableKey{}, true)
}

// Do runs cmd to its end in a tree of its own, and returns what
// [exec.Cmd.Run] would. Processes that cmd leaves behind live on. When ctx
// ends, the whole tree is ended; the error then wraps both the error and the
// cause of ctx. Files that cmd makes for a moment go to a directory of its own,
// unless its environment names one. It is recorded where ctx is of [Recorded].
func Do(ctx context.Context, cmd *exec.Cmd) error {
	dir, _ := ctx.Value(recordsKey{}).(string)
	disposable, _ := ctx.Value(disposableKey{}).(bool)
	return run{dir: dir, ownTemp: true, disposable: disposable}.do(ctx, cmd)
}

// A run is how a command is run to its end.
type run struct {
	dir        string // of records; "" for none
	whole      bool   // until the last process has ended
	regardless bool   // also where it cannot be recorded
	disposable bool   // of no use to a later process
	ownTemp    bool   // with a directory for temporary files, which ends with it
	output     string // the file of its output, which ends with it; "" for none
}

func (r run) do(ctx context.Context, cmd *exec.Cmd) (err error) {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	entry := entry{Record: NewRecord(), Program: cmd.Path, Whole: r.whole, Output: r.output, Started: time.Now().UTC()}
	if r.regardless && runtime.GOOS == "linux" { // Windows records it before it runs
		entry.Line = entry.line(cmd.Args)
	}
	if r.disposable {
		entry.Until = entry.Started
	}
	if until, ok := ctx.Deadline(); ok && !r.disposable {
		entry.Until = until.UTC()
	}
	if r.ownTemp || r.whole {
		if entry.Temp, err = os.MkdirTemp("", tempPrefix+"*"); err != nil {
			return err
		}
		env := cmd.Env
		if env == nil {
			env = BaseEnv()
		}
		c := *cmd
		c.Env = WithTemp(env, entry.Temp)
		cmd = &c
	}
	var save func(Record) error
	if r.dir != "" {
		book, err := openEntry(r.dir, entry)
		if err != nil && !r.regardless {
			_ = durable.RemoveAll(entry.Temp)
			return fmt.Errorf("cannot record the command, which was not started: %w", err)
		}
		if err == nil {
			defer book.close()
			save = book.save
			if r.regardless {
				save = func(rec Record) error {
					if book.save(rec) != nil { // half a record would name something else
						_ = durable.Remove(book.path)
					}
					return nil
				}
			}
		}
	}
	t, err := Start(cmd, entry.Record, save)
	if err == nil {
		err = r.wait(ctx, t)
	}
	left := false // what was left behind may use the directory
	if t != nil {
		left, _ = t.Alive()
		t.Close()
	}
	if entry.Temp != "" && !left {
		_ = durable.RemoveAll(entry.Temp)
	}
	return err
}

// wait waits for the end of the run, and ends it with ctx.
func (r run) wait(ctx context.Context, t *Tree) error {
	select {
	case <-t.ended:
		if !r.whole {
			return t.err
		}
		cause, err := Poll(ctx, t.Alive)
		if cause == nil {
			return errors.Join(t.err, err)
		}
		return errors.Join(ended(ctx), t.End())
	case <-ctx.Done():
	}
	select {
	case <-t.ended: // at the same time: what it left behind lives on
		if !r.whole {
			return t.err
		}
	default:
	}
	err := errors.Join(ended(ctx), t.End())
	select {
	case <-t.ended:
	case <-time.After(2 * outputTimeout): // something of it could not be ended
	}
	return err
}
