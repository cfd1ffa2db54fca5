// Package simulate plays rollouts in virtual time: the real state machine of
// package rollout, the real windows of package schedule, and sites that are
// offline, slow, cut off and of different kinds. The same options give the same
// result, byte for byte, on every machine.
//
// It answers how long a rollout will take, which sites can never start, and how
// far a bad release comes. It also checks at each step that no site starts a
// release twice, that no more sites are updated at a time than the cap permits,
// and that no wave outlasts its deadline, and returns an error if one does.
package simulate

import (
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// Options describe a region and a release.
type Options struct {
	Seed     uint64
	Sites    int
	Canaries int // one of each kind first
	Cap      int // 0 means 25
	From     time.Time

	Offline float64 // share of the sites that are offline half of the time
	Gone    float64 // share of the sites that never connect
	Narrow  float64 // share of the sites whose quiet hours never meet the support's

	FailRate  float64 // share of the sites at which the release fails
	FailKinds int     // kinds of sites, of five, at which it fails
	Deaths    int     // the coordinator dies this often, between two of its steps
}

// kinds is how many kinds of sites there are: by database, system and so on.
const kinds = 5

// limit ends a rollout that does not.
const limit = 90 * 24 * time.Hour

// A Result is how a rollout went.
type Result struct {
	Took      time.Duration // until the last site that can fit has an outcome, or until it stopped
	WaveEnds  []time.Duration
	Touched   int
	Peak      int // the most sites that were updated at a time
	Deaths    int
	Committed int
	Never     []string // sites that can never start
	Rollout   *rollout.Rollout
}

// String returns the result and the log of the rollout, for people.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s after %v: %d sites started, %d committed, at most %d at a time, the coordinator died %d times\n",
		r.Rollout.Phase, r.Took, r.Touched, r.Committed, r.Peak, r.Deaths)
	for i, d := range r.WaveEnds {
		fmt.Fprintf(&b, "wave %d ended after %v\n", i+1, d)
	}
	fmt.Fprintf(&b, "%d sites can never start%s\n", len(r.Never), list(r.Never))
	for _, e := range r.Rollout.Log {
		fmt.Fprintf(&b, "%s %s\n", e.Time.Format(time.RFC3339), e.Text)
	}
	return b.String()
}

func list(names []string) string {
	switch {
	case len(names) == 0:
		return ""
	case len(names) > 5:
		return fmt.Sprintf(": %s and others", strings.Join(names[:5], ", "))
	}
	return ": " + strings.Join(names, ", ")
}

// A site is a simulated site with its own truth.
type site struct {
	id      string
	nth     int
	profile int
	takes   time.Duration
	fails   bool
	offline bool          // half of the time
	phase   time.Duration // when its spells offline begin
	gone    bool
	report  rollout.Report
	until   time.Time // Updating ends then
	starts  int
	pending bool          // the last report has not reached the center
	heard   rollout.Heard // what the coordinator knows of it
}

// online reports whether the site is connected: some are for one hour of two.
func (s *site) online(now time.Time) bool {
	if s.gone {
		return false
	}
	return !s.offline || (time.Duration(now.UnixNano())+s.phase)%(2*time.Hour) < time.Hour
}

// A profile is what sites have in common that decides on their slots.
type profile struct {
	planner  schedule.Planner
	estimate schedule.Estimate
	next     schedule.Slot
	never    string
	asked    time.Time
}

// slot returns the slot that is open at now or comes next.
func (p *profile) slot(now time.Time) (schedule.Slot, string) {
	if p.never == "" && (p.asked.IsZero() || now.After(p.next.LatestStart)) {
		slot, err := p.planner.Next(now, p.estimate)
		p.next, p.asked = slot, now
		if err != nil {
			p.never = "no slot: its quiet hours never meet the support hours for long enough"
			if !errors.Is(err, schedule.ErrNever) {
				p.never = "no slot: " + err.Error()
			}
		}
	}
	return p.next, p.never
}

// world is a region in virtual time.
type world struct {
	o        Options
	now      time.Time
	rand     *rand.Rand
	sites    []*site
	profiles []*profile
	index    map[string]int
	acted    time.Time // when the coordinator did so last
	late     []int     // sites whose last report has not reached the center
	r        *rollout.Rollout
	queue    queue
	events   int
	running  int // sites that are updated
	asking   int
	result   Result
}

// Run plays a rollout. An error means that a rule was broken.
func Run(o Options) (Result, error) {
	if o.Cap == 0 {
		o.Cap = 25
	}
	if o.From.IsZero() {
		o.From = time.Date(2026, 4, 2, 7, 0, 0, 0, time.UTC) // Thursday 10:00 in Moscow, after the Wednesday of a release
	}
	w := &world{o: o, now: o.From, rand: rand.New(rand.NewPCG(o.Seed, 1)), index: map[string]int{}} //nolint:gosec // repeatable, and no secret
	w.build()
	if err := w.start(); err != nil {
		return w.result, err
	}
	if err := w.play(); err != nil {
		return w.result, fmt.Errorf("seed %d, %s: %w", o.Seed, w.now.Format(time.RFC3339), err)
	}
	for _, s := range w.sites {
		if _, never := w.profiles[s.profile].slot(w.now); never != "" {
			w.result.Never = append(w.result.Never, s.id)
		}
	}
	w.result.Took = w.now.Sub(o.From)
	w.result.Touched, w.result.Committed = w.r.Touched(), w.r.Counts()[rollout.Committed]
	w.result.Rollout = w.r
	return w.result, nil
}

