package rollback

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The roles are the hooks of an update. An error abandons the update before the
// first damage, and rolls it back from then on until the commit. All methods
// must be idempotent: each may be called again after a crash, by another
// process. Each gets a context with the deadline from [Deadlines]. The methods of
// several [Data] or [Migrator], but not those of one, are called concurrently where
// [Update].Parallel is above 1, and those of [Application] beside Migrated and Await; no
// other role is, and an installer never beside them.
//
// Each role may have
//
//	Settle(ctx context.Context) (finished bool, err error)
//
// which an [Installer] must have: it finds what a process before this one left
// running, waits for it or ends it, and reports whether one was found and came
// to its own end. Recover calls it before it decides anything.
type (
	// A Fence keeps users out. What people entered behind an open fence
	// would be lost by a rollback. It may have two more methods, and a String:
	//
	//	Closed(ctx context.Context) (bool, error)
	//
	// reports whether users are kept out now. It is asked after Close and
	// Open, after each snapshot, by the guard, before the commit, and where an
	// error says whether users are in. The error is [errors.ErrUnsupported] of
	// a fence that cannot be asked; it is believed, as one without the method.
	//
	//	Unwrap() []Fence
	//
	// returns the parts of a fence that is made of several; each is asked.
	Fence interface {
		// Close returns nil once only the installer and the probe can write:
		// the entry is closed, open sessions are drained or ended.
		Close(ctx context.Context) error
		// Open lets users in again.
		Open(ctx context.Context) error
	}

	// Data backs one dataset up and restores it. It may have more methods:
	//
	//	Needs(ctx context.Context) ([]Need, error)
	//
	// returns what will be written, all copies included, so that a full disk is
	// found before the update.
	//
	//	Compare(ctx context.Context, ref string) (again bool, err error)
	//
	// fails unless the live data equals the snapshot. The error has a method
	// Differs() bool that returns true if they differ; any other error means that
	// they could not be compared, and is tried again. Again reports whether it
	// may be restored again although a Setup was installed since, as a directory
	// may; of a database a person decides. It is asked after that Setup, for several
	// datasets at a time, and after a Restore that follows from it. The
	// error is [errors.ErrUnsupported] of data that cannot be compared.
	//
	//	Prepare(ctx context.Context) (snapshot func(context.Context) (ref string, err error), drop func(context.Context) error, err error)
	//
	// makes a snapshot before users are kept out, so that they wait for less. Once they are, snapshot
	// is called in the place of Snapshot: it returns what was prepared if the live data still
	// equals it, and else makes another. Drop is called if the update goes no further before
	// that. An error fails nothing: Snapshot is called then. It is [errors.ErrUnsupported] of data that
	// has no use for it.
	//
	//	RestoreDiffering(ctx context.Context, ref string, accepted []string) error
	//
	// is Restore for a person who has accepted these differences: what was restored
	// is put in place if it differs from the snapshot in just this way. It is for data
	// whose Restore fails with an error that has a method
	// Beside() (name string, differences []string): what was restored differs, and
	// stays beside the live data under that name until Tidy.
	//
	//	Proven(ctx context.Context) (Proof, error)
	//
	// returns what is known of the last proof of a backup like the one that Snapshot
	// would make. An error refuses the update, unless [Update].Unproven says why not.
	//
	//	Tidy(ctx context.Context) error
	//
	// drops what was kept for a fast rollback. It is called only once an update
	// has ended and that end is durable.
	//
	//	Counts(ctx context.Context) (map[string]int64, error)
	//
	// counts the rows by table, so that a person who rolls back sees how much
	// was entered since. It is called after each snapshot, with users kept out,
	// and has a minute: it may estimate, and leave out what it cannot count.
	Data interface {
		// Snapshot makes a durable copy and returns a reference by which a
		// later process finds it, one that was never given before. An error that
		// wraps [io/fs.ErrNotExist] means that there is no data, as before a first
		// installation, unless it is that of a program that cannot be started.
		Snapshot(ctx context.Context) (ref string, err error)
		// Verify reads the snapshot back from the disk and fails unless every byte is
		// what was sealed. It may leave out what this process has read back before, as long
		// as nothing can have written to it since: users are waiting.
		Verify(ctx context.Context, ref string) error
		// Restore makes the live data equal the snapshot, or changes
		// nothing. What it replaced is kept until Tidy.
		Restore(ctx context.Context, ref string) error
	}

	// An Installer installs the releases of one distribution, the new one
	// and, in a rollback, the previous one. It installs Setup, never
	// FullSetup, over an existing installation (R3). It may have Needs, as
	// [Data], and more methods:
	//
	//	Remove(ctx context.Context, r Release) error
	//
	// removes a version from the machine. A first installation needs it, because
	// removing is its only rollback; any other update calls it only if the
	// installer has it, for kinds that cannot install an older version over a
	// newer one. It runs before the data is restored.
	//
	//	Record(ctx context.Context) error
	//	Compare(ctx context.Context) error
	//
	// Record notes what the application consists of, just before the first damage.
	// Compare fails, after all previous versions were installed again, if a part of
	// that is missing; a person must then decide.
	//
	//	Vouched(ctx context.Context, r Release) error
	//
	// fails unless r is vouched for now, by the same means as a new release. It
	// is asked of a version to go back to, or to accept, whose hash the journal
	// does not have.
	Installer interface {
		// Ready re-reads r's installer from the archive (R10) and fails
		// unless it is there, whole, and has r's hash.
		Ready(ctx context.Context, r Release) error
		// Install runs r's installer to its end and leaves no process of it
		// behind. An error that wraps [ErrReboot] means that it is done except
		// for a restart of the machine.
		Install(ctx context.Context, r Release) error
		// Settle finds an installer that a process before this one left
		// running, and waits for it or ends it. It reports whether one was
		// found and came to its own end.
		Settle(ctx context.Context) (finished bool, err error)
	}

	// A Probe checks one distribution through the maintenance path, with the
	// fence closed. It returns a version only if software and data agree on
	// it.
	Probe interface {
		// Version checks once and returns the version that is healthy now,
		// "" if nothing is installed, or an error if something is installed
		// and not healthy or if that cannot be found out. A first
		// installation starts, and is taken back, only where it returns "".
		Version(ctx context.Context) (Version, error)
		// Await waits until version want is healthy. Until the context ends,
		// errors and refused logins may be a restructuring in progress (R11,
		// R12).
		Await(ctx context.Context, want Version) error
	}

	// A Window is the gate of R13.
	Window interface {
		// Next returns the first slot at or after now in which the update
		// and a rollback fit.
		Next(ctx context.Context, now time.Time) (Slot, error)
		// Fits fails unless what is left once the snapshots are made (the
		// installation, its restructuring, the checks and a rollback) fits
		// when it starts now. It is called just before the first damage.
		Fits(ctx context.Context, now time.Time) error
	}

	// An Application can be stopped with its autostart, so that nothing
	// holds its files, and started again behind the fence. In the rollback
	// of a first installation Stop may find nothing to stop, which is not an
	// error. It may have more methods:
	//
	//	Closed(ctx context.Context) (bool, error)
	//
	// reports whether the application is stopped. While an update waits for its
	// answer, in a restructuring or before it is healthy, one that was running after
	// its start and is stopped at two calls in a row is started again, three times at
	// most; but not while a [Migrator] restructures. Without it an application that
	// ends is waited for until the deadline.
	//
	//	Ended(ctx context.Context) (bool, error)
	//
	// is asked instead for that, if there is one.
	//
	//	Unwrap() []Application
	//
	// returns the parts of an application that is made of several; each is asked, and
	// started, by itself.
	Application interface {
		Stop(ctx context.Context) error
		Start(ctx context.Context) error
	}
)

