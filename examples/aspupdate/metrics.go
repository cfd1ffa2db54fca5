package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/safetext"
)

// metrics are gauges in Prometheus' text format. What has happened is a time, whose age
// grows even where nothing writes the file any more.
type metrics struct{ text strings.Builder }

// A sample is one value of a gauge, with names and values of its labels in turn.
type sample struct {
	value  float64
	labels []string
}

func instant(t time.Time, labels ...string) sample {
	s := sample{labels: labels}
	if !t.IsZero() {
		s.value = float64(t.UnixMilli()) / 1000
	}
	return s
}

func number[N int | int64 | float64](n N, labels ...string) sample {
	return sample{float64(n), labels}
}

func truth(is bool) sample {
	if is {
		return number(1)
	}
	return number(0)
}

// gauge writes a gauge, unless it has no sample.
func (m *metrics) gauge(name, help string, samples ...sample) {
	if len(samples) == 0 {
		return
	}
	name = "aspupdate_" + name
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

// newMetrics returns the state for monitoring. A status that could not be read has its
// code alone.
func newMetrics(d *statusDoc, code int, now time.Time) string {
	var m metrics
	m.gauge("written_timestamp_seconds", "When these metrics were written.", instant(now))
	m.gauge("status", "Exit code of aspupdate status: 0 if all is well.", number(code))
	if d == nil {
		return m.text.String()
	}
	var committed, newest []sample
	for _, name := range slices.Sorted(maps.Keys(d.Committed)) {
		committed = append(committed, number(1, "distribution", name, "version", string(d.Committed[name].Version)))
	}
	m.gauge("committed_info", "The version that was committed last.", committed...)
	if s := d.Server; s != nil {
		for _, name := range slices.Sorted(maps.Keys(s.Newest)) {
			newest = append(newest, number(1, "distribution", name, "version", s.Newest[name].String()))
		}
		m.gauge("newest_info", "The newest version on the server when it was last asked.", newest...)
		m.gauge("server_asked_timestamp_seconds", "When the server was last asked.", instant(s.At))
	}
	m.gauge("quarantined", "Releases that were rolled back and are not installed again.", number(len(d.Quarantined)))
	m.gauge("pending", "Whether an update has begun and not ended.", truth(d.Pending != nil))
	m.gauge("running", "Whether a process is running.", truth(d.Working != nil))
	m.gauge("closed", "Whether users are kept out although nothing is pending.", truth(d.Closed != ""))
	for _, h := range slices.Backward(d.History) {
		if h.Step == "intent" && !h.Ended.IsZero() {
			m.gauge("update_timestamp_seconds", "When the last update ended.", instant(h.Ended, "outcome", string(h.Outcome)))
			break
		}
	}
	var taken, bytes, took, proven, proofTook []sample
	for _, b := range d.Backups {
		taken = append(taken, instant(b.Snapshot, "data", b.Data))
		bytes = append(bytes, number(b.Bytes, "data", b.Data))
		took = append(took, number(b.Took, "data", b.Data))
		proven = append(proven, instant(b.Proven, "data", b.Data))
		proofTook = append(proofTook, number(b.ProofTook, "data", b.Data))
	}
	m.gauge("snapshot_timestamp_seconds", "When the last snapshot was sealed.", taken...)
	m.gauge("snapshot_bytes", "Size of the last snapshot.", bytes...)
	m.gauge("snapshot_duration_seconds", "How long the last snapshot took.", took...)
	m.gauge("proof_timestamp_seconds", "When a snapshot was last restored beside and compared; 0 if never.", proven...)
	m.gauge("proof_duration_seconds", "How long that took; 0 if never.", proofTook...)
	if c := d.Copies; c != nil {
		m.gauge("copies", "Copies in the second place.", number(c.Copies))
		m.gauge("copies_bytes", "Size of all copies.", number(c.Bytes))
		m.gauge("copies_missing", "Snapshots, installers and configurations without a copy.", number(c.Missing))
		m.gauge("copies_failed", "Whether the last run failed.", truth(c.Failed != ""))
		m.gauge("copy_timestamp_seconds", "When the last copy was made; 0 if never.", instant(c.Last))
		m.gauge("copies_checked_timestamp_seconds", "When all copies were last read back and were whole; 0 if never.", instant(c.Checked))
	}
	waiting := 0
	if d.Notify != nil {
		waiting = d.Notify.Waiting
	}
	m.gauge("notify_waiting", "Notifications that could not be sent yet.", number(waiting))
	m.gauge("unread", "Whether some snapshots or copies could not be counted.", truth(cmp.Or(d.Unread, d.Lacks) != ""))
	return m.text.String()
}

// measured writes the metrics to a file, which others may read, in one step, or for "-"
// instead of the answer.
func (j *job) measured(file string, d *statusDoc, err error) error {
	text := newMetrics(d, exitCode(err), time.Now())
	if file == "-" {
		return waiting(j.show.out, func() error {
			_, err := io.WriteString(j.show.out, text)
			return err
		})
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot write the metrics: %w", err)
	}
	return nil
}
