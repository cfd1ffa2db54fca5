package rollout

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/schedule"
)

// ErrPlan means that a rollout cannot be started as planned.
var ErrPlan = errors.New("the rollout cannot be started")

// ErrPhase means that the rollout is not in a phase in which that is possible.
var ErrPhase = errors.New("not possible now")

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

// Phase is the phase of a rollout.
type Phase string

// The phases of a rollout. Running and Paused can change into each other; Stopped
// is a pause by the rollout's own rules.
const (
	Running    Phase = "running"
	Paused     Phase = "paused"
	Stopped    Phase = "stopped"
	Aborted    Phase = "aborted"
	Superseded Phase = "superseded"
	Done       Phase = "done"
)

// Over reports whether the rollout has ended for good.
func (p Phase) Over() bool { return p == Aborted || p == Superseded || p == Done }

// State is the state of a site in a rollout.
type State string

// The states of a site. A site that started has exactly one of the last three as
// its outcome.
const (
	Waiting    State = "waiting"
	Granted    State = "granted"
	Started    State = "started"
	Committed  State = "committed"
	RolledBack State = "rolled back"
	Operator   State = "a person must decide"
)

// A Member is a site in a rollout.
type Member struct {
	ID        string    `json:"id"`
	Wave      int       `json:"wave"`
	State     State     `json:"state"`
	Since     time.Time `json:"since,omitzero"`      // since when it has this state
	NotBefore time.Time `json:"not_before,omitzero"` // of its grant
	NotAfter  time.Time `json:"not_after,omitzero"`
	Seq       uint64    `json:"seq,omitempty"`       // of the report that set the state
	Attempts  int       `json:"attempts,omitempty"`  // how often it started
	Code      string    `json:"code,omitempty"`      // of a rollback
	Silent    bool      `json:"silent,omitempty"`    // it started, and has no outcome after Plan.Silence
	Accepted  bool      `json:"accepted,omitempty"`  // a person resumed the rollout knowing of it
	Straggler string    `json:"straggler,omitempty"` // why its wave ended without it
}

// settled reports whether the site has an outcome.
func (m Member) settled() bool {
	return m.State == Committed || m.State == RolledBack || m.State == Operator
}

// touched reports whether the site has ever started.
func (m Member) touched() bool { return m.settled() || m.State == Started }

// busy reports whether the site takes one of the places that Plan.Cap limits.
func (m Member) busy() bool {
	return m.State == Granted || m.State == Started && (!m.Silent || !m.Accepted)
}

// An Entry is a line of a rollout's log.
type Entry struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// A Rollout is a release on its way to many sites. Its JSON is its whole state.
// It is not safe for concurrent use.
type Rollout struct {
	Plan       Plan      `json:"plan"`
	Generation uint64    `json:"generation"` // grows with each change of the phase
	Phase      Phase     `json:"phase"`
	Reason     string    `json:"reason,omitempty"` // why it is not running
	Wave       int       `json:"wave"`
	Deadline   time.Time `json:"deadline"` // of the wave
	FewCommit  bool      `json:"few_commit,omitempty"`
	Members    []Member  `json:"members"` // in the order in which they are updated
	Log        []Entry   `json:"log"`

	index map[string]int
}

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

// Member returns the site with an id.
func (r *Rollout) Member(id string) (Member, bool) {
	if m := r.member(id); m != nil {
		return *m, true
	}
	return Member{}, false
}

func (r *Rollout) member(id string) *Member {
	if r.index == nil {
		r.index = make(map[string]int, len(r.Members))
		for i, m := range r.Members {
			r.index[m.ID] = i
		}
	}
	i, ok := r.index[id]
	if !ok {
		return nil
	}
	return &r.Members[i]
}

// Observe takes over what a site reports, and returns whether that changed the
// rollout. Reports can come twice and late: an outcome stays.
func (r *Rollout) Observe(h Heard) bool {
	m := r.member(h.Site)
	if m == nil || h.Seq < m.Seq {
		return false
	}
	rel := r.Plan.Release
	failure, failed := h.failed(rel)
	state := m.State
	switch {
	case h.has(rel):
		state = Committed
	case failed:
		state = RolledBack
	case m.State == Committed || m.State == RolledBack:
		// what the site says of itself has no outcome: its journal was replaced
	case h.Activity == Decision && h.Release == rel:
		state = Operator
	case h.Activity == Updating && h.Release == rel:
		state = Started
	case m.State == Started || m.State == Operator && h.Activity != Decision:
		// It turned back before anything changed, as when its window closed.
		if state = Waiting; m.Attempts >= maxAttempts {
			state = Operator
		}
	}
	if state == m.State {
		return false
	}
	if state == Started {
		m.Attempts++
	}
	m.State, m.Since, m.Seq, m.Code = state, h.At.UTC(), h.Seq, failure.Code
	m.NotBefore, m.NotAfter, m.Silent, m.Accepted = time.Time{}, time.Time{}, false, false
	return true
}

