package rollback

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Release is one version of one distribution. This package compares
// releases and never parses them: what a version means is the caller's.
type Release struct {
	Version string `json:"version"`          // as shown to people; "" means that nothing is installed
	SHA256  string `json:"sha256,omitempty"` // of its installer, in hex
	// VouchedBy says who or what stands for the installer: a publisher, a
	// pinned hash. Empty means nobody: plans, journal and output then call
	// the release unauthenticated.
	VouchedBy string `json:"vouched_by,omitempty"`
}

// String returns the version, and says when nobody vouched for the release.
func (r Release) String() string {
	switch {
	case r.Version == "":
		return "nothing"
	case r.VouchedBy == "":
		return r.Version + " (unauthenticated)"
	}
	return r.Version
}

// same reports whether two releases are the same installer. A hash that one
// side does not know is not compared.
func (r Release) same(o Release) bool {
	return r.Version == o.Version && (r.SHA256 == o.SHA256 || r.SHA256 == "" || o.SHA256 == "")
}

// A Part is one distribution of an update. An update of one distribution has
// one part, a bundle (R4) several, which succeed or go back together.
type Part struct {
	Name string  // the distribution; unique within the update
	From Release // what is installed and committed; zero for a first installation
	To   Release // what to install
	// Setup is what a way back to To will install one day, if that is another
	// installer than To: a first installation takes FullSetup, and every way
	// back Setup (R3). Zero means To itself.
	Setup Release
	// Overwrite is why FullSetup may go over an installation, with the
	// vendor's example in the place of its database (R3): that is what a part
	// with both a From and a Setup asks for, and it is refused without a
	// reason. The reason is recorded.
	Overwrite string

	Installer Installer
	Probe     Probe
}

// A Dataset is what must come back with the previous version (R9, R15): a
// database, or a folder such as the application's configuration.
type Dataset struct {
	Name string // unique within the update
	Data Data
}

// The roles are the hooks of an update, and an error of one is its veto: before
// the first damage the update is abandoned, from then on until the commit it
// goes back. Each method may be called again after a crash, by another
// process, and must then reach the same end: all are idempotent. Each gets a
// context with the deadline from [Deadlines]. None is called concurrently.
type (
	// A Fence keeps users out. What people entered behind an open fence
	// would be lost by a rollback.
	Fence interface {
		// Close returns nil once nobody but the installer and the probe can
		// write: the entry is closed, sessions at work are drained or ended.
		Close(ctx context.Context) error
		// Open lets users in again.
		Open(ctx context.Context) error
	}

	// Data backs one dataset up and brings it back.
	Data interface {
		// Snapshot makes a durable copy and returns a reference by which a
		// later process finds it.
		Snapshot(ctx context.Context) (ref string, err error)
		// Verify reads the snapshot back from the disk and fails unless
		// every byte is what was sealed.
		Verify(ctx context.Context, ref string) error
		// Restore makes the live data equal the snapshot. It happens whole
		// or not at all, and what it replaced stays aside until [Tidier].
		Restore(ctx context.Context, ref string) error
	}

	// An Installer installs the releases of one distribution, the new one
	// as well as the previous one on the way back. It installs Setup, never
	// FullSetup, over an existing installation (R3).
	Installer interface {
		// Ready re-reads r's installer from the archive (R10) and fails
		// unless it is there, whole, and has r's hash.
		Ready(ctx context.Context, r Release) error
		// Install runs r's installer to its end and leaves no process of it
		// behind. An error that wraps [ErrReboot] means that it is done but
		// for a restart of the machine.
		Install(ctx context.Context, r Release) error
		// Settle looks for an installer that a process before this one left
		// running, and waits for it or ends it. It reports whether one was
		// found and came to its own end.
		Settle(ctx context.Context) (finished bool, err error)
	}

	// A Probe looks at one distribution through the maintenance path, with
	// the fence closed. It answers with a version only where software and
	// data agree on it.
	Probe interface {
		// Version takes one look: the version that is healthy now, "" if
		// nothing is installed, an error if something is and is not healthy
		// or if that cannot be told. A first installation starts, and is
		// taken back, only where it answers "".
		Version(ctx context.Context) (string, error)
		// Await waits until version want is healthy. Errors and refused
		// logins on the way are a restructuring in progress (R11, R12); it
		// gives up when the context ends or when it knows better.
		Await(ctx context.Context, want string) error
	}

	// A Window is the gate of R13.
	Window interface {
		// Next returns the first slot at or after now in which the update
		// and a rollback fit.
		Next(ctx context.Context, now time.Time) (Slot, error)
		// Fits fails unless what is left once the snapshots are made (the
		// installation, its restructuring, the checks and a rollback) fits
		// when it starts now. It is asked just before the first damage.
		Fits(ctx context.Context, now time.Time) error
	}

	// An Application can be stopped with its autostart, so that nothing
	// holds its files, and started again behind the fence. On the way back
	// of a first installation Stop may find nothing to stop, which is no
	// error.
	Application interface {
		Stop(ctx context.Context) error
		Start(ctx context.Context) error
	}
)

