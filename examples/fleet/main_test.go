package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
)

// TestMain is the program in the processes that the demo starts, and a site for tests.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "site" {
		if err := site(context.Background(), windowsDir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestDemo has real sites in processes of their own: a good release during which
// the center is killed, a bad one that stops at the canary, its re-release.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	err := play(t.Context(), &out, 2)
	t.Log(out.String())
	require.NoError(t, err)
	assert.Contains(t, out.String(), `stopped: canary "Село №1" was rolled back`)
	assert.Contains(t, out.String(), "the page shows it")
	assert.Contains(t, out.String(), "its report has all 2 sites, as HTML and CSV")
	assert.Contains(t, out.String(), "superseded: rollout 7.13.200 again")
	assert.Contains(t, out.String(), "all 2 sites are healthy at version 7.13.200")
}

// TestBackupAndRestore has the commands: a backup of a running center is taken, and
// restoring it asks for the sites that were revoked since.
func TestBackupAndRestore(t *testing.T) {
	root := t.TempDir()
	dir, backup := filepath.Join(root, "center"), filepath.Join(root, "backup")
	fleet := func(args ...string) (string, error) {
		var out bytes.Buffer
		c := app()
		c.Writer = &out
		err := c.Run(t.Context(), append([]string{"fleet"}, args...))
		return out.String(), err
	}
	_, err := fleet("init", "--dir", dir, "--host", "127.0.0.1")
	require.NoError(t, err)
	identity, err := center.Open(dir)
	require.NoError(t, err)
	_, err = identity.Ticket("село", "tls://127.0.0.1:1")
	require.NoError(t, err)
	out, err := fleet("backup", "--dir", dir, "--out", backup)
	require.NoError(t, err)
	require.NoError(t, identity.Close())
	assert.Contains(t, out, "backed up: sites: 0, entries of the log: 1, the last of 20")
	again := filepath.Join(root, "again")
	_, err = fleet("restore", "--from", backup, "--dir", again)
	require.ErrorContains(t, err, "name each of them, or state that there is none (--revoked SITE, --none-revoked)")
	_, err = fleet("restore", "--from", backup, "--dir", again, "--none-revoked", "--revoked", "село")
	require.ErrorContains(t, err, "contradict")
	out, err = fleet("restore", "--from", backup, "--dir", again, "--revoked", "сило")
	require.NoError(t, err)
	assert.Contains(t, out, `site "сило" is not in the backup`)
	_, err = fleet("restore", "--from", backup, "--dir", filepath.Join(root, "third"), "--none-revoked")
	require.NoError(t, err)
}

// TestManualsNameWhatExists looks up the commands of the manuals, and their flags.
func TestManualsNameWhatExists(t *testing.T) {
	for _, manual := range []string{"README.md", "README.ru.md"} {
		b, err := os.ReadFile(manual)
		require.NoError(t, err)
		_, rest, _ := strings.Cut(string(b), "```\n")
		block, _, found := strings.Cut(rest, "```")
		require.True(t, found)
		for line := range strings.Lines(block) {
			c := app()
			for word := range strings.FieldsSeq(strings.TrimPrefix(line, "fleet ")) {
				if sub := c.Command(word); sub != nil {
					c = sub
				} else if flag, ok := strings.CutPrefix(word, "--"); ok {
					assert.True(t, slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), flag) }), "%s: %s has no flag %s", manual, c.Name, word)
				}
			}
			assert.NotNil(t, c.Action, line)
		}
	}
}

// A name may have commas, and a flag is given once for each.
func TestNoFlagIsSplitAtCommas(t *testing.T) {
	lists := 0
	var look func(c *cli.Command)
	look = func(c *cli.Command) {
		for _, f := range c.Flags {
			if _, list := f.(*cli.StringSliceFlag); list {
				lists++
				require.True(t, c.DisableSliceFlagSeparator, "%s %s", c.Name, f.Names())
			}
		}
		for _, sub := range c.Commands {
			look(sub)
		}
	}
	look(app())
	require.Positive(t, lists)
}
