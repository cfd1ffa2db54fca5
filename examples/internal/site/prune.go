package site

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/rollback"
)

// PruneArchive removes old versions and returns them, or with dryRun returns what
// it would remove; nil means that pruning is not possible. It keeps the installed
// versions and those that the journal uses. The error wraps [rollback.ErrBusy]
// while an update is running, except for a dry run, and [ErrPrevious] if a
// version that must be kept is not in the archive.
func (s *Site) PruneArchive(ctx context.Context, keep archive.Retention, dryRun bool) (gone []archive.Item, err error) {
	err = s.prune("pruning the archive", dryRun, func() error {
		inUse, err := s.inUse(ctx)
		if err != nil {
			return err
		}
		var items []archive.Item
		if dryRun {
			items, err = s.Archive().Prunable(keep, inUse)
		} else {
			items, err = s.Archive().Prune(ctx, keep, inUse)
		}
		if errors.Is(err, archive.ErrNotFound) {
			return fmt.Errorf("%w: %w", ErrPrevious, err)
		}
		gone = append([]archive.Item{}, items...)
		return err
	})
	return gone, err
}

// PruneBackups removes old snapshots and returns them, or with dryRun returns
// what it would remove; nil means that pruning is not possible. It keeps what a
// rollback needs. The error wraps [rollback.ErrBusy] while an update is running,
// except for a dry run.
func (s *Site) PruneBackups(ctx context.Context, keep backup.Retention, dryRun bool) (gone []backup.Snapshot, err error) {
	err = s.prune("pruning the backups", dryRun, func() error {
		st, err := s.Status()
		if err != nil {
			return err
		}
		var snaps []backup.Snapshot
		if dryRun {
			snaps, err = s.Store().Prunable(keep, st.Needed())
		} else {
			snaps, err = s.Store().Prune(ctx, keep, st.Needed())
		}
		gone = append([]backup.Snapshot{}, snaps...)
		return err
	})
	return gone, err
}

// prune calls do while it holds the lock: an update might need what is removed.
func (s *Site) prune(doing string, dryRun bool, do func() error) error {
	if dryRun {
		return do()
	}
	lock, err := rollback.Acquire(s.Config.State, doing, time.Now())
	if err != nil {
		return err
	}
	return errors.Join(do(), lock.Release())
}

// An Archived is an installer in the archive. Use is why the journal names its
// version, "" if it does not.
type Archived struct {
	archive.Item
	Use rollback.Use
}

// Archived lists the archive. It returns what can be read, and an error for the
// rest.
func (s *Site) Archived() ([]Archived, error) {
	items, err := s.Archive().List()
	uses, usesErr := s.uses()
	var list []Archived
	for _, it := range items {
		list = append(list, Archived{it, uses[versionKey(it.Key)]})
	}
	return list, errors.Join(err, usesErr)
}

// uses returns why the journal names versions.
func (s *Site) uses() (map[archive.Key]rollback.Use, error) {
	st, err := s.Status()
	errs := []error{err}
	uses := map[archive.Key]rollback.Use{}
	for _, u := range st.Uses() {
		r, err := journaled(u.Release)
		if err != nil {
			errs = append(errs, fmt.Errorf("the journal has %s of %s as %s: %w", u.Release.Version, u.Part, u.Use, err))
		}
		uses[archive.Key{Distribution: u.Part, Version: r.version}] = u.Use
	}
	return uses, errors.Join(errs...)
}

// inUse returns the versions that must be kept in any case.
func (s *Site) inUse(ctx context.Context) ([]archive.Key, error) {
	uses, err := s.uses()
	if err != nil {
		return nil, err
	}
	items, _ := s.Archive().List() // pruning reports what cannot be read
	keys := []archive.Key{}
	for k, use := range uses {
		// A version that is lost and not needed must not block pruning for ever.
		if use.Vital() || slices.ContainsFunc(items, func(it archive.Item) bool { return versionKey(it.Key) == k }) {
			keys = append(keys, k)
		}
	}
	for _, d := range s.Config.Distributions {
		v, err := d.ask(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: the installed version, which must be kept, is unknown: %w", d.Name, err)
		}
		if !v.IsZero() {
			keys = append(keys, archive.Key{Distribution: d.Name, Version: v})
		}
	}
	return keys, nil
}

// versionKey returns the key of a version, without variant and hash.
func versionKey(k archive.Key) archive.Key {
	return archive.Key{Distribution: k.Distribution, Version: k.Version}
}
