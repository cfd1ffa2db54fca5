package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/safetext"
	"github.com/aspupdate/aspupdate/rollback"
)

// A runningStep is a step that has begun and not ended. While one takes its time, a person sees
// that it goes on: on a terminal in one line that changes, elsewhere in a line now and then.
type runningStep struct {
	key, text string
	subject   string
	begun     time.Time
	next      time.Duration // after how long the next line is printed, where there is no terminal
	output    string        // the last line that a program of the step has printed
}

// follow takes the beginning and the end of steps.
func (p *printer) follow(e rollback.Event) {
	if p.quiet || e.Kind != rollback.EventBegin && e.Kind != rollback.EventDone && e.Kind != rollback.EventFailed {
		return
	}
	key := string(e.Step) + " " + e.Subject
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.steps { // one that is begun again, too
		if s.key == key {
			p.steps = append(p.steps[:i:i], p.steps[i+1:]...)
			break
		}
	}
	if e.Kind != rollback.EventBegin {
		return
	}
	p.steps = append(p.steps, &runningStep{key: key, text: e.Text, subject: e.Subject, begun: time.Now(), next: time.Minute})
	if !p.ticking {
		p.ticking = true
		go p.tick(time.Second)
	}
}

// printed takes what an installer prints, or for a dataset what restructures it: several are
// restructured at a time.
func (p *printer) printed(data, text string) {
	line := ""
	for part := range strings.Lines(text) {
		if part = strings.TrimSpace(safetext.Line(part)); part != "" {
			line = part
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if line == "" {
		return
	}
	for _, s := range slices.Backward(p.steps) {
		if data == "" || s.subject == data {
			s.output = line
			return
		}
	}
}

// tick shows the running step again and again, until none is running.
func (p *printer) tick(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for now := range ticker.C {
		if !p.showRunning(now) {
			return
		}
	}
}

// showRunning shows the step that began last. It reports whether a step is running.
func (p *printer) showRunning(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.steps) == 0 {
		p.ticking = false
		return false
	}
	s := p.steps[len(p.steps)-1]
	elapsed := now.Sub(s.begun)
	if isTerminal(p.out) {
		if now.Sub(p.progressed) > 2*time.Second { // what a backup reports says more
			p.rewrite(s.shown(p, clockTime(elapsed)))
		}
		return true
	}
	if elapsed >= s.next && now.Sub(p.reported) >= time.Minute {
		s.next = laterLine(s.next)
		p.print("", "", indent+s.shown(p, span(elapsed.Truncate(time.Minute))))
	}
	return true
}

// shown returns a running step in a line. What a program printed stays in its own language.
func (s *runningStep) shown(p *printer, elapsed string) string {
	return shown(p.speak, fmt.Sprintf("%s: running for %s", s.text, elapsed)) + after(" | ", s.output)
}

// laterLine returns when the line after the one at d is printed: after 1, 2, 5 and 10 minutes, then every 10.
func laterLine(d time.Duration) time.Duration {
	for _, next := range []time.Duration{2 * time.Minute, 5 * time.Minute, 10 * time.Minute} {
		if d < next {
			return next
		}
	}
	return d + 10*time.Minute
}

// clockTime returns a duration as a stopwatch shows it: 0:07, 12:40, 1:02:03.
func clockTime(d time.Duration) string {
	s := int(d.Seconds())
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
