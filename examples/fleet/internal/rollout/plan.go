package rollout

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// ErrPlan means that a rollout cannot be started as planned.
var ErrPlan = errors.New("the rollout cannot be started")

// A Plan is what a person decides before a rollout.
type Plan struct {
	ID       string   `json:"id"`
	Release  Release  `json:"release"`
	Canaries []string `json:"canaries"`
	Sites    []string `json:"sites"`             // in the order in which they are updated, with or without the canaries
	Percent  int      `json:"percent,omitempty"` // of the sites that are no canaries, in the second wave; 0 means 10
	Cap      int      `json:"cap"`               // how many sites are updated at a time

	// Deadline is how much support time (R13) each wave has; 0 means two working
	// days, 18 hours.
	Deadline time.Duration `json:"deadline,omitempty"`
	// Silence is how long after its start a site must have an outcome; 0 means 4 h:
	// R11's worst case, the backup and a rollback.
	Silence time.Duration `json:"silence,omitempty"`
}

const (
	defaultPercent  = 10
	defaultDeadline = 18 * time.Hour
	defaultSilence  = 4 * time.Hour
	maxAttempts     = 3               // that turn back, before a person must decide
	slowStart       = 5               // how many sites start before any has committed
	connected       = 5 * time.Minute // how long after its last sign of life a site counts as connected
)

// Start returns a rollout whose first wave begins now. The generation is higher
// than any that a site has seen. known has what is known of
// the sites: those that have committed the release are done, and the plan is
// refused if one of them has other distributions than the release's. The error
// wraps [ErrPlan] and has every reason.
func Start(p Plan, generation uint64, now time.Time, known Known) (*Rollout, error) {
	now = now.UTC()
	p.Percent = orDefault(p.Percent, defaultPercent)
	p.Deadline = orDefault(p.Deadline, defaultDeadline)
	p.Silence = orDefault(p.Silence, defaultSilence)
	if err := p.check(known); err != nil {
		return nil, err
	}
	r := &Rollout{Plan: p, Generation: generation, Phase: Running}
	for _, id := range p.Canaries {
		r.Members = append(r.Members, Member{ID: id, State: Waiting, Since: now})
	}
	var others []string
	for _, id := range p.Sites {
		if !slices.Contains(p.Canaries, id) {
			others = append(others, id)
		}
	}
	second := (len(others)*p.Percent + 99) / 100
	for i, id := range others {
		m := Member{ID: id, Wave: 1, State: Waiting, Since: now}
		if i >= second {
			m.Wave = 2
		}
		r.Members = append(r.Members, m)
	}
	r.Plan.Sites = nil // the members have them
	r.note(now, "started: %s to %d sites, %d of them canaries, at most %d at a time", p.Release, len(r.Members), len(p.Canaries), p.Cap)
	r.Deadline = r.deadline(now)
	for _, m := range r.Members {
		if h, ok := known(m.ID); ok {
			r.Observe(h)
		}
	}
	return r, nil
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

func (p Plan) check(known Known) error {
	var wrong []string
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if p.ID == "" {
		refuse("it has no id")
	}
	if p.Release.Distribution == "" || p.Release.Version.IsZero() || len(p.Release.SHA256) != 64 || strings.Trim(p.Release.SHA256, "0123456789abcdef") != "" {
		refuse("the release needs a distribution, a version and a SHA-256 in lower case")
	}
	if len(p.Canaries) == 0 {
		refuse("it names no canaries: the sites that get the release first")
	}
	if p.Cap < 1 {
		refuse("the cap is %d, and must be at least 1", p.Cap)
	}
	if p.Percent < 1 || p.Percent > 100 {
		refuse("the second wave is %d %% of the sites, and must be from 1 to 100", p.Percent)
	}
	if p.Deadline < 0 || p.Silence < 0 {
		refuse("a duration is negative")
	}
	seen := map[string]bool{}
	for _, id := range slices.Concat(p.Canaries, p.Sites) {
		if seen[id] {
			continue
		}
		seen[id] = true
		if id == "" {
			refuse("a site has no id")
		}
		if h, ok := known(id); ok && len(h.Committed) > 0 && !slices.Equal(h.distributions(), []string{p.Release.Distribution}) {
			refuse("site %q has %s installed, and the release is of %s: plan a rollout of its own for it", id, strings.Join(h.distributions(), " and "), p.Release.Distribution)
		}
	}
	if count(p.Canaries) != len(p.Canaries) || count(p.Sites) != len(p.Sites) {
		refuse("a site is named twice")
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", ErrPlan, strings.Join(wrong, "; "))
	}
	return nil
}

func count(ids []string) int {
	set := map[string]bool{}
	for _, id := range ids {
		set[id] = true
	}
	return len(set)
}

// Missed returns the probability that a release that fails at a share of the
// sites, regardless of which, succeeds at each of n canaries.
func Missed(n int, share float64) float64 { return math.Pow(1-share, float64(n)) }
