package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/aspupdate/aspupdate/backup"
)

// Compare fails unless the directory is what was backed up, by its contents,
// modes and owners. The error wraps [backup.ErrMismatch] if it differs, and does
// not if it could not be read. A directory that a Setup has changed may be restored again.
func (d *Directory) Compare(ctx context.Context, m backup.Meta) (again bool, err error) {
	var detail directoryDetail
	if err := m.Decode(directoryKind, &detail); err != nil {
		return false, err
	}
	if !detail.Attrs {
		return false, errors.ErrUnsupported // earlier versions recorded less
	}
	s, err := d.slot(ctx)
	if err != nil {
		return true, err
	}
	root, err := s.Open()
	if err != nil {
		return true, failed("compare", s.Live, err)
	}
	defer func() { _ = root.Close() }()
	found, err := scan{}.read(ctx, root, filepath.Base(s.Live))
	if err == nil && found.digest != detail.Digest {
		err = fmt.Errorf("%w: it is not what was backed up", backup.ErrMismatch)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", backup.ErrMismatch, err)
	}
	return true, failed("compare", s.Live, err)
}
