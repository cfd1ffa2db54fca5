//go:build !linux

package realtest

import "errors"

// StartPostgres knows only Linux.
func StartPostgres(...string) (*Cluster, error) { return nil, errors.ErrUnsupported }
