package site

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A [[command]] of the configuration is data of the update. It is backed up,
// lost and restored, in a Firebird database.
func TestR15CommandOfTheConfiguration(t *testing.T) {
	tools := realtest.Firebird(t)
	dir := t.TempDir()
	live := filepath.Join(dir, "app", "asp.fdb")
	require.NoError(t, os.Mkdir(filepath.Dir(live), 0o700))
	sql := func(args ...string) string {
		text := args[0]
		cmd := exec.Command(tools.Isql, append([]string{"-bail", "-q", "-ch", "UTF8"}, args[1:]...)...)
		cmd.Env, cmd.Stdin = append(os.Environ(), tools.Env...), strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	sql("CREATE DATABASE '" + live + "' DEFAULT CHARACTER SET UTF8;\nCREATE TABLE T (NAME VARCHAR(50));\nCOMMIT;\nINSERT INTO T VALUES ('Иванова');\nCOMMIT;\n")

	var names []string
	for _, kv := range tools.Env {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
		names = append(names, "'"+name+"'")
	}
	path := filepath.Join(dir, "aspupdate.toml")
	text := strings.Replace(goodConfig(dir), "no_data = 'a test'", `[[command]]
live = '`+live+`'
environment = [`+strings.Join(names, ", ")+`]
timeout = '1m'
logs = '`+filepath.Join(dir, "logs")+`'
backup = ['`+tools.Gbak+`', '-b', '{live}', '{file}']
verify = ['`+tools.Gbak+`', '-c', '{file}', '{new}']
restore = ['`+tools.Gbak+`', '-c', '{file}', '{new}']
`, 1)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	u, err := (&Site{Config: c}).update(oneStep("АСП", "7.12.100", "7.12.200"))
	require.NoError(t, err)
	require.Len(t, u.Data, 1)
	require.Equal(t, "command asp.fdb", u.Data[0].Name)
	require.Contains(t, u.Live, filepath.Dir(live), "the store must not be in its directory")

	ref, err := u.Data[0].Data.Snapshot(t.Context())
	require.NoError(t, err)
	sql("DELETE FROM T;\nCOMMIT;\n", live)
	require.NotContains(t, sql("SELECT * FROM T;\n", live), "Иванова")
	require.NoError(t, u.Data[0].Data.Restore(t.Context(), ref))
	require.Contains(t, sql("SELECT * FROM T;\n", live), "Иванова")
	logs, err := os.ReadDir(filepath.Join(dir, "logs"))
	require.NoError(t, err)
	require.NotEmpty(t, logs)
}
