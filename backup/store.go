package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/lock"
	"github.com/aspupdate/aspupdate/internal/progress"
)

// A Store is a folder of snapshots. Its methods may be called at the same
// time, by several processes too.
type Store struct {
	// Dir is made when it is missing. It lies outside everything that is backed
	// up, and outside a database's own folder.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Observe, if set, is told what is being done, in order, from the calling
	// goroutine.
	Observe func(Event)
}

// An Event says that a stage of Take, Verify, Restore, Prove or Prune begins,
// or, where Done is not 0, how far a long one is, about once a second.
type Event struct {
	Stage Stage
	ID    string // of the snapshot
	Name  string // as given to Take
	Bytes int64  // of all files; 0 where not known yet

	Done, Total int64         // bytes of this stage; Total is 0 where it is not known
	Rate        int64         // bytes a second, on average
	Left        time.Duration // an estimate, 0 where there is none

	Note string // why something went another way than usual; mostly ""
	At   time.Time
}

// String says it in one line, for people.
func (e Event) String() string {
	text := string(e.Stage)
	if e.Name != "" {
		text = e.Name + ": " + text
	}
	switch {
	case e.Total > 0:
		text += fmt.Sprintf(", %d of %d MB", e.Done>>20, e.Total>>20)
	case e.Done > 0:
		text += fmt.Sprintf(", %d MB", e.Done>>20)
	}
	if e.Rate > 0 {
		text += fmt.Sprintf(", %.1f MB/s", float64(e.Rate)/(1<<20))
	}
	if e.Left > 0 {
		text += fmt.Sprintf(", %v left", e.Left.Round(time.Second))
	}
	if e.Note != "" {
		text += ": " + e.Note
	}
	return text
}

// A Stage is what a Store is at.
type Stage string

// The stages of a Store, in the order in which they come.
const (
	StageBackup  Stage = "backup"  // the target writes; Left is what Take took the last time under this name
	StageSeal    Stage = "seal"    // hashing, syncing, writing the manifest
	StageVerify  Stage = "verify"  // reading every byte back
	StageSealed  Stage = "sealed"  // the snapshot is there
	StageRestore Stage = "restore" // the target restores
	StageProve   Stage = "prove"   // the target restores beside and compares
	StageRemove  Stage = "remove"  // Prune is about to remove it
)

// Before the ID, in names that no snapshot has.
const (
	tempPrefix  = ".taking-"   // being made
	provePrefix = ".proving-"  // its proof is being written
	gonePrefix  = ".removing-" // being deleted
)

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

func (s *Store) tell(stage Stage, snap Snapshot) {
	if s.Observe != nil {
		s.Observe(Event{Stage: stage, ID: snap.ID, Name: snap.Name, Bytes: snap.Bytes(), At: s.now()})
	}
}

// meter tells how far a stage is that goes over total bytes.
func (s *Store) meter(stage Stage, snap Snapshot, total int64) *progress.Meter {
	if s.Observe == nil {
		return nil
	}
	return progress.New(total, s.now, func(p progress.Point) {
		s.Observe(Event{Stage: stage, ID: snap.ID, Name: snap.Name, Bytes: snap.Bytes(),
			Done: p.Done, Total: p.Total, Rate: p.Rate, Left: p.Left, At: p.At})
	})
}

// dir returns the absolute path of the store's folder.
func (s *Store) dir() (string, error) {
	if s.Dir == "" {
		return "", errors.New("the store has no folder: set Dir")
	}
	return filepath.Abs(s.Dir)
}

// Get returns the snapshot of that ID once its manifest proved to be the one
// that was sealed. The files are not read: see Verify.
func (s *Store) Get(id string) (Snapshot, error) {
	snap, err := s.get(id)
	return snap, wrap("get", id, err)
}

func (s *Store) get(id string) (Snapshot, error) {
	root, err := s.open(id)
	if err != nil {
		return Snapshot{}, err
	}
	defer func() { _ = root.Close() }()
	return readManifest(root, id)
}

// open opens the folder of a snapshot. An ID that is none never becomes a path.
func (s *Store) open(id string) (*os.Root, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	if !idForm.MatchString(id) {
		return nil, ErrNotFound
	}
	root, err := os.OpenRoot(filepath.Join(dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	return root, err
}

// Path returns the folder that holds the snapshot's files as the target
// wrote them, for a person or a tool to look at. It is not to be changed.
func (s *Store) Path(id string) (string, error) {
	dir, err := s.dir()
	if err == nil && !idForm.MatchString(id) {
		err = ErrNotFound
	}
	return filepath.Join(dir, id, dataFolder), wrap("path", id, err)
}

// List returns the snapshots, oldest first. Those whose manifest cannot be
// read are left out and named in the error, which wraps ErrDamaged: the
// rest is valid all the same. A store that is not there yet is empty.
func (s *Store) List() ([]Snapshot, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, wrap("list", "", err)
	}
	var snaps []Snapshot
	var errs []error
	for _, id := range ids {
		snap, err := s.get(id)
		if errors.Is(err, ErrNotFound) {
			continue // removed since
		}
		if err != nil {
			errs = append(errs, wrap("list", id, err))
			continue
		}
		snaps = append(snaps, snap)
	}
	return snaps, errors.Join(errs...)
}

// ids returns the names of the snapshots' folders, oldest first.
func (s *Store) ids() ([]string, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && idForm.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Needs tells the room that the target needs, the snapshot's own in this
// store included. A target that cannot tell yields nothing.
func (s *Store) Needs(ctx context.Context, t Target) ([]Need, error) {
	sizer, ok := t.(Sizer)
	if !ok {
		return nil, nil
	}
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	needs, err := sizer.Needs(ctx)
	for i := range needs {
		if needs[i].For == ForSnapshot {
			needs[i].Path = dir
		}
	}
	return needs, err
}

// Tidy removes what killed runs of Take, Prove and Prune left unfinished. It never
// touches a snapshot, nor anything at all while the store is in use.
func (s *Store) Tidy(ctx context.Context) error {
	return wrap("tidy", "", s.tidy(ctx))
}

func (s *Store) tidy(ctx context.Context) error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !unfinished(e.Name())
	})
	if len(entries) == 0 {
		return nil
	}
	// A running Take holds the lock shared; the kernel frees a dead one's.
	l, err := lock.Try(filepath.Join(dir, lockFile))
	if errors.Is(err, lock.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = l.Unlock() }()
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("removing what a killed run left: %w", err)
		}
	}
	return durable.SyncDir(dir)
}

func unfinished(name string) bool {
	for _, prefix := range []string{tempPrefix, provePrefix, gonePrefix} {
		if id, ok := strings.CutPrefix(name, prefix); ok && idForm.MatchString(id) {
			return true
		}
	}
	return false
}
