package process_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
)

// Of a command that prints its secret again and again, no part of it is in the error, wherever the
// part that is shown begins.
func TestNoPartOfASecretIsShown(t *testing.T) {
	const secret = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefg"
	run := func(steps []string, variable string) {
		t.Helper()
		cmd := self(append(steps, "exit=3")...)
		var seen strings.Builder
		err := process.Run(t.Context(), t.TempDir(), process.Command{
			Argv: cmd.Args, Env: append(process.BaseEnv(), role+"=yes", variable), Seen: func(b []byte) { seen.Write(b) },
		})
		require.ErrorContains(t, err, "exit status 3")
		for _, text := range []string{err.Error(), seen.String()} {
			for _, part := range []string{"cdefg", "vwxyz", "qwerty", "bnmlkj"} {
				require.NotContains(t, text, part)
			}
		}
	}
	for pad := 0; pad < 100; pad += 20 {
		line := "print=" + secret + strings.Repeat(".", pad)
		run(slices.Repeat([]string{line}, 20), "PW="+secret)
	}
	run([]string{"env"}, "KEY=-----BEGIN KEY-----\nqwertyuiopasdfgh\nzxcvbnmlkjhgfdsa\n-----END KEY-----")
}
