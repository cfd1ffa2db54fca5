package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Run runs a command of the operator's to its end, with input on its standard
// input if that is not nil, and in the environment env, nil for our own. An
// error has the end of what it printed. Its output goes to a file and not to a
// pipe: a service that it starts may keep it open for ever. A Ctrl-C at the
// terminal does not reach it; the end of ctx ends it, and what it has started
// lives on.
func Run(ctx context.Context, argv, env []string, input []byte) error {
	out, err := os.CreateTemp("", "aspupdate-command-*")
	if err != nil {
		return err
	}
	defer func() { _, _ = out.Close(), os.Remove(out.Name()) }()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	if input != nil {
		cmd.Stdin = bytes.NewReader(input)
	}
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = OwnGroup()
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(string(text[max(0, len(text)-500):])))
	}
	return nil
}