// Advance does what time asks for: grants end, rules stop the rollout, waves
// end, and sites that ask get grants. It returns whether the rollout changed.
func (r *Rollout) Advance(now time.Time, known Known) bool {
	now = now.UTC()
	changed := r.expire(now)
	if r.Phase != Running {
		return changed
	}
	if why := r.wrong(); why != "" {
		r.leave(now, Stopped, why)
		return true
	}
	for r.waveOver(now, known) {
		changed = true
		if r.Phase != Running {
			return true
		}
	}
	return r.grant(now, known) || changed
}

// expire ends the grants that were not used, and marks the sites that are silent.
func (r *Rollout) expire(now time.Time) (changed bool) {
	for i := range r.Members {
		m := &r.Members[i]
		switch {
		case m.State == Granted && !now.Before(m.NotAfter.Add(MaxSkew)):
			m.State, m.Since, m.NotBefore, m.NotAfter = Waiting, now, time.Time{}, time.Time{}
			changed = true
		case m.State == Started && !m.Silent && now.Sub(m.Since) > r.Plan.Silence:
			m.Silent, changed = true, true
		}
	}
	return changed
}

// wrong returns why the rollout must stop, "" if it need not.
func (r *Rollout) wrong() string {
	started, back := 0, 0
	codes := map[string]string{}
	for _, m := range r.Members {
		if m.touched() {
			started++
		}
		if m.Accepted {
			continue
		}
		switch {
		case m.State == Operator:
			return fmt.Sprintf("at site %q a person must decide", m.ID)
		case m.Silent:
			return fmt.Sprintf("site %q has no outcome %v after its start", m.ID, r.Plan.Silence)
		case m.State != RolledBack:
			continue
		case m.Wave == 0:
			return fmt.Sprintf("canary %q was rolled back%s", m.ID, withCode(m.Code))
		}
		back++
		if other := codes[m.Code]; m.Code != "" && other != "" {
			return fmt.Sprintf("sites %q and %q were rolled back%s", other, m.ID, withCode(m.Code))
		}
		codes[m.Code] = m.ID
	}
	if limit := max(1, started*5/100); back > limit {
		return fmt.Sprintf("%d of %d sites that started were rolled back, more than %d", back, started, limit)
	}
	return ""
}

func withCode(code string) string {
	if code == "" {
		return ""
	}
	return " with " + code
}

// waveOver starts the next wave if the current one is over, and returns whether
// anything changed.
func (r *Rollout) waveOver(now time.Time, known Known) bool {
	late := !now.Before(r.Deadline)
	var apart []*Member
	var reasons []string
	settled, total, committed, canaries := true, true, 0, 0
	for i := range r.Members {
		m := &r.Members[i]
		total = total && m.settled()
		if m.Wave == 0 && !m.Accepted {
			canaries++
			if m.State == Committed {
				committed++
			}
		}
		if m.Wave != r.Wave || m.settled() || m.Straggler != "" || m.State == Started && m.Silent && m.Accepted {
			continue
		}
		why := ""
		if m.State == Waiting || late && m.State == Granted {
			why = r.cannot(*m, known, now, late)
		}
		if why == "" {
			settled = false
			continue
		}
		apart, reasons = append(apart, m), append(reasons, why)
	}
	if total {
		r.leave(now, Done, "each site has an outcome")
		return true
	}
	if r.Wave > 2 || !settled {
		for i, m := range apart { // sites without a slot need not wait for the deadline to be shown
			m.Straggler = reasons[i]
		}
		return len(apart) > 0
	}
	if r.Wave == 0 && 2*committed < canaries && !r.FewCommit {
		r.FewCommit = true
		r.leave(now, Stopped, fmt.Sprintf("only %d of %d canaries have committed by the deadline", committed, canaries))
		return true
	}
	for i, m := range apart {
		m.Straggler = reasons[i]
	}
	var without []string
	for _, m := range r.Members {
		if m.Wave == r.Wave && m.Straggler != "" && !m.settled() {
			without = append(without, fmt.Sprintf("%q (%s)", m.ID, m.Straggler))
		}
	}
	switch {
	case len(without) > 10:
		r.note(now, "wave %d ends without %d sites, the first of them %s", r.Wave+1, len(without), strings.Join(without[:10], ", "))
	case len(without) > 0:
		r.note(now, "wave %d ends without %s", r.Wave+1, strings.Join(without, ", "))
	default:
		r.note(now, "wave %d ends", r.Wave+1)
	}
	r.Wave++
	r.Deadline = r.deadline(now)
	return true
}

