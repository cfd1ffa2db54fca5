package rollback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
)

// Nothing is restored, and nothing removed, over live data that may be newer
// than its snapshot before a snapshot of that is taken. The live
// data may be newer where the fence was found open, or a part of it cannot be
// asked and the machine has restarted, where there is none, and where a person may have changed it.
// What is kept so is named in errors, results and the journal, and listed in
// [Status].Aside until a person forgets it.
//
// Damaged data cannot be kept. A person then names it with [Update.Retry], and
// what its restore replaces stays where the restore has put it.

// A kept snapshot is of what was live before a restore.
type kept struct{ dataset, ref string }

// doubted reports whether a dataset may be newer than its snapshots.
func (p *Pending) doubted(dataset string) bool {
	return (p.doubt || p.open()) && !p.safe[dataset]
}

// open reports whether the update goes without a fence.
func (p *Pending) open() bool {
	return slices.ContainsFunc(p.Plan.Overrides, func(o Override) bool { return o.Rule == ruleFence })
}

// mayBeNewer begins a doubt anew.
func (p *Pending) mayBeNewer() { p.doubt, p.safe = true, map[string]bool{} }

// keeps applies the record of a snapshot that is kept.
func (p *Pending) keeps(r record) {
	switch r.Kind {
	case EventFailed:
		p.unkept[r.Part] = true
		return
	case EventDone:
		delete(p.unkept, r.Part)
	default:
		return
	}
	if r.Ref == "" {
		return // there was nothing; the next attempt asks again, as a volume may be mounted late
	}
	p.safe[r.Part] = true
	if len(p.kept) == 0 {
		p.keptSince = r.Time
	}
	p.kept = append(p.kept, kept{r.Part, r.Ref})
}

// keptRefs names what is kept, by dataset. A dataset may be kept several times.
func (p *Pending) keptRefs() map[string]string {
	refs := map[string]string{}
	for _, k := range p.kept {
		name := k.dataset
		for n := 2; refs[name] != ""; n++ {
			name = fmt.Sprintf("%s (%d)", k.dataset, n)
		}
		refs[name] = k.ref
	}
	return refs
}

// keptList lists what is kept, the oldest first.
func (p *Pending) keptList() (refs []string) {
	for _, k := range p.kept {
		refs = append(refs, k.ref)
	}
	return refs
}

// aside returns what is kept as a restore point of its own, nil if nothing is.
// It has no parts, so that no rollback goes to it; a person reads it.
func (p *Pending) aside() *RestorePoint {
	if len(p.kept) == 0 {
		return nil
	}
	return &RestorePoint{Update: p.Update + "/kept", Since: p.keptSince, Refs: p.keptRefs()}
}

// suspect journals that users may have been in since the fence was closed.
func (e *engine) suspect(ctx context.Context) error {
	p := e.st.Pending
	if len(e.u.Data) == 0 || p.open() || p.doubt && len(p.safe) == 0 {
		return nil
	}
	var err error
	parts := e.u.FenceState(ctx)
	switch g, why := gateOf(parts); {
	case g == gateOpen, g == gateDoubtful:
		err = fmt.Errorf("%w: %s", errNotClosed, why)
	case unasked(parts):
		if boot, berr := e.u.bootID(); e.closed != e.id || berr != nil || boot == "" || boot != p.fencedIn {
			err = errors.New("a part of the fence cannot be asked whether it stayed closed since")
		}
	}
	if err == nil {
		return nil
	}
	return e.record(record{Step: stepFence, Kind: EventFailed}, err)
}

// keep takes and reads back a snapshot of each dataset that may be newer than
// its last one. The fence is closed and the application stopped.
func (e *engine) keep(ctx context.Context) error {
	p := e.st.Pending
	removed := p.removed
	var jobs []job
	for _, d := range e.u.Data {
		if !p.doubted(d.Name) {
			continue
		}
		jobs = append(jobs, job{part: d.Name, limit: e.u.Deadlines.snapshot(), spare: p.given[d.Name], call: func(ctx context.Context) (record, error) {
			ref, err := take(ctx, d, d.Data.Snapshot)
			switch {
			case errors.Is(err, errNoData) && (removed || p.absent[d.Name]):
				return record{}, nil // it was removed with the version, and kept before that, or has never been
			case err != nil:
				return record{}, notKept(err)
			}
			return record{Ref: ref}, nil
		}, then: func(_ context.Context, r record) error {
			if err := e.unused(r); err != nil {
				return notKept(err)
			}
			return nil
		}})
	}
	// Hasty, it would name data that could be kept among what could not.
	return e.abreast(ctx, stepKeep, jobs, false)
}

func notKept(err error) error {
	return fmt.Errorf("users may have worked since the last snapshot, so that nothing is restored without one of today: %w", err)
}

// errNoData is that a role says that its data does not exist.
var errNoData = errors.New("there is no data")

// noData reports whether the error of a Snapshot says so. That a program of the
// role, or its working directory, does not exist says nothing about the data.
func noData(err error) bool {
	if _, ok := errors.AsType[*exec.Error](err); ok {
		return false
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok && (p.Op == "fork/exec" || p.Op == "chdir") {
		return false
	}
	return errors.Is(err, fs.ErrNotExist)
}

// take makes a snapshot by the function, and reads it back. Its error wraps errNoData if there
// is nothing to make one of.
func take(ctx context.Context, d Dataset, snapshot func(context.Context) (ref string, err error)) (ref string, err error) {
	if ref, err = snapshot(ctx); err != nil {
		if noData(err) {
			err = fmt.Errorf("%w: %w", errNoData, err)
		}
		return "", err
	}
	if ref == "" {
		return "", errors.New("the snapshot has no reference")
	}
	return ref, d.Data.Verify(ctx, ref)
}

// unused refuses the reference of a new snapshot that is one of another snapshot: the role has
// overwritten that, or cannot distinguish the two, and with it the wrong data would be restored.
func (e *engine) unused(r record) error {
	if r.Ref != "" && slices.Contains(e.st.Needed(), r.Ref) {
		return refuse(ReasonBackup, "", "the reference %q is in use: each snapshot needs one that was never given before", r.Ref)
	}
	return nil
}
