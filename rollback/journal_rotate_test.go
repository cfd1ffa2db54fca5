package rollback_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/rollback"
)

func open(t require.TestingT, dir string) *rollback.Journal {
	j, err := rollback.OpenJournal(dir)
	require.NoError(t, err)
	return j
}

// says renders a status so that two can be compared, the pending update
// included.
func says(t require.TestingT, st rollback.Status) string {
	b, err := json.Marshal(struct {
		Status  rollback.Status
		Pending *rollback.Pending
		Needed  []string
	}{st, st.Pending, st.Needed()})
	require.NoError(t, err)
	return string(b)
}

// anUpdate draws the records of an update or of an operator's rollback, whole
// or cut short.
func anUpdate(t *rapid.T, st rollback.Status, id string, now time.Time) (recs []rollback.Record) {
	versions := rapid.SampledFrom([]rollback.Version{"7.12.100", "7.12.200", "7.13.100"})
	plan := &rollback.Plan{Data: []string{"db"}, Parts: []rollback.PlanPart{{
		Name: "ASP", From: st.Committed["ASP"], To: rollback.Release{Version: versions.Draw(t, "to"), SHA256: "s"},
	}}}
	if w := st.RestorePoint; w != nil && rapid.Bool().Draw(t, "operator's") {
		plan.Parts, plan.Revert = w.Parts, &rollback.Revert{RestorePoint: rollback.RestorePoint{Update: w.Update, Undo: w.Undo, Since: w.Since, Refs: w.Refs}}
	}
	add := func(step rollback.Step, phase rollback.EventKind, way rollback.Direction, r rollback.Record) {
		r.Time, r.Update, r.Step, r.Kind, r.Direction = now, id, step, phase, way
		recs = append(recs, r)
	}
	add(rollback.StepIntent, rollback.EventDone, rollback.Forward, rollback.Record{Plan: plan, Who: "tester"})
	add(rollback.StepSnapshot, rollback.EventBegin, rollback.Forward, rollback.Record{Part: "db"})
	add(rollback.StepSnapshot, rollback.EventDone, rollback.Forward, rollback.Record{Part: "db", Ref: "snapshot of " + id, Counts: map[string]int64{"rows": 3}})
	add(rollback.StepInstall, rollback.EventBegin, rollback.Forward, rollback.Record{Part: "ASP"})
	switch rapid.IntRange(0, 2).Draw(t, "end") {
	case 0:
		add(rollback.StepCommit, rollback.EventDone, rollback.Forward, rollback.Record{})
	case 1:
		add(rollback.StepRolledBack, rollback.EventDone, rollback.Back, rollback.Record{})
	case 2:
		add(rollback.StepRecover, rollback.EventBegin, rollback.Forward, rollback.Record{})
		add(rollback.StepCommit, rollback.EventDone, rollback.Forward, rollback.Record{})
	}
	add(rollback.StepEnd, rollback.EventDone, rollback.Forward, rollback.Record{})
	return recs
}

// Whatever was journaled, and wherever it is rotated, the journal says the
// same before and after, and the history is whole.
func TestRotationChangesNoAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		require.NoError(t, err)
		defer func() { _ = os.RemoveAll(dir) }()
		j := open(t, dir)
		var all []rollback.Record
		rotated := 0
		for n := range rapid.IntRange(1, 4).Draw(t, "updates") {
			now := testTime.Add(time.Duration(n) * time.Hour)
			st := rollback.Replay(all)
			var recs []rollback.Record
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				recs = []rollback.Record{{Time: now, Step: rollback.StepAdopt, Kind: rollback.EventDone, Releases: map[string]rollback.Release{"ASP": {Version: "7.12.100"}}}}
			case 1:
				recs = []rollback.Record{{Time: now, Step: rollback.StepLift, Kind: rollback.EventDone, Releases: map[string]rollback.Release{"ASP": {Version: "7.13.100"}}}}
			case 2:
				if len(st.Aside) > 0 {
					recs = []rollback.Record{{Time: now, Step: rollback.StepForget, Kind: rollback.EventDone, Ref: st.Aside[0].Update}}
				}
			default:
				recs = anUpdate(t, st, "update "+strconv.Itoa(n), now)
			}
			for _, r := range recs {
				require.NoError(t, j.Append(r))
				all = append(all, r)
				if rapid.IntRange(0, 3).Draw(t, "rotate") == 0 {
					require.NoError(t, j.Rotate())
					require.NoError(t, j.Check())
					rotated++
				}
				want := says(t, rollback.Replay(all))
				require.Equal(t, want, says(t, rollback.Replay(j.Records())), "as the writer has it")
				st, err := rollback.ReadStatus(dir)
				require.NoError(t, err)
				require.Equal(t, want, says(t, st), "as a reader finds it")
			}
			if rapid.Bool().Draw(t, "reopen") {
				require.NoError(t, j.Close())
				j = open(t, dir)
			}
		}
		require.NoError(t, j.Close())
		history, err := rollback.ReadRecords(dir)
		require.NoError(t, err)
		require.Len(t, history, len(all))
		for i := range all {
			require.Equal(t, all[i].Step, history[i].Step)
		}
		require.Equal(t, says(t, rollback.Replay(all)), says(t, rollback.Replay(history)))
	})
}