// quiet returns the quiet hours that sites of a zone may have: any time, or the
// hours during which it is morning or afternoon in Moscow.
func quiet(zone int) [][]schedule.Daily {
	local := func(moscow int) time.Duration { return time.Duration((moscow+zone)%24) * time.Hour }
	return [][]schedule.Daily{nil, {{From: local(10), To: local(15)}}, {{From: local(14), To: local(20)}}}
}

// narrow are quiet hours that never meet the support's, in Moscow's zone.
var narrow = []schedule.Daily{{From: 20 * time.Hour, To: 23 * time.Hour}}

var candidate = rollout.Release{Distribution: "asp", Version: version.MustParse("7.88.100"), SHA256: strings.Repeat("ab", 32)}

func (w *world) build() {
	estimate := schedule.Estimate{Backup: 20 * time.Minute, Checks: 5 * time.Minute, Rollback: 30 * time.Minute}
	for zone := -1; zone <= 9; zone++ {
		for _, q := range quiet(zone) {
			w.profiles = append(w.profiles, &profile{planner: schedule.Planner{QuietHours: q, Local: schedule.MSK(zone)}, estimate: estimate})
		}
	}
	w.profiles = append(w.profiles, &profile{planner: schedule.Planner{QuietHours: narrow}, estimate: estimate})
	old := rollout.Release{Distribution: "asp", Version: version.MustParse("7.87.100"), SHA256: strings.Repeat("cd", 32)}
	for i := range w.o.Sites {
		s := &site{
			id: fmt.Sprintf("site-%05d", i), nth: i, profile: w.rand.IntN(len(w.profiles) - 1),
			takes:   30*time.Minute + time.Duration(w.rand.IntN(60))*time.Minute,
			offline: w.rand.Float64() < w.o.Offline, phase: time.Duration(w.rand.IntN(120)) * time.Minute,
		}
		s.fails = w.rand.Float64() < w.o.FailRate || i%kinds < w.o.FailKinds
		s.gone = w.rand.Float64() < w.o.Gone
		if w.rand.Float64() < w.o.Narrow {
			s.profile = len(w.profiles) - 1
		}
		s.report = rollout.Report{Site: s.id, Committed: []rollout.Release{old}}
		w.index[s.id] = i
		w.sites = append(w.sites, s)
	}
}

func (w *world) start() error {
	p := rollout.Plan{ID: "r1", Release: candidate, Cap: w.o.Cap}
	for i, s := range w.sites {
		if i < w.o.Canaries { // one of each kind first
			p.Canaries = append(p.Canaries, s.id)
		}
		p.Sites = append(p.Sites, s.id)
		w.wake(w.now.Add(time.Duration(w.rand.IntN(60))*time.Second), i)
	}
	var err error
	w.r, err = rollout.Start(p, 1, w.now, w.known)
	return err
}

func (w *world) play() error {
	const step = time.Minute
	wave, wide, end := 0, w.now.Add(limit), w.r.Deadline
	for next := w.now; ; next = next.Add(step) {
		if len(w.queue) == 0 || next.After(wide) {
			return nil
		}
		if first := w.queue[0].at; first.After(next) && w.idle() {
			if next = first; next.After(w.r.Deadline) && w.now.Before(w.r.Deadline) {
				next = w.r.Deadline
			}
		}
		for len(w.queue) > 0 && !w.queue[0].at.After(next) {
			e, _ := heap.Pop(&w.queue).(event)
			w.now = e.at
			w.live(e.site)
		}
		w.now = next
		if !w.collect() && w.now.Before(w.acted.Add(5*step)) {
			continue // nothing is new to the coordinator
		}
		w.acted = w.now
		if err := w.coordinate(); err != nil {
			return err
		}
		if w.r.Wave != wave {
			w.result.WaveEnds = append(w.result.WaveEnds, w.now.Sub(w.o.From))
			wave, end = w.r.Wave, w.r.Deadline
		}
		// A site that started just before the deadline may still end.
		if w.r.Phase == rollout.Running && wave < 3 && w.now.After(end.Add(w.r.Plan.Silence+step)) {
			return fmt.Errorf("wave %d outlasts its deadline, %s", wave+1, end.Format(time.RFC3339))
		}
		if w.over() {
			return nil
		}
	}
}

// idle reports whether no site asks, and the coordinator waits for none.
func (w *world) idle() bool {
	return len(w.late) == 0 && w.asking == 0 && !slices.ContainsFunc(w.r.Members, func(m rollout.Member) bool {
		return m.State == rollout.Granted || m.State == rollout.Started
	})
}

