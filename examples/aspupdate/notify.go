package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/examples/internal/notify"
	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/rollback"
)

// People are notified of what the journal has, and not of what a process knows: a process that
// was killed before it could do so leaves that to the next one.

// A notifyMark is how far people were notified of what the journal has.
type notifyMark struct {
	Update  string    `json:"update"`            // the last update of whose end they were notified
	At      time.Time `json:"at"`                // when the mark was made: what ended before is old
	Pending string    `json:"pending,omitempty"` // the message about the pending update
}

// interruptedAfter is how long an update must have been without a process before the watch says so: at
// the machine's start recover takes it up.
const interruptedAfter = 5 * time.Minute

func (j *job) outbox() *notify.Outbox {
	c, dir := j.Config.Notify, filepath.Join(j.Config.State, "notify")
	o := &notify.Outbox{Dir: dir, Say: j.say}
	if len(c.Command) > 0 {
		o.Command = &notify.Command{Argv: c.Command, Environment: c.Environment, State: filepath.Join(dir, "commands")}
	}
	if m := &c.Mail; m.Server != "" {
		o.Mail = &notify.Mail{Server: m.Server, TLS: m.TLS, Trust: m.Trust(), User: m.User, Password: m.Password, From: m.From, To: m.To}
	}
	return o
}

func (j *job) say(text string) string { return shown(j.show.speak, text) }

// message returns a message in the reader's language.
func (j *job) message(kind, id string, at time.Time, subject string, text ...string) notify.Message {
	host, _ := os.Hostname()
	lines := []string{j.say(subject)}
	for _, line := range append(text, "", "machine: "+host, "message: "+id) {
		lines = append(lines, j.say(line))
	}
	return notify.Message{
		ID: id, Kind: kind, Time: at.UTC(), Subject: "aspupdate " + host + ": " + j.say(subject), Text: strings.Join(lines, "\n") + "\n",
		Fields: map[string]string{"ASPUPDATE_HOST": host},
	}
}

// put keeps a message until it is sent, if people are notified of its kind.
func (j *job) put(m notify.Message) error {
	if !j.Config.Notify.Wants(m.Kind) {
		return nil
	}
	return j.outbox().Put(m)
}

// notifying runs a command, and then notifies people of what has ended, which changes nothing about the
// command's result.
func notifying(do func(context.Context, *job) error) func(context.Context, *job) error {
	return func(ctx context.Context, j *job) error {
		shows := j.cmd.Name == "rollback" && j.cmd.String("confirm") == ""
		if !j.Config.Notify.On() || shows {
			return do(ctx, j)
		}
		if _, err := j.mark(); err != nil {
			j.unsent(err)
		}
		err := do(ctx, j)
		j.failed, _ = errors.AsType[*rollback.Error](err)
		if nerr := j.notify(context.WithoutCancel(ctx), 0); nerr != nil { // after Ctrl-C, too
			j.unsent(nerr)
		}
		return err
	}
}

func (j *job) unsent(err error) {
	j.show.line("a notification could not be sent; the next run tries again: %v", err)
}

// notify notifies people of what the journal has and they do not know, and sends what waits. An update that no process
// has been running for as long as idle is one of these.
func (j *job) notify(ctx context.Context, idle time.Duration) error {
	o := j.outbox()
	return o.Locked(ctx, func() error {
		mark, err := j.mark()
		if err != nil {
			return err
		}
		messages, next, err := j.outcomes(mark, idle)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := j.put(m); err != nil {
				return err
			}
		}
		if next != mark {
			err = j.setMark(next)
		}
		return errors.Join(err, o.Deliver(ctx))
	})
}

// deliver sends what waits.
func (j *job) deliver(ctx context.Context) error {
	o := j.outbox()
	return o.Locked(ctx, func() error { return o.Deliver(ctx) })
}

func (j *job) markFile() string { return filepath.Join(j.Config.State, "notify", "notified.json") }

// mark returns how far people were notified. The first time that is everything.
func (j *job) mark() (m notifyMark, err error) {
	text, err := os.ReadFile(j.markFile())
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil {
		return m, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		j.show.line("cannot read the record of notifications, which is written anew: %v", err)
	}
	history, _ := rollback.ReadHistory(j.Config.State) // status says what cannot be read
	m = notifyMark{At: time.Now().UTC()}
	for _, h := range history {
		if ended(h) {
			m.Update = h.Update
		}
	}
	return m, j.setMark(m)
}

func (j *job) setMark(m notifyMark) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = durable.MkdirAll(filepath.Dir(j.markFile()), 0o700)
	}
	if err != nil {
		return err
	}
	return durable.WriteFile(j.markFile(), text, 0o600)
}

// ended reports whether an entry of the history is an update that has ended.
func ended(h rollback.HistoryEntry) bool { return h.Step == "intent" && !h.Ended.IsZero() }

