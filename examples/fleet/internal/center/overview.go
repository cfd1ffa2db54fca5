package center

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// Health is how the center itself is.
type Health struct {
	Started time.Time `json:"started"`          // the coordinator
	Losses  int       `json:"losses,omitempty"` // how often it has read everything again since, after an error of the store
	Lost    time.Time `json:"lost,omitzero"`    // the last time
	Why     string    `json:"why,omitempty"`
	Bytes   uint64    `json:"bytes,omitempty"` // in the store
	Asked   time.Time `json:"asked,omitzero"`  // when the store last said how many
	Free    int64     `json:"free,omitempty"`  // bytes, on the volume of the center's log
}

const (
	recent      = 3                // rollouts that are over, in an overview
	storeAsked  = 10 * time.Second // pace of questions to the store
	storeAnswer = time.Second
)

// What the center keeps of a report, which can have 64 KiB: all of it goes into
// rollouts, their reasons and the answers to people.
const (
	longest         = 300 // bytes of a text
	short           = 100 // of a name, a hash, an exit code
	mostCommitted   = 20
	mostQuarantined = 10
)

// overview returns what a person must see: the rollouts that are not over and those
// that ended last, and the sites.
func (s *session) overview(ctx context.Context) (a Answer) {
	var over []*rollout.Rollout
	for _, id := range slices.Sorted(maps.Keys(s.state)) {
		if r := s.state[id].Rollout; r.Phase.Over() {
			over = append(over, r)
		} else {
			a.Rollouts = append(a.Rollouts, r)
		}
	}
	slices.SortStableFunc(over, func(x, y *rollout.Rollout) int { return y.Ended().Compare(x.Ended()) })
	for i, r := range over {
		if i < recent {
			a.Rollouts = append(a.Rollouts, r)
		} else if len(a.Older) < 100 {
			a.Older = append(a.Older, r.Plan.ID)
		}
	}
	a.Sites = s.sites()
	if now := time.Now(); now.Sub(s.asked) > storeAsked {
		s.asked = now // also if it does not answer: nothing else is done meanwhile
		within, cancel := context.WithTimeout(ctx, storeAnswer)
		if info, err := s.js.AccountInfo(within); err == nil {
			s.health.Bytes, s.health.Asked = info.Store, now.UTC()
		}
		cancel()
	}
	health := *s.health
	if v, err := durable.VolumeOf(s.Identity.dir); err == nil {
		health.Free = v.Free
	}
	a.Health = &health
	return a
}

// brief cuts what a site says to what is kept, and returns whether it did.
func brief(r *rollout.Report) (did bool) {
	cut := func(s *string, most int) {
		if len(*s) > most {
			*s, did = strings.ToValidUTF8((*s)[:most], ""), true
		}
	}
	release := func(r *rollout.Release) { cut(&r.Distribution, short); cut(&r.SHA256, short) }
	for _, t := range []*time.Time{&r.Time, &r.Slot, &r.Until} {
		if *t = t.UTC(); t.Year() < 1 || t.Year() > 9999 { // which JSON has no form for
			*t, did = time.Time{}, true
		}
	}
	if len(r.Committed) > mostCommitted {
		r.Committed, did = r.Committed[:mostCommitted], true
	}
	if n := len(r.Quarantined) - mostQuarantined; n > 0 { // the last ones count
		r.Quarantined, did = r.Quarantined[n:], true
	}
	for i := range r.Committed {
		release(&r.Committed[i])
	}
	for i := range r.Quarantined {
		release(&r.Quarantined[i].Release)
		cut(&r.Quarantined[i].Code, short)
	}
	release(&r.Release)
	cut(&r.Never, longest)
	cut(&r.Zone, short)
	cut(&r.Rollout, short)
	return did
}
