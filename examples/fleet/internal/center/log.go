package center

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// decided is a rollout as the log has it.
type decided struct {
	plan       rollout.Plan
	phase      rollout.Phase
	generation uint64
	ends       time.Time // of the backup that it comes from, zero after a decision since
}

// An entry is a line of the log, signed.
type entry struct {
	N       int           `json:"n"`
	Time    time.Time     `json:"time"`
	Kind    string        `json:"kind"`
	Site    string        `json:"site,omitempty"`
	Key     string        `json:"key,omitempty"`
	Ticket  string        `json:"ticket,omitempty"`
	Plan    *rollout.Plan `json:"plan,omitempty"`
	Rollout string        `json:"rollout,omitempty"`
	Phase   rollout.Phase `json:"phase,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Asked   string        `json:"asked,omitempty"` // the request of a person

	// Generation is that of the rollout. What the center has issued is known from
	// its own log, and not from what sites say.
	Generation uint64 `json:"generation,omitempty"`
}

// read reads the log. A torn last line is cut off; anything else that is not
// signed by the center is an error.
func (i *Identity) read() error {
	path := filepath.Join(i.dir, "log.jsonl")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	i.log = f
	if err := i.replay(path, f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Truncate(i.size); err != nil {
		return errors.Join(err, f.Close())
	}
	return durable.SyncDir(i.dir)
}

// replay applies the entries of a log, up to one that was not written whole.
func (i *Identity) replay(path string, log io.Reader) error {
	r := bufio.NewReader(log)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // without its end a line was not written whole
		}
		if err != nil {
			return err
		}
		var e entry
		if err := rollout.Unseal(public(i.coordinator), "log", bytes.TrimSpace(line), &e); err != nil || e.N != i.next {
			return errors.Join(fmt.Errorf("%s is damaged at line %d: restore it from a backup", path, i.next+1), err)
		}
		i.apply(e)
		i.size += int64(len(line))
	}
}

func (i *Identity) apply(e entry) {
	before := i.last
	i.next, i.last = e.N+1, e.Time
	i.issued = max(i.issued, e.Generation)
	if e.Asked != "" {
		i.asked[e.Asked] = true
	}
	switch e.Kind {
	case "ticket":
		i.tickets[e.Ticket] = e.Site
	case "enrolled":
		if old, ok := i.sites[e.Site]; ok {
			i.revoked[old.key] = e.Time
		}
		i.sites[e.Site] = member{e.Key, e.Ticket}
		// An earlier ticket, used or not, must not replace the machine again.
		maps.DeleteFunc(i.tickets, func(ticket, site string) bool { return site == e.Site && ticket != e.Ticket })
	case "revoked", "barred":
		if e.Kind == "barred" {
			i.barred[e.Site] = true
		}
		if old, ok := i.sites[e.Site]; ok {
			i.revoked[old.key] = e.Time
		}
		delete(i.sites, e.Site)
		for ticket, site := range i.tickets {
			if site == e.Site {
				i.revoked[ticket] = e.Time
				delete(i.tickets, ticket)
			}
		}
	case "planned":
		i.plans[e.Plan.ID] = decided{plan: *e.Plan, phase: rollout.Running, generation: e.Generation}
		i.planned = append(i.planned, e.Plan.ID)
	case "phase":
		d := i.plans[e.Rollout]
		d.phase, d.ends, d.generation = e.Phase, time.Time{}, e.Generation
		i.plans[e.Rollout] = d
	case "restored":
		for ticket := range i.tickets { // one may have been used, or revoked, after the backup
			i.revoked[ticket] = e.Time
		}
		clear(i.tickets)
		for id, d := range i.plans {
			d.ends = before
			i.plans[id] = d
		}
	}
}

// record makes an entry of the log durable. The caller holds the lock.
func (i *Identity) record(e entry) error {
	e.N, e.Time = i.next, time.Now().UTC()
	b, err := rollout.Seal(i.coordinator, "log", e)
	if err != nil {
		return err
	}
	err = i.log.Truncate(i.size) // what an entry that was not written whole has left
	if err == nil {
		_, err = i.log.Write(append(b, '\n'))
	}
	if err == nil {
		err = i.log.Sync()
	}
	if err != nil {
		return fmt.Errorf("the log of the center: %w", err)
	}
	i.size += int64(len(b)) + 1
	i.apply(e)
	return nil
}

// plan records a rollout before it starts.
func (i *Identity) plan(p rollout.Plan, generation uint64, request string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.record(entry{Kind: "planned", Plan: &p, Generation: generation, Asked: request})
}

// done reports whether a person's request was carried out.
func (i *Identity) done(request string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return request != "" && i.asked[request]
}

// phase records a new phase of a rollout, before grants of its generation are
// published.
func (i *Identity) phase(r *rollout.Rollout) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.plans[r.Plan.ID].phase == r.Phase && r.Generation <= i.issued {
		return nil
	}
	return i.record(entry{Kind: "phase", Rollout: r.Plan.ID, Phase: r.Phase, Reason: r.Reason, Generation: r.Generation, Asked: r.Asked})
}

// highest returns the highest generation that the log has.
func (i *Identity) highest() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.issued
}

// generation returns the generation that the log has of a rollout. The store has
// at least that one: it gets it first.
func (i *Identity) generation(id string) uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.plans[id].generation
}

// decisions returns the rollouts of the log that are not over.
func (i *Identity) decisions() (open []decided) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, id := range i.planned {
		if d := i.plans[id]; !d.phase.Over() {
			open = append(open, d)
		}
	}
	return open
}
