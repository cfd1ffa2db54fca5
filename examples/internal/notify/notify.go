// Package notify passes messages to people: by mail, and by a command of theirs.
//
// Each message is written to an [Outbox] before it is sent, and removed once every
// configured way has taken it. So a message survives a server that is down and a
// process that is killed; it comes again if the process is killed between the two, with
// the same ID. Nothing here waits longer than a fixed time.
package notify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/safetext"
	"github.com/aspupdate/aspupdate/rollback"
)

const (
	// Limit is how long one way may take to pass on all that waits.
	Limit = 20 * time.Second
	// most is how many messages wait; the oldest give way.
	most = 100
)

// A Message is what people are to know. Its texts may quote servers and installers: [Outbox.Put]
// makes them safe.
type Message struct {
	ID      string            `json:"id"` // the same if it comes again
	Kind    string            `json:"kind"`
	Time    time.Time         `json:"time"` // when it happened, UTC
	Subject string            `json:"subject"`
	Text    string            `json:"text"`
	Fields  map[string]string `json:"fields,omitempty"` // more variables of the command

	Done     []string `json:"done,omitempty"`     // the ways that have taken it
	Attempts int      `json:"attempts,omitempty"` // how often it could not be sent
	Failed   string   `json:"failed,omitempty"`   // why, the last time
}

// A way passes messages on.
type way interface {
	name() string
	// send calls done after each message. It returns the first error.
	send(ctx context.Context, messages []*Message, done func(*Message, error)) error
}

// An Outbox keeps messages until they are sent. Several processes may share its
// directory.
type Outbox struct {
	Dir     string // of its own
	Command *Command
	Mail    *Mail
	Limit   time.Duration            // of each way; 0 means [Limit]
	Say     func(text string) string // puts a text of this package into the reader's language; may be nil
}

func (o *Outbox) ways() (list []way) {
	if o.Mail != nil {
		list = append(list, o.Mail)
	}
	if o.Command != nil {
		list = append(list, o.Command)
	}
	return list
}

func (o *Outbox) limit() time.Duration { return cmp.Or(o.Limit, Limit) }

func (o *Outbox) waitingDir() string { return filepath.Join(o.Dir, "waiting") }

func (o *Outbox) file(m Message) string {
	sum := sha256.Sum256([]byte(m.ID))
	return filepath.Join(o.waitingDir(), hex.EncodeToString(sum[:8])+".json")
}

// Put keeps a message until it is sent. One that waits already is replaced. The oldest
// give way where too many wait.
func (o *Outbox) Put(m Message) error {
	m.Subject, m.Text = subject(m.Subject), safetext.Clean(m.Text)
	if err := durable.MkdirAll(o.waitingDir(), 0o700); err != nil {
		return err
	}
	if err := o.save(m); err != nil {
		return err
	}
	list, err := o.Waiting()
	for _, old := range list[:max(0, len(list)-most)] {
		err = errors.Join(err, durable.Remove(o.file(old)))
	}
	return err
}

// subject returns a text as one line that a list of mails can show.
func subject(text string) string {
	const length = 200
	r := []rune(safetext.Line(text))
	if len(r) > length {
		r = append(r[:length-1], '…')
	}
	return strings.TrimSpace(string(r))
}

func (o *Outbox) save(m Message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return durable.WriteFile(o.file(m), text, 0o600)
}

// Waiting returns what is not sent yet, oldest first. It writes nothing.
func (o *Outbox) Waiting() ([]Message, error) {
	names, err := durable.ReadDir(o.waitingDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []Message
	var bad error
	for _, name := range names {
		if filepath.Ext(name.Name()) != ".json" {
			continue
		}
		var m Message
		path := filepath.Join(o.waitingDir(), name.Name())
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) { // sent meanwhile
			continue
		}
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("cannot read the notification %s: %w", path, err))
			continue
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(a, b Message) int { return a.Time.Compare(b.Time) })
	return list, bad
}

