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
)

// Prover is a Target that can prove a backup: that it comes back whole, and not
// only that its bytes are those that were written.
type Prover interface {
	// Prove restores what Backup wrote in dir to a place of its own, compares
	// it with what m says, and removes it again. The live data is not touched,
	// and may be in use.
	Prove(ctx context.Context, dir string, m Meta) error
}

// Prove verifies the snapshot, every byte of it, and has t prove it, which has
// to be a [Prover]: it is restored beside the live data, compared and
// dropped. When that has gone well is recorded durably beside the
// manifest, which stays as it was sealed, and told by Snapshot.Proven. A proof that fails
// leaves the record of an earlier one as it is.
//
// It takes as long as a restore and as much room, and may run while the
// application does. The error wraps [errors.ErrUnsupported] where t cannot.
func (s *Store) Prove(ctx context.Context, id string, t Target) (Snapshot, error) {
	snap, err := s.prove(ctx, id, t)
	if err != nil {
		return Snapshot{}, wrap("prove", id, err)
	}
	return snap, nil
}

func (s *Store) prove(ctx context.Context, id string, t Target) (snap Snapshot, err error) {
	prover, ok := t.(Prover)
	if !ok {
		return snap, fmt.Errorf("%w: this kind of target has no way to prove a backup", errors.ErrUnsupported)
	}
	dir, err := s.dir()
	if err != nil {
		return snap, err
	}
	release, err := share(ctx, dir)
	if err != nil {
		return snap, err
	}
	defer release()
	root, err := s.open(id)
	if err != nil {
		return snap, err
	}
	snap, err = s.verify(ctx, root, id)
	_ = root.Close()
	if err != nil {
		return snap, err
	}
	s.tell(StageProve, snap)
	if err := prover.Prove(ctx, filepath.Join(dir, id, dataFolder), snap.Meta); err != nil {
		return snap, err
	}
	if err := s.record(dir, id); err != nil {
		return snap, fmt.Errorf("it was proven, and recording that failed: %w", err)
	}
	return s.get(id)
}

// A proof is what lies beside the manifest once a snapshot was proven. It says
// by the manifest's sum which one it is of.
type proof struct {
	Manifest string    `json:"manifest"` // SHA-256
	Proven   time.Time `json:"proven"`   // UTC
}

const (
	proofFile = "proof.json"
	maxProof  = 4 << 10 // bytes
)

// record writes the proof outside the snapshot and moves it in: a crash leaves
// nothing in there that was not there when it was sealed.
func (s *Store) record(dir, id string) error {
	manifest, err := os.ReadFile(filepath.Join(dir, id, manifestFile))
	if err != nil {
		return err
	}
	body, err := json.Marshal(proof{hexSum(manifest), s.now()})
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, provePrefix+id)
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := durable.WriteFile(filepath.Join(temp, proofFile), append(body, '\n'), 0o600); err != nil {
		return err
	}
	return durable.Replace(filepath.Join(temp, proofFile), filepath.Join(dir, id, proofFile))
}

// provenAt returns when the snapshot in root was proven. A proof that cannot
// be read, or is another's, is none: it takes nothing from the snapshot.
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
