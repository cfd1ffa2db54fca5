package install

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
)

// How long an installer may do nothing before an event reports it. Standard input is
// empty, so one that asks waits in vain, or asks again without end.
const (
	promptTimeout  = 20 * time.Second // after a line that ends like a question, or with a window
	repeatTimeout  = 10 * time.Second // of the same output
	silenceTimeout = 10 * time.Minute // without output and work
)

// silenceInterval is the time between two checks.
const silenceInterval = 5 * time.Second

// repeatPart is how much output must consist of repetitions, and repeatPeriod how
// long one of them is: a row of dots is none.
const (
	repeatPart      = 4 << 10
	leastPeriod     = 8
	mostPeriod      = 512
	idle            = 20 * time.Millisecond // of the processors between two checks is no work
	shownOfQuestion = 200
)

// question matches the end of a line that waits for an answer.
var question = regexp.MustCompile(`[?:>\])]\s*$`)

// silence finds out whether an installer waits for something that does not come. It
// only reports it: what looks like a question may be none.
type silence struct {
	show  func(string) // as the Output of a Runner; may be nil
	page  codePage
	every time.Duration // for tests; zero is silenceInterval
	scale int           // for tests: what the timeouts are divided by; zero is 1

	mu     sync.Mutex
	line   []byte    // the last one, which has not ended
	last   []byte    // the end of the output
	output time.Time // when something was printed last
	bytes  int64     // printed so far

	work     time.Duration // of the processors, at the last check
	worked   time.Time     // when there was work last
	repeated time.Time     // since when the output repeats
	at       int64         // bytes, then
	reported map[string]bool
}

func newSilence(show func(string), page codePage) *silence {
	now := time.Now()
	return &silence{show: show, page: page, output: now, worked: now, reported: map[string]bool{}}
}

func (s *silence) interval() time.Duration {
	if s.every > 0 {
		return s.every
	}
	return silenceInterval
}

// seen takes what the installer has just printed.
func (s *silence) seen(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.output = time.Now()
	s.bytes += int64(len(b))
	s.last = append(s.last, b...)
	s.last = s.last[max(0, len(s.last)-repeatPart):]
	s.line = append(s.line, b...)
	if n := bytes.LastIndexByte(s.line, '\n') + 1; n > 0 {
		s.print(s.line[:n])
		s.line = bytes.Clone(s.line[n:])
	}
	if len(s.line) > tailLimit {
		s.print(s.line)
		s.line = nil
	}
}

// end takes the end of the output.
func (s *silence) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.line) > 0 {
		s.print(s.line)
	}
	s.line = nil
}

func (s *silence) print(b []byte) {
	if s.show != nil {
		s.show(s.page.printable(b, false))
	}
}

// report reports, once each, that the installer seems to wait.
func (s *silence) report(r *Runner, rec record, t *process.Tree) {
	now := time.Now()
	if work, err := t.Work(); err == nil {
		if d := work - s.work; d > idle || d < 0 {
			s.worked = now
		}
		s.work = work
	}
	s.mu.Lock()
	line, last, printed, output := bytes.Clone(s.line), bytes.Clone(s.last), s.bytes, s.output
	s.mu.Unlock()

	within := func(d time.Duration) time.Duration { return d / time.Duration(max(s.scale, 1)) }
	quiet := now.Sub(later(output, s.worked))
	tell := func(what, format string, args ...any) {
		if !s.reported[what] {
			s.reported[what] = true
			r.event(eventWaiting, rec.PID, rec.Started, format, args...)
		}
	}
	const answer = "it may be waiting for an answer, which it cannot get here"
	if unit, ok := repetition(last, s.page); !ok {
		s.repeated = time.Time{}
	} else if s.repeated.IsZero() {
		s.repeated, s.at = now, printed
	} else if now.Sub(s.repeated) >= within(repeatTimeout) && printed-s.at > repeatPart {
		tell("repeats", "the installer prints the same without end, %q: %s", unit, answer)
	}
	if text := strings.TrimSpace(s.page.printable(line, false)); quiet >= within(promptTimeout) && question.MatchString(text) {
		tell("question", "the installer has printed %q and does nothing since: %s", text[max(0, len(text)-shownOfQuestion):], answer)
	}
	if quiet >= within(promptTimeout) && !s.reported["window"] {
		if titles := windowsOf(t); len(titles) > 0 {
			tell("window", "the installer shows a window and does nothing since, %q: %s", strings.Join(titles, ", "), answer)
		}
	}
	if quiet >= within(silenceTimeout) {
		tell("silence", "the installer has been silent and idle for %s: %s", quiet.Round(time.Second), answer)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// repetition returns what b consists of, if it is one text again and again.
func repetition(b []byte, page codePage) (unit string, ok bool) {
	if len(b) < repeatPart {
		return "", false
	}
	// next[i] is the length of the longest text that b[:i+1] both begins and ends with.
	next := make([]int, len(b))
	for i, n := 1, 0; i < len(b); i++ {
		for n > 0 && b[i] != b[n] {
			n = next[n-1]
		}
		if b[i] == b[n] {
			n++
		}
		next[i] = n
	}
	period := len(b) - next[len(b)-1]
	if period < leastPeriod || period > mostPeriod {
		return "", false
	}
	text := b[len(b)-period:]
	if i := bytes.IndexByte(text, '\n'); i >= 0 { // from the beginning of a line
		text = append(bytes.Clone(text[i+1:]), text[:i]...)
	}
	unit = strings.TrimSpace(page.printable(text, true))
	return unit[:min(len(unit), shownOfQuestion)], unit != ""
}
