package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/internal/site"
)

// orInit returns an action that writes a configuration if --init is given, and
// else runs run.
func orInit(run cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		if cmd.Bool("init") {
			return alone(initialize)(ctx, cmd)
		}
		return run(ctx, cmd)
	}
}

func initialize(_ context.Context, show *printer, cmd *cli.Command) error {
	path := cmd.String("config")
	if err := writeNew(path, site.Template(runtime.GOOS, show.speak.String())); err != nil {
		return err
	}
	show.line("wrote %s; edit it, then run aspupdate doctor", path)
	return nil
}

// writeNew writes a file that does not exist yet.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s already exists and was not changed; name another file with --config", site.ErrConfig, path)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", site.ErrConfig, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}