// Abilities that a role may have besides, found by assertion.
type (
	// A Remover is an [Installer] that takes a version off the machine. A
	// first installation needs one, because removing is its only way back;
	// any other update calls it only if the installer has it, for kinds
	// that cannot install an older version over a newer one. It runs before
	// the data is restored.
	Remover interface {
		Remove(ctx context.Context, r Release) error
	}

	// A Tidier is a [Data] that drops what it kept for a fast way back. It
	// is called only once an update has ended and that end is durable.
	Tidier interface {
		Tidy(ctx context.Context) error
	}

	// A Counter is a [Data] that tells how many rows it has now, by table, so
	// that a person who rolls back is told how much was entered since. It is
	// asked after each snapshot, with users kept out, and has a minute: it
	// may estimate. It is a service, and what it cannot tell is left out.
	Counter interface {
		Counts(ctx context.Context) (map[string]int64, error)
	}

	// A Spacer is a [Data] or an [Installer] that says what it will write,
	// all copies included, so that a full disk is found before the update.
	Spacer interface {
		Needs(ctx context.Context) ([]Need, error)
	}
)

// A Need is room that one role will take on one volume.
type Need struct {
	Path  string `json:"path"`  // a path on the volume; it need not exist yet
	Bytes int64  `json:"bytes"` // how much will be written
	For   string `json:"for"`   // what for, in words
}

// A Slot is a time in which an update may start.
type Slot struct {
	Start       time.Time `json:"start"`        // not before; at or before now if the window is open
	LatestStart time.Time `json:"latest_start"` // not after: with a later start the worst case would outlast the window
}

// ErrReboot is wrapped by what Install and Settle of an [Installer] return when
// the installer has done its work and the machine must restart before the new
// version can be judged.
var ErrReboot = errors.New("a restart of the machine is needed")

// An override is a role that stands for leaving a rule out on purpose.
type override interface{ override() Override }

// An Override is a rule that was left out, and why. Plans and the journal
// carry it.
type Override struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

// The rules that can be left out, as overrides name them.
const (
	ruleFence  = "fence"
	ruleBackup = "R9"
	ruleWindow = "R13"
	ruleSetup  = "R3"
)

// NoFence goes without a fence: what users enter between the snapshot and a
// rollback is then lost. The reason is recorded.
func NoFence(reason string) Fence { return noFence{reason} }

type noFence struct{ reason string }

func (noFence) Close(context.Context) error { return nil }
func (noFence) Open(context.Context) error  { return nil }
func (f noFence) override() Override        { return Override{Rule: ruleFence, Reason: f.reason} }

// AnyTime starts outside the support's hours (R13). The reason is recorded.
func AnyTime(reason string) Window { return anyTime{reason} }

type anyTime struct{ reason string }

func (anyTime) Next(context.Context, time.Time) (Slot, error) { return Slot{}, nil }
func (anyTime) Fits(context.Context, time.Time) error         { return nil }
func (w anyTime) override() Override                          { return Override{Rule: ruleWindow, Reason: w.reason} }

// Poll makes a [Probe] of a function that takes one look: Await calls it
// every interval until it returns the version wanted.
func Poll(look func(ctx context.Context) (version string, err error), every time.Duration) Probe {
	return poll{look, every}
}

type poll struct {
	look  func(context.Context) (string, error)
	every time.Duration
}

func (p poll) Version(ctx context.Context) (string, error) { return p.look(ctx) }

func (p poll) Await(ctx context.Context, want string) error {
	tick := time.NewTicker(max(p.every, time.Millisecond))
	defer tick.Stop()
	for {
		got, err := p.look(ctx)
		if err == nil && got == want {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("version %q answers", got)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("version %s did not get healthy: %w (last look: %w)", want, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
