package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// A Proved is what became of the proof of one dataset.
type Proved struct {
	Data     string
	Snapshot backup.Snapshot // the one that was proven, or the newest proven one of the same shape
	Tested   string          // what is known of the self-test of its server
	Skipped  string          // why there was nothing to do
	Err      error           // why it failed
}

// Prove restores the newest snapshot of each dataset beside the live data, compares and
// drops it (R9). Users go on working. What was proven less than since ago, by a backup of the
// same shape, is left out; 0 leaves out nothing. An update that is about to start
// ends it at once: then the error wraps [rollback.ErrBusy].
func (s *Site) Prove(ctx context.Context, since time.Duration) ([]Proved, error) {
	lock, err := rollback.Acquire(s.provingDir(), "proving backups", time.Now())
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Release() }()
	_ = removeFile(s.stopFile()) // of one that was ended before
	st, err := s.Status()
	if err == nil {
		err = s.blocked(st)
	}
	if err != nil {
		return nil, err
	}
	if s, err = s.resolved(ctx); err != nil {
		return nil, err
	}
	ctx, end := s.yielding(ctx)
	defer end()
	tests := s.testAll(ctx)
	probe := rollback.Update{}
	s.protect(&probe) // with the records of the tests
	var list []Proved
	for _, set := range probe.Data {
		data, ok := set.Data.(roles.Data)
		if !ok {
			continue
		}
		p := Proved{Data: set.Name}
		test := tests[set.Name]
		if p.Tested, p.Err = test.Text, test.err; p.Err != nil {
			list = append(list, p)
			continue
		}
		if p.Snapshot, p.Err = data.Store.Proof(ctx, "before an update: "+set.Name, data.Target); p.Err == nil {
			p = s.proveOne(ctx, data, p, since)
		}
		if cause := context.Cause(ctx); errors.Is(cause, rollback.ErrBusy) {
			return list, cause
		}
		if ctx.Err() != nil {
			return list, ctx.Err()
		}
		list = append(list, p)
	}
	return list, nil
}

func (s *Site) proveOne(ctx context.Context, data roles.Data, p Proved, since time.Duration) Proved {
	if at := p.Snapshot.Proven; since > 0 && time.Since(at) < since {
		p.Skipped = "proven on " + s.Config.Clock().Time(at)
		return p
	}
	if p.Err = s.spare(ctx, data); p.Err != nil {
		return p
	}
	snap, err := data.Prove(ctx)
	if p.Err = err; err == nil {
		p.Snapshot = snap
	}
	return p
}

// spare fails unless the volumes have the space for a restored copy, and as much again as
// one tenth of it, at least 256 MB: a proof must not fill the volume that users
// write to.
func (s *Site) spare(ctx context.Context, data roles.Data) error {
	needs, err := data.Store.Needs(ctx, data.Target)
	if err != nil {
		return err
	}
	for _, n := range needs {
		if n.For != backup.ForRestored || n.Path == "" {
			continue
		}
		free, _, err := rollback.FreeSpace(n.Path)
		if err != nil {
			return err
		}
		if want := n.Bytes + max(n.Bytes/10, 256<<20); free < want {
			return &backup.Error{Op: "prove", Subject: data.Name, Next: "free some, or prove on another machine",
				Err: fmt.Errorf("%w: the volume of %s has %d MB free, and the copy with a reserve needs %d MB", backup.ErrNoSpace, n.Path, free>>20, want>>20+1)}
		}
	}
	return nil
}

func (s *Site) provingDir() string { return filepath.Join(s.Config.State, "proving") }

// stopFile is made by what is about to start, and seen by a proof.
func (s *Site) stopFile() string { return filepath.Join(s.provingDir(), "stop") }

// yielding returns a context that ends when something else needs the installation.
func (s *Site) yielding(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for seen := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_, err := os.Lstat(s.stopFile())
			// Who asks for the holder has the lock for an instant, too.
			if holder, _ := rollback.LockHolder(s.Config.State); holder != nil && holder.PID != 0 {
				seen++
			} else {
				seen = 0
			}
			if err == nil || seen > 1 {
				cancel(fmt.Errorf("%w: the proof was ended for it", rollback.ErrBusy))
				return
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done; _ = removeFile(s.stopFile()) }
}

// stopProof ends a proof that is running, and waits until it has removed its
// copy: an update needs the space.
func (s *Site) stopProof(ctx context.Context) error {
	const patience = 2 * time.Minute
	for begun := time.Now(); ; {
		holder, err := rollback.LockHolder(s.provingDir())
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && holder == nil:
			return nil
		case err != nil:
			return err
		case time.Since(begun) > patience:
			return fmt.Errorf("%w: process %d is proving backups and does not end", rollback.ErrBusy, holder.PID)
		}
		err = whileInUse(func() error { return os.WriteFile(s.stopFile(), nil, 0o600) }) //nolint:forbidigo // it waits
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// A DataState is what is known of the backups of one dataset.
type DataState struct {
	Data     string    `json:"data"`
	Snapshot time.Time `json:"snapshot,omitzero"` // when the newest was sealed; zero if there is none
	Bytes    int64     `json:"bytes,omitempty"`   // its size
	Age      float64   `json:"age,omitempty"`     // of that snapshot, seconds
	Took     float64   `json:"took,omitempty"`    // seconds

	Proven    time.Time `json:"proven,omitzero"`      // when one was last proven; zero if none ever was
	ProofAge  float64   `json:"proof_age,omitempty"`  // seconds
	ProofTook float64   `json:"proof_took,omitempty"` // seconds
	Shape     string    `json:"shape,omitempty"`      // of the snapshot that was proven
}

// Backups returns what is known of the backups, by dataset as their names in the store
// are. It connects to no database.
func (s *Site) Backups(now time.Time) ([]DataState, error) {
	snaps, err := s.Store().List()
	var list []DataState
	for _, snap := range snaps { // oldest first
		i := slices.IndexFunc(list, func(d DataState) bool { return d.Data == snap.Name })
		if i < 0 {
			i, list = len(list), append(list, DataState{Data: snap.Name})
		}
		d := &list[i]
		d.Snapshot, d.Bytes, d.Age, d.Took = snap.Sealed, snap.Bytes(), now.Sub(snap.Sealed).Seconds(), snap.Sealed.Sub(snap.Started).Seconds()
		if snap.Proven.After(d.Proven) {
			d.Proven, d.ProofAge, d.ProofTook, d.Shape = snap.Proven, now.Sub(snap.Proven).Seconds(), snap.ProofTook.Seconds(), snap.Meta.Shape
		}
	}
	return list, err
}
