package command

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/safetext"
)

const tailLimit = 4 << 10 // bytes of output that an error carries

// output receives what a command prints, hides the values of its environment,
// and keeps the end of it, and all of it in the log.
type output struct {
	mu      sync.Mutex // a program that could not be ended may go on writing
	log     *os.File   // nil if none is kept
	hide    *strings.Replacer
	longest int    // of what is hidden, in bytes
	wait    []byte // as it was printed; may end with the start of a value to hide
	tail    []byte
}

// output prepares to receive the output of one more command. Only a backup
// fails without its log: a full disk must not prevent a rollback.
func (c *call) output(step string, cmd Command) (*output, error) {
	o := &output{}
	o.hide, o.longest = process.Hider(cmd.Env)
	if c.Logs == "" {
		return o, nil
	}
	err := c.openLog(o)
	if err == nil {
		_, err = fmt.Fprintf(o.log, "== %s: %s\n", step, cmd.program())
	}
	if c.name != "backup" {
		err = nil
	}
	return o, err
}

func (c *call) openLog(o *output) (err error) {
	if c.log != "" {
		root, err := os.OpenRoot(filepath.Dir(c.log)) // out of which no link leads
		if err != nil {
			return err
		}
		defer func() { _ = root.Close() }()
		o.log, err = root.OpenFile(filepath.Base(c.log), os.O_WRONLY|os.O_APPEND, 0o600)
		return err
	}
	dir, err := filepath.Abs(c.Logs)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := private.Check(dir); err != nil {
		return err
	}
	o.log, err = os.CreateTemp(dir, c.name+"-*.log") // 0600
	if err == nil {
		c.log = o.log.Name()
	}
	return err
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wait = append(o.wait, p...)
	n := max(0, len(o.wait)-o.longest+1)
	whole := o.hide.Replace(string(o.wait))
	for n > 0 && o.hide.Replace(string(o.wait[:n]))+o.hide.Replace(string(o.wait[n:])) != whole {
		n-- // it is within a value
	}
	o.pass(n)
	return len(p), nil
}

// pass passes the first n waiting bytes on. A log that cannot be written, such as
// on a full disk, does not end the command.
func (o *output) pass(n int) {
	b := []byte(o.hide.Replace(string(o.wait[:n])))
	if o.log != nil {
		_, _ = o.log.Write(b)
	}
	o.tail = append(o.tail, b...)
	o.tail = bytes.Clone(o.tail[max(0, len(o.tail)-tailLimit):])
	o.wait = bytes.Clone(o.wait[n:])
}

// close ends the log and returns the end of the output in printable form.
func (o *output) close(err error) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pass(len(o.wait))
	if o.log != nil {
		result := "ok"
		if err != nil {
			result = err.Error()
		}
		_, _ = fmt.Fprintf(o.log, "== %s\n", result)
		_ = o.log.Close()
		o.log = nil
	}
	return strings.TrimSpace(printable(o.tail))
}

// printable returns output that is safe to print. A tail may begin inside a character.
func printable(b []byte) string { return safetext.Clean(string(safetext.FromRune(b))) }

// head keeps the first bytes written to it and discards the rest.
type head struct {
	max int
	b   []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), h.max-len(h.b))]...)
	return len(p), nil
}

// counter counts the bytes written to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
