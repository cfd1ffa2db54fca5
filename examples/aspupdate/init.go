package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/urfave/cli/v3"
)

// template is a configuration with all that one may have. Its first part
// works once the paths are right; the rest is commented out.
//
//go:embed template.toml
var template string

// newConfig fills the usual places of a system in.
func newConfig(goos string) string {
	places := []string{
		"{data}", "/var/lib/aspupdate", "{app}", "/opt/asp", "{etc}", "/etc/aspupdate",
		"{stop}", `["systemctl", "disable", "--now", "asp"]`, "{start}", `["systemctl", "enable", "--now", "asp"]`,
	}
	if goos == "windows" {
		places = []string{
			"{data}", "C:/ProgramData/aspupdate", "{app}", "C:/ASP", "{etc}", "C:/ProgramData/aspupdate/etc",
			"{stop}", `["powershell", "-Command", "Set-Service asp -StartupType Disabled; Stop-Service asp"]`,
			"{start}", `["powershell", "-Command", "Set-Service asp -StartupType Automatic; Start-Service asp"]`,
		}
	}
	return strings.NewReplacer(places...).Replace(template)
}

// orInit writes a configuration instead, if that is asked for.
func orInit(run cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		if !cmd.Bool("init") {
			return run(ctx, cmd)
		}
		show := newPrinter(cmd)
		path := cmd.String("config")
		err := writeNew(path, newConfig(runtime.GOOS))
		if err == nil {
			show.line("%s: edit it, then aspupdate doctor", path)
		}
		return show.end(cmd.Name, err)
	}
}

// writeNew writes a file that was not there.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s is there already, and stays as it is; give another one with --config", errConfig, path)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}
