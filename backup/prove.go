package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/progress"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// Prove verifies the snapshot and has t, which must be a [Prover], restore it
// beside the live data, compare it and drop it. Success is recorded durably
// beside the manifest, which stays as it was sealed, and shows in
// Snapshot.Proven; a proof that fails leaves the record of an earlier one.
//
// It takes as long as a restore and as much space, and may run while the
// application does. The error wraps [errors.ErrUnsupported] if t is not a Prover.
func (s *Store) Prove(ctx context.Context, ref string, t Target) (snap Snapshot, err error) {
	prover, ok := t.(Prover)
	if !ok {
		return Snapshot{}, wrap("prove", ID(ref), fmt.Errorf("%w: this kind of target cannot prove a backup", errors.ErrUnsupported))
	}
	err = s.verified(ctx, ref, true, s.readBack, func(sealed Snapshot, data string) error {
		s.observe(eventProve, sealed, progress.Point{Left: sealed.ProofTook})
		begun := s.now()
		if err := prover.Prove(ctx, data, sealed.Meta); err != nil {
			return err
		}
		if err := s.record(filepath.Dir(data), proof{Manifest: sealed.sum, Proven: s.now(), Took: max(0, s.now().Sub(begun))}); err != nil {
			return fmt.Errorf("the proof succeeded, but cannot be recorded: %w", err)
		}
		snap, err = s.get(sealed.Ref())
		return err
	})
	if err != nil {
		return Snapshot{}, wrap("prove", ID(ref), err)
	}
	return snap, nil
}

// Proof returns the newest snapshot with that name that was proven and is like the
// one that Take would make of t now: of the same Meta.Shape. It returns a zero
// Snapshot if there is none: then it is not known whether such a backup can be restored.
// Snapshots whose manifest cannot be read are passed over.
func (s *Store) Proof(ctx context.Context, name string, t Target) (Snapshot, error) {
	shape := ""
	if shaped, ok := t.(interface {
		Shape(ctx context.Context) (string, error)
	}); ok {
		var err error
		if shape, err = shaped.Shape(ctx); err != nil {
			return Snapshot{}, wrap("prove", name, err)
		}
	}
	ids, err := s.ids()
	if err != nil {
		return Snapshot{}, wrap("list", "", err)
	}
	var newest Snapshot
	for _, id := range ids {
		snap, err := s.get(id)
		if err == nil && snap.Name == name && snap.Meta.Shape == shape && snap.Proven.After(newest.Proven) {
			newest = snap
		}
	}
	return newest, nil
}

// A proof is kept beside the manifest of a snapshot that was proven.
type proof struct {
	Manifest string        `json:"manifest"` // its SHA-256
	Proven   time.Time     `json:"proven"`   // UTC
	Took     time.Duration `json:"took"`     // nanoseconds
	Seal     string        `json:"seal"`     // SHA-256 of the fields above, see seal
}

const (
	proofFile = "proof.json"
	maxProof  = 4 << 10 // bytes
)

// seal returns the SHA-256 by which a flipped bit is found.
func (p proof) seal() string {
	return hexSum(fmt.Appendf(nil, "%s %s %d", p.Manifest, p.Proven.UTC().Format(time.RFC3339Nano), p.Took))
}

// record writes the proof of the snapshot in dir
// under a name outside it and moves it in: a crash leaves nothing in the snapshot
// that was not sealed.
func (s *Store) record(dir string, p proof) error {
	p.Seal = p.seal()
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(dir), provingPrefix+filepath.Base(dir))
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return err
	}
	defer func() { _ = durable.RemoveAll(temp) }()
	if err := durable.WriteFile(filepath.Join(temp, proofFile), append(body, '\n'), 0o600); err != nil {
		return err
	}
	return durable.Replace(filepath.Join(temp, proofFile), filepath.Join(dir, proofFile))
}

// proofIn returns when the snapshot in root, whose manifest has that SHA-256, was
// proven, and how long that took. A proof that cannot be read, or is of another
// snapshot, counts as none.
func proofIn(root *os.Root, manifest string) (time.Time, time.Duration) {
	f, err := tree.OpenFile(root, proofFile)
	if err != nil {
		return time.Time{}, 0
	}
	defer func() { _ = f.Close() }()
	var p proof
	if err := json.NewDecoder(io.LimitReader(f, maxProof)).Decode(&p); err != nil || p.Manifest != manifest || p.Seal != p.seal() {
		return time.Time{}, 0
	}
	return p.Proven, p.Took
}
