package rollback_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/crashfs"
	"github.com/aspupdate/aspupdate/rollback"
)

func journal(t testing.TB, dir string, n int) {
	t.Helper()
	j, err := rollback.OpenJournal(dir)
	require.NoError(t, err)
	for i := range n {
		require.NoError(t, j.Append(rollback.Record{Time: time.Unix(int64(i), 0).UTC(), Step: rollback.StepProbe, Kind: rollback.EventDone, Part: fmt.Sprint("part ", i)}))
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
		requireUnreadable(t, err, "case "+strconv.Itoa(i))
		_, err = rollback.ReadJournal(dir)
		requireUnreadable(t, err, "case "+strconv.Itoa(i))
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, bytes.Equal(d, kept), "the evidence is kept")
	}
}

// requireUnreadable fails unless a journal is refused as damaged, or, where the
// damage is to the digit of its format, as a newer one.
func requireUnreadable(t *testing.T, err error, name string) {
	t.Helper()
	if e, ok := errors.AsType[*rollback.Error](err); ok && e.Reason == rollback.ReasonNewer {
		return
	}
	require.ErrorIs(t, err, rollback.ErrDamaged, name)
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal.log"), []byte("aspupdate journal 2\n"), 0o600))
	_, err := rollback.OpenJournal(dir)
	require.ErrorContains(t, err, "the format 2 of the journal is newer")
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

// FuzzJournal expects of any file: no panic, and never a fresh start. What is
// damaged stays as it is to the last byte; of what is not, only a torn end
// goes, and it takes records again.
func FuzzJournal(f *testing.F) {
	dir := f.TempDir()
	journal(f, dir, 2)
	good, err := os.ReadFile(filepath.Join(dir, "journal.log"))
	require.NoError(f, err)
	j, err := rollback.OpenJournal(dir)
	require.NoError(f, err)
	require.NoError(f, j.Rotate())
	require.NoError(f, j.Close())
	rotated, err := os.ReadFile(filepath.Join(dir, "journal.log"))
	require.NoError(f, err)
	f.Add(rotated)
	const header = "aspupdate journal 1\n"
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add(append(good[:len(good)-5:len(good)-5], 0, 0, 0, 0, 0))
	f.Add(append(good[:len(good):len(good)], "\x00\x00\x00\x00\x00\x00\x00\x00\n"...))
	f.Add(bytes.Replace(good, []byte("ASP"), []byte("PSA"), 1))
	f.Add([]byte(""))
	f.Add([]byte(header))
	f.Add([]byte("aspupdate journal 10\n"))
	f.Add([]byte("aspupdate journal +2\n"))
	f.Add([]byte("aspupdate journal 9999999999999999999\n000001 0002 00 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := crashfs.Dir(t)
		path := filepath.Join(dir, "journal.log")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		recs, err := rollback.ReadJournal(dir)
		j, operr := rollback.OpenJournal(dir)
		there, rerr := os.ReadFile(path)
		require.NoError(t, rerr)
		if err != nil {
			requireUnreadable(t, err, "")
			requireUnreadable(t, operr, "")
			require.Equal(t, data, there, "it is evidence")
			return
		}
		require.NoError(t, operr)
		require.True(t, bytes.HasPrefix(data, there))
		require.Regexp(t, `^aspupdate journal 1( after \d{6,} [0-9a-f]{64})?\n`, string(there[:min(len(there), 200)]))
		require.Equal(t, 1+len(recs), bytes.Count(there, []byte("\n")), "a line for each record")
		torn := data[len(there):]
		require.LessOrEqual(t, bytes.Count(torn, []byte("\n")), 1, "what was cut off is one line")
		if bytes.HasSuffix(torn, []byte("\n")) {
			require.Positive(t, bytes.Count(torn, []byte{0}), "a line that came whole is not torn")
		}
		require.NoError(t, j.Append(rollback.Record{Step: rollback.StepProbe}))
		require.NoError(t, j.Check())
		require.NoError(t, j.Close())
		after, err := rollback.ReadJournal(dir)
		require.NoError(t, err)
		require.Equal(t, recs, append([]rollback.Record(nil), after[:len(recs)]...))
		require.Len(t, after, len(recs)+1)
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
