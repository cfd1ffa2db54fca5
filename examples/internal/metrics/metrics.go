// Package metrics writes gauges in Prometheus' text format.
package metrics

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/safetext"
)

// A Text is gauges in Prometheus' text format. What has happened is a time, whose age
// grows even where nothing writes the text any more.
type Text struct {
	Prefix string // of each name
	text   strings.Builder
}

// String returns what was written.
func (m *Text) String() string { return m.text.String() }

// A Sample is one value of a gauge, with names and values of its labels in turn.
type Sample struct {
	value  float64
	labels []string
}

// Instant is the sample of a time, 0 if it is zero.
func Instant(t time.Time, labels ...string) Sample {
	s := Sample{labels: labels}
	if !t.IsZero() {
		s.value = float64(t.UnixMilli()) / 1000
	}
	return s
}

// Number is the sample of a number.
func Number[N int | int64 | float64](n N, labels ...string) Sample {
	return Sample{float64(n), labels}
}

// Truth is 1 or 0.
func Truth(is bool) Sample {
	if is {
		return Number(1)
	}
	return Number(0)
}

// Gauge writes a gauge, unless it has no Sample.
func (m *Text) Gauge(name, help string, samples ...Sample) {
	if len(samples) == 0 {
		return
	}
	name = m.Prefix + name
	fmt.Fprintf(&m.text, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
	for _, s := range samples {
		var labels []string
		for i := 0; i+1 < len(s.labels); i += 2 {
			labels = append(labels, s.labels[i]+`="`+labelValue(s.labels[i+1])+`"`)
		}
		m.text.WriteString(name)
		if len(labels) > 0 {
			m.text.WriteString("{" + strings.Join(labels, ",") + "}")
		}
		m.text.WriteString(" " + strconv.FormatFloat(s.value, 'f', -1, 64) + "\n")
	}
}

// labelValue returns the value of a label as it is written between quotes. Names of databases
// and distributions are text of others.
func labelValue(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(safetext.Line(text))
}
