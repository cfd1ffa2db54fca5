package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/backup"
)

// Globals returns what the server keeps outside of its databases, as SQL: roles with
// their passwords' hashes, and tablespaces. A new server needs it before a database
// can be restored there. It is a secret. The program pg_dumpall beside pg_dump makes it.
func (d *Database) Globals(ctx context.Context) ([]byte, error) {
	s, err := d.connect(ctx, reading)
	if err != nil {
		return nil, err
	}
	defer s.close()
	t, err := d.findTools(ctx, s.version)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(filepath.Dir(t.dump), "pg_dumpall"+exe())
	if _, err := os.Stat(program); err != nil {
		return nil, advise(fmt.Errorf("%w: %s not found", backup.ErrIncompatible, program), "install it, or set Bin")
	}
	var out bytes.Buffer
	cmd := s.command(d.maintenance(), program, s.options(reading), "--globals-only")
	cmd.Stdout = &out
	if err := errors.Join(run(ctx, cmd), ctx.Err()); err != nil {
		return nil, failed("dump the roles of the server of", s.name, err)
	}
	return out.Bytes(), nil
}
