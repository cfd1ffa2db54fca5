package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Run runs a command of the operator's to its end, with input on its standard
// input if that is not nil, and in the environment env, nil for our own. An
// error has the end of what it printed. Its output goes to a file and not to a
// pipe, which a service that it starts would keep open. Such a service lives
// on, unless ctx ends first: that ends the command with everything that it has
// started.
func Run(ctx context.Context, argv, env []string, input []byte) error {
	out, err := os.CreateTemp("", "aspupdate-command-*")
	if err != nil {
		return err
	}
	defer func() { _, _ = out.Close(), os.Remove(out.Name()) }()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	if input != nil {
		cmd.Stdin = bytes.NewReader(input)
	}
	if err := Do(ctx, cmd); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(string(text[max(0, len(text)-500):])))
	}
	return nil
}
