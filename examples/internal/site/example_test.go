package site_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aspupdate/aspupdate/examples/internal/site"
)

// An unattended update, as a timer starts it.
func Example() {
	ctx := context.Background()
	c, err := site.Load("aspupdate.toml")
	if err != nil {
		log.Fatal(err) // every mistake, a line each
	}
	s := &site.Site{Config: c}

	// First of all what a crash or a restart of the machine has left.
	pending, err := s.Pending()
	if err != nil {
		log.Fatal(err)
	}
	if pending != nil {
		if _, err := pending.Recover(ctx); err != nil {
			log.Fatal(err)
		}
	}

	next, err := s.FetchNext(ctx)
	if err != nil {
		log.Fatal(err) // site.ErrNothing: the newest is installed
	}
	plan, err := next.Plan(ctx)
	if err != nil {
		log.Fatal(err) // a rollback.Error: R13's hours, room on the disk, …
	}
	result, err := next.Run(ctx, plan)
	fmt.Println(result.Outcome, err)
}
