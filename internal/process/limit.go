package process

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Limits bound a file that a program appends to. It grows to Most bytes, and then
// the first Head bytes and the last Tail bytes are kept.
type Limits struct{ Head, Tail, Most int64 }

// LogLimits are those of what a program prints: enough to see how it began and
// how it ended, and never what fills a disk.
var LogLimits = Limits{Head: 256 << 10, Tail: 1 << 20, Most: 4 << 20}

// The time between two checks of a file, and of one that grows fast.
const (
	limitInterval = 50 * time.Millisecond
	floodInterval = 5 * time.Millisecond
	floodGrowth   = 64 << 10 // bytes between two checks
)

// Limit keeps the file at path within its limits, counted from its present end,
// until the function that it returns is called. The program must have opened the
// file for appending. The place of what was left out says how much that was. The
// program writes to the file by itself and goes on if this process dies.
func Limit(path string, l Limits) (stop func()) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return func() {}
	}
	from, _ := f.Seek(0, io.SeekEnd)
	return l.watch(f, from, nil)
}

// Follow is like Limit from the offset from on, and passes what is appended to
// seen, from a goroutine of its own, until stop was called; what was appended by
// then is still passed on. Of a flood it leaves parts out.
func Follow(path string, from int64, l Limits, seen func([]byte)) (stop func()) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return func() {}
	}
	return l.watch(f, from, seen)
}

func (l Limits) watch(f *os.File, from int64, seen func([]byte)) (stop func()) {
	over := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		defer func() { _ = f.Close() }()
		w := watched{Limits: l, f: f, from: from, at: from, seen: seen}
		for last := false; ; {
			grown := w.check()
			if last && grown == 0 {
				return
			}
			if last {
				continue
			}
			interval := limitInterval
			if grown > floodGrowth {
				interval = floodInterval
			}
			select {
			case <-over:
				last = true
			case <-time.After(interval):
			}
		}
	})
	return sync.OnceFunc(func() { close(over); done.Wait() })
}

// A watched file is one that a program appends to.
type watched struct {
	Limits
	f    *os.File
	seen func([]byte)
	from int64 // the offset from which on it is limited
	at   int64 // the offset up to which it was seen
	head int64 // the end of the part that stays; 0 before something was left out
	mark int64 // the length of the line about what was left out
	lost int64 // bytes that were left out
}

// check passes on what was appended, and leaves out what is too much. It returns
// how much was appended.
func (w *watched) check() (grown int64) {
	size, err := w.f.Seek(0, io.SeekEnd)
	if err != nil || size <= w.at {
		return 0
	}
	grown = size - w.at
	if w.seen != nil {
		from := max(w.at, size-w.Tail)
		b, _ := io.ReadAll(io.NewSectionReader(w.f, from, size-from))
		if from > w.at { // half a line may begin with half a secret
			_, b, _ = bytes.Cut(b, []byte{'\n'})
		}
		w.seen(b)
	}
	w.at = size
	if size-w.from > w.Most {
		w.cut(size)
	}
	return grown
}

// cut leaves out what is between the head and the tail. The tail is moved before
// the file is shortened: what the program appends in between is lost, and is counted.
func (w *watched) cut(size int64) {
	if w.head == 0 {
		b := make([]byte, w.Head)
		n, _ := w.f.ReadAt(b, w.from)
		if end := bytes.LastIndexByte(b[:n], '\n') + 1; end > 0 {
			n = end
		}
		w.head = w.from + int64(n)
	}
	tail := make([]byte, w.Tail)
	n, err := w.f.ReadAt(tail, size-w.Tail)
	if tail = tail[:n]; err != nil && n == 0 {
		return
	}
	if i := bytes.IndexByte(tail, '\n') + 1; i > 0 && i < len(tail) {
		tail = tail[i:]
	}
	lost := w.lost + size - w.head - w.mark - int64(len(tail))
	mark := fmt.Sprintf("\n… %d bytes were left out here …\n", lost)
	if _, err := w.f.WriteAt(append([]byte(mark), tail...), w.head); err != nil {
		return
	}
	now, err := w.f.Seek(0, io.SeekEnd)
	if err != nil {
		return
	}
	end := w.head + int64(len(mark)+len(tail))
	if err := w.f.Truncate(end); err != nil {
		return
	}
	w.lost, w.mark, w.at = lost+now-size, int64(len(mark)), end
}
