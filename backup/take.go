package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// Take backs up t and returns the sealed and verified snapshot (R9). Name
// is for people: any text of one line.
//
// Everything happens under a temporary name: the target writes, every file
// is synced, the manifest is written, and every byte is read back and hashed.
// The rename that gives the snapshot its name comes last, so that a failure,
// a full disk, an end of ctx or of the process leave no snapshot at all.
func (s *Store) Take(ctx context.Context, name string, t Target) (Snapshot, error) {
	snap, err := s.take(ctx, name, t)
	if err != nil {
		return Snapshot{}, wrap("take", snap.ID, err)
	}
	return snap, nil
}

func (s *Store) take(ctx context.Context, name string, t Target) (snap Snapshot, err error) {
	if err := checkName(name); err != nil {
		return snap, err
	}
	dir, err := s.dir()
	if err != nil {
		return snap, err
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return snap, err
	}
	if err := s.tidy(ctx); err != nil {
		return snap, err
	}
	release, err := share(ctx, dir)
	if err != nil {
		return snap, err
	}
	defer release()

	ids, err := s.ids()
	if err != nil {
		return snap, err
	}
	last := ""
	if len(ids) > 0 {
		last = ids[len(ids)-1]
	}
	started := s.now()
	id, err := newID(started, last)
	if err != nil {
		return snap, err
	}
	snap = Snapshot{ID: id, Name: name, Started: started}
	temp := filepath.Join(dir, tempPrefix+id)
	if err := os.MkdirAll(filepath.Join(temp, dataFolder), 0o700); err != nil {
		return snap, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()

	if s.Observe != nil {
		s.Observe(Event{Stage: StageBackup, ID: id, Name: name, Left: s.lastTook(ids, name), At: s.now()})
	}
	if snap.Meta, err = t.Backup(ctx, filepath.Join(temp, dataFolder)); err != nil {
		return snap, err
	}
	if err := s.seal(ctx, temp, &snap); err != nil {
		return snap, err
	}
	if err := durable.Publish(temp, filepath.Join(dir, id)); err != nil {
		return snap, err
	}
	s.tell(StageSealed, snap)
	return snap, nil
}

// seal hashes and syncs what the target wrote in temp, writes the manifest
// and reads everything back.
func (s *Store) seal(ctx context.Context, temp string, snap *Snapshot) error {
	root, err := os.OpenRoot(temp)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // Windows renames no folder that is open
	if snap.Meta.Kind == "" {
		return errors.New("the target did not name its kind")
	}
	if err := restrict(root); err != nil {
		return err
	}
	if snap.Files, err = inventory(root); err != nil {
		return err
	}
	if len(snap.Files) == 0 {
		return errors.New("the target wrote nothing")
	}
	s.tell(StageSeal, *snap)
	sums := snap.Meta.Sums
	snap.Meta.Sums = nil
	known := 0
	meter := s.meter(StageSeal, *snap, unknownBytes(*snap, sums))
	for i := range snap.Files {
		f := &snap.Files[i]
		if !localPath(f.Path) {
			return fmt.Errorf("the target wrote a file with a bad name, %q", f.Path)
		}
		sum, ok := sums[f.Path]
		if ok {
			known++
		} else if sum, _, err = hashFile(ctx, root, f.Path, meter); err != nil {
			return err
		}
		f.SHA256 = sum
	}
	if known != len(sums) {
		return errors.New("the target gave sums of files that it did not write")
	}
	if err := durable.SyncTree(temp); err != nil {
		return err
	}
	snap.Sealed = s.now()
	body, seal, err := encode(*snap)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(temp, manifestFile), body, 0o600); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(temp, sealFile), seal, 0o600); err != nil {
		return err
	}
	_, err = s.verify(ctx, root, snap.ID)
	return err
}

// unknownBytes is the size of the files that the target gave no sum of.
func unknownBytes(snap Snapshot, sums map[string]string) (n int64) {
	for _, f := range snap.Files {
		if _, ok := sums[f.Path]; !ok {
			n += f.Bytes
		}
	}
	return n
}

// Took returns how long [Store.Take] took the last time under this name, all that
// it reads back included; 0 where it has not been taken yet. It is what a plan
// of a next time can go by (R11).
func (s *Store) Took(name string) (time.Duration, error) {
	ids, err := s.ids()
	if err != nil {
		return 0, wrap("list", "", err)
	}
	return s.lastTook(ids, name), nil
}

// lastTook returns how long the newest snapshot of that name took, 0 if there
// is none.
func (s *Store) lastTook(ids []string, name string) time.Duration {
	for _, id := range slices.Backward(ids) {
		if snap, err := s.get(id); err == nil && snap.Name == name {
			return max(0, snap.Sealed.Sub(snap.Started))
		}
	}
	return 0
}
