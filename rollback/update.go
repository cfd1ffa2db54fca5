package rollback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/aspupdate/aspupdate/internal/boot"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// An Update is the safe update as a value: what to install, and the roles
// that know how. It owns the order and every guard, so that no caller can
// get them wrong.
//
// The fields up to Window are required. An Update is used by one goroutine;
// other processes are kept out by the lock in Dir.
type Update struct {
	Dir    string    // the state folder: lock and journal, one for each installation; made if missing
	Parts  []Part    // in the order of their installation
	Data   []Dataset // in the order of their snapshots; see NoData
	Fence  Fence
	Window Window

	App Application // nil if fence and installer take care of the application

	// NoData says why no data must come back with the previous version
	// (R9), and is recorded. Without Data it is required, but for a first
	// installation, which has nothing to lose.
	NoData string

	// Live are the folders that an update replaces: the application's and
	// the database's own. Kept are the archive and the backups. No kept
	// folder, and not Dir, may lie inside a live one.
	Live, Kept []string

	Deadlines Deadlines
	Attempts  int           // at a way back, crashes included; 0 means 3
	Pause     time.Duration // between them; 0 means 10 s

	Observe func(Event)            // nil if nobody listens; called in order, from the calling goroutine
	Now     func() time.Time       // nil means time.Now
	BootID  func() (string, error) // which boot of the machine this is; nil asks the system
	Who     string                 // who is recorded as doing it; "" means the system's user and host
}

// Deadlines bound the calls of the roles. Zero means the default, which is
// never below R11's worst case: 4 minutes of installing and 2 hours of
// restructuring.
type Deadlines struct {
	Fence    time.Duration // closing, opening, stopping, starting; 15 min
	Snapshot time.Duration // backing one dataset up and reading it back, or one look into the archive; 6 h
	Install  time.Duration // one installer, or waiting for one left running; 3 h
	Probe    time.Duration // until one part is healthy, its restructuring included; 3 h
	Restore  time.Duration // one dataset; 6 h
	// Decide is how long recovery looks for the new version when the
	// installer ended unseen, before it goes back; 3 h, because the
	// installer may have ended well and left a restructuring behind (R11).
	Decide time.Duration
}

func or(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

func (d Deadlines) fence() time.Duration    { return or(d.Fence, 15*time.Minute) }
func (d Deadlines) snapshot() time.Duration { return or(d.Snapshot, 6*time.Hour) }
func (d Deadlines) install() time.Duration  { return or(d.Install, 3*time.Hour) }
func (d Deadlines) probe() time.Duration    { return or(d.Probe, 3*time.Hour) }
func (d Deadlines) restore() time.Duration  { return or(d.Restore, 6*time.Hour) }
func (d Deadlines) decide() time.Duration   { return or(d.Decide, 3*time.Hour) }

// A Result is how an update ended. It is true also when an error comes with
// it.
type Result struct {
	Outcome Outcome
	Update  string            // the update's id in the journal
	Plan    Plan              // what it set out to do
	Revert  *Revert           // what an operator's rollback took back, nil for an update
	Refs    map[string]string // the snapshots made, by dataset
}

// Run carries the plan out: it takes the lock, recovers what is pending,
// looks at everything again, and then installs or brings everything back.
//
// The error is nil exactly if the outcome is [Committed] or
// [AwaitingReboot]. A guard that says no is a [*Refusal] (nothing was
// begun), a taken lock a [*BusyError], anything else an [*Error], whose
// Outcome says what state the machine is in.
//
// Canceling the context before the first damage abandons the update; after
// it the update or its way back goes on to its end, because half an update
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
	return e.carryOut(ctx, RecordedPlan{Plan: now}, "")
}

