//go:build !linux && !windows

package boot

import "errors"

func id() (string, error) { return "", errors.ErrUnsupported }
