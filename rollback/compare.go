package rollback

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// errDiffers is why a rollback asks a person: what was restored was changed by
	// the Setup that was installed over it, and restoring again would not help.
	errDiffers = errors.New("the data is not what was restored")
	// errUncompared is that it is not known whether data differs. It is no reason to
	// restore it again.
	errUncompared = errors.New("the data cannot be compared with its snapshot")
)

// differs reports whether the error of a Compare says that the data differs.
func differs(err error) bool {
	d, ok := errors.AsType[interface {
		error
		Differs() bool
	}](err)
	return ok && d.Differs()
}

// beside returns where what was restored stays because it differs, and then each
// difference; nil if nothing does.
func beside(err error) []string {
	b, ok := errors.AsType[interface {
		error
		Beside() (name string, differences []string)
	}](err)
	if !ok {
		return nil
	}
	name, differences := b.Beside()
	return append([]string{name}, differences...)
}

// errLost is why a rollback asks a person: installing the previous version once more
// would not bring back what its Setup leaves out.
var errLost = errors.New("the application is not what it was before the update")

// recordApplication notes what the application consists of.
func (e *engine) recordApplication(ctx context.Context) error {
	for _, part := range e.u.Parts {
		if w, ok := part.Installer.(witness); ok {
			if err := e.u.within(ctx, e.u.Deadlines.restore(), w.Record); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareApplication fails if a part of that is missing.
func (e *engine) compareApplication(ctx context.Context) error {
	for _, part := range e.u.Parts {
		w, ok := part.Installer.(witness)
		if !ok || !e.st.Pending.begun[part.Name] {
			continue
		}
		if err := e.u.within(ctx, e.u.Deadlines.restore(), w.Compare); err != nil {
			return &stepError{stepInstall, part.Name, fmt.Errorf("%w: %w", errLost, err)}
		}
	}
	return nil
}

// same compares a dataset with the snapshot that it was restored from. It
// reports whether it may be restored again where it differs. What has no way to be
// compared is believed. What cannot be read is read again until then, because its server may
// still be starting, and in the end the error wraps errUncompared.
func (u *Update) same(ctx context.Context, d Dataset, ref string, until time.Time) (again bool, err error) {
	c, ok := d.Data.(comparer)
	if !ok || ref == "" {
		return false, nil
	}
	for {
		err = u.within(ctx, u.Deadlines.restore(), func(ctx context.Context) (err error) {
			again, err = c.Compare(ctx, ref)
			return err
		})
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return false, nil
		case err == nil, differs(err):
			return again, err
		case time.Now().After(until) || pause(ctx, u.interval()) != nil:
			return again, fmt.Errorf("%w: %w", errUncompared, err)
		}
	}
}

// restoring returns the job that restores a dataset.
func (e *engine) restoring(d Dataset, ref string) job {
	accepted := e.accepted(d.Name)
	return job{part: d.Name, limit: e.u.Deadlines.restore(), call: func(ctx context.Context) (record, error) {
		if accepted != nil {
			return record{}, d.Data.(differer).RestoreDiffering(ctx, ref, accepted[1:])
		}
		return record{}, d.Data.Restore(ctx, ref)
	}}
}

// accepted returns what stays beside, and the differences that a person has accepted
// of it, nil if none has. An operator's rollback that goes forward restores other
// snapshots than the person saw.
func (e *engine) accepted(dataset string) []string {
	if e.direction != back {
		return nil
	}
	return e.st.Pending.accepts[dataset]
}

// compareAll compares what was restored, after the Setup that was installed over it
// (R15). A directory that it changed is restored again; a database that differs is for a
// person to decide.
func (e *engine) compareAll(ctx context.Context, refs map[string]string) error {
	differing := e.unlike(ctx, e.u.Data, refs)
	if len(differing) == 0 {
		return nil
	}
	// The Setup may have started the application, which then writes what is compared
	// and would write over what is restored.
	if err := e.app(ctx, stepStop); err != nil {
		return err
	}
	var asks error
	for _, d := range differing {
		ref := refs[d.Name]
		again, err := e.u.same(ctx, d, ref, time.Now().Add(e.u.Deadlines.fence()))
		switch {
		case err == nil:
		case differs(err) && again:
			if err := e.restoreAgain(ctx, d, ref); err != nil {
				return err
			}
		case differs(err):
			asks = errors.Join(asks, &stepError{stepRestore, d.Name, fmt.Errorf("%w: its Setup has changed it: %w", errDiffers, err)})
		default:
			asks = errors.Join(asks, &stepError{stepRestore, d.Name, err})
		}
	}
	return asks
}

// asksPerson reports whether an error of compareAll is for a person to decide: nothing that is
// done once more would help.
func asksPerson(err error) bool { return errors.Is(err, errDiffers) || errors.Is(err, errUncompared) }

// ask leaves the update to a person, with the application running behind the fence: it is accepted
// as it is only if it is healthy.
func (e *engine) ask(ctx context.Context, cause, rollback error) (Result, error) {
	res, err := e.needsOperator(ctx, cause, rollback)
	if res.Outcome == NeedsOperator {
		if err := e.app(ctx, stepStart); err != nil {
			e.note(stepStart, fmt.Sprintf("the application is stopped: %v", err))
		}
	}
	return res, err
}

// unlike returns the datasets that differ from what they were restored from, or cannot be
// compared with it, in their order. [Update].Parallel are read at a time: users are waiting.
func (e *engine) unlike(ctx context.Context, data []Dataset, refs map[string]string) (differing []Dataset) {
	errs := make([]error, len(data))
	e.u.each(len(data), func(i int) {
		if e.accepted(data[i].Name) == nil { // else it differs, and a person has accepted that
			_, errs[i] = e.u.same(ctx, data[i], refs[data[i].Name], time.Now())
		}
	})
	for i, d := range data {
		if errs[i] != nil {
			differing = append(differing, d)
		}
	}
	return differing
}

// restoreAgain restores what a Setup has changed, and compares it: the role may do nothing
// and report success. The Setup may have let users in, too.
func (e *engine) restoreAgain(ctx context.Context, d Dataset, ref string) error {
	if err := e.fenceAgain(ctx); err != nil {
		return err
	}
	if err := e.keep(ctx); err != nil {
		return err
	}
	if err := e.abreast(ctx, stepRestore, []job{e.restoring(d, ref)}, false); err != nil {
		return err
	}
	_, err := e.u.same(ctx, d, ref, time.Now().Add(e.u.Deadlines.fence()))
	if differs(err) {
		err = fmt.Errorf("%w: it was restored, and differs from the snapshot %s: %w", errDiffers, ref, err)
	}
	if err != nil {
		return &stepError{stepRestore, d.Name, err}
	}
	return nil
}
