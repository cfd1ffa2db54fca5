package notify

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/safetext"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// A Command is a program of the operator that gets each message: the text on its standard input,
// and ASPUPDATE_ID, ASPUPDATE_KIND, ASPUPDATE_TIME, ASPUPDATE_SUBJECT and the message's fields in its environment. Exit code 0 means
// that it has taken the message.
type Command struct {
	Argv        []string
	Environment []string // names of variables of this process that it gets, too
	State       string   // a directory of its own for the record of what runs
}

func (c *Command) name() string { return "command" }

func (c *Command) send(ctx context.Context, messages []*Message, done func(*Message, error)) error {
	if _, err := process.Settle(ctx, c.State); err != nil { // of a process that was killed
		return err
	}
	for _, m := range messages {
		err := process.Run(ctx, c.State, process.Command{Argv: c.Argv, Env: append(roles.Environment(c.Environment...), variables(*m)...), Input: []byte(m.Text)})
		done(m, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil //nolint:nilerr // done has each
}

// variables returns what a message is, as the environment has it.
func variables(m Message) []string {
	fields := map[string]string{"ASPUPDATE_ID": m.ID, "ASPUPDATE_KIND": m.Kind, "ASPUPDATE_TIME": m.Time.UTC().Format(time.RFC3339), "ASPUPDATE_SUBJECT": m.Subject}
	maps.Copy(fields, m.Fields)
	var env []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		env = append(env, name+"="+safetext.Line(fields[name]))
	}
	return env
}

// Run hands over one message at once, without an outbox.
func (c *Command) Run(ctx context.Context, m Message) (err error) {
	m.Subject, m.Text = subject(m.Subject), safetext.Clean(m.Text)
	sent := c.send(ctx, []*Message{&m}, func(_ *Message, e error) { err = e })
	return cmp.Or(sent, err)
}
