package site_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aspupdate/aspupdate/examples/internal/site"
)

// An unattended update, started by a timer.
func Example() {
	ctx := context.Background()
	c, err := site.Load("aspupdate.toml")
	if err != nil {
		log.Fatal(err) // every mistake, one a line
	}
	s := &site.Site{Config: c}

	// First the update that a crash or a restart has cut short.
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
		log.Fatal(err) // a rollback.Error with a Reason: support hours (R13), disk space, …
	}
	result, err := next.Run(ctx, plan)
	fmt.Println(result.Outcome, err)
}