// carryOut does what the plan says, which is what was found just now.
func (e *engine) carryOut(ctx context.Context, now RecordedPlan, reason string) (Result, error) {
	u := e.u
	if now.Slot.Start.After(u.now()) {
		return Result{Outcome: Nothing}, refuse(ReasonWindow, "", "R13: the window opens at %s; wait for it", now.Slot.Start.Format("2006-01-02 15:04 MST"))
	}
	e.id, e.direction = newID(u.now()), Forward
	if err := e.record(Record{Step: StepIntent, Phase: Done, Plan: &now, Who: u.who(), Reason: reason}, nil); err != nil {
		return Result{Outcome: Nothing}, &Error{Outcome: Nothing, Update: e.id, Step: StepIntent, Err: err}
	}
	if err := e.prepare(ctx); err != nil {
		return e.abandon(ctx, err)
	}
	// From the first damage on nothing is canceled any more.
	return e.course().forward(context.WithoutCancel(ctx), e)
}

// prepare does all that damages nothing: fence, stop, snapshots, guard.
func (e *engine) prepare(ctx context.Context) error {
	if err := e.do(ctx, StepFence, "", e.u.Deadlines.fence(), e.u.Fence.Close); err != nil {
		return err
	}
	if err := e.app(ctx, StepStop); err != nil {
		return err
	}
	for _, d := range e.u.Data {
		if err := e.snapshot(ctx, d); err != nil {
			return err
		}
	}
	return e.do(ctx, StepGuard, "", 0, e.guard)
}

// snapshot backs one dataset up (R9) and reads the copy back.
func (e *engine) snapshot(ctx context.Context, d Dataset) error {
	return e.doRecord(ctx, StepSnapshot, d.Name, e.u.Deadlines.snapshot(), func(ctx context.Context) (Record, error) {
		ref, err := d.Data.Snapshot(ctx)
		if err != nil {
			return Record{}, err
		}
		if ref == "" {
			return Record{}, errors.New("the snapshot has no reference")
		}
		if err := d.Data.Verify(ctx, ref); err != nil {
			return Record{}, err
		}
		return Record{Ref: ref, Counts: e.u.count(ctx, d)}, nil
	})
}

// guard is the last look before the first damage. It trusts nothing that it
// remembers and reads everything from the disk.
func (e *engine) guard(ctx context.Context) error {
	u := e.u
	if err := u.Window.Fits(ctx, u.now()); err != nil {
		return &Refusal{Reason: ReasonWindow, Err: fmt.Errorf("R13: %w", err)}
	}
	for i, part := range u.Parts {
		if e.plan().Parts[i].Keep {
			continue
		}
		if err := u.checkInstallers(ctx, part); err != nil {
			return err
		}
	}
	if err := u.verifyRefs(ctx, e.st.Pending.Refs); err != nil {
		return err
	}
	if err := e.course().verify(ctx, u); err != nil {
		return err
	}
	// Reading it all again may have taken hours.
	if err := u.Window.Fits(ctx, u.now()); err != nil {
		return &Refusal{Reason: ReasonWindow, Err: fmt.Errorf("R13: %w", err)}
	}
	if err := e.lock.Check(); err != nil {
		return &Refusal{Reason: ReasonState, Err: err}
	}
	if err := e.j.Check(); err != nil {
		return &Refusal{Reason: ReasonState, Err: err}
	}
	return ctx.Err()
}

// verifyRefs reads snapshots back from the disk.
func (u *Update) verifyRefs(ctx context.Context, refs map[string]string) error {
	for _, d := range u.Data {
		ref := refs[d.Name]
		if err := u.within(ctx, u.Deadlines.snapshot(), func(ctx context.Context) error { return d.Data.Verify(ctx, ref) }); err != nil {
			return refuse(ReasonBackup, d.Name, "R9: the snapshot %s: %w", ref, err)
		}
	}
	return nil
}

// prove starts the application behind the fence and commits if every part
// is healthy at its new version.
func (e *engine) prove(ctx context.Context, patience time.Duration) (Result, error) {
	if err := e.app(ctx, StepStart); err != nil {
		return e.rollBack(ctx, err)
	}
	for _, part := range e.u.Parts {
		err := e.do(ctx, StepProbe, part.Name, patience, func(ctx context.Context) error {
			return part.Probe.Await(ctx, part.To.Version)
		})
		if err != nil {
			return e.rollBack(ctx, err)
		}
	}
	if err := e.record(Record{Step: StepCommit, Phase: Done}, nil); err != nil {
		return e.interrupted(&stepError{StepCommit, "", err})
	}
	return e.finish(ctx, nil)
}