// rotations makes a journal of four parts, three of them old.
func rotations(t testing.TB, dir string) []rollback.Record {
	t.Helper()
	for range 3 {
		journal(t, dir, 3)
		j := open(t, dir)
		require.NoError(t, j.Rotate())
		require.NoError(t, j.Close())
	}
	journal(t, dir, 2)
	recs, err := rollback.ReadRecords(dir)
	require.NoError(t, err)
	require.Len(t, recs, 11)
	return recs
}

func TestRotatedJournalNamesItsSegments(t *testing.T) {
	dir := t.TempDir()
	rotations(t, dir)
	found, err := filepath.Glob(filepath.Join(dir, "journal-*.log"))
	require.NoError(t, err)
	var names []string
	for _, f := range found {
		names = append(names, filepath.Base(f))
	}
	require.Equal(t, []string{"journal-000001.log", "journal-000004.log", "journal-000008.log"}, names)
	recs, err := rollback.ReadJournal(dir)
	require.NoError(t, err)
	require.Len(t, recs, 3)
	require.Equal(t, rollback.StepCarry, recs[0].Step)
	if os.PathSeparator == '/' {
		fi, err := os.Stat(found[0])
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), fi.Mode().Perm())
	}
	j := open(t, dir)
	require.NoError(t, j.Rotate())
	require.NoError(t, j.Rotate(), "and a second time there is nothing to rotate")
	require.Len(t, j.Records(), 1)
	require.NoError(t, j.Close())
}

// fill makes a journal of more than 4 MiB.
func fill(t testing.TB, dir string) {
	t.Helper()
	j := open(t, dir)
	long := strings.Repeat("a long story, ", 60_000)
	for range 6 {
		require.NoError(t, j.Append(rollback.Record{Time: testTime, Step: rollback.StepProbe, Kind: rollback.EventFailed, Error: long}))
	}
	require.NoError(t, j.Close())
}

func TestLongJournalIsRotatedAtTheNextStart(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	_, err := w.run(t)
	require.Error(t, err)
	fill(t, w.path("state"))
	before := says(t, w.status(t))
	history, err := rollback.ReadRecords(w.path("state"))
	require.NoError(t, err)

	res, err := w.update().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Nothing, res.Outcome)
	fi, err := os.Stat(w.path("state/journal.log"))
	require.NoError(t, err)
	require.Less(t, fi.Size(), int64(4096))
	require.Equal(t, before, says(t, w.status(t)))
	after, err := rollback.ReadRecords(w.path("state"))
	require.NoError(t, err)
	require.Equal(t, history, after)

	_, err = w.run(t)
	requireRefusal(t, err, rollback.ReasonQuarantined)
	u := w.update()
	require.NoError(t, u.Lift("ASP", u.Parts[0].To, "repaired"))
	w.write(t, "archive.ASP."+newVersion, "good")
	_, err = w.run(t)
	require.NoError(t, err)
	_, err = revert(t, w.backwards())
	require.NoError(t, err)
	w.stands(t, oldVersion, oldRows)
}

