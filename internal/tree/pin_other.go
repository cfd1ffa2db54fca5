//go:build !linux

package tree

import (
	"errors"
	"path/filepath"

	"github.com/aspupdate/aspupdate/internal/private"
)

// Pin is for a path that programs of others open by name: it makes sure that they have
// opened what was there. Where another account can rename in its directory, nothing on the
// way can be renamed on Windows until release; other systems than that and Linux have no such means.
func Pin(path string) (release func() error, err error) {
	if private.Check(filepath.Dir(path)) == nil { // or tools that want the file for themselves would not get it
		return func() error { return nil }, nil
	}
	root, err := OpenExact(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	held, err := Hold(root, filepath.Base(path))
	if err = errors.Join(err, root.Close()); err != nil {
		return nil, err
	}
	return held.Close, nil
}
