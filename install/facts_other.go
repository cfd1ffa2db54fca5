//go:build !linux && !windows

package install

import "errors"

func systems() (map[string]string, error) { return nil, errors.ErrUnsupported }
func frameworkRelease() (uint64, error)   { return 0, errors.ErrUnsupported }
func rebootPending() ([]string, error)    { return nil, errors.ErrUnsupported }
func elevated() (bool, error)             { return false, errors.ErrUnsupported }

func forbidsPrograms(string) (bool, error) { return false, nil }