// Locked calls do while no other process sends. The error wraps [rollback.ErrBusy] if
// one does for longer than it may.
func (o *Outbox) Locked(ctx context.Context, do func() error) error {
	if err := durable.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	end := time.Now().Add(time.Duration(len(o.ways())+1) * o.limit())
	for {
		lock, err := rollback.Acquire(o.Dir, "sending notifications", time.Now())
		if err == nil {
			defer func() { _ = lock.Release() }()
			return do()
		}
		if !errors.Is(err, rollback.ErrBusy) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
}

// Deliver sends what waits, under the lock of [Outbox.Locked]. The error says why
// something waits on.
func (o *Outbox) Deliver(ctx context.Context) error {
	list, bad := o.Waiting()
	errs := []error{bad}
	for _, w := range o.ways() {
		var messages []*Message
		for i := range list {
			if !slices.Contains(list[i].Done, w.name()) {
				messages = append(messages, &list[i])
			}
		}
		if len(messages) == 0 {
			continue
		}
		errs = append(errs, o.through(ctx, w, messages))
	}
	for _, m := range list {
		if !slices.ContainsFunc(o.ways(), func(w way) bool { return !slices.Contains(m.Done, w.name()) }) {
			errs = append(errs, durable.Remove(o.file(m)))
		}
	}
	return errors.Join(errs...)
}

// through sends messages by one way, and records what became of each.
func (o *Outbox) through(ctx context.Context, w way, messages []*Message) error {
	ready := make([]*Message, len(messages))
	for i, m := range messages {
		with := *m
		with.Text += o.delayed(*m)
		ready[i] = &with
	}
	taken := map[string]bool{}
	err := o.try(ctx, w, ready, func(m *Message) { taken[m.ID] = true })
	if err != nil {
		err = fmt.Errorf("%s: %w", w.name(), err)
	}
	errs := []error{err}
	for _, m := range messages {
		if taken[m.ID] {
			m.Done = append(m.Done, w.name())
		} else if err != nil {
			m.Attempts++
			m.Failed = safetext.Line(err.Error())
		}
		errs = append(errs, o.save(*m))
	}
	return errors.Join(errs...)
}

// delayed says that a message comes late, and why.
func (o *Outbox) delayed(m Message) string {
	if m.Attempts == 0 {
		return ""
	}
	text := fmt.Sprintf("this notification is late: earlier attempts failed, %d so far, the last one with: %s", m.Attempts, m.Failed)
	if o.Say != nil {
		text = o.Say(text)
	}
	return "\n" + text + "\n"
}

// try sends messages by one way, and calls taken for each that was. It returns in time, even
// if a server or a program does not end.
func (o *Outbox) try(ctx context.Context, w way, messages []*Message, taken func(*Message)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit(), fmt.Errorf("no answer within %v", o.limit()))
	defer cancel()
	type result struct {
		of  *Message
		err error
	}
	results := make(chan result, len(messages)+1)
	go func() {
		err := w.send(ctx, messages, func(m *Message, err error) { results <- result{m, err} })
		results <- result{nil, err}
	}()
	var failed error
	deaf := time.After(o.limit() + o.limit()/4)
	for {
		select {
		case r := <-results:
			if r.of != nil && r.err == nil {
				taken(r.of)
			}
			failed = cmp.Or(failed, r.err)
			if r.of == nil {
				if failed != nil && ctx.Err() != nil {
					return context.Cause(ctx)
				}
				return failed
			}
		case <-deaf: // it does not heed the context
			return context.Cause(ctx)
		}
	}
}

// A Result is what became of a message by one way.
type Result struct {
	Way string
	Err error
}

// Test sends a message at once by each way, and keeps nothing.
func (o *Outbox) Test(ctx context.Context, m Message) (list []Result) {
	m.Subject, m.Text = subject(m.Subject), safetext.Clean(m.Text)
	for _, w := range o.ways() {
		err := o.try(ctx, w, []*Message{&m}, func(*Message) {})
		list = append(list, Result{w.name(), err})
	}
	return list
}

// Check tries whether the ways could send, without sending anything.
func (o *Outbox) Check(ctx context.Context) error {
	if o.Mail == nil {
		return nil
	}
	return o.try(ctx, o.Mail, nil, nil)
}
