package install

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func never() (bool, error)  { return false, nil }
func always() (bool, error) { return true, nil }

const manifest = `<assembly xmlns="urn:schemas-microsoft-com:asm.v1"><trustInfo><security><requestedPrivileges>
<requestedExecutionLevel uiAccess="false"
	level='%s'/></requestedPrivileges></security></trustInfo></assembly>`

func demanding(level string) string { return fmt.Sprintf(manifest, level) }

func withManifest(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "setup.exe")
	require.NoError(t, os.WriteFile(path, fakePE{section: ".rsrc", resources: true, data: resource(manifestType, 1, text)}.bytes(), 0o600))
	return path
}

func TestRightsAreCheckedBefore(t *testing.T) {
	admin := withManifest(t, demanding("requireAdministrator"))
	var wide []byte
	for _, c := range []byte(demanding("requireAdministrator")) {
		wide = append(wide, c, 0)
	}
	script := filepath.Join(t.TempDir(), "setup.sh")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600))
	for _, c := range []struct {
		name  string
		cmd   Command
		needs bool
	}{
		{"msi", Command{Kind: MSI}, true},
		{"burn", Command{Kind: Burn}, true},
		{"deb", Command{Kind: Deb}, true},
		{"apt", Command{Kind: apt}, true},
		{"rpm", Command{Kind: rpm}, true},
		{"makeself", Command{Kind: makeself}, false},
		{"msi for one user", Command{Kind: MSI, Unelevated: true}, false},
		{"a launcher's own matter", Command{Kind: Deb, Launcher: []string{"sudo", "dpkg"}}, false},
		{"nsis for an administrator", Command{Kind: NSIS, Path: admin}, true},
		{"inno for an administrator", Command{Kind: Inno, Path: admin}, true},
		{"a program for an administrator", Command{Path: admin}, true},
		{"a manifest of two bytes a character", Command{Path: withManifest(t, utf16Mark+string(wide))}, true},
		{"nsis for an administrator, by one's word", Command{Kind: NSIS, Path: admin, Unelevated: true}, false},
		{"as the caller", Command{Kind: NSIS, Path: withManifest(t, demanding("asInvoker"))}, false},
		{"what can be had", Command{Kind: NSIS, Path: withManifest(t, demanding("highestAvailable"))}, false},
		{"a comment", Command{Kind: NSIS, Path: withManifest(t, "requireAdministrator")}, false},
		{"script", Command{Kind: Script, Path: script}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, c.cmd.rights(c.cmd.Path, always))
			err := c.cmd.rights(c.cmd.Path, never)
			if !c.needs {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrPermission)
			require.ErrorContains(t, err, "run it as an administrator")
		})
	}
}

func TestRunChecksRightsBeforeItStarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "setup")
	kind := Deb
	require.NoError(t, os.WriteFile(path, samples()["deb"], 0o600))
	if runtime.GOOS == "windows" {
		kind = MSI
		require.NoError(t, os.WriteFile(path, samples()["msi"], 0o600))
	}
	for _, stated := range []Kind{kind, Auto} {
		r, events := newRunner(t)
		r.elevated = never
		cmd := Command{Path: path, SHA256: sumOf(t, path), Kind: stated}
		out, err := r.Run(t.Context(), cmd)
		require.ErrorIs(t, err, ErrPermission)
		require.ErrorContains(t, err, "nothing was started")
		require.Equal(t, notRun, out.Status)
		for _, e := range *events {
			require.NotEqual(t, eventStarted, e.Kind)
		}
		requireClean(t, r)

		ok, err := elevated()
		require.NoError(t, err)
		require.Equal(t, ok, cmd.Rights() == nil, "asked ahead it says the same")
		require.Equal(t, ok, Elevated().Run(t.Context()) == nil)
	}
	r, _ := newRunner(t)
	r.elevated = never
	_, err := r.Run(t.Context(), fake(t))
	require.NoError(t, err, "a program that demands nothing runs")
}

// Where the installer is one file of many, that file decides about rights.
func TestRightsOfDirectoriesAndArchives(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "setup.sh"), []byte("#!/bin/sh\n"), 0o600))
	require.NoError(t, Command{Path: dir, Entry: "setup.sh", Kind: Auto}.Rights())
	require.Error(t, Command{Path: dir, Entry: "none", Kind: Auto}.Rights())
	archive := filepath.Join(dir, "setup.zip")
	f, err := os.Create(archive)
	require.NoError(t, err)
	z := zip.NewWriter(f)
	_, err = z.Create("setup.exe")
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	require.NoError(t, Command{Path: archive, Entry: "setup.exe", Kind: Auto}.Rights(), "known once it is unpacked")
}
