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
	"sync"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/lock"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// A Store is a directory of snapshots. Its methods may be called concurrently,
// by several processes too.
type Store struct {
	// Dir is created if it is missing. It must not be inside anything that is
	// backed up, nor inside a database's own directory. One that another account
	// can change, itself or through its parents, is refused.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Observe, if set, is called with each event, in order, by the calling goroutine:
	// concurrently if the methods are.
	Observe func(Event)

	mu   sync.Mutex
	read map[string][]tree.State // of the files that were read back, by the reference of their snapshot
}

// Prefixes of the ID in names of unfinished work.
const (
	takingPrefix   = ".taking-"   // being made
	provingPrefix  = ".proving-"  // its proof is being written
	removingPrefix = ".removing-" // being deleted
)

// dir returns the absolute path of the store, which no other account can change.
func (s *Store) dir() (string, error) {
	if s.Dir == "" {
		return "", advise(errors.New("the store has no directory"), "set Dir")
	}
	if err := private.Check(s.Dir); err != nil {
		return "", err
	}
	return filepath.Abs(s.Dir)
}

// Get returns the snapshot with that ID or reference if its manifest is the one
// that was sealed. It does not read the files: see Verify.
func (s *Store) Get(ref string) (Snapshot, error) {
	snap, err := s.get(ref)
	return snap, wrap("get", ID(ref), err)
}

func (s *Store) get(ref string) (Snapshot, error) {
	root, err := s.open(ref)
	if err != nil {
		return Snapshot{}, err
	}
	defer func() { _ = root.Close() }()
	return readManifest(root, ref)
}

// open opens the directory of a snapshot. An invalid ID never becomes a path.
func (s *Store) open(ref string) (*os.Root, error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	id, _, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, id)
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.IsDir() { // a link leads out of the store
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return os.OpenRoot(path)
}

// Path returns the directory with the files that the target wrote, for a person
// or a tool to read. It must not be changed.
func (s *Store) Path(ref string) (string, error) {
	dir, err := s.dir()
	if err != nil {
		return "", wrap("path", ID(ref), err)
	}
	id, _, err := parseRef(ref)
	return filepath.Join(dir, id, dataDir), wrap("path", ID(ref), err)
}

// List returns the snapshots, oldest first. Those whose manifest cannot be read
// are left out and named in the error, which wraps [ErrDamaged]; the others are
// valid all the same. A store that does not exist yet is empty.
func (s *Store) List() ([]Snapshot, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, wrap("list", "", err)
	}
	var snaps []Snapshot
	var errs []error
	for _, id := range ids {
		snap, err := s.get(id)
		switch {
		case errors.Is(err, ErrNotFound): // removed meanwhile
		case err != nil:
			errs = append(errs, wrap("list", id, err))
		default:
			snaps = append(snaps, snap)
		}
	}
	return snaps, errors.Join(errs...)
}

// ids returns the names of the snapshots' directories, oldest first.
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

// Needs returns how much space the target needs, on the store's volume too. It
// returns nothing if the target is not a [Sizer]. It fails where [Store.Take] would,
// as far as that shows.
func (s *Store) Needs(ctx context.Context, t Target) ([]Need, error) {
	dir, err := s.dir()
	if err == nil && durable.MayTry(ctx) {
		err = s.try(ctx, dir)
	}
	if err != nil {
		return nil, err
	}
	sizer, ok := t.(Sizer)
	if !ok {
		return nil, nil
	}
	needs, err := sizer.Needs(ctx)
	for i := range needs {
		if needs[i].For == ForSnapshot {
			needs[i].Path = dir
		}
	}
	return needs, err
}

// try makes the directories of a snapshot with a file, as [Store.Take] does, and
// removes them. A store that does not exist yet stays so.
func (s *Store) try(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := lockShared(ctx, dir) // Tidy removes what is not locked
	if err != nil {
		return err
	}
	defer unlock()
	id, err := newID(s.now(), nil)
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, takingPrefix+id)
	if err = errors.Join(tryIn(temp), durable.RemoveAll(temp)); err != nil {
		return &Error{Op: "try to make a snapshot in", Subject: dir, Err: err, Next: "give the store a local file system with owners and permissions, and free inodes"}
	}
	return nil
}

// tryIn makes the new directory temp.
func tryIn(temp string) error {
	for _, dir := range []string{temp, filepath.Join(temp, dataDir)} {
		if err := private.Mkdir(dir); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(temp, dataDir, "trial"), []byte{0}, 0o600); err != nil {
		return err
	}
	root, err := os.OpenRoot(temp)
	if err != nil {
		return err
	}
	return errors.Join(restrict(root), root.Close())
}

// Tidy removes what killed calls of Take, Prove and Prune left unfinished. It
// never touches a snapshot, and does nothing while the store is in use.
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
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !unfinished(e.Name()) })
	if len(entries) == 0 {
		return nil
	}
	// A running Take holds the lock shared; the kernel frees that of a killed one.
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
		if err := durable.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("cannot remove what a killed run left: %w", err)
		}
	}
	return durable.SyncDir(dir)
}

func unfinished(name string) bool {
	for _, prefix := range []string{takingPrefix, provingPrefix, removingPrefix} {
		if id, ok := strings.CutPrefix(name, prefix); ok && idForm.MatchString(id) {
			return true
		}
	}
	return false
}
