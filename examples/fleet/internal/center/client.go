package center

import (
	"context"
	"crypto/rand"
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
	client, err := Dial(l)
	if err != nil {
		return a, err
	}
	defer client.Close()
	return client.Ask(ctx, c)
}

// A Client is a connection with the center. It is safe for concurrent use.
type Client struct{ conn *nats.Conn }

// Dial returns a client, which connects as soon as the center can be reached.
func Dial(l link.Login) (*Client, error) {
	conn, err := l.Connect("client")
	if err != nil {
		return nil, err
	}
	return &Client{conn}, nil
}

// Close closes the connection.
func (c *Client) Close() { c.conn.Close() }

// Changed calls f, one call at a time, after something has changed at the center. A
// call can be lost, as in a cut.
func (c *Client) Changed(f func()) error {
	_, err := c.conn.Subscribe(link.Changed, func(*nats.Msg) { f() })
	return err
}

// Ask sends a command to the coordinator and returns its answer. It asks again until
// there is one; a decision is carried out once.
func (c *Client) Ask(ctx context.Context, command Command) (a Answer, err error) {
	if command.ID == "" {
		command.ID = rand.Text()
	}
	b, err := json.Marshal(command)
	if err != nil {
		return a, err
	}
	if err := request(ctx, c.conn, link.Control, b, &a); err != nil {
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
	conn, err := ticket.Login.Connect("client")
	if err != nil {
		return m, err
	}
	defer conn.Close()
	var answer enrollment
	if err := request(ctx, conn, link.EnrollSubject(ticket.Site, public(holder)), b, &answer); err != nil {
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
func request(ctx context.Context, conn *nats.Conn, subject string, data []byte, answer any) error {
	var last error
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, timeout)
		m, err := conn.RequestWithContext(within, subject, data)
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
