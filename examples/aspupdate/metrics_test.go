package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/rollback"
)

var (
	metricName = regexp.MustCompile(`^[a-z_]+$`)
	sampleForm = regexp.MustCompile(`^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\[\\"n])*",?)+)\})? (-?[0-9.]+)$`)
)

// readMetrics reads Prometheus' text format as strictly as promtool does: HELP and TYPE once and
// first, all samples of a name together, none twice.
func readMetrics(t *testing.T, text string) map[string]float64 {
	t.Helper()
	require.True(t, strings.HasSuffix(text, "\n"))
	samples, typed, current := map[string]float64{}, map[string]bool{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if help, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, what, _ := strings.Cut(help, " ")
			require.Regexp(t, metricName, name)
			require.NotEmpty(t, what)
			require.False(t, typed[name], name)
			current = name
			continue
		}
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			require.Equal(t, current+" gauge", name)
			typed[current] = true
			continue
		}
		m := sampleForm.FindStringSubmatch(line)
		require.NotNil(t, m, "%q", line)
		require.True(t, m[1] == current && typed[current], line)
		value, err := strconv.ParseFloat(m[3], 64)
		require.NoError(t, err)
		key := strings.TrimSuffix(line, " "+m[3])
		require.NotContains(t, samples, key)
		samples[key] = value
	}
	return samples
}

// The ages of snapshot, proof and copy are times, and the names of others do not leave their quotes.
func TestMetricsForMonitoring(t *testing.T) {
	t.Parallel()
	sealed := time.Date(2026, 12, 1, 7, 30, 0, 250e6, time.UTC)
	st := newStatusDoc(rollback.Status{Committed: map[string]rollback.Release{"АСП": {Version: "9.22.200"}}, Pending: &rollback.Pending{Step: "install", Outcome: rollback.NeedsOperator}})
	st.Backups = []site.DataState{
		{Data: "before an update: postgres \"x\\\n} 1\x1b[2J", Snapshot: sealed, Bytes: 12345678901, Took: 61.5},
		{Data: "before an update: postgres asp", Snapshot: sealed, Proven: sealed.Add(time.Hour), ProofTook: 90},
	}
	st.Copies = &site.CopyState{Copies: 7, Bytes: 1 << 40, Missing: 2, Failed: "it is full", Last: sealed}
	got := readMetrics(t, newMetrics(&st, exitOperator, sealed.Add(time.Minute)))
	hostile := ""
	for key, value := range got {
		if strings.HasPrefix(key, "aspupdate_snapshot_bytes{") && value == 12345678901 {
			hostile = strings.TrimPrefix(key, "aspupdate_snapshot_bytes")
		}
	}
	require.Contains(t, hostile, `\"x\\`)
	for key, want := range map[string]float64{
		"aspupdate_status":  exitOperator,
		"aspupdate_pending": 1,
		`aspupdate_committed_info{distribution="АСП",version="9.22.200"}`:          1,
		"aspupdate_snapshot_timestamp_seconds" + hostile:                           1796110200.25,
		"aspupdate_proof_timestamp_seconds" + hostile:                              0,
		`aspupdate_proof_timestamp_seconds{data="before an update: postgres asp"}`: 1796113800.25,
		`aspupdate_proof_duration_seconds{data="before an update: postgres asp"}`:  90,
		"aspupdate_copies_bytes":              1 << 40,
		"aspupdate_copies_missing":            2,
		"aspupdate_copies_failed":             1,
		"aspupdate_copy_timestamp_seconds":    1796110200.25,
		"aspupdate_written_timestamp_seconds": 1796110260.25,
	} {
		value, ok := got[key]
		require.True(t, ok, "%s in %s", key, fmt.Sprint(got))
		require.InDelta(t, want, value, 0.001, key)
	}
	require.Len(t, readMetrics(t, newMetrics(nil, exitJournal, sealed)), 2)
}
