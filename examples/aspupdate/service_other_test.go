//go:build !linux

package main

import "errors"

func systemdWorld([]string) error { return errors.ErrUnsupported }
