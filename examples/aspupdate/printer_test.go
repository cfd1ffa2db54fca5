package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/fetch/archive"
)

// TestProgressWithoutATerminal checks that progress does not flood a log.
func TestProgressWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &printer{out: &out}
	e := archive.Event{Kind: archive.EventProgress, Text: "30 of 90 MB, 3.0 MB/s, 20s left"}
	for range 100 {
		p.archive(e)
	}
	require.Empty(t, out.String(), "no line for what ends soon")
	p.reported = time.Now().Add(-time.Minute)
	p.archive(e)
	p.archive(e)
	require.Equal(t, 1, strings.Count(out.String(), "30 of 90 MB, 3.0 MB/s, 20s left"), out.String())
	p.reported = time.Now().Add(-time.Minute)
	p.backup(backup.Event{Kind: "verify", Text: "postgres asp: verifying, 30 of 90 MB, 3.0 MB/s, 20s left"})
	require.Contains(t, out.String(), "postgres asp: verifying, 30 of 90 MB, 3.0 MB/s, 20s left\n", "a backup takes longer than a download")
	p.backup(backup.Event{Kind: backup.EventWarning, Text: "asp: no clone: the disk is full"})
	require.Contains(t, out.String(), "no clone: the disk is full\n", "a warning is printed immediately")
	before := strings.Count(out.String(), "\n")
	p.quiet, p.reported = true, time.Now().Add(-time.Minute)
	p.archive(e)
	require.Equal(t, before, strings.Count(out.String(), "\n"))
}
