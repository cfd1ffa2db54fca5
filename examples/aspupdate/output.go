package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/aspupdate/aspupdate/internal/safetext"
)

const (
	// outputLimit bounds what waits for a reader that does not read.
	outputLimit = 1 << 20
	// outputPatience is how long the program's end waits for such a reader.
	outputPatience = 3 * time.Second
)

// An output is standard output or standard error. Write never blocks and never
// fails: an update must not end, nor wait with users kept out, because its
// terminal was closed, its pipe is broken, its reader sleeps or its log's disk is
// full. What cannot be written is dropped. The journal has what happened.
type output struct {
	file *os.File

	mu      sync.Mutex
	changed sync.Cond
	waiting []byte
	writing bool
	dropped int   // lines
	patient bool  // an answer is printed: it waits for its reader
	err     error // the first failure to write
}

// newOutput returns an output that writes to file.
func newOutput(file *os.File) *output {
	o := &output{file: file}
	o.changed.L = &o.mu
	go o.run()
	return o
}

// Write implements [io.Writer]. Nothing that it writes steers a terminal, wherever
// it comes from.
func (o *output) Write(text []byte) (int, error) {
	o.write([]byte(safetext.Clean(string(text))))
	return len(text), nil
}

// control writes what steers the terminal on purpose.
func (o *output) control(sequence string) { o.write([]byte(sequence)) }

func (o *output) write(text []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.patient && len(o.waiting) > outputLimit {
		o.changed.Wait()
	}
	if len(o.waiting)+len(text) > outputLimit && !o.patient {
		o.dropped += bytes.Count(text, []byte("\n"))
		return
	}
	if o.dropped > 0 {
		o.waiting = fmt.Appendf(o.waiting, "(%d lines were not printed: their reader sleeps)\n", o.dropped)
		o.dropped = 0
	}
	o.waiting = append(o.waiting, text...)
	o.changed.Broadcast()
}

// run writes what waits, for ever.
func (o *output) run() {
	o.mu.Lock()
	for {
		for len(o.waiting) == 0 {
			o.changed.Wait()
		}
		text := o.waiting
		o.waiting, o.writing = nil, true
		o.changed.Broadcast()
		o.mu.Unlock()
		_, err := o.file.Write(text)
		o.mu.Lock()
		o.writing = false
		if o.err == nil {
			o.err = err
		}
		o.changed.Broadcast()
	}
}

// flush waits until everything is written, at most for a time if there is no
// answer in it.
func (o *output) flush(limit time.Duration) {
	late := false
	defer time.AfterFunc(limit, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		late = true
		o.changed.Broadcast()
	}).Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for (len(o.waiting) > 0 || o.writing) && (o.patient || !late) {
		o.changed.Wait()
	}
}

// answer makes what is written from now on wait for its reader: it is the answer
// to a question, and nothing waits for this program.
func (o *output) answer() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.patient = true
}

// answered waits until an answer is written. The error says that it is lost on a
// disk; a reader who has gone away, as head does, has read what he wanted.
func (o *output) answered() error {
	o.flush(0)
	o.mu.Lock()
	defer o.mu.Unlock()
	if info, err := o.file.Stat(); err != nil || info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0 || isTerminal(o.file) {
		return nil
	}
	return o.err
}
