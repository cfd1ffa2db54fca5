package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/metrics"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// newMetrics returns the state for monitoring. A status that could not be read has its
// code alone.
func newMetrics(d *statusDoc, code int, now time.Time) string {
	m := metrics.Text{Prefix: "aspupdate_"}
	m.Gauge("written_timestamp_seconds", "When these metrics were written.", metrics.Instant(now))
	m.Gauge("status", "Exit code of aspupdate status: 0 if all is well.", metrics.Number(code))
	if d == nil {
		return m.String()
	}
	var committed, newest []metrics.Sample
	for _, name := range slices.Sorted(maps.Keys(d.Committed)) {
		committed = append(committed, metrics.Number(1, "distribution", name, "version", string(d.Committed[name].Version)))
	}
	m.Gauge("committed_info", "The version that was committed last.", committed...)
	if s := d.Server; s != nil {
		for _, name := range slices.Sorted(maps.Keys(s.Newest)) {
			newest = append(newest, metrics.Number(1, "distribution", name, "version", s.Newest[name].String()))
		}
		m.Gauge("newest_info", "The newest version on the server when it was last asked.", newest...)
		m.Gauge("server_asked_timestamp_seconds", "When the server was last asked.", metrics.Instant(s.At))
	}
	m.Gauge("quarantined", "Releases that were rolled back and are not installed again.", metrics.Number(len(d.Quarantined)))
	m.Gauge("pending", "Whether an update has begun and not ended.", metrics.Truth(d.Pending != nil))
	m.Gauge("running", "Whether a process is running.", metrics.Truth(d.Working != nil))
	m.Gauge("closed", "Whether users are kept out although nothing is pending.", metrics.Truth(d.Closed != ""))
	for _, h := range slices.Backward(d.History) {
		if h.Step == "intent" && !h.Ended.IsZero() {
			m.Gauge("update_timestamp_seconds", "When the last update ended.", metrics.Instant(h.Ended, "outcome", string(h.Outcome)))
			break
		}
	}
	var taken, bytes, took, proven, proofTook []metrics.Sample
	for _, b := range d.Backups {
		taken = append(taken, metrics.Instant(b.Snapshot, "data", b.Data))
		bytes = append(bytes, metrics.Number(b.Bytes, "data", b.Data))
		took = append(took, metrics.Number(b.Took, "data", b.Data))
		proven = append(proven, metrics.Instant(b.Proven, "data", b.Data))
		proofTook = append(proofTook, metrics.Number(b.ProofTook, "data", b.Data))
	}
	m.Gauge("snapshot_timestamp_seconds", "When the last snapshot was sealed.", taken...)
	m.Gauge("snapshot_bytes", "Size of the last snapshot.", bytes...)
	m.Gauge("snapshot_duration_seconds", "How long the last snapshot took.", took...)
	m.Gauge("proof_timestamp_seconds", "When a snapshot was last restored beside and compared; 0 if never.", proven...)
	m.Gauge("proof_duration_seconds", "How long that took; 0 if never.", proofTook...)
	if c := d.Copies; c != nil {
		m.Gauge("copies", "Copies in the second place.", metrics.Number(c.Copies))
		m.Gauge("copies_bytes", "Size of all copies.", metrics.Number(c.Bytes))
		m.Gauge("copies_missing", "Snapshots, installers and configurations without a copy.", metrics.Number(c.Missing))
		m.Gauge("copies_failed", "Whether the last run failed.", metrics.Truth(c.Failed != ""))
		m.Gauge("copy_timestamp_seconds", "When the last copy was made; 0 if never.", metrics.Instant(c.Last))
		m.Gauge("copies_checked_timestamp_seconds", "When all copies were last read back and were whole; 0 if never.", metrics.Instant(c.Checked))
	}
	waiting := 0
	if d.Notify != nil {
		waiting = d.Notify.Waiting
	}
	m.Gauge("notify_waiting", "Notifications that could not be sent yet.", metrics.Number(waiting))
	m.Gauge("unread", "Whether some snapshots or copies could not be counted.", metrics.Truth(cmp.Or(d.Unread, d.Lacks) != ""))
	return m.String()
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
