package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/progress"
)

// Take backs up t and returns the sealed and verified snapshot (R9). The name is
// for people: one line of any text.
//
// Everything happens under a temporary name: the target writes, every file is
// synced, the manifest is written, and every byte is read back and hashed. The
// rename that gives the snapshot its name comes last: if anything fails, ctx
// ends, or the process is killed, there is no snapshot.
func (s *Store) Take(ctx context.Context, name string, t Target) (Snapshot, error) {
	snap, err := s.take(ctx, name, t)
	if err != nil {
		return Snapshot{}, wrap("take", snap.ID, err)
	}
	return snap, nil
}

func (s *Store) take(ctx context.Context, name string, t Target) (Snapshot, error) {
	k, err := s.begin(ctx, name, t)
	if err != nil {
		return k.snap, err
	}
	return k.snap, k.end()
}

// A taking is a snapshot that is whole and has no name yet. It keeps the store locked.
type taking struct {
	store  *Store
	dir    string // of the store
	snap   Snapshot
	unlock func()
}

func (k taking) temp() string { return filepath.Join(k.dir, takingPrefix+k.snap.ID) }

// begin does all of Take but the rename.
func (s *Store) begin(ctx context.Context, name string, t Target) (k taking, err error) {
	if err := checkName(name); err != nil {
		return k, err
	}
	dir, err := s.dir()
	if err != nil {
		return k, err
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return k, err
	}
	if err := s.tidy(ctx); err != nil {
		return k, err
	}
	unlock, err := lockShared(ctx, dir)
	if err != nil {
		return k, err
	}
	k = taking{store: s, dir: dir, snap: Snapshot{Name: name, Started: s.now()}, unlock: unlock}
	ids, err := s.ids()
	if err == nil {
		k.snap.ID, err = newID(k.snap.Started, ids)
	}
	if err != nil {
		unlock()
		return k, err
	}
	if err = s.write(ctx, k.temp(), &k.snap, t, s.lastTook(ids, name)); err != nil {
		return k, errors.Join(err, k.drop())
	}
	return k, nil
}

// end gives the snapshot its name.
func (k taking) end() error {
	if err := durable.Publish(k.temp(), filepath.Join(k.dir, k.snap.ID)); err != nil {
		return errors.Join(err, k.drop())
	}
	k.unlock()
	k.store.observe(EventSealed, k.snap, progress.Point{})
	return nil
}

func (k taking) drop() error {
	defer k.unlock()
	return durable.RemoveAll(k.temp())
}

// write makes the snapshot in the new directory temp.
func (s *Store) write(ctx context.Context, temp string, snap *Snapshot, t Target, lastTook time.Duration) (err error) {
	data := filepath.Join(temp, dataDir)
	for _, dir := range []string{temp, data} { // on Windows with an access list of their own
		if err := private.Mkdir(dir); err != nil {
			return err
		}
	}
	s.observe(eventBackup, *snap, progress.Point{Left: lastTook})
	if snap.Meta, err = t.Backup(ctx, data); err != nil {
		return err
	}
	return s.seal(ctx, temp, snap)
}

// seal hashes and syncs what the target wrote in temp, writes the manifest and
// reads everything back.
func (s *Store) seal(ctx context.Context, temp string, snap *Snapshot) error {
	root, err := os.OpenRoot(temp)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // Windows renames no directory that is open
	if snap.Meta.Kind == "" {
		return errors.New("the target did not set Meta.Kind")
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
	s.observe(eventSeal, *snap, progress.Point{})
	if err := s.sum(ctx, root, snap); err != nil {
		return err
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
	snap.sum = hexSum(body)
	_, err = s.readBack(ctx, root, snap.Ref())
	return err
}

// sum sets the sums of the files. Those that the target computed are taken from
// it, and the other files are hashed.
func (s *Store) sum(ctx context.Context, root *os.Root, snap *Snapshot) error {
	sums := snap.Meta.Sums
	snap.Meta.Sums = nil
	var unknown int64
	known := 0
	for i, f := range snap.Files {
		if !localPath(f.Path) {
			return fmt.Errorf("the target wrote a file with an invalid name, %q", f.Path)
		}
		if sum, ok := sums[f.Path]; ok {
			snap.Files[i].SHA256 = sum
			known++
		} else {
			unknown += f.Bytes
		}
	}
	if known != len(sums) {
		return errors.New("the target returned sums of files that it did not write")
	}
	meter := s.meter(eventSeal, *snap, unknown)
	for i, f := range snap.Files {
		if _, ok := sums[f.Path]; ok {
			continue
		}
		sum, _, err := hashFile(ctx, root, f.Path, meter)
		if err != nil {
			return err
		}
		snap.Files[i].SHA256 = sum
	}
	return nil
}

// restrict removes the permissions of other accounts from the files that the target wrote.
func restrict(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return root.Chmod(p, 0o700)
		case d.Type().IsRegular():
			return root.Chmod(p, 0o600)
		}
		return fmt.Errorf("%s is neither a file nor a directory", p)
	})
}

// Took returns how long [Store.Take] took the last time under this name, with
// reading back; 0 if there is no such snapshot. A plan can use it as the estimate
// of the next time (R11).
func (s *Store) Took(name string) (time.Duration, error) {
	ids, err := s.ids()
	if err != nil {
		return 0, wrap("list", "", err)
	}
	return s.lastTook(ids, name), nil
}

func (s *Store) lastTook(ids []string, name string) time.Duration {
	for _, id := range slices.Backward(ids) {
		if snap, err := s.get(id); err == nil && snap.Name == name {
			return max(0, snap.Sealed.Sub(snap.Started))
		}
	}
	return 0
}
