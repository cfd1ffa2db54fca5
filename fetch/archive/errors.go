package archive

import (
	"errors"
)

// The states that a caller distinguishes with errors.Is, besides those of
// package fetch.
var (
	// ErrNotFound: the archive has no such version (R10).
	ErrNotFound = errors.New("not in the archive")
	// ErrMismatch: the bytes are not the ones that were vouched for.
	ErrMismatch = errors.New("file is not the one that was vouched for")
	// ErrNoSpace: the archive's volume is full, or would be.
	ErrNoSpace = errors.New("no space left for the archive")
)
