package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// proving is a memory that is a Prover.
type proving struct {
	*memory
	says  error
	asked int
}

func (p *proving) Prove(_ context.Context, dir string, m backup.Meta) error {
	p.asked++
	if _, err := os.Stat(filepath.Join(dir, "a.txt")); err != nil || m.Kind != "memory" {
		return errors.New("not what Backup wrote")
	}
	return p.says
}

func TestR9ProofIsRecordedBesideTheSeal(t *testing.T) {
	s, p := newStore(t), &proving{memory: newMemory()}
	at := time.Date(2026, 1, 12, 7, 0, 0, 0, time.UTC)
	s.Now = func() time.Time { return at }
	snap, err := s.Take(t.Context(), "x", p)
	require.NoError(t, err)
	require.Zero(t, snap.Proven)
	sealed, err := os.ReadFile(filepath.Join(s.Dir, snap.ID, "manifest.json"))
	require.NoError(t, err)

	_, err = s.Prove(t.Context(), snap.ID, p.memory)
	require.ErrorIs(t, err, errors.ErrUnsupported)

	p.says = errors.New("it differs")
	_, err = s.Prove(t.Context(), snap.ID, p)
	require.ErrorIs(t, err, p.says)
	got, err := s.Get(snap.ID)
	require.NoError(t, err)
	require.Zero(t, got.Proven)

	p.says = nil
	at = at.Add(time.Hour)
	got, err = s.Prove(t.Context(), snap.ID, p)
	require.NoError(t, err)
	require.Equal(t, at, got.Proven)
	again := &backup.Store{Dir: s.Dir} // another process
	list, err := again.List()
	require.NoError(t, err)
	require.Equal(t, at, list[0].Proven)
	require.NoError(t, again.Verify(t.Context(), snap.ID))
	after, err := os.ReadFile(filepath.Join(s.Dir, snap.ID, "manifest.json"))
	require.NoError(t, err)
	require.Equal(t, sealed, after)
	require.Equal(t, []string{snap.ID}, left(t, s))

	p.says = errors.New("it differs")
	at = at.Add(time.Hour)
	_, err = s.Prove(t.Context(), snap.ID, p)
	require.Error(t, err)
	got, err = s.Get(snap.ID)
	require.NoError(t, err)
	require.Equal(t, at.Add(-time.Hour), got.Proven, "the earlier proof")

	// The target is not called for a damaged snapshot.
	p.says, p.asked = nil, 0
	file := filepath.Join(s.Dir, snap.ID, "data", "a.txt")
	require.NoError(t, os.WriteFile(file, []byte("hellp"), 0o600))
	_, err = s.Prove(t.Context(), snap.ID, p)
	require.ErrorIs(t, err, backup.ErrDamaged)
	require.Zero(t, p.asked)
	_, err = s.Prove(t.Context(), "../"+snap.ID, p)
	require.ErrorIs(t, err, backup.ErrNotFound)
}

// The proof is not sealed: whatever is in it, the snapshot is whole.
func TestInvalidProofCountsAsNone(t *testing.T) {
	s, p := newStore(t), &proving{memory: newMemory()}
	snap, err := s.Take(t.Context(), "x", p)
	require.NoError(t, err)
	other, err := s.Take(t.Context(), "y", p)
	require.NoError(t, err)
	_, err = s.Prove(t.Context(), other.ID, p)
	require.NoError(t, err)
	foreign, err := os.ReadFile(filepath.Join(s.Dir, other.ID, "proof.json"))
	require.NoError(t, err)
	for _, text := range []string{"", "{", "null", `{"manifest":"","proven":"2026-01-12T07:00:00Z"}`, string(foreign)} {
		require.NoError(t, os.WriteFile(filepath.Join(s.Dir, snap.ID, "proof.json"), []byte(text), 0o600))
		got, err := s.Get(snap.ID)
		require.NoError(t, err, text)
		require.Zero(t, got.Proven, text)
		require.NoError(t, s.Verify(t.Context(), snap.ID), text)
	}

	// What a killed run left is removed, and never in the way.
	dead := filepath.Join(s.Dir, ".proving-"+snap.ID)
	require.NoError(t, os.MkdirAll(dead, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dead, ".proof.json.tmp-1"), nil, 0o600))
	_, err = s.Prove(t.Context(), snap.ID, p)
	require.NoError(t, err)
	require.NoDirExists(t, dead)
	require.NoError(t, os.MkdirAll(dead, 0o700))
	require.NoError(t, s.Tidy(t.Context()))
	require.NoDirExists(t, dead)
}

