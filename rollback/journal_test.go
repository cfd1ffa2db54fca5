package rollback_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

func journal(t testing.TB, dir string, n int) {
	t.Helper()
	j, err := rollback.OpenJournal(dir)
	require.NoError(t, err)
	for i := range n {
		require.NoError(t, j.Append(rollback.Record{Time: time.Unix(int64(i), 0).UTC(), Step: rollback.StepProbe, Phase: rollback.Done, Part: fmt.Sprint("part ", i)}))
	}
	require.NoError(t, j.Check())
	require.NoError(t, j.Close())
}

func TestJournalOutlivesItsWriter(t *testing.T) {
	dir := t.TempDir()
	journal(t, dir, 2)
	journal(t, dir, 3)
	recs, err := rollback.ReadJournal(dir)
	require.NoError(t, err)
	require.Len(t, recs, 5)
	require.Equal(t, "part 2", recs[4].Part)
	fi, err := os.Stat(filepath.Join(dir, "journal.log"))
	require.NoError(t, err)
	if os.PathSeparator == '/' {
		require.Equal(t, os.FileMode(0o600), fi.Mode().Perm())
	}
	recs, err = rollback.ReadJournal(t.TempDir())
	require.NoError(t, err)
	require.Empty(t, recs)
}

// TestTornTailIsCutOff truncates the journal at every byte and punches holes
// into its last record: what was synced before stays, the rest goes.
func TestTornTailIsCutOff(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.log")
	journal(t, dir, 3)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	header, last := len(lines[0]), len(whole)-len(lines[3])
	check := func(data []byte, want int) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, data, 0o600))
		recs, err := rollback.ReadJournal(dir)
		require.NoError(t, err)
		require.Len(t, recs, want)
		journal(t, dir, 1) // opens, cuts, appends
		recs, err = rollback.ReadJournal(dir)
		require.NoError(t, err)
		require.Len(t, recs, want+1)
	}
	for cut := header; cut < len(whole); cut++ {
		// A line that lost its end, or only its newline, is torn.
		check(whole[:cut], bytes.Count(whole[header:cut], []byte("\n")))
	}
	for hole := last; hole < len(whole); hole += 7 {
		data := bytes.Clone(whole)
		clear(data[hole:min(hole+16, len(data))])
		check(data, 2)
	}
	for cut := range header {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		_, err := rollback.OpenJournal(dir)
		require.ErrorIs(t, err, rollback.ErrDamaged, "a journal is never young again")
	}
}

// TestDamageBlocksAndIsKept flips every bit of the journal's synced part, and
// takes lines out.
func TestDamageBlocksAndIsKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.log")
	journal(t, dir, 3)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	damaged := [][]byte{
		bytes.Join([][]byte{lines[0], lines[2], lines[3]}, nil),
		bytes.Join([][]byte{lines[0], lines[1], lines[3], lines[2]}, nil),
		append(bytes.Clone(whole), "not a record\n"...),
		append(bytes.Clone(whole), bytes.Repeat([]byte{'x'}, 2<<20)...),
	}
	for i := range whole {
		d := bytes.Clone(whole)
		d[i] ^= 1 << (i % 8)
		damaged = append(damaged, d)
	}
	for i, d := range damaged {
		require.NoError(t, os.WriteFile(path, d, 0o600))
		_, err := rollback.OpenJournal(dir)
		require.ErrorIs(t, err, rollback.ErrDamaged, "case %d", i)
		_, err = rollback.ReadJournal(dir)
		require.ErrorIs(t, err, rollback.ErrDamaged)
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(d, kept), "the evidence is kept")
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal.log"), []byte("aspupdate journal 2\n"), 0o600))
	_, err := rollback.OpenJournal(dir)
	require.ErrorContains(t, err, "format 2 is newer")
}

func TestJournalTakesNothingAfterAFailedWrite(t *testing.T) {
	dir := t.TempDir()
	j, err := rollback.OpenJournal(dir)
	require.NoError(t, err)
	require.NoError(t, j.Close()) // every write fails from now on
	first := j.Append(rollback.Record{Step: rollback.StepProbe})
	require.Error(t, first)
	require.Equal(t, first, j.Append(rollback.Record{Step: rollback.StepProbe}))
	require.Equal(t, first, j.Check())
}

// FuzzJournal expects of any file: no panic, and never a fresh start.
func FuzzJournal(f *testing.F) {
	dir := f.TempDir()
	journal(f, dir, 2)
	whole, err := os.ReadFile(filepath.Join(dir, "journal.log"))
	require.NoError(f, err)
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	j, err := rollback.OpenJournal(dir)
	require.NoError(f, err)
	require.NoError(f, j.Rotate())
	require.NoError(f, j.Close())
	rotated, err := os.ReadFile(filepath.Join(dir, "journal.log"))
	require.NoError(f, err)
	f.Add(rotated)
	f.Add([]byte(""))
	f.Add([]byte("aspupdate journal 1\n"))
	f.Add([]byte("aspupdate journal 9999999999999999999\n000001 0002 00 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "journal.log"), data, 0o600))
		recs, err := rollback.ReadJournal(dir)
		if err != nil {
			require.ErrorIs(t, err, rollback.ErrDamaged)
			return
		}
		require.Regexp(t, `^aspupdate journal 1( after \d{6,} [0-9a-f]{64})?\n`, string(data[:min(len(data), 200)]))
		if len(recs) == 0 && bytes.Count(data, []byte("\n")) > 1 {
			require.True(t, bytes.IndexByte(data, 0) >= 0, "only a torn line may be left out")
		}
	})
}

func TestUpdateWithoutAWritableStateChangesNothing(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(u.Dir, nil, 0o600)) // a file where the folder should be
	_, err = u.Run(t.Context(), plan)
	require.Error(t, err)
	require.False(t, errors.Is(err, rollback.ErrNeedsOperator))
	require.Equal(t, oldVersion, w.consistent(t))
	require.NotContains(t, w.calls, "fence.close")
}
