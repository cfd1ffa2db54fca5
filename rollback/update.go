package rollback

import (
	"cmp"
	"context"
	"os"
	"os/user"
	"time"

	"github.com/aspupdate/aspupdate/internal/boot"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// An Update is the safe update as a value: what to install, and the roles that
// do it. The fields up to Window are required. An Update is used by one
// goroutine; other processes are kept out by the lock in Dir.
type Update struct {
	Dir    string    // the state directory: lock and journal, one for each installation; created if missing
	Parts  []Part    // in the order of their installation
	Data   []Dataset // in the order of their snapshots; see NoData
	Fence  Fence
	Window Window

	App Application // nil if fence and installer stop and start the application

	// NoData is why no data needs to come back with the previous version (R9),
	// and is recorded. Without Data it is required, except for a first
	// installation, which has nothing to lose.
	NoData string

	// Unproven is why the update may start although a backup like its own was never
	// restored and compared (R9), for Data that asks for that. It is recorded.
	Unproven string

	// Differing names datasets, see [Error].Differing, that Retry puts in place
	// although what was restored differs from the snapshot.
	Differing []string

	// Live are the directories that an update replaces: the application's
	// and the database's own. Kept are the archive and the backups. Neither
	// Dir nor a kept directory may be inside a live one. Each kept directory gets
	// a small file with how far the journal has come, by which a state directory
	// that is an older copy of itself is refused.
	Live, Kept []string

	// Parallel is how many datasets are backed up, verified, restored or migrated at a time; 0 means 1.
	Parallel  int
	Deadlines Deadlines
	// Steady is how long every part must stay healthy before an update is
	// committed, and before a rollback counts as done. 0 means 30 s.
	Steady time.Duration

	Observe func(Event)      // may be nil; called in order, from the calling goroutine
	Now     func() time.Time // nil means time.Now

	tuning tuning
}

// A tuning has what only tests change. Its zero value is what holds.
type tuning struct {
	attempts int                    // at a rollback, crashes included; 0 means 3
	interval time.Duration          // between them; 0 means 10 s
	bootID   func() (string, error) // which boot of the machine this is; nil asks the system
	who      string                 // who is recorded as doing it; "" means the system's user and host

	full         func() error     // why the journal takes no record, as on a full disk; may be nil
	markDeadline time.Duration    // of each kept directory; 0 means 10 s
	markTouch    func(dir string) // called before a kept directory is accessed; may be nil
}

func (u *Update) attempts() int           { return cmp.Or(max(u.tuning.attempts, 0), 3) }
func (u *Update) interval() time.Duration { return or(u.tuning.interval, 10*time.Second) }
func (u *Update) steady() time.Duration   { return or(u.Steady, 30*time.Second) }

// Deadlines bound the calls of the roles, by the context that each gets. Zero
// means the default, which is never below R11's worst case: 4 minutes of
// installing and 2 hours of restructuring.
type Deadlines struct {
	Fence    time.Duration // closing, opening, stopping, starting; 15 min
	Snapshot time.Duration // backing one dataset up and reading it back, or one check of the archive; 6 h
	Install  time.Duration // one installer, or waiting for one left running; 3 h
	Migrate  time.Duration // one migration; 3 h
	Probe    time.Duration // until one part is healthy, its restructuring included; 3 h
	Restore  time.Duration // one dataset; 6 h
	// Decide is how long recovery waits for the new version to be healthy
	// when the end of its installer was not seen, before it rolls back; 3 h,
	// because a restructuring may be in progress (R11).
	Decide time.Duration
}

func or(d, def time.Duration) time.Duration { return cmp.Or(max(d, 0), def) }

func (d Deadlines) fence() time.Duration    { return or(d.Fence, 15*time.Minute) }
func (d Deadlines) snapshot() time.Duration { return or(d.Snapshot, 6*time.Hour) }
func (d Deadlines) install() time.Duration  { return or(d.Install, 3*time.Hour) }
func (d Deadlines) migrate() time.Duration  { return or(d.Migrate, 3*time.Hour) }
func (d Deadlines) probe() time.Duration    { return or(d.Probe, 3*time.Hour) }
func (d Deadlines) restore() time.Duration  { return or(d.Restore, 6*time.Hour) }
func (d Deadlines) decide() time.Duration   { return or(d.Decide, 3*time.Hour) }

// A Result is how an update ended. It is valid even if an error comes with it.
type Result struct {
	Outcome Outcome
	Update  string            // the update's id in the journal
	Plan    Plan              // what it set out to do
	Refs    map[string]string // the snapshots made, by dataset
	// Kept are the snapshots of what was live before it was restored over,
	// because users may have worked since the last ones.
	Kept []string
}

// Run carries the plan out: it takes the lock, recovers what is pending, plans
// again, and then installs or rolls back.
//
// The error is nil exactly if the outcome is [Committed] or
// [AwaitingReboot]. Otherwise it is an [*Error]: with a Reason and no Outcome if
// a guard refused or another process holds the lock (nothing was begun), else
// with the Outcome that is the state of the machine.
//
// Canceling the context before the first damage abandons the update; after
// it the update or its rollback goes on to its end, because half an update
// is worse (R13).
func (u *Update) Run(ctx context.Context, plan Plan) (Result, error) {
	e, err := u.open("updating")
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	e.goesOn = true
	if res, err := e.recover(ctx); err != nil || res.Outcome == AwaitingReboot {
		return res, err
	}
	e.u, e.stop, e.counted = u, nil, false // recovery had the releases of another plan, and could be stopped
	now, err := u.plan(durable.Trying(ctx), e.st)
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	if err := plan.compare(now); err != nil {
		return Result{Outcome: Nothing}, err
	}
	return e.carryOut(ctx, now, "")
}

func (u *Update) now() time.Time {
	if u.Now != nil {
		return u.Now()
	}
	return time.Now()
}

func (u *Update) bootID() (string, error) {
	if u.tuning.bootID != nil {
		return u.tuning.bootID()
	}
	return boot.ID()
}

func (u *Update) who() string {
	if u.tuning.who != "" {
		return u.tuning.who
	}
	name := "unknown"
	if me, err := user.Current(); err == nil {
		name = me.Username
	}
	host, _ := os.Hostname() // only shown to people
	return name + "@" + host
}

// within calls a role with a deadline.
func (u *Update) within(ctx context.Context, d time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return call(ctx)
}

// probe checks once which version of a part is healthy.
func (u *Update) probe(ctx context.Context, p Part) (v Version, err error) {
	err = u.within(ctx, u.Deadlines.fence(), func(ctx context.Context) (err error) {
		v, err = p.Probe.Version(ctx)
		return err
	})
	return v, err
}