// cannot returns why the wave need not wait for a site, "" if it must.
func (r *Rollout) cannot(m Member, known Known, now time.Time, late bool) string {
	h, ok := known(m.ID)
	switch {
	case h.Never != "":
		return h.Never
	case h.Slot.After(r.Deadline):
		return "no slot before " + h.Slot.UTC().Format(time.RFC3339)
	case !late:
		return ""
	case !ok:
		return "it has never reported"
	case now.Sub(h.On) > connected:
		return "not connected since " + h.On.UTC().Format(time.RFC3339)
	}
	return "it had no turn"
}

// deadline returns the deadline of a wave that begins now: in support time (R13),
// or where the calendar ends a week.
func (r *Rollout) deadline(now time.Time) time.Time {
	t, err := schedule.Hours{}.Add(now, r.Plan.Deadline)
	if err != nil {
		return now.Add(7 * 24 * time.Hour).UTC()
	}
	return t.UTC()
}

// grant gives grants to sites that ask, and renews those that end soon.
func (r *Rollout) grant(now time.Time, known Known) (changed bool) {
	busy, committed := 0, 0
	for _, m := range r.Members {
		if m.busy() {
			busy++
		}
		if m.State == Committed {
			committed++
		}
	}
	limit := min(r.Plan.Cap, max(slowStart, committed))
	for i := range r.Members {
		m := &r.Members[i]
		if m.Wave > r.Wave || m.State != Granted && (m.State != Waiting || busy >= limit) ||
			m.State == Granted && m.NotAfter.Sub(now) > GrantLife/3 {
			continue
		}
		h, ok := known(m.ID)
		if !ok || h.Activity != Asking || now.Sub(h.On) > connected || !now.Before(h.Until) || h.Skew().Abs() > MaxSkew {
			continue
		}
		if m.State == Waiting {
			m.State, m.Since = Granted, now
			busy++
		}
		m.NotBefore, m.NotAfter, changed = now, now.Add(GrantLife), true
	}
	return changed
}

// Grant returns what is to be published for a site: its grant, or the
// withdrawal of it.
func (r *Rollout) Grant(m Member) Grant {
	g := Grant{Site: m.ID, Rollout: r.Plan.ID, Generation: r.Generation, Release: r.Plan.Release, NotBefore: m.NotBefore, NotAfter: m.NotAfter}
	if r.Phase != Running || m.State != Granted {
		g.Withdrawn, g.NotBefore, g.NotAfter = true, time.Time{}, time.Time{}
	}
	return g
}

// Pause keeps sites from starting until [Rollout.Resume]. What has begun ends.
func (r *Rollout) Pause(now time.Time, reason string) error {
	return r.decide(now, reason, Paused, Running)
}

// Abort ends the rollout for good. What has begun ends.
func (r *Rollout) Abort(now time.Time, reason string) error {
	return r.decide(now, reason, Aborted, Running, Paused, Stopped)
}

// Supersede ends the rollout because another release replaces its own: a
// re-release (R13) or a newer version.
func (r *Rollout) Supersede(now time.Time, by Plan) error {
	if by.Release == r.Plan.Release {
		return fmt.Errorf("%w: rollout %s is of the same release: resume or abort it", ErrPhase, r.Plan.ID)
	}
	return r.decide(now, fmt.Sprintf("rollout %s of %s replaces it", by.ID, by.Release), Superseded, Running, Paused, Stopped)
}

// Resume lets sites start again. Each failure so far counts as accepted: it does
// not stop the rollout again.
func (r *Rollout) Resume(now time.Time, reason string) error {
	if err := r.decide(now, reason, Running, Paused, Stopped); err != nil {
		return err
	}
	r.Reason = ""
	for i := range r.Members {
		m := &r.Members[i]
		m.Accepted = m.Accepted || m.State == RolledBack || m.State == Operator || m.Silent
	}
	return nil
}

func (r *Rollout) decide(now time.Time, reason string, to Phase, from ...Phase) error {
	if strings.TrimSpace(reason) == "" {
		return fmt.Errorf("%w: a reason is required", ErrPhase)
	}
	if !slices.Contains(from, r.Phase) {
		return fmt.Errorf("%w: rollout %s is %s", ErrPhase, r.Plan.ID, r.Phase)
	}
	r.leave(now, to, reason)
	return nil
}

func (r *Rollout) leave(now time.Time, to Phase, why string) {
	r.Phase, r.Reason = to, why
	r.Generation++
	r.note(now, "%s: %s", to, why)
}

func (r *Rollout) note(now time.Time, format string, args ...any) {
	r.Log = append(r.Log, Entry{now.UTC(), fmt.Sprintf(format, args...)})
}

// Counts returns how many sites have each state.
func (r *Rollout) Counts() map[State]int {
	c := map[State]int{}
	for _, m := range r.Members {
		c[m.State]++
	}
	return c
}

// Touched returns how many sites have started.
func (r *Rollout) Touched() (n int) {
	for _, m := range r.Members {
		if m.touched() {
			n++
		}
	}
	return n
}
