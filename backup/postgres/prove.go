package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/aspupdate/aspupdate/backup"
)

// Prove implements [backup.Prover]: the dump, and never the clone, is restored
// into a database of its own, which users cannot enter, compared with the
// manifest to the last row where the backup has checksums, and dropped. Users
// may go on with the live database meanwhile; it need not be there, and the server may
// be another one than that of the backup.
//
// Unlike a restore it also fails, with ErrDiffers, where an extension comes
// back in another version than it had.
func (d *Database) Prove(ctx context.Context, dir string, m backup.Meta) error {
	f, err := ReadFacts(m)
	if err != nil {
		return err
	}
	s, err := d.begin(ctx)
	if err != nil {
		return fmt.Errorf("proving a backup: %w", err)
	}
	err = s.prove(ctx, dir, f)
	s.close()
	if err != nil {
		return errors.Join(fmt.Errorf("proving a backup of the database %q: %w", f.Database, err), d.settle(ctx))
	}
	return nil
}

func (s *session) prove(ctx context.Context, dir string, f Facts) error {
	if err := s.preflight(ctx, f); err != nil {
		return err
	}
	if err := s.room(ctx, f.Locale.Tablespace, f.Bytes); err != nil {
		return err
	}
	name := besideName(s.name, kindNew, newMark())
	got, err := s.buildFromDump(ctx, name, dir, f)
	if err != nil {
		return err
	}
	if err := differ(f.differences(got), f.extensionVersions(got)); err != nil {
		return err
	}
	return s.drop(ctx, name)
}
