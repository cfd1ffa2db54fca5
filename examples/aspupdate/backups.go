package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/rollback"
)

// A backupsDoc is what backups list shows, verify read, or prune removed.
type backupsDoc struct {
	Schema    string        `json:"schema"` // aspupdate.backups/1
	Did       string        `json:"did"`    // list, verify or prune
	Snapshots []snapshotDoc `json:"snapshots"`
}

type snapshotDoc struct {
	ID      string    `json:"id"` // also the name of its folder
	Name    string    `json:"name"`
	Sealed  time.Time `json:"sealed"`
	Bytes   int64     `json:"bytes"`
	InUse   bool      `json:"in_use"`            // an update or a rollback may want it, and so it stays
	Damaged string    `json:"damaged,omitempty"` // of verify: what is wrong with it
}

func newBackupsDoc(did string, snaps []backup.Snapshot, st rollback.Status) backupsDoc {
	d := backupsDoc{Schema: "aspupdate.backups/1", Did: did, Snapshots: []snapshotDoc{}}
	needed := st.Needed()
	for _, s := range snaps {
		d.Snapshots = append(d.Snapshots, snapshotDoc{ID: s.ID, Name: s.Name, Sealed: s.Sealed, Bytes: s.Bytes(), InUse: slices.Contains(needed, s.ID)})
	}
	return d
}

func (d backupsDoc) print(p *printer) {
	what := map[string]string{"verify": "whole: ", "prune": "removed: "}[d.Did]
	for _, s := range d.Snapshots {
		use := ""
		if s.InUse {
			use = ", in use"
		}
		if s.Damaged != "" {
			p.line("DAMAGED: %s: %s", s.ID, s.Damaged)
			continue
		}
		p.line("%s%s, %s, %d bytes, sealed %s%s", what, s.ID, s.Name, s.Bytes, p.time(s.Sealed), use)
	}
	if len(d.Snapshots) == 0 {
		p.line("nothing to %s", d.Did)
	}
}

func runBackupsList(_ context.Context, s *site, _ *cli.Command) error {
	snaps, err := s.store.List()
	st, stErr := rollback.ReadStatus(s.conf.State)
	return errors.Join(s.show.answer(newBackupsDoc("list", snaps, st)), err, stErr)
}

// runBackupsVerify reads every byte back (R9).
func runBackupsVerify(ctx context.Context, s *site, _ *cli.Command) error {
	snaps, err := s.store.List()
	st, stErr := rollback.ReadStatus(s.conf.State)
	errs := []error{err, stErr}
	d := newBackupsDoc("verify", snaps, st)
	for i, snap := range d.Snapshots {
		if bad := s.store.Verify(ctx, snap.ID); bad != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d.Snapshots[i].Damaged = bad.Error()
			errs = append(errs, bad)
		}
	}
	return errors.Join(append([]error{s.show.answer(d)}, errs...)...)
}

// locked keeps updates away meanwhile: one might want what is going.
func (s *site) locked(doing string, do func() error) error {
	if err := durable.MkdirAll(s.conf.State, 0o700); err != nil {
		return err
	}
	lock, err := rollback.Acquire(s.conf.State, doing, time.Now())
	if err != nil {
		return err
	}
	return errors.Join(do(), lock.Release())
}

// runBackupsPrune removes old snapshots.
func runBackupsPrune(ctx context.Context, s *site, cmd *cli.Command) error {
	keep := backup.Keep{Newest: cmd.Int("keep"), Younger: cmd.Duration("younger")}
	if keep == (backup.Keep{}) {
		return fmt.Errorf("%w: say what stays besides what is in use: --keep 3, --younger 2160h, or both", errConfig)
	}
	return s.locked("pruning the backups", func() error {
		st, err := rollback.ReadStatus(s.conf.State)
		if err != nil {
			return err
		}
		gone, err := s.store.Prune(ctx, keep, st.Needed())
		return errors.Join(s.show.answer(newBackupsDoc("prune", gone, st)), err)
	})
}
