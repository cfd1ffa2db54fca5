package center

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
)

// Ask sends a command to the coordinator and returns its answer.
func Ask(ctx context.Context, l link.Login, c Command) (a Answer, err error) {
	b, err := json.Marshal(c)
	if err != nil {
		return a, err
	}
	if err := request(ctx, l, link.Control, b, &a); err != nil {
		return a, fmt.Errorf("the coordinator does not answer: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// Join enrolls a site with its ticket and the site's own key, which never
// leaves it, and returns the membership. Called again with the same key it returns
// the same.
func Join(ctx context.Context, ticket link.Membership, key nkeys.KeyPair) (m link.Membership, err error) {
	if !ticket.Ticket {
		return m, fmt.Errorf("%w: this is not a ticket", ErrEnroll)
	}
	seed, err := key.Seed()
	if err != nil {
		return m, err
	}
	holder, err := nkeys.FromSeed([]byte(ticket.Login.Seed))
	if err != nil {
		return m, err
	}
	b, err := json.Marshal(map[string]string{"key": public(key)})
	if err != nil {
		return m, err
	}
	var answer enrollment
	if err := request(ctx, ticket.Login, link.EnrollSubject(ticket.Site, public(holder)), b, &answer); err != nil {
		return m, fmt.Errorf("%w: the center does not answer, or the ticket has ended: %w", ErrEnroll, err)
	}
	if answer.Error != "" {
		return m, fmt.Errorf("%w: %s", ErrEnroll, answer.Error)
	}
	m = ticket
	m.Ticket, m.Login.JWT, m.Login.Seed = false, answer.JWT, string(seed)
	return m, nil
}

// request asks until there is an answer: the coordinator may be reading its
// store, or be started again.
func request(ctx context.Context, l link.Login, subject string, data []byte, answer any) error {
	conn, err := l.Connect("client")
	if err != nil {
		return err
	}
	defer conn.Close()
	var last error
	for ctx.Err() == nil {
		var m *nats.Msg
		within, cancel := context.WithTimeout(ctx, timeout)
		m, err = conn.RequestWithContext(within, subject, data)
		cancel()
		if err == nil {
			return json.Unmarshal(m.Data, answer)
		}
		last = err
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	return errors.Join(last, ctx.Err())
}
