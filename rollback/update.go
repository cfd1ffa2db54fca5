package rollback

import (
	"cmp"
	"context"
	"os"
	"os/user"
	"time"

	"github.com/aspupdate/aspupdate/internal/boot"
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

	// Live are the directories that an update replaces: the application's
	// and the database's own. Kept are the archive and the backups. Neither
	// Dir nor a kept directory may be inside a live one.
	Live, Kept []string

	Deadlines Deadlines
	Attempts  int           // of a rollback, crashes included; 0 means 3
	Interval  time.Duration // between them; 0 means 10 s

	Observe func(Event)            // may be nil; called in order, from the calling goroutine
	Now     func() time.Time       // nil means time.Now
	BootID  func() (string, error) // which boot of the machine this is; nil asks the system
	Who     string                 // who is recorded as doing it; "" means the system's user and host
}

// Deadlines bound the calls of the roles, by the context that each gets. Zero
// means the default, which is never below R11's worst case: 4 minutes of
// installing and 2 hours of restructuring.
type Deadlines struct {
	Fence    time.Duration // closing, opening, stopping, starting; 15 min
	Snapshot time.Duration // backing one dataset up and reading it back, or one check of the archive; 6 h
	Install  time.Duration // one installer, or waiting for one left running; 3 h
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
func (d Deadlines) probe() time.Duration    { return or(d.Probe, 3*time.Hour) }
func (d Deadlines) restore() time.Duration  { return or(d.Restore, 6*time.Hour) }
func (d Deadlines) decide() time.Duration   { return or(d.Decide, 3*time.Hour) }

// A Result is how an update ended. It is valid even if an error comes with it.
type Result struct {
	Outcome Outcome
	Update  string            // the update's id in the journal
	Plan    Plan              // what it set out to do
	Refs    map[string]string // the snapshots made, by dataset
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
	if res, err := e.recover(ctx); err != nil || res.Outcome == AwaitingReboot {
		return res, err
	}
	now, err := u.plan(ctx, e.st)
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
	if u.BootID != nil {
		return u.BootID()
	}
	return boot.ID()
}

func (u *Update) who() string {
	if u.Who != "" {
		return u.Who
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