// install runs one installer, either way. It reports whether the machine
// must restart now.
func (e *engine) install(ctx context.Context, part Part, r Release) (reboot bool, err error) {
	err = e.doRecord(ctx, StepInstall, part.Name, e.u.Deadlines.install(), func(ctx context.Context) (Record, error) {
		err := part.Installer.Install(ctx, r)
		if !errors.Is(err, ErrReboot) {
			return Record{}, err
		}
		// In the one record that says that it is done: whoever takes over
		// from here gives no verdict before the restart either.
		boot, err := e.u.bootID()
		reboot = err == nil
		return Record{Ref: boot}, err
	})
	return reboot && err == nil, err
}

// awaitReboot says which boot it is that must end.
func (e *engine) awaitReboot() (Result, error) {
	if err := e.record(Record{Step: StepReboot, Phase: Begin, Ref: e.st.Pending.Reboot}, nil); err != nil {
		return e.interrupted(&stepError{StepReboot, "", err})
	}
	return e.result(AwaitingReboot), nil
}

// abandon leaves an update that has damaged nothing.
func (e *engine) abandon(ctx context.Context, cause error) (Result, error) {
	if e.j.broken != nil {
		return e.interrupted(cause)
	}
	e.direction = Back
	ctx = context.WithoutCancel(ctx)
	if err := e.app(ctx, StepStart); err != nil {
		return e.interrupted(errors.Join(cause, err))
	}
	if err := e.record(Record{Step: StepAbandoned, Phase: Done}, nil); err != nil {
		return e.interrupted(errors.Join(cause, err))
	}
	return e.finish(ctx, cause)
}

// finish lets users in again after an outcome that is durable already. What
// fails here changes that outcome no more, so it is tried again by Recover.
func (e *engine) finish(ctx context.Context, cause error) (Result, error) {
	outcome := e.st.Pending.Outcome
	if err := e.do(ctx, StepUnfence, "", e.u.Deadlines.fence(), e.u.Fence.Open); err != nil {
		return e.interrupted(fmt.Errorf("%s is durable, but users cannot be let in: %w", outcome, errors.Join(err, cause)))
	}
	for _, d := range e.u.Data {
		t, ok := d.Data.(Tidier)
		if !ok {
			continue
		}
		// A failure is in the journal; it costs room and no safety.
		_ = e.do(ctx, StepTidy, d.Name, e.u.Deadlines.fence(), t.Tidy)
	}
	res, failure := e.result(outcome), e.failure(outcome, cause, nil)
	if err := e.record(Record{Step: StepEnd, Phase: Done}, nil); err != nil {
		return e.interrupted(err)
	}
	if outcome == Committed {
		return res, nil
	}
	return res, failure
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

func (u *Update) look(ctx context.Context, p Part) (version string, err error) {
	err = u.within(ctx, u.Deadlines.fence(), func(ctx context.Context) (err error) {
		version, err = p.Probe.Version(ctx)
		return err
	})
	return version, err
}

// open checks the Update and begins.
func (u *Update) open(doing string) (*engine, error) {
	if err := u.Check(); err != nil {
		return nil, err
	}
	return u.begin(doing)
}

// begin makes the state folder, takes the lock and reads the journal.
func (u *Update) begin(doing string) (*engine, error) {
	if err := durable.MkdirAll(u.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	lock, err := Acquire(u.Dir, doing, u.now())
	if err != nil {
		return nil, err
	}
	j, err := OpenJournal(u.Dir)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	e := &engine{u: u, lock: lock, j: j, st: replay(j.Records())}
	if p := e.st.Pending; p != nil {
		e.id, e.direction = p.Update, p.Direction
	}
	return e, nil
}
