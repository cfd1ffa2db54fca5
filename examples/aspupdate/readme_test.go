package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/site"
)

// TestReadmeTellsTheTruth compiles the README's programs, reads its
// configuration and compares its table of exit codes.
func TestReadmeTellsTheTruth(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	readme := strings.ReplaceAll(string(b), "\r\n", "\n")
	for code, exit := range exitTable {
		require.Contains(t, readme, fmt.Sprintf("| %d | %s |\n", code, exit.meaning))
	}
	blocks := func(language string) (list []string) {
		for _, part := range strings.Split(readme, "```"+language+"\n")[1:] {
			text, _, _ := strings.Cut(part, "```")
			list = append(list, text)
		}
		return list
	}
	programs := blocks("go")
	require.Len(t, programs, 2)
	embed, err := os.ReadFile("../embed/main.go")
	require.NoError(t, err)
	roles, _, ok := strings.Cut(string(embed), "func main() {")
	require.True(t, ok)
	for i, text := range []string{programs[0], roles + programs[1]} {
		dir, err := os.MkdirTemp("..", "readme-") // inside the module, for its imports
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o600))
		out, err := exec.Command("go", "vet", "./"+filepath.ToSlash(dir)).CombinedOutput()
		require.NoError(t, err, "program %d: %s", i+1, out)
		require.LessOrEqual(t, strings.Count(programs[i], "\n"), 22)
	}

	configs := blocks("toml")
	require.Len(t, configs, 1)
	dir := t.TempDir()
	secrets := filepath.Join(dir, "etc", "aspupdate")
	require.NoError(t, os.MkdirAll(secrets, 0o700))
	for _, name := range []string{"ftp", "asp.uri"} {
		require.NoError(t, os.WriteFile(filepath.Join(secrets, name), []byte("secret"), 0o600))
	}
	path := filepath.Join(dir, "aspupdate.toml")
	text := strings.ReplaceAll(configs[0], `"/`, `"`+filepath.ToSlash(dir)+`/`) // absolute on Windows too
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	_, err = site.Load(path)
	require.NoError(t, err)
}
