//go:build !linux

package realtest

import "errors"

// StartPostgres works on Linux only.
func StartPostgres(...string) (*Cluster, error) { return nil, errors.ErrUnsupported }
