package install

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
)

// An installer that found another installation in progress ([Busy]) is started again
// for busyTimeout: unattended updates of a machine hold their locks for minutes. The
// interval grows to busyInterval.
const (
	busyTimeout  = 30 * time.Minute
	busyInterval = time.Minute
	busyFirst    = 5 * time.Second
)

// locked matches what package managers print if another process holds their locks,
// also in Russian. Scripts and other installers that call them pass it on.
var locked = regexp.MustCompile(`(?i)` +
	`dpkg[^\n]*lock[^\n]* (was|is) locked by another process|dpkg[^\n]* database is locked by another process|` +
	`dpkg[^\n]*заблокирован[^\n]* другим процессом|` +
	`could not get lock /|unable to acquire the dpkg frontend lock|unable to lock (the administration )?directory|` +
	`не удалось получить доступ к файлу блокировки|не удалось выполнить блокировку|` +
	`can't create transaction lock on|cannot create transaction lock|не удается создать блокировку транзакции|` +
	`another app is currently holding the (yum|dnf) lock|waiting for process with pid [0-9]+ to finish|` +
	`system management is locked by the application with pid`)

// verdictOf returns the meaning of an exit code, together with the end of the output.
func (c Command) verdictOf(code uint32, tail string) Verdict {
	v := c.verdict(code)
	if v.Status == Failed && locked.MatchString(tail) {
		return Verdict{Status: Busy, Meaning: "another program holds the lock of the package manager", Next: nextBusy}
	}
	if v.Status == OK && c.Kind == rpm && scriptFailed.MatchString(tail) {
		return Verdict{Status: Failed, Meaning: "rpm installed the files, and a script of the package failed", Next: nextLog}
	}
	return v
}

// scriptFailed matches what rpm prints, in English, if the script after an
// installation fails; it then exits with 0, as if all were well.
var scriptFailed = regexp.MustCompile(`%post(trans)?\([^\n]*\) scriptlet failed|lua script failed: \[string "%post(trans)?\(`)

// runUntilFree runs the copy, and again while another installation is in
// progress: for half an hour at most, and within its deadline.
func (r *Runner) runUntilFree(ctx context.Context, c Command, rec record) (Outcome, error) {
	begun, end := time.Now(), time.Now().Add(c.Deadline)
	until := begun.Add(cmp.Or(r.busyTimeout, busyTimeout))
	if end.Before(until) {
		until = end
	}
	interval := busyFirst
	for n := 1; ; n++ {
		if r.busyInterval != 0 {
			interval = r.busyInterval
		}
		out, err := r.runCopy(ctx, c, rec)
		out.attempts, out.Kind = n, c.Kind
		left := time.Until(until)
		if out.Status != Busy || out.Next == nextRestart || interval < 0 || left <= interval {
			return out, err
		}
		r.event(eventBusy, 0, out.started, "%s: trying again in %s, for another %s at most", out.Meaning, interval, left.Round(time.Second))
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return out, fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
		c.Deadline = time.Until(end)
		rec.Secret = process.NewRecord().Secret // another tree, with a mark of its own
		interval = min(2*interval, busyInterval)
	}
}
