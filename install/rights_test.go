package install

import (
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

// self is a program that is there.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

func at(path string) contents {
	if path == "" {
		return contents{}
	}
	return fileAt(path)
}

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
		{"inno, as it is by default", Command{Kind: Inno}, true},
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
			require.NoError(t, c.cmd.rights(at(c.cmd.Path), always))
			err := c.cmd.rights(at(c.cmd.Path), never)
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
		require.Equal(t, ok, new(Runner).Ready(t.Context(), cmd) == nil, "asked ahead it says the same")
		require.Equal(t, ok, Elevated().Run(t.Context()) == nil)
	}
	r, _ := newRunner(t)
	r.elevated = never
	_, err := r.Run(t.Context(), fake(t))
	require.NoError(t, err, "a program that demands nothing runs")
}

// What cannot be run is refused before users are put out: not an installer, truncated, stated as
// something else, for another system, with arguments that would be taken apart.
func TestReadyRefuses(t *testing.T) {
	windows := runtime.GOOS == "windows"
	mistake := map[bool]string{true: "cannot run on windows", false: "has no program with an absolute"}[windows]
	for name, c := range map[string]struct {
		sample string
		cmd    Command
		want   string // "" if it is ready here
	}{
		"no installer":             {"?not that of an installer", Command{Kind: Auto}, "not that of an installer"},
		"no installer, stated":     {"?not that of an installer", Command{Kind: MSI}, "the kind is stated as msi: "},
		"no installer, as plain":   {"?not that of an installer", Command{Kind: Plain, Args: []string{"-s"}}, "the kind is stated as plain: "},
		"msi as plain":             {"msi", Command{Kind: Plain, Args: []string{"-s"}}, "the kind is stated as plain, and the file is one of kind msi"},
		"a launcher that is away":  {"script", Command{Kind: Plain, Launcher: []string{"no-such-opener"}}, "no-such-opener"},
		"a launcher moved":         {"script", Command{Kind: Plain, Launcher: []string{filepath.Join(t.TempDir(), "opener")}}, "opener"},
		"truncated":                {"?RPM package is truncated", Command{Kind: rpm}, "RPM package is truncated"},
		"msi as deb":               {"msi", Command{Kind: Deb}, "the kind is stated as deb, and the file is one of kind msi; state that, or leave the kind out"},
		"inno as nsis":             {"inno", Command{Kind: NSIS}, "the kind is stated as nsis, and the file is one of kind inno"},
		"script as rpm":            {"script", Command{Kind: rpm}, "the file is one of kind script"},
		"program without words":    {"plain elf", Command{Kind: Auto}, "the silent arguments of a plain program are not known"},
		"a line feed":              {"script", Command{Kind: Script, Args: []string{"a\nb"}}, "argument 1 contains a line feed"},
		"an interpreter's mistake": {"?has no program with an absolute", Command{Kind: Script}, mistake},
		"missing":                  {"", Command{Kind: Deb}, "setup"},
		"of the other system":      {map[bool]string{true: "deb", false: "msi"}[windows], Command{Kind: Auto}, "cannot run on " + runtime.GOOS},
		"of this one":              {map[bool]string{true: "inno", false: "script"}[windows], Command{Kind: Auto}, ""},
		"stated as it is":          {map[bool]string{true: "inno", false: "deb"}[windows], Command{Kind: map[bool]Kind{true: Inno, false: Deb}[windows]}, ""},
		"stated better":            {map[bool]string{true: "plain", false: "script"}[windows], Command{Kind: map[bool]Kind{true: NSIS, false: makeself}[windows]}, ""},
		"opened by a launcher":     {"?not that of an installer", Command{Kind: Plain, Launcher: []string{self(t)}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.cmd.Path = filepath.Join(t.TempDir(), "setup")
			if c.sample != "" {
				require.NoError(t, os.WriteFile(c.cmd.Path, samples()[c.sample], 0o600))
			}
			r := &Runner{State: t.TempDir(), elevated: func() (bool, error) { return true, nil }}
			err := r.Ready(t.Context(), c.cmd)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			if c.sample == "" {
				return
			}
			c.cmd.SHA256 = sumOf(t, c.cmd.Path)
			out, err := r.Run(t.Context(), c.cmd)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, notRun, out.Status)
		})
	}
}