func TestPendingUpdateIsNotRotated(t *testing.T) {
	w := newWorld(t, "ASP")
	w.crashingAt("install ASP " + newVersion + " half")
	require.True(t, crashing(func() { _, _ = w.run(t) }))
	dir := w.path("state")
	j := open(t, dir)
	require.NoError(t, j.Rotate())
	require.Greater(t, len(j.Records()), 5)
	require.NoError(t, j.Close())
	fill(t, dir)
	recovered(t, w)
	require.Greater(t, len(w.read("state/journal.log")), 4<<20, "still one file")
	require.NoError(t, open(t, dir).Close())
	require.Less(t, len(w.read("state/journal.log")), 4096)
	require.Equal(t, oldVersion, string(w.status(t).Committed["ASP"].Version))
}

// A crash between the copy and the rename leaves the whole journal and a copy
// of it, which the next rotation replaces.
func TestRotationCutShort(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.log")
	journal(t, dir, 3)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal-000001.log"), whole, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".journal.log.tmp-1"), whole[:40], 0o600))
	journal(t, dir, 2)
	recs, err := rollback.ReadRecords(dir)
	require.NoError(t, err)
	require.Len(t, recs, 5)
	j := open(t, dir)
	require.NoError(t, j.Rotate())
	require.NoError(t, j.Close())
	recs, err = rollback.ReadRecords(dir)
	require.NoError(t, err)
	require.Len(t, recs, 5)
}

