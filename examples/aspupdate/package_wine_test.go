//go:build linux && !race

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestInstallerOfWindows installs the program by its MSI on a Windows by Wine, opens what its entry of
// the start menu opens, upgrades and removes it: nothing is left, but the site's own files.
func TestInstallerOfWindows(t *testing.T) {
	t.Parallel()
	realtest.Program(t, "wixl")
	w := realtest.StartWine(t)
	drive := filepath.Join(w.Prefix, "drive_c")
	path := func(name string) string { return filepath.Join(drive, filepath.FromSlash(name)) }
	files, exe := packageFiles(t), w.Build(t, ".")
	msi := func(exe, version string) string {
		out, err := exec.Command("bash", "../../.ci/package/msi", exe, "windows", "amd64", version, files).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return "Z:" + filepath.ToSlash(filepath.Join(files, "aspupdate_"+version+"_windows_amd64.msi"))
	}
	made := msi(exe, "1.2.3")
	site := path("ProgramData/aspupdate/aspupdate.toml")
	require.NoError(t, os.MkdirAll(filepath.Dir(site), 0o755))
	require.NoError(t, os.WriteFile(site, []byte("invalid"), 0o600))
	decoy := filepath.Join(filepath.Dir(site), "aspupdate.bat") // every user can put it there
	require.NoError(t, os.WriteFile(decoy, []byte("@echo THE DECOY RAN\r\n"), 0o600))
	before := installedBelow(t, drive)

	w.Output(t, w.Command("msiexec", "/i", made, "/qn"))
	program := path("Program Files/aspupdate/aspupdate.exe")
	want, err := os.ReadFile(exe)
	require.NoError(t, err)
	got, err := os.ReadFile(program)
	require.NoError(t, err)
	require.True(t, string(want) == string(got))
	for _, name := range []string{"LICENSE.txt", "README.ru.md", "OPERATIONS.ru.md", "README.md", "OPERATIONS.md", "aspupdate.ps1"} {
		require.FileExists(t, path("Program Files/aspupdate/"+name))
	}
	// The package is for all users. Wine puts the entry into the menu of the one who installs it.
	menus, err := filepath.Glob(path("users/*/AppData/Roaming/Microsoft/Windows/Start Menu/Programs/aspupdate"))
	require.NoError(t, err)
	menu := append(menus, path("ProgramData/Microsoft/Windows/Start Menu/Programs/aspupdate"))[0]
	for name, opens := range map[string]string{"aspupdate": "console.cmd", "Manual": "README.md", "Manual (Russian)": "README.ru.md"} {
		link, err := os.ReadFile(filepath.Join(menu, name+".lnk"))
		require.NoError(t, err)
		text := strings.ReplaceAll(string(link), "\x00", "") // UTF-16
		require.Contains(t, text, `"C:\Program Files\aspupdate\`+opens+`"`)
	}

	console := func() string {
		_, out := wineRun(t, w, nil, "cmd", "/c", `C:\Program Files\aspupdate\console.cmd`)
		return out
	}
	out := console()
	require.Contains(t, out, "aspupdate version ")
	require.NotContains(t, out, "THE DECOY RAN")
	require.Contains(t, out, "aspupdate.toml", "doctor names the configuration")
	require.NoError(t, os.Remove(site))
	require.Contains(t, console(), "aspupdate COMMAND", "the help, where there is no configuration yet")

	newer := filepath.Join(t.TempDir(), "newer.exe")
	require.NoError(t, os.WriteFile(newer, []byte("newer"), 0o600))
	last := msi(newer, "1.3.0")
	w.Output(t, w.Command("msiexec", "/i", last, "/qn"))
	got, err = os.ReadFile(program)
	require.NoError(t, err)
	require.Equal(t, "newer", string(got))
	registered := w.Output(t, w.Command("reg", "query", `HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall`, "/s", "/reg:64")) // this may be a Wine with 32 bits as well
	require.Contains(t, registered, "1.3.0")
	require.NotContains(t, registered, "1.2.3")

	w.Output(t, w.Command("msiexec", "/x", last, "/qn"))
	require.NoError(t, os.WriteFile(site, []byte("invalid"), 0o600))
	require.Equal(t, before, installedBelow(t, drive))
}

// installedBelow returns the paths on a drive, without what Windows keeps for itself.
func installedBelow(t *testing.T, drive string) (paths []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(drive, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (path == filepath.Join(drive, "windows") || d.Name() == "Temp") {
			return fs.SkipDir
		}
		paths = append(paths, path)
		return err
	}))
	return paths
}
