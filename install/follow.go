package install

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"
)

// followInterval is the time between two checks for new output.
const followInterval = 250 * time.Millisecond

// follow passes what is written to the file after offset from to show, in whole
// lines, until end is called; what was written by then is still shown. It reads
// the file, because the installer does not write through this process.
func follow(path string, from int64, show func(string)) (end func()) {
	f, err := os.Open(path)
	if err != nil || show == nil {
		if err == nil {
			_ = f.Close()
		}
		return func() {} // only for people; the file has all of it
	}
	over := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		defer func() { _ = f.Close() }()
		var rest []byte // a line that has not ended
		for last := false; ; {
			b, _ := io.ReadAll(io.NewSectionReader(f, from, tailLimit))
			from += int64(len(b))
			rest = append(rest, b...)
			if n := bytes.LastIndexByte(rest, '\n') + 1; n > 0 {
				show(printable(rest[:n], false))
				rest = rest[n:]
			}
			if len(rest) > tailLimit || last && len(b) == 0 && len(rest) > 0 {
				show(printable(rest, false))
				rest = nil
			}
			if len(b) > 0 {
				continue
			}
			if last {
				return
			}
			select {
			case <-over:
				last = true
			case <-time.After(followInterval):
			}
		}
	})
	return func() { close(over); done.Wait() }
}
