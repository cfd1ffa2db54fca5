// Package progress reports the progress of long copies, about once a second.
package progress

import "time"

// A Meter counts bytes. The nil Meter counts nothing. It is not safe for
// concurrent use.
type Meter struct {
	total    int64
	now      func() time.Time
	report   func(Point)
	done     int64
	started  time.Time
	reported time.Time
}

// A Point is the state of a copy.
type Point struct {
	Done, Total int64 // bytes; Total is 0 if unknown
	Rate        int64 // bytes a second, on average
	Left        time.Duration
	At          time.Time
}

// New returns a Meter whose Add and Write call report, at most once a second and
// never in the first.
func New(total int64, now func() time.Time, report func(Point)) *Meter {
	start := now()
	return &Meter{total: total, now: now, report: report, started: start, reported: start}
}

// Add counts n bytes.
func (m *Meter) Add(n int) {
	if m == nil || n == 0 {
		return
	}
	m.done += int64(n)
	at := m.now()
	if at.Sub(m.reported) < time.Second {
		return
	}
	m.reported = at
	p := Point{Done: m.done, Total: m.total, At: at}
	took := at.Sub(m.started).Seconds()
	p.Rate = int64(float64(m.done) / took)
	if m.total > m.done && p.Rate > 0 {
		p.Left = time.Duration(float64(m.total-m.done) / float64(p.Rate) * float64(time.Second))
	}
	m.report(p)
}

// Write counts what goes through an io.MultiWriter or an io.TeeReader.
func (m *Meter) Write(p []byte) (int, error) {
	m.Add(len(p))
	return len(p), nil
}
