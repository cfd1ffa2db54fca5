package process_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
)

func TestBatchFilesAreNotTakenApart(t *testing.T) {
	for _, program := range []string{`C:\ASP\setup.cmd`, "setup.BAT", "/c/x.bat", `C:\Windows\system32\cmd.exe`, "cmd"} {
		require.NoError(t, process.CheckBatch(program, []string{"/S", "/D=C:\\Program Files (x86)\\ASP", "Опека"}), program)
		for _, arg := range []string{"x&y", "a|b", "%PATH%", "a^b", `"a"`, "!x!", "a>b"} {
			require.ErrorContains(t, process.CheckBatch(program, []string{"/S", arg}), "take apart", "%s %s", program, arg)
		}
	}
	require.NoError(t, process.CheckBatch(`C:\ASP\setup.exe`, []string{"x&y"}))
	require.NoError(t, process.CheckBatch("/opt/asp/setup.sh", []string{"x&y"}))
	require.Error(t, process.CheckBatch(`C:\R&D\setup.cmd`, nil))
}
