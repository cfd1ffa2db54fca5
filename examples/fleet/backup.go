package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/internal/safetext"
)

func backUp(_ context.Context, c *cli.Command) error {
	copied, err := center.Backup(c.String("dir"), c.String("out"))
	if err != nil {
		return fmt.Errorf("back up the center: %w", err)
	}
	showCopy(c.Root().Writer, "backed up", copied)
	return nil
}

func restore(_ context.Context, c *cli.Command) error {
	revoked := c.StringSlice("revoked")
	switch named, none := len(revoked) > 0, c.Bool("none-revoked"); {
	case named && none:
		return errors.New("--revoked and --none-revoked contradict each other")
	case !named && !none:
		revoked = nil
	}
	copied, unknown, err := center.Restore(c.String("from"), c.String("dir"), revoked)
	if errors.Is(err, center.ErrRestore) && revoked == nil {
		return fmt.Errorf("%w (--revoked SITE, --none-revoked)", err)
	}
	if err != nil {
		return fmt.Errorf("restore the center: %w", err)
	}
	w := c.Root().Writer
	showCopy(w, "restored", copied)
	for _, site := range unknown {
		printf(w, "site %q is not in the backup; if its name was mistyped, remove %s and restore again\n", safetext.Line(site), c.String("dir"))
	}
	printf(w, "Sites that were enrolled or replaced since then need a new ticket. Rollouts are paused once the center runs: fleet rollout status shows why. The machine that this one replaces must not run again.\n")
	return nil
}

func showCopy(w io.Writer, what string, c center.Copy) {
	printf(w, "%s: sites: %d, entries of the log: %d", what, c.Sites, c.Entries)
	if !c.Ends.IsZero() {
		printf(w, ", the last of %s", c.Ends.UTC().Format(time.RFC3339))
	}
	printf(w, "\n")
	if c.Torn {
		printf(w, "the log ends in a part of an entry, which was left out: it was being written, or the copy was cut short\n")
	}
}