// Optional interfaces of roles, found by type assertion.
type (
	remover interface {
		Remove(ctx context.Context, r Release) error
	}

	voucher interface {
		Vouched(ctx context.Context, r Release) error
	}

	witness interface {
		Record(ctx context.Context) error
		Compare(ctx context.Context) error
	}

	comparer interface {
		Compare(ctx context.Context, ref string) (again bool, err error)
	}

	differer interface {
		RestoreDiffering(ctx context.Context, ref string, accepted []string) error
	}

	preparer interface {
		Prepare(ctx context.Context) (snapshot func(context.Context) (ref string, err error), drop func(context.Context) error, err error)
	}

	prover interface {
		Proven(ctx context.Context) (Proof, error)
	}

	tidier interface {
		Tidy(ctx context.Context) error
	}

	counter interface {
		Counts(ctx context.Context) (map[string]int64, error)
	}

	spacer interface {
		Needs(ctx context.Context) ([]Need, error)
	}
)

// A Need is the space that one role needs on one volume.
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

// ErrReboot is wrapped by what Install and Settle of an [Installer] return if
// the installer has done its work and the machine must restart before the new
// version can be checked.
var ErrReboot = errors.New("the machine must restart")

// An override is a role that overrides a rule on purpose.
type override interface{ override() Override }

// An Override is a rule that was overridden, and why. Plans and the journal
// have it.
type Override struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

// The rules that can be overridden, as overrides name them.
const (
	ruleFence  = "fence"
	ruleBackup = "R9"
	ruleWindow = "R13"
	ruleSetup  = "R3"
)

// NoFence returns a fence that does nothing: what users enter between the
// snapshot and a rollback is lost. The reason is recorded.
func NoFence(reason string) Fence { return noFence{reason} }

type noFence struct{ reason string }

func (noFence) Close(context.Context) error { return nil }
func (noFence) Open(context.Context) error  { return nil }
func (f noFence) override() Override        { return Override{Rule: ruleFence, Reason: f.reason} }

// AnyTime returns a window that is always open, even outside the support
// hours (R13). The reason is recorded.
func AnyTime(reason string) Window { return anyTime{reason} }

type anyTime struct{ reason string }

func (anyTime) Next(context.Context, time.Time) (Slot, error) { return Slot{}, nil }
func (anyTime) Fits(context.Context, time.Time) error         { return nil }
func (w anyTime) override() Override                          { return Override{Rule: ruleWindow, Reason: w.reason} }

// Poll returns a [Probe] that calls check for one check: Await calls it in
// each interval until it returns the version wanted.
func Poll(check func(ctx context.Context) (Version, error), interval time.Duration) Probe {
	return poll{check, interval}
}

type poll struct {
	check    func(context.Context) (Version, error)
	interval time.Duration
}

func (p poll) Version(ctx context.Context) (Version, error) { return p.check(ctx) }

func (p poll) Await(ctx context.Context, want Version) error {
	tick := time.NewTicker(max(p.interval, time.Millisecond))
	defer tick.Stop()
	for {
		got, err := p.check(ctx)
		if err == nil && got == want {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("version %q is running", got)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("version %s is not healthy: %w (last check: %w)", want, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
