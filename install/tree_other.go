//go:build !linux && !windows

package install

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// tree is never made: without a way to see all processes of an installer,
// "nothing of it is left" would be a guess.
type tree struct{}

func unsupported() error {
	return fmt.Errorf("running programs on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func launch(context.Context, program) (*tree, error) { return nil, unsupported() }
func find(record) (*tree, error)                     { return nil, unsupported() }

func (*tree) pid() int                     { return 0 }
func (*tree) birth() string                { return "" }
func (*tree) release() error               { return nil }
func (*tree) frozen() bool                 { return false }
func (*tree) exited() <-chan struct{}      { return nil }
func (*tree) close()                       {}
func (*tree) foundCode() (uint32, bool)    { return 0, false }
func (*tree) result() (uint32, bool, bool) { return 0, false, false }
func (*tree) count() (int, error)          { return 0, unsupported() }
func (*tree) countRoot() (int, error)      { return 0, unsupported() }
func (*tree) end() error                   { return unsupported() }