// Damage in an old part is told and blocks nothing.
func TestDamagedSegmentIsReportedAndBlocksNothing(t *testing.T) {
	dir := t.TempDir()
	all := rotations(t, dir)
	old := filepath.Join(dir, "journal-000004.log")
	whole, err := os.ReadFile(old)
	require.NoError(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	stranger := t.TempDir()
	journal(t, stranger, 3)
	foreign, err := os.ReadFile(filepath.Join(stranger, "journal.log"))
	require.NoError(t, err)
	tell := func(want int, about string) {
		t.Helper()
		recs, err := rollback.ReadRecords(dir)
		require.ErrorIs(t, err, rollback.ErrDamaged)
		require.ErrorContains(t, err, about)
		require.Len(t, recs, want)
		require.Equal(t, all[:3], recs[:3])
		require.Equal(t, all[len(all)-2:], recs[len(recs)-2:])
		st, err := rollback.ReadStatus(dir)
		require.NoError(t, err)
		require.NoError(t, st.Blocked())
		require.NoError(t, open(t, dir).Close())
	}
	for i := 0; i < len(whole); i += 3 {
		d := bytes.Clone(whole)
		d[i] ^= 1 << (i % 8)
		require.NoError(t, os.WriteFile(old, d, 0o600))
		recs, err := rollback.ReadRecords(dir)
		require.ErrorIs(t, err, rollback.ErrDamaged, "byte %d", i)
		require.ErrorContains(t, err, "journal-000004.log")
		require.GreaterOrEqual(t, len(recs), 8, "the other parts are there")
	}
	require.NoError(t, os.WriteFile(old, whole[:len(whole)-len(lines[4])], 0o600))
	tell(10, "records 7 to 7 before it are missing")
	require.NoError(t, os.WriteFile(old, foreign, 0o600))
	tell(8, "begins with record 1")
	require.NoError(t, os.Remove(old))
	tell(8, "records 4 to 7 before it are missing")
	require.NoError(t, os.WriteFile(old, whole, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal-000012.log"), foreign, 0o600))
	tell(11, "journal-000012.log: the journal is damaged: it does not belong to this journal")

	// One that fits by its numbers, and not by its chain.
	another := t.TempDir()
	j := open(t, another)
	for range 3 {
		require.NoError(t, j.Append(rollback.Record{Time: testTime, Step: rollback.StepProbe, Kind: rollback.EventDone}))
	}
	require.NoError(t, j.Close())
	forged, err := os.ReadFile(filepath.Join(another, "journal.log"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "journal-000012.log")))
	first, err := os.ReadFile(filepath.Join(dir, "journal-000001.log"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal-000001.log"), forged, 0o600))
	_, err = rollback.ReadRecords(dir)
	require.ErrorIs(t, err, rollback.ErrDamaged)
	require.ErrorContains(t, err, "journal-000004.log: the journal is damaged: it does not go on where the segment before it ends")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal-000001.log"), first, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal-000012.log"), foreign, 0o600))

	// What lies in the way is not overwritten, and the journal stays longer.
	j = open(t, dir)
	journaled := len(j.Records())
	require.NoError(t, j.Rotate())
	require.Len(t, j.Records(), journaled)
	require.NoError(t, j.Close())
}

// The carried state is a record as any other: what comes after it does not
// change it.
func TestCarriedStateIsNotChangedByWhatFollows(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	w.write(t, "archive.Опека."+newVersion, "bad")
	_, err := w.run(t)
	require.Error(t, err)
	j := open(t, w.path("state"))
	require.NoError(t, j.Rotate())
	u := w.update()
	lift := map[string]rollback.Release{"ASP": u.Parts[0].To}
	require.NoError(t, j.Append(rollback.Record{Time: testTime, Step: rollback.StepLift, Kind: rollback.EventDone, Releases: lift}))
	require.Len(t, rollback.Replay(j.Records()).Quarantined, 1)
	require.Len(t, rollback.Replay(j.Records()).Quarantined, 1)
	require.Len(t, j.Records()[0].Carried.Quarantined, 2)
	require.NoError(t, j.Check())
	require.NoError(t, j.Close())
}

// A journal that was rotated is never young again, whatever happens to it.
func TestDamageToARotatedJournalBlocks(t *testing.T) {
	dir := t.TempDir()
	rotations(t, dir)
	path := filepath.Join(dir, "journal.log")
	blocked := func(name string) {
		t.Helper()
		_, err := rollback.OpenJournal(dir)
		requireUnreadable(t, err, name)
		_, err = rollback.ReadStatus(dir)
		requireUnreadable(t, err, name)
		_, err = rollback.ReadRecords(dir)
		requireUnreadable(t, err, name)
	}
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range whole {
		d := bytes.Clone(whole)
		d[i] ^= 1 << (i % 8)
		require.NoError(t, os.WriteFile(path, d, 0o600))
		blocked("byte " + strconv.Itoa(i))
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	carried := len(lines[0]) + len(lines[1])
	for cut := range carried {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		blocked("cut at " + strconv.Itoa(cut))
	}
	require.NoError(t, os.WriteFile(path, append([]byte("aspupdate journal 1\n"), lines[1]...), 0o600))
	blocked("another header")
	require.NoError(t, os.Remove(path))
	blocked("removed")

	for cut := carried; cut < len(whole); cut += 11 {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		require.NoError(t, open(t, dir).Close(), "a torn record after it is cut off")
	}
}

// rotator journals one version after another, rotates after each, says so,
// and waits to be killed.
func rotator() {
	dir := os.Getenv("ROLLBACK_TEST_WORLD")
	j, err := rollback.OpenJournal(dir)
	if err != nil {
		os.Exit(3)
	}
	for n, _ := strconv.Atoi(os.Getenv("ROLLBACK_TEST_MOMENT")); ; n++ {
		rel := map[string]rollback.Release{"ASP": {Version: rollback.Version(strconv.Itoa(n))}}
		if j.Append(rollback.Record{Time: testTime, Step: rollback.StepAdopt, Kind: rollback.EventDone, Releases: rel}) != nil {
			os.Exit(4)
		}
		_, _ = os.Stdout.WriteString(strconv.Itoa(n) + "\n")
		if j.Rotate() != nil {
			os.Exit(5)
		}
	}
}

// TestKilledRotation kills a real process that does little but rotate.
func TestKilledRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	next := 1
	for round := range 8 {
		cmd := as("rotator", "ROLLBACK_TEST_WORLD="+dir, "ROLLBACK_TEST_MOMENT="+strconv.Itoa(next))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		said := 0
		for range 4 + round {
			require.True(t, lines.Scan())
			said, _ = strconv.Atoi(lines.Text())
		}
		time.Sleep(time.Duration(round*3) * time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		for lines.Scan() {
			said, _ = strconv.Atoi(lines.Text())
		}
		_ = cmd.Wait()

		st, err := rollback.ReadStatus(dir)
		require.NoError(t, err)
		last, err := strconv.Atoi(string(st.Committed["ASP"].Version))
		require.NoError(t, err)
		require.GreaterOrEqual(t, last, said, "what was said is durable")
		require.LessOrEqual(t, last, said+1)
		recs, err := rollback.ReadRecords(dir)
		require.NoError(t, err)
		require.Len(t, recs, last)
		for i, r := range recs {
			require.Equal(t, strconv.Itoa(i+1), string(r.Releases["ASP"].Version))
		}
		next = last + 1
	}
}
