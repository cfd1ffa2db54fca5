package page

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/examples/internal/metrics"
)

// fresh is how old an answer of the center may be for it to be well.
const fresh = 3 * atLeast

// healthz answers 200 if the center answers, 503 if it does not.
func (p *Page) healthz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if s := p.heard(r.Context()); s.wrong != "" || p.now().Sub(s.at) > fresh {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "the center does not answer\n")
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// metrics serves the state of the center in Prometheus' text format. It needs no key,
// and so has no name of a site.
func (p *Page) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = io.WriteString(w, p.measured(p.heard(r.Context())))
}

// heard returns the last snapshot. A page that has just been opened asks for its first
// one, so that no center counts as silent before it was asked.
func (p *Page) heard(ctx context.Context) snapshot {
	s := p.watch.last()
	if s.n == 0 {
		p.read(ctx, time.Second)
		s = p.watch.last()
	}
	return s
}

func (p *Page) measured(s snapshot) string {
	m := metrics.Text{Prefix: "aspupdate_fleet_"}
	m.Gauge("up", "Whether the center answers.", metrics.Truth(s.wrong == "" && p.now().Sub(s.at) <= fresh))
	m.Gauge("answered_timestamp_seconds", "When the center last answered; 0 if never.", metrics.Instant(s.at))
	if s.at.IsZero() {
		return m.String()
	}
	m.Gauge("answer_duration_seconds", "How long that took.", metrics.Number(s.took.Seconds()))
	if h := s.answer.Health; h != nil {
		m.Gauge("coordinator_started_timestamp_seconds", "When the coordinator started.", metrics.Instant(h.Started))
		m.Gauge("store_errors", "Errors of the store since then, after each of which everything was read again.", metrics.Number(h.Losses))
		m.Gauge("store_error_timestamp_seconds", "The last of them; 0 if there is none.", metrics.Instant(h.Lost))
		m.Gauge("store_bytes", "Size of the store.", metrics.Number(float64(h.Bytes)))
		m.Gauge("volume_free_bytes", "Free space on the center's volume.", metrics.Number(h.Free))
	}
	v := p.view(s)
	faulty, reported := 0, time.Time{}
	for _, site := range s.answer.Sites {
		if site.Fault != "" {
			faulty++
		}
		if site.Heard != nil && site.Heard.At.After(reported) {
			reported = site.Heard.At
		}
	}
	m.Gauge("sites", "Enrolled sites.", metrics.Number(v.Sites))
	m.Gauge("sites_silent", "Sites that are not connected.", metrics.Number(v.Off))
	m.Gauge("sites_skewed", "Sites whose clock differs by more than 2 min.", metrics.Number(v.Skew.Total()))
	m.Gauge("sites_never", "Connected sites that can never start.", metrics.Number(v.Never.Total()))
	m.Gauge("sites_faulty", "Sites whose reports are not believed.", metrics.Number(faulty))
	m.Gauge("decisions", "Decisions of a person that are needed.", metrics.Number(v.Decide.Total()))
	m.Gauge("report_timestamp_seconds", "When a site last reported; 0 if never.", metrics.Instant(reported))
	var states, phases []metrics.Sample
	for _, r := range s.answer.Rollouts {
		counts := r.Counts()
		phases = append(phases, metrics.Number(1, "rollout", r.Plan.ID, "phase", string(r.Phase)))
		for _, state := range []rollout.State{rollout.Waiting, rollout.Granted, rollout.Started, rollout.Committed, rollout.RolledBack, rollout.Operator} {
			states = append(states, metrics.Number(counts[state], "rollout", r.Plan.ID, "state", string(state)))
		}
	}
	m.Gauge("rollout_phase", "The phase of each rollout.", phases...)
	m.Gauge("rollout_sites", "Sites of each rollout by their state.", states...)
	return m.String()
}
