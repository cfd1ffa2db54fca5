package center

import (
	"context"
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

// load reads the rollouts and the published grants. What the center has not sealed
// itself is said and ignored: [session.ready] makes it again.
func (s *session) load(ctx context.Context) error {
	if err := s.each(ctx, s.rollouts, func(key string, e jetstream.KeyValueEntry) {
		r := &stored{Rollout: &rollout.Rollout{}, revision: e.Revision()}
		if err := s.unseal("rollout", e, r.Rollout, key, &r.Plan.ID); err != nil {
			s.say("rollout %q in the store is not the center's own and is ignored: %v", key, err)
			s.foreign[key] = e.Revision()
			return
		}
		if r.Generation < s.Identity.generation(key) {
			s.say("rollout %q in the store is older than in the log of the center and is ignored", key)
			s.foreign[key] = e.Revision()
			return
		}
		s.state[key] = r
	}); err != nil {
		return err
	}
	return s.each(ctx, s.desired, func(key string, e jetstream.KeyValueEntry) {
		var g rollout.Grant
		if err := s.unseal("grant", e, &g, key, &g.Site); err != nil {
			s.say("the grant of %q in the store is not the center's own and is ignored: %v", key, err)
			return
		}
		s.published[key] = g
	})
}

// unseal decodes an entry into v, whose id must be that of the entry.
func (s *session) unseal(kind string, e jetstream.KeyValueEntry, v any, key string, id *string) error {
	err := rollout.Unseal(public(s.Identity.coordinator), kind, e.Value(), v)
	if err == nil && *id != key {
		err = fmt.Errorf("it is the %s of %q", kind, *id)
	}
	return err
}

// each calls use with all entries of a bucket whose keys are ids.
func (s *session) each(ctx context.Context, kv jetstream.KeyValue, use func(key string, e jetstream.KeyValueEntry)) error {
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
				s.say("%s of %s in the store is not the center's own and is ignored: %v", e.Key(), e.Bucket(), err)
				continue
			}
			use(key, e)
		}
	}
}

// errStore is wrapped by errors after which everything is read again.
var errStore = errors.New("the store has not confirmed a change")

// save stores a rollout, and then publishes what follows from it.
func (s *session) save(ctx context.Context, r *stored) error {
	b, err := rollout.Seal(s.Identity.coordinator, "rollout", r.Rollout)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	key := link.Encode(r.Plan.ID)
	if r.revision == 0 {
		r.revision = s.foreign[r.Plan.ID] // 0 if there is none
	}
	if r.revision == 0 {
		r.revision, err = s.rollouts.Create(within, key, b)
	} else {
		r.revision, err = s.rollouts.Update(within, key, b, r.revision)
	}
	if err != nil {
		return fmt.Errorf("%w: rollout %s: %w", errStore, r.Plan.ID, err)
	}
	r.dirty, s.changed = false, true
	s.state[r.Plan.ID] = r
	if err := s.Identity.phase(r.Rollout); err != nil { // what is stored is to be published all the same
		return fmt.Errorf("%w: %w", errStore, err)
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