// outcomes returns messages about what the journal has and people do not know, and the mark once they do.
func (j *job) outcomes(mark notifyMark, idle time.Duration) (list []notify.Message, next notifyMark, err error) {
	st, err := j.Status()
	if err != nil {
		return nil, mark, err
	}
	history, _ := rollback.ReadHistory(j.Config.State) // status says what cannot be read
	next = mark
	last := slices.IndexFunc(history, func(h rollback.HistoryEntry) bool { return ended(h) && h.Update == mark.Update })
	for i, h := range history {
		if ended(h) && (last >= 0 && i > last || last < 0 && h.Ended.After(mark.At)) {
			list, next.Update = append(list, j.endMessage(h)), h.Update
		}
	}
	holder, err := rollback.LockHolder(j.Config.State)
	if err != nil || st.Pending == nil || holder != nil {
		return list, next, err
	}
	state, ok := errors.AsType[*rollback.Error](pendingState(st))
	if !ok || state.Outcome == rollback.Interrupted && time.Since(st.Written) < idle {
		return list, next, nil
	}
	if e := j.failed; e != nil && e.Outcome == state.Outcome && e.Update == state.Update {
		state = e // it knows whether users are in
	}
	id := fmt.Sprintf("%s/%s/%d", st.Pending.Update, state.Outcome, st.Written.Unix())
	if id != mark.Pending {
		list, next.Pending = append(list, j.pendingMessage(id, st, state, history)), id
	}
	return list, next, nil
}

// endMessage says how an update ended.
func (j *job) endMessage(h rollback.HistoryEntry) notify.Message {
	state := ending(h.Outcome, h.Reverts != "")
	if state == "" {
		state = (&rollback.Error{Outcome: h.Outcome}).State()
	}
	text := []string{"state: " + state}
	if h.Outcome == rollback.RolledBack && h.Reverts == "" {
		text = append(text, "next: "+ofSite(j.cmd, exitTable[exitRolledBack].next))
	}
	text = append(text, fmt.Sprintf("began %s, ended %s, took %s", j.show.Time(h.Time), j.show.Time(h.Ended), span(h.Ended.Sub(h.Time))))
	m := j.message(string(h.Outcome), h.Update+"/"+string(h.Outcome), h.Ended, h.String(), text...)
	return about(m, h)
}

// about adds to a message which update it is about.
func about(m notify.Message, h rollback.HistoryEntry) notify.Message {
	m.Fields["ASPUPDATE_UPDATE"] = h.Update
	for _, part := range h.Parts {
		if !part.Keep && m.Fields["ASPUPDATE_DISTRIBUTION"] == "" {
			m.Fields["ASPUPDATE_DISTRIBUTION"], m.Fields["ASPUPDATE_VERSION"] = part.Name, string(part.To.Version)
		}
	}
	return m
}

// pendingMessage says what an update waits for.
func (j *job) pendingMessage(id string, st rollback.Status, state *rollback.Error, history []rollback.HistoryEntry) notify.Message {
	entry := rollback.HistoryEntry{}
	for _, h := range history {
		if h.Step == "intent" && h.Update == st.Pending.Update {
			entry = h
		}
	}
	short, _, _ := strings.Cut(exitTable[exitCode(state)].meaning, ";")
	m := j.message(string(state.Outcome), id, st.Written, short,
		entry.String(), "state: "+state.State(), "next: "+hint(configured(j.cmd, state)))
	return about(m, entry)
}

// unprovenMessage says that a backup could not be restored and compared.
func (j *job) unprovenMessage(p site.Proved, now time.Time) notify.Message {
	return j.message("proof-failed", fmt.Sprintf("proof/%s/%d", p.Data, now.Unix()), now, fmt.Sprintf("NOT PROVEN: %s: %s", p.Data, p.Err),
		"users go on working; until a proof succeeds it is not known whether the backups of this data can be restored (R9)",
		"next: "+ofSite(j.cmd, "fix what the message names, then aspupdate prove"))
}

// releaseMessage says what the watch has seen.
func (j *job) releaseMessage(e site.Event) notify.Message {
	id, at := fmt.Sprintf("release/%s/%s/%s/%d", e.Distribution, e.Version, e.Kind, e.FirstSeen.Unix()), e.FirstSeen
	if !e.Due.IsZero() {
		id, at = fmt.Sprintf("release/%s/%s/%d", e.Distribution, e.Kind, e.Due.Unix()), e.Due
	}
	m := j.message(string(e.Kind), id, at, e.Text)
	m.Fields["ASPUPDATE_DISTRIBUTION"] = e.Distribution
	if !e.Version.IsZero() {
		m.Fields["ASPUPDATE_VERSION"] = e.Version.String()
	}
	return m
}

