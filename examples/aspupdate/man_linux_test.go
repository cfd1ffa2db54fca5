package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// formatted returns a manual page as man shows it, on lines of any length. What groff warns of is an
// error.
func formatted(t *testing.T, page string) string {
	t.Helper()
	cmd := exec.Command(realtest.Program(t, "groff"), "-Kutf8", "-Tutf8", "-mandoc", "-ww", "-rLL=2000n", "-P-cbou")
	cmd.Stdin = strings.NewReader(page)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Empty(t, errs.String())
	return string(out)
}

// TestManualPage reads the page in both languages: it has every command and every flag that a person
// can give, with what the help says of it, and every exit code.
func TestManualPage(t *testing.T) {
	t.Parallel()
	for language, headings := range map[string][]string{
		"en": {"NAME", "SYNOPSIS", "COMMANDS", "OPTIONS", "EXIT CODES", "ENVIRONMENT", "SEE ALSO"},
		"ru": {"НАЗВАНИЕ", "ЗАПУСК", "КОМАНДЫ", "КЛЮЧИ", "КОДЫ ВЫХОДА", "ОКРУЖЕНИЕ", "СМ. ТАКЖЕ"},
	} {
		code, page, errs := aspupdate(t, nil, "--lang", language, "man")
		require.Zero(t, code, errs)
		text := formatted(t, page)
		for _, heading := range headings {
			require.Contains(t, text, "\n"+heading+"\n")
		}
		speak, err := speaks([]string{"--lang", language})
		require.NoError(t, err)
		root := app(speak)
		var look func(c *cli.Command, path string)
		look = func(c *cli.Command, path string) {
			if len(c.Commands) == 0 {
				require.Contains(t, text, path)
				require.Contains(t, text, c.Usage)
			}
			for _, f := range c.Flags {
				d := f.(cli.DocGenerationFlag)
				require.Contains(t, text, "--"+f.Names()[0], path)
				require.Contains(t, text, strings.ReplaceAll(d.GetUsage(), "`", ""), path)
			}
			for _, sub := range c.Commands {
				if !sub.Hidden && c.Name != "demo" {
					look(sub, path+" "+sub.Name)
				}
			}
		}
		look(root, "aspupdate")
		for _, exit := range exitTable {
			require.Contains(t, text, speak.Text(exit.meaning))
		}
	}
	code, _, errs := aspupdate(t, nil, "man", "stray")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, `unexpected argument "stray"`)
}