// over reports whether nothing more will happen.
func (w *world) over() bool {
	if w.r.Phase != rollout.Running {
		return w.running == 0 && !slices.ContainsFunc(w.sites, func(s *site) bool { return s.pending && !s.gone })
	}
	if w.r.Wave < 3 {
		return false
	}
	for i, m := range w.r.Members {
		s := w.sites[i]
		if never := w.profiles[s.profile].never; !s.gone && never == "" && m.State != rollout.Committed && m.State != rollout.RolledBack {
			return false
		}
	}
	return true
}

// known returns what the coordinator knows of a site.
func (w *world) known(id string) (rollout.Heard, bool) {
	s := w.sites[w.index[id]]
	if s.online(w.now) {
		s.heard.On = w.now
	}
	return s.heard, s.heard.Seq > 0
}

// hear brings the report of a site to the coordinator.
func (w *world) hear(s *site) {
	s.report.Time = w.now
	s.heard, s.pending = rollout.Heard{Report: s.report, At: w.now, On: w.now}, false
	w.r.Observe(s.heard)
}

// collect brings the reports of connected sites to the coordinator, and returns
// whether there were any.
func (w *world) collect() (any bool) {
	late := w.late[:0]
	for _, i := range w.late {
		s := w.sites[i]
		if !s.pending {
			continue
		}
		if !s.online(w.now) {
			late = append(late, i)
			continue
		}
		any = true
		w.hear(s)
		if w.rand.IntN(50) == 0 {
			w.r.Observe(s.heard) // sent twice
		}
	}
	w.late = late
	return any
}

// coordinate is a step of the coordinator: what time and the reports ask for, and
// at times its death.
func (w *world) coordinate() error {
	w.r.Advance(w.now, w.known)
	if w.o.Deaths > w.result.Deaths && w.rand.IntN(20) == 0 {
		w.result.Deaths++
		b, err := json.Marshal(w.r)
		if err != nil {
			return err
		}
		w.r = &rollout.Rollout{}
		if err := json.Unmarshal(b, w.r); err != nil {
			return err
		}
	}
	for i, m := range w.r.Members {
		if m.State == rollout.Granted && w.sites[i].report.Activity == rollout.Asking && w.sites[i].online(w.now) {
			if err := w.begin(w.sites[i], w.r.Grant(m)); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin is the start of an update at a site that read its grant.
func (w *world) begin(s *site, g rollout.Grant) error {
	slot, never := w.profiles[s.profile].slot(w.now)
	if permitted := g.Check(s.id, w.now, s.report.Seen) == nil; !permitted || never != "" || slot.Start.After(w.now) {
		return nil
	}
	s.starts++
	w.running++
	w.result.Peak = max(w.result.Peak, w.running)
	if s.starts > 1 {
		return fmt.Errorf("%s starts a second time", s.id)
	}
	if w.running > w.o.Cap {
		return fmt.Errorf("%d sites are updated at a time", w.running)
	}
	w.say(s, rollout.Updating)
	s.report.Release, s.report.Seen = g.Release, g.Generation
	s.until = w.now.Add(s.takes)
	// The report of a start has reached the store before the start, also if the
	// coordinator reads it later.
	w.hear(s)
	w.wake(s.until, s.nth)
	return nil
}

// live is what a site does by itself: it ends its update, or asks once its slot
// is open.
func (w *world) live(i int) {
	s := w.sites[i]
	switch {
	case s.report.Activity == rollout.Updating && !w.now.Before(s.until):
		w.running--
		if s.fails {
			s.report.Quarantined = append(s.report.Quarantined, rollout.Failure{Release: candidate, Code: fmt.Sprintf("exit code %d", 1600+w.rand.IntN(20))})
		} else {
			s.report.Committed = []rollout.Release{candidate}
		}
		w.say(s, rollout.Idle)
		return
	case s.report.Activity == rollout.Updating || s.starts > 0:
		return
	}
	slot, never := w.profiles[s.profile].slot(w.now)
	s.report.Slot, s.report.Until, s.report.Never = slot.Start, slot.LatestStart, never
	switch {
	case never != "":
		w.say(s, rollout.Idle)
	case slot.Start.After(w.now):
		w.say(s, rollout.Idle)
		w.wake(slot.Start, i)
	default:
		w.say(s, rollout.Asking)
		w.wake(slot.LatestStart.Add(time.Second), i)
	}
}

func (w *world) say(s *site, a rollout.Activity) {
	if s.gone {
		return
	}
	if s.report.Activity == rollout.Asking {
		w.asking--
	}
	if a == rollout.Asking {
		w.asking++
	}
	s.report.Seq++
	s.report.Activity = a
	if !s.pending {
		s.pending, w.late = true, append(w.late, s.nth)
	}
}

func (w *world) wake(at time.Time, site int) {
	w.events++
	heap.Push(&w.queue, event{at, w.events, site})
}

// An event wakes a site. Events of the same time keep their order.
type event struct {
	at   time.Time
	nth  int
	site int
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].nth < q[j].nth
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { e, _ := x.(event); *q = append(*q, e) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
