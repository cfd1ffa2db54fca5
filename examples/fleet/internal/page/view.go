package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/schedule"
)

// A view is what the page shows. Names and texts in it can be hostile.
type view struct {
	Trouble  string // why what is shown is not of now
	At       time.Time
	AtText   string
	Decide   list[decision]
	Rollouts []rolloutView
	Older    []string
	Legend   []count
	Sites    int
	Cells    []cell
	On, Off  int // sites that are connected, and not
	Windows  list[window]
	Silent   list[remark]
	Never    list[remark]
	Skew     list[remark]
	Backs    list[quarantine]
	Health   *center.Health
	Started  string
	Lost     string
	Bytes    string
	Free     string
	Full     bool
}

// A list has the first entries, and how many are left out.
type list[T any] struct {
	Items []T
	More  int
}

// Total returns how many there are.
func (l list[T]) Total() int { return len(l.Items) + l.More }

const shownMost = 30 // entries of a list: a page stays readable when everything is wrong

func first[T any](all []T) list[T] {
	n := min(len(all), shownMost)
	return list[T]{all[:n], len(all) - n}
}

// A decision is what a person must see to.
type decision struct {
	Site, Enc, Rollout string
	What, Next         string
}

// A remark is a site and what is said of it.
type remark struct{ Site, Enc, What string }

// A window is a time at which sites can start.
type window struct {
	Start, Here, There string
	At                 time.Time
	N                  int
	Sites              list[remark]
}

// A quarantine is a release that sites have rolled back.
type quarantine struct {
	Release, Code string
	N             int
	Sites         list[remark]
}

// A cell is a site in the grid.
type cell struct{ Site, Enc, Kind, State, Off string }

type count struct {
	Kind, State string
	N           int
}

// A kind is a state of a site in the grid: its class and its name. What needs a person
// comes first.
var kinds = []struct{ class, name string }{
	{"decide", "a person must decide"}, {"back", "rolled back"}, {"late", "no outcome"}, {"updating", "being updated"},
	{"granted", "may start"}, {"waiting", "waiting"}, {"committed", "committed"}, {"none", "not in a rollout"},
}

func named(class string) string {
	for _, k := range kinds {
		if k.class == class {
			return k.name
		}
	}
	return class
}

type waveView struct {
	Name            string
	Now             bool
	Sites           int
	Counts          []count
	Settled, Behind int
}

type rolloutView struct {
	ID, Enc, Release, SHA string
	Phase, Reason         string
	Generation            uint64
	Waves                 []waveView
	Deadline              string
	Rules                 []string
	Stragglers            list[remark]
	Log                   list[logLine]
	Accepts               int // failures that resume would accept
	CanPause, CanResume   bool
	Over, Alarm           bool
	Committed, Sites      int
}

type logLine struct{ When, Text string }

// here returns a time in the zone of the center.
func (p *Page) here(t time.Time) string { return in(t, p.zone()) }

func (p *Page) zone() *time.Location { return cmp.Or(p.Zone, schedule.MSK(0)) }

func in(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("2006-01-02 15:04 MST")
}

// zoneOf returns the zone of a site, Moscow's if it gives none that exists.
func zoneOf(h rollout.Heard) *time.Location {
	if zone, err := schedule.ParseZone(h.Zone); err == nil {
		return zone
	}
	return schedule.MSK(0)
}

func size(bytes uint64) string {
	if bytes < 10<<20 {
		return fmt.Sprintf("%d kB", bytes>>10)
	}
	return fmt.Sprintf("%d MB", bytes>>20)
}

const leastFree = 1 << 30 // of the center's volume

