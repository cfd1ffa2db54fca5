//go:build !linux && !windows

package service

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

func unsupported() error {
	return fmt.Errorf("services on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func query(context.Context, string) (Status, error) { return Status{}, unsupported() }
func links(context.Context, string) (wanted, required []string, err error) {
	return nil, nil, unsupported()
}
func dependents(context.Context, string) ([]string, error) { return nil, unsupported() }
func starters(context.Context, string) ([]string, error)   { return nil, unsupported() }
func autostartOff(context.Context, string, Status) error   { return unsupported() }
func autostartAs(context.Context, string, found) error     { return unsupported() }
func autostartOn(context.Context, string) error            { return unsupported() }
func stop(context.Context, string) error                   { return unsupported() }
func start(context.Context, string) error                  { return unsupported() }
func members(Status) []string                              { return nil }
func alive([]string) ([]string, error)                     { return nil, unsupported() }