// notifyOfProofs keeps messages about proofs that failed. A backup that does not exist yet is none.
func (j *job) notifyOfProofs(list []site.Proved) error {
	now := time.Now()
	var errs []error
	for _, p := range list {
		if p.Err != nil && !errors.Is(p.Err, backup.ErrNotFound) {
			errs = append(errs, j.put(j.unprovenMessage(p, now)))
		}
	}
	return errors.Join(errs...)
}

// keepNotifying notifies people of what other processes left, now and again, and sends what could not
// be sent. It ends with the context; the returned function waits for that.
func (j *job) keepNotifying(ctx context.Context) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		const longest = time.Hour
		for pause := time.Minute; ; {
			if err := j.notify(ctx, interruptedAfter); err == nil {
				pause = time.Minute
			} else if ctx.Err() == nil {
				j.unsent(err)
				pause = min(2*pause, longest)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	}()
	return func() { <-done }
}

// A notifyDoc is what became of a test message.
type notifyDoc struct {
	Schema string   `json:"schema"` // aspupdate.notify/1
	Ways   []wayDoc `json:"ways"`
}

type wayDoc struct {
	Way    string `json:"way"` // mail or command
	To     string `json:"to"`
	Failed string `json:"failed,omitempty"` // why it did not take the message
}

func (d notifyDoc) print(p *printer) {
	for _, w := range d.Ways {
		if w.Failed != "" {
			p.line("NOT SENT: %s to %s: %s", w.Way, w.To, w.Failed)
		} else {
			p.line("sent: %s to %s", w.Way, w.To)
		}
	}
}

// notifyTest sends a test message by each way.
func notifyTest(ctx context.Context, j *job) error {
	c := j.Config.Notify
	if !c.On() {
		return fmt.Errorf("%w: notifications are not configured: give notify.command or notify.mail", site.ErrConfig)
	}
	now := time.Now()
	m := j.message("test", fmt.Sprintf("test/%d", now.UnixNano()), now, "test notification", "a test of notifications; nothing has happened")
	d := notifyDoc{"aspupdate.notify/1", []wayDoc{}}
	var failed []error
	for _, r := range j.outbox().Test(ctx, m) {
		w := wayDoc{Way: r.Way, To: strings.Join(c.Command, " ")}
		if r.Way == "mail" {
			w.To = strings.Join(c.Mail.To, ", ")
		}
		if r.Err != nil {
			w.Failed = r.Err.Error()
			failed = append(failed, fmt.Errorf("cannot send the notification by %s: %w", r.Way, r.Err))
		}
		d.Ways = append(d.Ways, w)
	}
	return errors.Join(errors.Join(failed...), j.show.answer(d))
}

// notifyFindings are doctor's findings about notifications. None of them keeps an update from running.
func (j *job) notifyFindings(ctx context.Context) (list []site.Finding) {
	c := j.Config.Notify
	if !c.On() {
		return nil
	}
	o := j.outbox()
	if o.Mail != nil {
		f := site.Finding{State: "ok", What: "mail", Name: c.Mail.Server, Text: "accepts connection and user; no mail was sent, aspupdate notify test sends one"}
		if err := o.Check(ctx); err != nil {
			f.State, f.Text = "warning", err.Error()
		}
		list = append(list, f)
	}
	if n := j.notifyState(); n != nil {
		list = append(list, site.Finding{State: "warning", What: "notify", Text: n.String()})
	}
	return list
}

// A notifyState is what could not be sent yet.
type notifyState struct {
	Waiting int       `json:"waiting"` // messages
	Since   time.Time `json:"since"`   // when the oldest of these happened
	Failed  string    `json:"failed,omitempty"`

	since string
}

func (n notifyState) String() string {
	return fmt.Sprintf("notifications not sent yet: %d, the oldest of %s%s", n.Waiting, n.since, after("; ", n.Failed))
}

// notifyState returns what could not be sent yet, nil if nothing.
func (j *job) notifyState() *notifyState {
	if !j.Config.Notify.On() {
		return nil
	}
	list, err := j.outbox().Waiting()
	var mark notifyMark
	text, rerr := os.ReadFile(j.markFile())
	if rerr == nil && json.Unmarshal(text, &mark) == nil {
		more, _, merr := j.outcomes(mark, interruptedAfter)
		for _, m := range more {
			if j.Config.Notify.Wants(m.Kind) && !slices.ContainsFunc(list, func(w notify.Message) bool { return w.ID == m.ID }) {
				list = append(list, m)
			}
		}
		err = errors.Join(err, merr)
	}
	if len(list) == 0 && err == nil {
		return nil
	}
	n := &notifyState{Waiting: len(list)}
	for _, m := range list {
		if n.Since.IsZero() || m.Time.Before(n.Since) {
			n.Since = m.Time
		}
		if m.Failed != "" {
			n.Failed = m.Failed
		}
	}
	if err != nil {
		n.Failed = err.Error()
	}
	n.since = j.show.Time(n.Since)
	return n
}
