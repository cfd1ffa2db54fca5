// Package progress reports the progress of long copies, about once a second.
package progress

import (
	"fmt"
	"strings"
	"time"
)

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

// String returns the point for people, such as "12 of 40 MB, 3.0 MB/s, 9s left".
func (p Point) String() string {
	var parts []string
	switch {
	case p.Total > 0:
		parts = append(parts, fmt.Sprintf("%d of %d MB", p.Done/1e6, p.Total/1e6))
	case p.Done > 0:
		parts = append(parts, fmt.Sprintf("%d MB", p.Done/1e6))
	}
	if p.Rate > 0 {
		parts = append(parts, fmt.Sprintf("%.1f MB/s", float64(p.Rate)/1e6))
	}
	if p.Left > 0 {
		parts = append(parts, fmt.Sprintf("%v left", p.Left.Round(time.Second)))
	}
	return strings.Join(parts, ", ")
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
	p := Point{Done: m.done, Total: m.total, At: at, Rate: int64(float64(m.done) / at.Sub(m.started).Seconds())}
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
