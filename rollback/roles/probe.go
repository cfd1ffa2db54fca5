package roles

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
)

// A Probe is an [install.Probe] as a [rollback.Probe]. Only Probe is required.
type Probe struct {
	Probe install.Probe
	// Installed is a path that exists exactly if the distribution is
	// installed. A first installation needs it: a server that does not answer
	// does not prove that nothing is installed.
	Installed string
	Interval  time.Duration       // between two attempts of Await; zero is 5 s
	Observe   func(install.Event) // may be nil
}

// Version returns the version that is healthy now, or "" if Installed does not
// exist.
func (p Probe) Version(ctx context.Context) (rollback.Version, error) {
	if p.Installed != "" {
		if _, err := os.Lstat(p.Installed); errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
	}
	v, err := p.Probe.Version(ctx)
	return rollback.Version(v), err
}

// Await waits until version want is healthy, as [install.Await] does. Errors and
// other versions mean that a restructuring is in progress (R11, R12). It waits
// until ctx ends, or without a deadline for 3 h.
func (p Probe) Await(ctx context.Context, want rollback.Version) error {
	o := install.AwaitOptions{Interval: p.Interval, Observe: p.Observe}
	if _, ok := ctx.Deadline(); ok {
		o.Deadline = math.MaxInt64 // ctx alone decides
	}
	return install.Await(ctx, p.Probe, string(want), o)
}
