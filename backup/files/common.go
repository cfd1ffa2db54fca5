package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/aspupdate/aspupdate/backup"
)

// fits reads the detail of a backup of the given kind.
func fits(m backup.Meta, kind string, detail any) error {
	if m.Kind != kind {
		return fmt.Errorf("%w: it is of a %q and this is a %q", backup.ErrUnfit, m.Kind, kind)
	}
	if err := json.Unmarshal(m.Detail, detail); err != nil {
		return fmt.Errorf("%w: its detail cannot be read: %w", backup.ErrUnfit, err)
	}
	return nil
}

// mayReplace reports whether something is live, and refuses to put a backup of
// one thing in the place of another: mixed up snapshots of a bundle
// would each be the other's loss.
func mayReplace(s slot, from string) (live bool, err error) {
	live, err = exists(s.path)
	if err != nil {
		return false, err
	}
	if live && from != s.path {
		return false, fmt.Errorf("%w: it is of %s and would replace %s: restore it to a path that is free", backup.ErrUnfit, from, s.path)
	}
	return live, nil
}

// put swaps the new data of that mark in.
func put(ctx context.Context, s slot, mark string, live bool) (backup.Restored, error) {
	err := ctx.Err() // the last moment to stop
	if err == nil && live {
		err = s.swap(s.beside(isOld, mark), s.beside(isNew, mark))
	} else if err == nil {
		err = s.arrive(s.beside(isNew, mark))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("restoring %s: %w", s.path, err), s.recover())
	}
	return &restored{slot: s, mark: mark, old: live}, nil
}

// prove has a copy built, which compares it with the backup, and removes it. What
// is left when we are killed goes with the next call of any method.
func (s slot) prove(build func(fresh string) error) error {
	fresh := s.beside(isNew, newMark())
	err := build(fresh)
	if err = errors.Join(err, s.remove(fresh)); err != nil {
		return fmt.Errorf("proving a backup of %s: %w", s.path, err)
	}
	return nil
}

func needs(s slot, bytes int64) []backup.Need {
	parent := filepath.Dir(s.path)
	return []backup.Need{
		{Bytes: bytes, For: backup.ForSnapshot},
		{Path: parent, Bytes: bytes, For: backup.ForRestored},
		{Path: parent, Bytes: bytes, For: backup.ForOld},
	}
}
