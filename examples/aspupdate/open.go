package main

import (
	"context"
	"errors"

	"github.com/aspupdate/aspupdate/rollback"
)

// An openDoc is what was found of the fence, and what it is now.
type openDoc struct {
	Schema string               `json:"schema"` // aspupdate.open/1
	Found  []rollback.FencePart `json:"found"`
	Now    []rollback.FencePart `json:"now"`
}

func (d openDoc) print(p *printer) {
	for i, was := range d.Found {
		is := was
		if i < len(d.Now) {
			is = d.Now[i]
		}
		if was == is {
			p.line("%s", is)
		} else {
			p.line("%s; it was %s", is, was.State)
		}
	}
	if len(d.Found) == 0 {
		p.line("the configuration has no fence")
	}
}

// openFence lets users in where nothing is pending.
func openFence(ctx context.Context, j *job) error {
	before, now, err := j.Open(ctx, j.cmd.String("reason"))
	if len(before) == 0 && err != nil {
		return err
	}
	return errors.Join(j.show.answer(openDoc{"aspupdate.open/1", before, now}), err)
}
