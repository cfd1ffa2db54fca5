package postgres

import (
	"context"
	"errors"

	"github.com/aspupdate/aspupdate/backup"
)

// Prove implements [backup.Prover]: the dump, and never the clone, is restored
// into a database of its own that users cannot connect to, compared with the
// manifest, with Checksums down to the last row, and dropped. Users may go on with
// the live database meanwhile. It need not exist, and the server need not be
// that of the backup.
//
// Unlike a restore it also fails, with [backup.ErrMismatch], if an extension has
// another version than it had.
func (d *Database) Prove(ctx context.Context, dir string, m backup.Meta) error {
	f, err := readFacts(m)
	if err != nil {
		return err
	}
	s, err := d.begin(ctx)
	if err != nil {
		return err
	}
	err = s.prove(ctx, dir, f)
	s.close()
	if err != nil {
		return errors.Join(failed("prove a backup of database", f.Database, err), d.settle(ctx))
	}
	return nil
}

func (s *session) prove(ctx context.Context, dir string, f facts) error {
	if err := s.preflight(ctx, f); err != nil {
		return err
	}
	if err := s.space(ctx, f.Locale.Tablespace, f.Bytes); err != nil {
		return err
	}
	s.proving = true
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
