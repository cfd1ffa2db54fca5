package center

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
)

// A stored rollout is a rollout with its revision in the store.
type stored struct {
	*rollout.Rollout
	revision uint64
	dirty    bool // it differs from what is stored
}

// load reads the rollouts and the published grants.
func (s *session) load(ctx context.Context) error {
	if err := each(ctx, s.rollouts, func(key string, e jetstream.KeyValueEntry) error {
		r := &stored{Rollout: &rollout.Rollout{}, revision: e.Revision()}
		s.state[key] = r
		return json.Unmarshal(e.Value(), r.Rollout)
	}); err != nil {
		return err
	}
	return each(ctx, s.desired, func(_ string, e jetstream.KeyValueEntry) error {
		var g rollout.Grant
		if err := rollout.Unseal(public(s.Identity.coordinator), "grant", e.Value(), &g); err != nil {
			s.say("a grant in the store is not the center's own and is replaced: %v", err)
			return nil
		}
		s.published[g.Site] = g
		return nil
	})
}

// each calls use with all entries of a bucket.
func each(ctx context.Context, kv jetstream.KeyValue, use func(key string, e jetstream.KeyValueEntry) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-w.Updates():
			if e == nil {
				return nil
			}
			key, err := link.Decode(e.Key())
			if err != nil {
				return err
			}
			if err := use(key, e); err != nil {
				return fmt.Errorf("%s of %s: %w", e.Key(), e.Bucket(), err)
			}
		}
	}
}

// errStore is wrapped by errors after which everything is read again.
var errStore = errors.New("the store has not confirmed a change")

// save stores a rollout, and then publishes what follows from it.
func (s *session) save(ctx context.Context, r *stored) error {
	b, err := json.Marshal(r.Rollout)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	key := link.Encode(r.Plan.ID)
	if r.revision == 0 {
		r.revision, err = s.rollouts.Create(within, key, b)
	} else {
		r.revision, err = s.rollouts.Update(within, key, b, r.revision)
	}
	if err != nil {
		return fmt.Errorf("%w: rollout %s: %w", errStore, r.Plan.ID, err)
	}
	r.dirty = false
	s.state[r.Plan.ID] = r
	if err := s.Identity.phase(r.Plan.ID, r.Phase, r.Reason); err != nil {
		return err
	}
	return s.publish(ctx, r)
}

// publish publishes the grants of a rollout that are not published yet, and wakes
// their sites.
func (s *session) publish(ctx context.Context, r *stored) error {
	for _, m := range r.Members {
		g, old := r.Grant(m), s.published[m.ID]
		if g.Withdrawn && (old.Rollout != g.Rollout || old.Withdrawn) || same(g, old) {
			continue
		}
		b, err := rollout.Seal(s.Identity.coordinator, "grant", g)
		if err != nil {
			return err
		}
		within, cancel := context.WithTimeout(ctx, timeout)
		_, err = s.desired.Put(within, link.Encode(m.ID), b)
		cancel()
		if err != nil {
			return fmt.Errorf("%w: the grant of %q: %w", errStore, m.ID, err)
		}
		s.published[m.ID] = g
		if err := s.conn.Publish(link.WakeSubject(m.ID), nil); err != nil {
			return err
		}
	}
	return nil
}

func same(a, b rollout.Grant) bool {
	return a.Rollout == b.Rollout && a.Generation == b.Generation && a.Withdrawn == b.Withdrawn && a.NotAfter.Equal(b.NotAfter)
}
