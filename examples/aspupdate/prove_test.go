package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// TestR9AnUpdateWaitsForAProof runs the whole habit with PostgreSQL: an update is refused,
// the line that is printed leads out, a proof is kept with its snapshot and counts until the
// shape of the database changes, and users go on working meanwhile.
func TestR9AnUpdateWaitsForAProof(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	s.config = map[string]string{"unproven = 'a test of something else'\n": "", "[window]\n": fmt.Sprintf(`[application]
close = ['/bin/touch', '%[1]s/closed']
open = ['/bin/rm', '-f', '%[1]s/closed']
[window]
`, s.dir)}
	s.writeConfig(t)
	const version = "7.13.100"
	s.publish(t, version, both(migrationDone))
	code, out, errs := s.run(t, "prove")
	require.Equal(t, exitOther, code, out+errs)
	require.Contains(t, out, "NOT PROVEN: postgres asp: ")
	require.Contains(t, errs, "snapshot not found")
	require.Contains(t, errs, "next: aspupdate doctor --rehearse")
	code, out, errs = s.run(t, "update", "--yes")
	require.Equal(t, exitRefused, code, out+errs)
	require.Contains(t, errs, "R9: no backup like this one was ever restored and compared")
	require.Contains(t, errs, "aspupdate update --override R9 --reason WHY")
	s.inOrder(t, installed)

	code, out, errs = s.run(t, "doctor", "--rehearse") // as the line says
	require.Zero(t, code, out+errs)
	code, out, errs = s.run(t, "plan")
	require.Zero(t, code, out+errs)
	require.Regexp(t, `(?m)^  proven: a backup like that of postgres asp was restored and compared on .*, which took \d+s$`, out)
	require.NotContains(t, out, "never restored")
	code, out, errs = s.run(t, "update", "--yes")
	require.Zero(t, code, out+errs)
	s.inOrder(t, version)

	// The snapshot of the update is of the same shape. It is proven while users write.
	code, out, errs = s.run(t, "prove", "--since", "1h")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "left out: postgres asp, proven on ")
	code, out, errs = s.run(t, "prove", "--json")
	require.Zero(t, code, out+errs)
	var d proveDoc
	require.NoError(t, json.Unmarshal([]byte(out), &d), out)
	require.Len(t, d.Proofs, 2)
	for _, p := range d.Proofs {
		require.Empty(t, p.Failed)
		require.Contains(t, p.Shape, "UTF8")
		require.Positive(t, p.Took)
		snap, err := (&backup.Store{Dir: filepath.Join(s.dir, "backups")}).Get(p.Snapshot)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), snap.Proven, time.Minute)
	}
	require.Equal(t, []string{"asp", "opeka", "postgres"}, s.databases(t), "the copies are dropped")
	s.inOrder(t, version)
	code, out, errs = s.run(t, "status", "--json")
	require.Zero(t, code, out+errs)
	var st statusDoc
	require.NoError(t, json.Unmarshal([]byte(out), &st), out)
	require.Len(t, st.Backups, 2)
	for _, b := range st.Backups {
		require.Positive(t, b.Bytes)
		require.Positive(t, b.Age)
		require.Positive(t, b.ProofTook)
		require.Less(t, b.ProofAge, 600.0)
	}

	// Another extension makes another shape.
	s.sql(t, "asp", "CREATE EXTENSION pgcrypto")
	s.publish(t, "7.14.100", both(migrationDone))
	code, out, errs = s.run(t, "update", "--yes")
	require.Equal(t, exitRefused, code, out+errs)
	require.Contains(t, errs, "postgres asp")
	code, out, errs = s.run(t, "update", "--yes", "--override", "R9", "--reason", "the law starts today")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "overridden: R9, because: the law starts today")
	require.Contains(t, out, "never restored and compared: a backup like that of postgres asp;")
	s.inOrder(t, "7.14.100")
}

// TestProofGivesWayToAnUpdate starts an update while a proof is at work: the proof ends at
// once, its copy is gone, and the update is not delayed by more than that.
func TestProofGivesWayToAnUpdate(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	s.publish(t, "7.13.100", both(migrationDone))
	// A restore of this takes a while.
	s.sql(t, "asp", `SET ROLE clerk; CREATE TABLE much AS SELECT g, md5(g::text) AS t FROM generate_series(1, 300000) g;
		CREATE INDEX ON much (t); CREATE INDEX ON much (reverse(t)); CREATE INDEX ON much ((t || t))`)
	code, out, errs := s.run(t, "update", "--yes")
	require.Zero(t, code, out+errs)
	s.publish(t, "7.14.100", both(migrationDone))

	type result struct {
		code      int
		out, errs string
	}
	ended := make(chan result, 1)
	go func() {
		code, out, errs := aspupdate(t, s.env(), "prove")
		ended <- result{code, out, errs}
	}()
	copying := func() bool {
		for _, name := range s.databases(t) {
			if name != "asp" && name != "opeka" && name != "postgres" {
				return true
			}
		}
		return false
	}
	require.Eventually(t, copying, 2*time.Minute, 10*time.Millisecond, "the proof makes its copy")
	code, out, errs = s.run(t, "update", "--yes")
	require.Zero(t, code, out+errs)
	r := <-ended
	require.Equal(t, exitBusy, r.code, r.out+r.errs)
	require.Contains(t, r.errs, "the proof was ended for it")
	require.Equal(t, []string{"asp", "opeka", "postgres"}, s.databases(t), "the copy is gone")
	s.inOrder(t, "7.14.100")
	entries, err := os.ReadDir(filepath.Join(s.dir, "backups"))
	require.NoError(t, err)
	for _, e := range entries {
		require.False(t, strings.HasPrefix(e.Name(), ".proving-"), e.Name())
	}
}
