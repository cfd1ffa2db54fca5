package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/rollback"
)

// A backupsDoc lists the snapshots that are kept, verified or pruned.
type backupsDoc struct {
	Schema    string        `json:"schema"` // aspupdate.backups/1
	Did       string        `json:"did"`    // list, verify, prune or would-prune
	Snapshots []snapshotDoc `json:"snapshots"`
}

type snapshotDoc struct {
	ID     string    `json:"id"` // also the name of its directory
	Name   string    `json:"name"`
	Sealed time.Time `json:"sealed"`
	Bytes  int64     `json:"bytes"`
	InUse  bool      `json:"in_use"`          // an update or a rollback may need it: it is not pruned
	Proven time.Time `json:"proven,omitzero"` // when it was restored beside and compared; zero if it never was

	ProofTook float64 `json:"proof_took,omitempty"` // seconds

	Damaged string `json:"damaged,omitempty"` // of verify: the defect
}

func newBackupsDoc(did string, snaps []backup.Snapshot, st rollback.Status) backupsDoc {
	d := backupsDoc{"aspupdate.backups/1", did, []snapshotDoc{}}
	for _, s := range snaps {
		d.Snapshots = append(d.Snapshots, snapshotDoc{ID: s.ID, Name: s.Name, Sealed: s.Sealed, Bytes: s.Bytes(), InUse: journaled(st, s.ID) != "", Proven: s.Proven, ProofTook: s.ProofTook.Seconds()})
	}
	return d
}

// journaled returns the journal's reference to a snapshot, "" if it has none.
func journaled(st rollback.Status, id string) string {
	refs := st.Needed()
	if i := slices.IndexFunc(refs, func(ref string) bool { return backup.ID(ref) == id }); i >= 0 {
		return refs[i]
	}
	return ""
}

func (d backupsDoc) print(p *printer) {
	for _, s := range d.Snapshots {
		if s.Damaged != "" {
			p.line("DAMAGED: %s: %s", s.ID, s.Damaged)
			continue
		}
		use := ""
		if s.InUse {
			use = ", in use"
		}
		if !s.Proven.IsZero() {
			use += ", proven " + p.Time(s.Proven)
		}
		p.line("%s%s, %s, %d bytes, sealed %s%s", did[d.Did], s.ID, s.Name, s.Bytes, p.Time(s.Sealed), use)
	}
	if len(d.Snapshots) == 0 {
		p.line("nothing to %s", strings.TrimPrefix(d.Did, "would-"))
	}
}

func backupsList(_ context.Context, j *job) error {
	snaps, err := j.Store().List()
	st, stErr := j.Status()
	return errors.Join(j.show.answer(newBackupsDoc("list", snaps, st)), err, stErr)
}

// backupsVerify reads every byte back (R9). A snapshot that the journal refers to
// must be the one that was made, and not another in its place.
func backupsVerify(ctx context.Context, j *job) error {
	snaps, err := j.Store().List()
	st, stErr := j.Status()
	d := newBackupsDoc("verify", snaps, st)
	errs := []error{err, stErr}
	for i, snap := range snaps {
		if bad := j.Store().Verify(ctx, cmp.Or(journaled(st, snap.ID), snap.ID)); bad != nil {
			d.Snapshots[i].Damaged, errs = bad.Error(), append(errs, bad)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	bad := errors.Join(errs...)
	if bad != nil && len(d.Snapshots) == 0 { // it does not mean that there is nothing
		return bad
	}
	return errors.Join(j.show.answer(d), bad)
}

func backupsPrune(ctx context.Context, j *job) error {
	keep := backup.Retention{Newest: j.cmd.Int("keep"), Younger: j.cmd.Duration("younger")}
	if keep == (backup.Retention{}) {
		return errKeepWhat
	}
	gone, err := j.PruneBackups(ctx, keep, j.cmd.Bool("dry-run"))
	if gone == nil {
		return err
	}
	return errors.Join(j.show.answer(newBackupsDoc(j.pruned(), gone, rollback.Status{})), err)
}
