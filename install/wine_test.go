//go:build linux && !race

package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestUnderWine runs the tests on Windows that need real installers, made here by NSIS and wixl, see
// installers_windows_test.go, and where Wine runs programs of 32 bits those of Inno Setup and all
// that NSIS can make. With ASPUPDATE_SOAK=1 it runs all tests of this package, which takes minutes.
func TestUnderWine(t *testing.T) {
	packages := t.TempDir()
	wixl := realtest.Program(t, "wixl")
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = packages // wixl takes no whole paths for what goes into a package
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	sources, err := filepath.Abs("testdata")
	require.NoError(t, err)
	for _, v := range []string{"7.12.100", "7.13.100"} {
		exe, msi := filepath.Join(packages, "Установка "+v+".exe"), filepath.Join(packages, "Пакет "+v+".msi")
		buildNSIS(t, exe, v)
		require.NoError(t, os.WriteFile(filepath.Join(packages, v), []byte(v), 0o600))
		run(wixl, "-a", "x64", "-D", "Version="+v, "-D", "File="+v, "-o", msi, filepath.Join(sources, "setup.wxs"))
		for path, want := range map[string]Kind{exe: NSIS, msi: MSI} {
			kind, err := Detect(path)
			require.NoError(t, err)
			require.Equal(t, want, kind)
		}
	}

	for name, from := range map[string]string{
		"ARM64.exe": goProgram(t, "windows", "arm64"), "x86.exe": goProgram(t, "windows", "386"), "x86-64.exe": goProgram(t, "windows", "amd64"),
		"ARM64.msi": msiFor(t, "Arm64"), "Itanium.msi": msiFor(t, "Intel64"), "x86.msi": buildMSI(t, "x86"),
	} {
		require.NoError(t, os.Rename(from, filepath.Join(packages, name)))
	}

	w := realtest.StartWine(t)
	program := w.BuildTest(t, ".")
	all := func(t *testing.T, what string, names ...string) {
		t.Helper()
		cmd := w.Command(program, realtest.TestTimeout, "-test.v", what)
		cmd.Env = append(cmd.Env, packagesVar+"=Z:"+packages)
		out := w.Output(t, cmd)
		for _, name := range names {
			require.Contains(t, out, "--- PASS: "+name+" (", "it ran, and was not skipped")
		}
	}
	// In runs of their own for the time that each has; and an uninstaller of NSIS leaves a file that
	// is to be removed at the next start of the machine, which other tests would find.
	const of32, leaves = "^(TestInno.*|TestEveryNSIS)$", "^TestAnUninstaller.*$"
	names := []string{"TestNSIS", "TestNSISStartsTheApplication", "TestMSI", "TestTheApplicationOutlivesItsInstaller", "TestAMessageBoxIsToldAbout", "TestABundleMadeHere", "TestAScannerHoldsTheFreshCopy", "TestServiceOutlastsTheInstaller", "TestRealInstallerOutlivesItsRunner", "TestReadyLooksIntoZips", "TestOtherProcessorsOnWindows",
		"TestRebootPendingOfWindows", "TestFrameworkOfWindows", "TestRightsOfTokens"}
	what := "-test.run=^(" + strings.Join(names, "|") + ")$"
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		what = "-test.skip=" + of32 + "|" + leaves
	}
	all(t, what, names...)
	all(t, "-test.run="+leaves, "TestAnUninstallerThatReturnsEarlyIsWaitedFor")
	t.Run("32 bits", func(t *testing.T) {
		w.Bits32(t)
		buildAllNSIS(t, packages, "7.13.100")
		for _, compiler := range realtest.InnoCompilers(t) {
			dir := filepath.Join(packages, "Inno "+filepath.Base(compiler))
			require.NoError(t, os.Mkdir(dir, 0o700))
			for _, v := range []string{"7.12.100", "7.13.100"} {
				setup := filepath.Join(dir, "Сетап "+v+".exe")
				buildInno(t, w, compiler, setup, v)
				requireCutRefused(t, setup, 0)
			}
		}
		all(t, "-test.run="+of32, "TestInno", "TestInnoTellsOfAFailedStep", "TestInnoStartsTheApplication", "TestEveryNSIS")
	})
}