// R9, R11: a proof says how long it took, and counts for the next snapshots of the
// same shape.
func TestR9ProofCountsForSnapshotsOfTheSameShape(t *testing.T) {
	s, p := newStore(t), &shaped{proving: proving{memory: newMemory()}, shape: "1.0"}
	clock := time.Date(2026, 1, 12, 7, 0, 0, 0, time.UTC)
	s.Now = func() time.Time { clock = clock.Add(time.Minute); return clock }
	proof := func() backup.Snapshot {
		snap, err := s.Proof(t.Context(), "x", p)
		require.NoError(t, err)
		return snap
	}
	require.Zero(t, proof())
	old, err := s.Take(t.Context(), "x", p)
	require.NoError(t, err)
	require.Zero(t, proof())
	old, err = s.Prove(t.Context(), old.Ref(), p)
	require.NoError(t, err)
	require.GreaterOrEqual(t, old.ProofTook, time.Minute)
	_, err = s.Take(t.Context(), "x", p)
	require.NoError(t, err)
	require.Equal(t, old, proof(), "of the same shape")

	p.shape = "2.0"
	require.Zero(t, proof(), "an upgrade")
	next, err := s.Take(t.Context(), "x", p)
	require.NoError(t, err)
	next, err = s.Prove(t.Context(), next.Ref(), p)
	require.NoError(t, err)
	require.Equal(t, next, proof())
	p.shape = "1.0"
	require.Equal(t, old, proof())
	other, err := s.Proof(t.Context(), "y", p)
	require.NoError(t, err)
	require.Zero(t, other, "another name")

	p.err = errors.New("cannot connect")
	_, err = s.Proof(t.Context(), "x", p)
	require.ErrorIs(t, err, p.err)
}

// shaped is a proving with a shape.
type shaped struct {
	proving
	shape string
	err   error
}

func (s *shaped) Shape(context.Context) (string, error) { return s.shape, s.err }

func (s *shaped) Backup(ctx context.Context, dir string) (backup.Meta, error) {
	m, err := s.memory.Backup(ctx, dir)
	m.Shape = s.shape
	return m, err
}

// A flipped bit in the record of a proof makes no proof, and no other one.
func TestFlippedProofCountsAsNone(t *testing.T) {
	s, p := newStore(t), &proving{memory: newMemory()}
	snap, err := s.Take(t.Context(), "x", p)
	require.NoError(t, err)
	snap, err = s.Prove(t.Context(), snap.ID, p)
	require.NoError(t, err)
	file := filepath.Join(s.Dir, snap.ID, "proof.json")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	for i := range len(whole) - 1 { // the last is a line feed
		for _, bit := range []byte{1, 4, 16, 64} {
			flipped := append([]byte{}, whole...)
			flipped[i] ^= bit
			require.NoError(t, os.WriteFile(file, flipped, 0o600))
			got, err := s.Get(snap.ID)
			require.NoError(t, err)
			if !got.Proven.IsZero() { // the letters of names count in both cases
				require.Equal(t, snap, got, "byte %d, bit %d", i, bit)
			}
		}
	}
	for n := range len(whole) - 1 {
		require.NoError(t, os.WriteFile(file, whole[:n], 0o600))
		got, err := s.Get(snap.ID)
		require.NoError(t, err)
		require.Zero(t, got.Proven, "cut after %d bytes", n)
	}
}

// Old snapshots are removed, and not the one that is known to be of use.
func TestPruneKeepsTheNewestProof(t *testing.T) {
	s, p := newStore(t), &proving{memory: newMemory()}
	var ids []string
	for range 5 {
		snap, err := s.Take(t.Context(), "x", p)
		require.NoError(t, err)
		ids = append(ids, snap.ID)
	}
	for _, id := range ids[:2] {
		_, err := s.Prove(t.Context(), id, p)
		require.NoError(t, err)
	}
	gone, err := s.Prune(t.Context(), backup.Retention{Newest: 1}, []string{})
	require.NoError(t, err)
	require.Len(t, gone, 3)
	list, err := s.List()
	require.NoError(t, err)
	require.Equal(t, []string{ids[1], ids[4]}, []string{list[0].ID, list[1].ID})
}
