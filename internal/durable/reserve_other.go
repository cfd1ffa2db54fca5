//go:build !linux

package durable

import (
	"errors"
	"os"
)

// allocate is Linux's.
func allocate(*os.File, int64) error { return errors.ErrUnsupported }