func (p *Page) view(s snapshot) view {
	v := view{At: s.at, AtText: p.here(s.at), Trouble: s.wrong, Older: s.answer.Older, Sites: len(s.answer.Sites)}
	now := s.at
	if h := s.answer.Health; h != nil {
		v.Health, v.Started, v.Lost, v.Bytes, v.Free, v.Full = h, p.here(h.Started), p.here(h.Lost), size(h.Bytes), size(uint64(max(0, h.Free))), h.Free > 0 && h.Free < leastFree
	}
	var decide []decision
	for _, r := range s.answer.Rollouts {
		v.Rollouts = append(v.Rollouts, p.rolloutView(r))
		decide = append(decide, stopped(r)...)
	}
	var silent, never, skew []remark
	counts := map[string]int{}
	for _, site := range s.answer.Sites {
		c := cell{Site: site.ID, Enc: link.Encode(site.ID), Kind: kindOf(site, s.answer.Rollouts)}
		c.State = named(c.Kind)
		if c.Kind == "decide" && !slices.ContainsFunc(decide, func(d decision) bool { return d.Site == site.ID }) {
			decide = append(decide, decision{Site: c.Site, Enc: c.Enc, What: "a person must decide", Next: "run aspupdate status at the site: it says what to do"})
		}
		switch h := site.Heard; {
		case h == nil:
			c.Off = "it has never reported"
		case !h.Connected(now):
			c.Off = "not connected since " + p.here(h.On)
		case h.Never != "":
			never = append(never, remark{c.Site, c.Enc, h.Never})
		}
		if c.Off != "" {
			v.Off++
			silent = append(silent, remark{c.Site, c.Enc, c.Off})
		}
		if h := site.Heard; h != nil && h.Skew().Abs() > rollout.MaxSkew {
			skew = append(skew, remark{c.Site, c.Enc, fmt.Sprintf("its clock differs by %v, and it will not start", h.Skew().Round(time.Second))})
		}
		if site.Fault != "" {
			decide = append(decide, decision{Site: c.Site, Enc: c.Enc, What: site.Fault})
		}
		counts[c.Kind]++
		v.Cells = append(v.Cells, c)
	}
	for _, k := range kinds {
		v.Legend = append(v.Legend, count{k.class, k.name, counts[k.class]})
	}
	v.On, v.Decide = v.Sites-v.Off, first(decide)
	v.Silent, v.Never, v.Skew = first(silent), first(never), first(skew)
	v.Windows, v.Backs = p.windows(s.answer.Sites, now), p.quarantines(s.answer.Sites)
	return v
}

// stopped returns what of a rollout needs a person.
func stopped(r *rollout.Rollout) (all []decision) {
	if r.Phase == rollout.Stopped {
		all = append(all, decision{Rollout: r.Plan.ID, Enc: link.Encode(r.Plan.ID), What: r.Reason, Next: "resume it, which accepts the failures so far, or abort it"})
	}
	for _, m := range r.Members {
		d := decision{Site: m.ID, Enc: link.Encode(m.ID), Next: "run aspupdate status at the site: it says what to do"}
		switch {
		case m.State == rollout.Operator && !m.Accepted:
			d.What = "a person must decide"
		case m.State == rollout.Started && m.Silent && !m.Accepted:
			d.What = fmt.Sprintf("no outcome %v after its start", r.Plan.Silence)
		default:
			continue
		}
		all = append(all, d)
	}
	return all
}

// kindOf returns the state of a site: what it reports of a person's decision, then its
// state in the rollout that comes first.
func kindOf(s center.SiteState, all []*rollout.Rollout) string {
	if s.Heard != nil && s.Heard.Activity == rollout.Decision {
		return "decide"
	}
	for _, r := range all {
		m, ok := r.Member(s.ID)
		if !ok {
			continue
		}
		switch m.State {
		case rollout.Operator:
			return "decide"
		case rollout.RolledBack:
			return "back"
		case rollout.Started:
			if m.Silent {
				return "late"
			}
			return "updating"
		case rollout.Granted:
			return "granted"
		case rollout.Committed:
			return "committed"
		case rollout.Waiting:
			if r.Phase.Over() {
				return "none"
			}
			return "waiting"
		}
	}
	return "none"
}

func (p *Page) rolloutView(r *rollout.Rollout) rolloutView {
	v := rolloutView{
		ID: r.Plan.ID, Enc: link.Encode(r.Plan.ID), Release: r.Plan.Release.Distribution + " " + r.Plan.Release.Version.String(), SHA: r.Plan.Release.SHA256,
		Phase: string(r.Phase), Reason: r.Reason, Generation: r.Generation, Over: r.Phase.Over(), Alarm: r.Phase == rollout.Stopped,
		CanPause: r.Phase == rollout.Running, CanResume: r.Phase == rollout.Paused || r.Phase == rollout.Stopped, Sites: len(r.Members),
	}
	if !v.Over {
		v.Deadline = p.here(r.Deadline)
	}
	var apart []remark
	for wave, name := range []string{"canaries", "ten percent", "the rest"} {
		w := waveView{Name: name, Now: !v.Over && r.Wave == wave}
		if wave == 1 && r.Plan.Percent != 10 {
			w.Name = fmt.Sprintf("%d percent", r.Plan.Percent)
		}
		counts := map[string]int{}
		for _, m := range r.Members {
			if m.Wave != wave {
				continue
			}
			w.Sites++
			k := kindOf(center.SiteState{ID: m.ID}, []*rollout.Rollout{r})
			if k == "none" {
				k = "waiting"
			}
			if counts[k]++; k == "committed" {
				w.Settled++
			}
			if m.Straggler != "" && m.State != rollout.Committed {
				w.Behind++
				apart = append(apart, remark{m.ID, link.Encode(m.ID), m.Straggler})
			}
		}
		for _, k := range kinds {
			if counts[k.class] > 0 {
				w.Counts = append(w.Counts, count{k.class, k.name, counts[k.class]})
			}
		}
		v.Committed += w.Settled
		v.Waves = append(v.Waves, w)
	}
	v.Accepts, v.Stragglers = r.Unaccepted(), first(apart)
	v.Rules = rules(r)
	var log []logLine
	for _, e := range slices.Backward(r.Log) {
		log = append(log, logLine{p.here(e.Time), e.Text})
	}
	v.Log = first(log)
	return v
}

