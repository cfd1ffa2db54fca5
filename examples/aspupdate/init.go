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

// orInit writes a configuration instead, if that is asked for.
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
	if err := writeNew(path, site.Template(runtime.GOOS)); err != nil {
		return err
	}
	show.line("%s: edit it, then aspupdate doctor", path)
	return nil
}

// writeNew writes a file that was not there.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s is there already, and stays as it is; give another one with --config", site.ErrConfig, path)
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
