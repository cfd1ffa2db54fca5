package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/examples/internal/site"
)

// A proveDoc is what became of the proof of each dataset.
type proveDoc struct {
	Schema string      `json:"schema"` // aspupdate.prove/1
	Proofs []provedDoc `json:"proofs"`
}

type provedDoc struct {
	Data     string    `json:"data"`
	Snapshot string    `json:"snapshot,omitempty"` // the ID of the one that was proven
	Shape    string    `json:"shape,omitempty"`    // the proof counts for backups of the same
	Proven   time.Time `json:"proven,omitzero"`
	Took     float64   `json:"took,omitempty"`    // seconds
	Tested   string    `json:"tested,omitempty"`  // what is known of the self-test on its server
	Skipped  string    `json:"skipped,omitempty"` // why there was nothing to do
	Failed   string    `json:"failed,omitempty"`  // why there is no proof
}

func newProveDoc(list []site.Proved) proveDoc {
	d := proveDoc{"aspupdate.prove/1", []provedDoc{}}
	for _, p := range list {
		one := provedDoc{Data: p.Data, Tested: p.Tested, Skipped: p.Skipped}
		if p.Err != nil {
			one.Failed = p.Err.Error()
		} else {
			one.Snapshot, one.Shape, one.Proven, one.Took = p.Snapshot.ID, p.Snapshot.Meta.Shape, p.Snapshot.Proven, p.Snapshot.ProofTook.Seconds()
		}
		d.Proofs = append(d.Proofs, one)
	}
	return d
}

func (d proveDoc) print(p *printer) {
	for _, one := range d.Proofs {
		if one.Tested != "" {
			p.line("%s: %s", one.Data, one.Tested)
		}
		switch {
		case one.Failed != "":
			p.line("NOT PROVEN: %s: %s", one.Data, one.Failed)
		case one.Skipped != "":
			p.line("left out: %s, %s", one.Data, one.Skipped)
		default:
			p.line("proven: %s, %s, restored beside and compared in %s%s", one.Data, one.Snapshot,
				time.Duration(one.Took*float64(time.Second)).Round(time.Millisecond), after("; it counts for ", one.Shape))
		}
	}
}

// prove proves backups at the lowest priority: users are working.
func prove(ctx context.Context, j *job) error {
	beNice()
	list, err := j.Prove(ctx, j.cmd.Duration("since"))
	if list == nil && err != nil {
		return err
	}
	if err == nil && len(list) == 0 {
		return fmt.Errorf("%w: the configuration backs up no data", site.ErrNothing)
	}
	if nerr := j.notifyOfProofs(list); nerr != nil {
		j.unsent(nerr)
	}
	for _, p := range list {
		if errors.Is(p.Err, backup.ErrNotFound) {
			p.Err = fmt.Errorf("%s: %w", p.Data, p.Err)
		}
		err = errors.Join(err, p.Err)
	}
	return errors.Join(j.show.answer(newProveDoc(list)), err)
}
