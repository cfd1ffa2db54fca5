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
)

// Prove verifies the snapshot and has t, which must be a [Prover], restore it
// beside the live data, compare it and drop it. Success is recorded durably
// beside the manifest, which stays as it was sealed, and shows in
// Snapshot.Proven; a proof that fails leaves the record of an earlier one.
//
// It takes as long as a restore and as much space, and may run while the
// application does. The error wraps [errors.ErrUnsupported] if t is not a Prover.
func (s *Store) Prove(ctx context.Context, id string, t Target) (snap Snapshot, err error) {
	prover, ok := t.(Prover)
	if !ok {
		return Snapshot{}, wrap("prove", id, fmt.Errorf("%w: this kind of target cannot prove a backup", errors.ErrUnsupported))
	}
	err = s.verified(ctx, id, true, func(sealed Snapshot, data string) error {
		s.observe(eventProve, sealed, progress.Point{})
		if err := prover.Prove(ctx, data, sealed.Meta); err != nil {
			return err
		}
		if err := s.record(filepath.Dir(data)); err != nil {
			return fmt.Errorf("the proof succeeded, but cannot be recorded: %w", err)
		}
		snap, err = s.get(id)
		return err
	})
	if err != nil {
		return Snapshot{}, wrap("prove", id, err)
	}
	return snap, nil
}

// A proof is kept beside the manifest of a snapshot that was proven.
type proof struct {
	Manifest string    `json:"manifest"` // its SHA-256
	Proven   time.Time `json:"proven"`   // UTC
}

const (
	proofFile = "proof.json"
	maxProof  = 4 << 10 // bytes
)

// record writes the proof of the snapshot in dir under a name outside it and
// moves it in: a crash leaves nothing in the snapshot that was not sealed.
func (s *Store) record(dir string) error {
	manifest, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		return err
	}
	body, err := json.Marshal(proof{hexSum(manifest), s.now()})
	if err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(dir), provingPrefix+filepath.Base(dir))
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := durable.WriteFile(filepath.Join(temp, proofFile), append(body, '\n'), 0o600); err != nil {
		return err
	}
	return durable.Replace(filepath.Join(temp, proofFile), filepath.Join(dir, proofFile))
}

// provenAt returns when the snapshot in root was proven. A proof that cannot be
// read, or is of another snapshot, counts as none.
func provenAt(root *os.Root, manifest []byte) time.Time {
	f, err := root.Open(proofFile)
	if err != nil {
		return time.Time{}
	}
	defer func() { _ = f.Close() }()
	var p proof
	if err := json.NewDecoder(io.LimitReader(f, maxProof)).Decode(&p); err != nil || p.Manifest != hexSum(manifest) {
		return time.Time{}
	}
	return p.Proven
}