// rules returns the thresholds of a rollout, and how near it is to them.
func rules(r *rollout.Rollout) []string {
	busy, limit := r.Busy()
	back, most := r.Failures()
	canaries, done, failed := 0, 0, 0
	for _, m := range r.Members {
		if m.Wave == 0 {
			canaries++
			if m.State == rollout.Committed {
				done++
			}
			if m.State == rollout.RolledBack {
				failed++
			}
		}
	}
	return []string{
		fmt.Sprintf("at a time: %d of at most %d sites; the cap is %d", busy, limit, r.Plan.Cap),
		fmt.Sprintf("canaries rolled back: %d; the first one stops it", failed),
		fmt.Sprintf("canaries committed: %d of %d; fewer than half of them at the deadline stop it", done, canaries),
		fmt.Sprintf("other sites rolled back: %d; more than %d stop it, and so do two with the same exit code", back, most),
		fmt.Sprintf("a site without an outcome %v after its start stops it", r.Plan.Silence),
	}
}

// windows returns the next times at which sites can start.
func (p *Page) windows(sites []center.SiteState, now time.Time) list[window] {
	type key struct {
		at   time.Time
		zone string
	}
	groups := map[key][]remark{}
	for _, s := range sites {
		h := s.Heard
		if h == nil || h.Slot.IsZero() || h.Until.Before(now) {
			continue
		}
		at := h.Slot.UTC().Truncate(time.Minute)
		if at.Before(now) {
			at = time.Time{} // it could start now
		}
		k := key{at, zoneOf(*h).String()}
		groups[k] = append(groups[k], remark{Site: s.ID, Enc: link.Encode(s.ID)})
	}
	keys := slices.SortedFunc(maps.Keys(groups), func(a, b key) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.zone, b.zone)) })
	var all []window
	for _, k := range keys {
		zone, _ := schedule.ParseZone(k.zone)
		all = append(all, window{At: k.at, Here: p.here(k.at), There: in(k.at, zone), N: len(groups[k]), Sites: few(groups[k])})
	}
	return first(all)
}

func few(all []remark) list[remark] {
	n := min(len(all), 5)
	return list[remark]{all[:n], len(all) - n}
}

func (p *Page) quarantines(sites []center.SiteState) list[quarantine] {
	groups := map[rollout.Failure][]remark{}
	for _, s := range sites {
		if s.Heard == nil {
			continue
		}
		for _, q := range s.Heard.Quarantined {
			groups[q] = append(groups[q], remark{Site: s.ID, Enc: link.Encode(s.ID)})
		}
	}
	var all []quarantine
	for q, at := range groups {
		all = append(all, quarantine{Release: q.Release.String(), Code: q.Code, N: len(at), Sites: few(at)})
	}
	slices.SortFunc(all, func(a, b quarantine) int {
		return cmp.Or(b.N-a.N, cmp.Compare(a.Release, b.Release), cmp.Compare(a.Code, b.Code))
	})
	return first(all)
}

// A siteView is the page of one site.
type siteView struct {
	Site, State, Off, Fault  string
	Reported, Clock          string
	Here, There, Never, Zone string
	Committed, Updating      []string
	Quarantined              []rollout.Failure
	Rollouts                 []memberView
}

type memberView struct{ Rollout, State, Since, Code, Straggler string }

func (p *Page) siteView(s snapshot, site center.SiteState) siteView {
	v := siteView{Site: site.ID, State: named(kindOf(site, s.answer.Rollouts)), Fault: site.Fault, Off: "it has never reported"}
	for _, r := range s.answer.Rollouts {
		if m, ok := r.Member(site.ID); ok {
			v.Rollouts = append(v.Rollouts, memberView{r.Plan.ID, string(m.State), p.here(m.Since), m.Code, m.Straggler})
		}
	}
	h := site.Heard
	if h == nil {
		return v
	}
	v.Off = ""
	if !h.Connected(s.at) {
		v.Off = "not connected since " + p.here(h.On)
	}
	v.Reported, v.Clock, v.Never = p.here(h.At), h.Skew().Round(time.Second).String(), h.Never
	v.Here, v.There, v.Zone = p.here(h.Slot), in(h.Slot, zoneOf(*h)), zoneOf(*h).String()
	for _, c := range h.Committed {
		v.Committed = append(v.Committed, c.String())
	}
	if h.Activity == rollout.Updating {
		v.Updating = append(v.Updating, h.Release.String())
	}
	v.Quarantined = h.Quarantined
	return v
}
