//go:build linux && !race

package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestUnderWine runs all tests of this package on Windows, with real
// installers made here by NSIS and wixl; see installers_windows_test.go.
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

	w := realtest.StartWine(t)
	w.Bits32(t)
	buildAllNSIS(t, packages, "7.13.100")
	for _, compiler := range realtest.InnoCompilers(t) {
		dir := filepath.Join(packages, "Inno "+filepath.Base(compiler))
		require.NoError(t, os.Mkdir(dir, 0o700))
		for _, v := range []string{"7.12.100", "7.13.100"} {
			buildInno(t, w, compiler, filepath.Join(dir, "Сетап "+v+".exe"), v)
		}
	}
	program, out := w.BuildTest(t, "."), ""
	const many = "^(TestInno.*|TestEveryNSIS|TestAnUninstaller.*)$" // in a run of their own, for the time that each has
	for _, what := range []string{"-test.skip=" + many, "-test.run=" + many} {
		cmd := w.Command(program, realtest.TestTimeout, "-test.v", what)
		cmd.Env = append(cmd.Env, packagesVar+"=Z:"+packages)
		out += w.Output(t, cmd)
	}
	for _, name := range []string{"TestNSIS", "TestAnUninstallerThatReturnsEarlyIsWaitedFor", "TestTheApplicationOutlivesItsInstaller", "TestInnoTellsOfAFailedStep", "TestInnoStartsTheApplication", "TestAMessageBoxIsToldAbout", "TestABundleMadeHere", "TestMSI", "TestInno", "TestEveryNSIS", "TestServiceOutlastsTheInstaller", "TestRealInstallerOutlivesItsRunner", "TestRebootPendingOfWindows", "TestFrameworkOfWindows", "TestRightsOfTokens"} {
		require.Contains(t, out, "--- PASS: "+name+" (", "it ran, and was not skipped")
	}
}
