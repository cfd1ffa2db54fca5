package install

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func says(name string, err error) Check {
	return Check{Name: name, Run: func(context.Context) error { return err }}
}

func requireUnmet(t *testing.T, err error) {
	t.Helper()
	unmet, ok := errors.AsType[*Unmet](err)
	require.True(t, ok, "%v", err)
	require.NotEmpty(t, unmet.Failures)
}

func TestChecklistReportsAllFailures(t *testing.T) {
	a, b := errors.New("too old; update it"), errors.New("too small")
	waivedB := says("disk", b)
	waivedB.Waived = "a larger one comes tomorrow"
	waivedOK := says("fine", nil)
	waivedOK.Waived = "needless"
	noReason := says("framework", a)
	noReason.Waived = " "
	list := Checklist{noReason, says("fine", nil), waivedB, waivedOK, {Name: "hollow"}}
	waived, err := list.Run(t.Context())
	require.Equal(t, []Failure{{"disk", b, "a larger one comes tomorrow"}}, waived)
	require.ErrorIs(t, err, a)
	require.NotErrorIs(t, err, b)
	unmet, ok := errors.AsType[*Unmet](err)
	require.True(t, ok)
	require.Len(t, unmet.Failures, 2)
	require.Equal(t, Failure{Name: "framework", Err: a}, unmet.Failures[0])
	require.EqualError(t, err, "requirements are not met: framework: too old; update it; hollow: the check has no function; set Run")

	waived, err = Checklist{says("fine", nil), waivedB}.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, "disk: too small (waived: a larger one comes tomorrow)", waived[0].String())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Checklist{says("fine", nil)}.Run(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "fine: context canceled", "a check that was not run has failed")
	_, err = Checklist(nil).Run(ctx)
	require.NoError(t, err)
}

func TestR3FullSetupOverAnInstallationIsRefusedUnlessForced(t *testing.T) {
	answers := func(version string, err error) Check {
		return NothingInstalled(ProbeFunc(func(context.Context) (string, error) { return version, err }))
	}
	require.NoError(t, answers("", nil).Run(t.Context()))
	require.ErrorContains(t, answers("7.12.100", nil).Run(t.Context()), "version 7.12.100 is installed")
	broken := errors.New("system error")
	require.ErrorIs(t, answers("", broken).Run(t.Context()), broken, "what does not answer may be installed all the same")

	list := Checklist{answers("7.12.100", nil)}
	_, err := list.Run(t.Context())
	requireUnmet(t, err)
	require.ErrorContains(t, err, "R3")
	list[0].Waived = "the site starts anew"
	waived, err := list.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, waived, 1)
}

func TestFreeSpace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "not", "yet")
	require.NoError(t, FreeSpace(path, 1).Run(t.Context()))
	err := FreeSpace(path, math.MaxInt64).Run(t.Context())
	require.ErrorContains(t, err, "free some space")
	require.ErrorContains(t, err, path)
}

func TestR14ConfirmationsHaveNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "confirmations")
	const what = "R14 2022: the requirements were read"
	check := Confirmed(file, what)
	require.ErrorContains(t, check.Run(t.Context()), "is not confirmed")
	when := time.Date(2022, 1, 12, 13, 0, 0, 0, time.FixedZone("MSK", 3*3600))
	for _, bad := range []Confirmation{{}, {What: what, Who: "И. Петров"}, {What: what, When: when}, {Who: "И. Петров", When: when}, {What: what, Who: " ", When: when}} {
		require.Error(t, Confirm(file, bad))
	}
	require.NoFileExists(t, file)
	require.NoError(t, Confirm(file, Confirmation{What: "R14 2021: the requirements were read", Who: "И. Петров", When: when}))
	require.Error(t, check.Run(t.Context()), "last year's word does not count")

	// A crash leaves half a line, which confirms nothing and hides nothing.
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"what":"` + what + `","who":"И. Петров","when":"2022-01-12T10:00:00Z"}`)
	require.NoError(t, errors.Join(err, f.Close()))
	require.Error(t, check.Run(t.Context()))
	require.NoError(t, Confirm(file, Confirmation{What: what, Who: "А. Иванова", When: when, Note: "line 1\nline 2"}))
	require.NoError(t, check.Run(t.Context()))
	all, err := confirmations(file)
	require.NoError(t, err)
	last := all[len(all)-1]
	require.Equal(t, Confirmation{What: what, Who: "А. Иванова", When: when.UTC(), Note: "line 1\nline 2"}, last)

	require.NoError(t, os.WriteFile(file, []byte("{}\nnull\n[]\n{\"what\":\""+what+"\"}\n"), 0o600))
	require.Error(t, check.Run(t.Context()), "a confirmation needs a name")
	require.Error(t, Confirmed(filepath.Dir(file), what).Run(t.Context()))
}

func TestSystemOfThisMachine(t *testing.T) {
	has, err := systems()
	require.NoError(t, err)
	require.NotEmpty(t, has)
	for name, version := range has {
		if version == "" {
			continue // a distribution that rolls
		}
		require.NoError(t, System(name, version).Run(t.Context()))
		require.ErrorContains(t, System(name, "999.1").Run(t.Context()), "or later")
	}
	require.ErrorContains(t, System("plan9", "4").Run(t.Context()), "plan9 4 is needed")
}

func TestSystemFits(t *testing.T) {
	has := map[string]string{"linux": "6.1.0-13-amd64", "astra": "1.7_x86-64", "rolling": ""}
	for _, c := range []struct{ name, atLeast, complaint string }{
		{"linux", "6.1", ""}, {"linux", "5.10.200", ""}, {"linux", "6.1.0", ""}, {"linux", "6.1.1", "or later"}, {"linux", "10", "or later"},
		{"astra", "1.7", ""}, {"astra", "1.7.0", ""}, {"astra", "1.8", "runs astra 1.7_x86-64, linux 6.1.0-13-amd64, rolling, but astra 1.8 or later is needed"},
		{"debian", "12", "debian 12 is needed"}, {"rolling", "1", "does not begin with numbers"},
		{"linux", "", "does not begin with numbers"}, {"linux", "six", "does not begin with numbers"}, {"linux", "6..1", "does not begin"}, {"linux", "99999999999999999999", "does not begin"},
	} {
		err := systemFits(has, c.name, c.atLeast)
		if c.complaint == "" {
			require.NoError(t, err, c)
			continue
		}
		require.ErrorContains(t, err, c.complaint, c)
	}
	require.NoError(t, systemFits(map[string]string{"windows": "10.0.20348"}, "windows", "10.0.17763"))
	require.Error(t, systemFits(map[string]string{"windows": "6.3.9600"}, "windows", "10.0.17763"))
}

func TestOSRelease(t *testing.T) {
	id, version := osRelease("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\n# ID=no\nID=debian\nID_LIKE=other\n")
	require.Equal(t, "debian", id)
	require.Equal(t, "12", version)
	id, version = osRelease("ID='arch'\r\n")
	require.Equal(t, "arch", id)
	require.Empty(t, version)
}

func TestFrameworkFits(t *testing.T) {
	require.NoError(t, frameworkFits(528040, "4.8"))
	require.NoError(t, frameworkFits(528372, "4.8"), "as some builds of Windows number it")
	require.NoError(t, frameworkFits(999999, "4.8.1"), "a later one")
	require.ErrorContains(t, frameworkFits(461814, "4.8"), "4.7.2 is installed, but 4.8 is needed")
	require.ErrorContains(t, frameworkFits(0, "4.5"), "no version from 4.5 on is installed")
	for _, bad := range []string{"", "4", "4.9", "v4.8", "8.0"} {
		require.ErrorContains(t, frameworkFits(528040, bad), "unknown version", bad)
	}
}

func TestCheckNamesAreForPeople(t *testing.T) {
	names := map[string]bool{}
	for _, c := range []Check{Elevated(), NoRebootPending(), System("linux", "1"), DotNetFramework("4.8"), FreeSpace("/", 1), Confirmed("f", "w"), NothingInstalled(nil), Private("/", false)} {
		require.NotEmpty(t, strings.TrimSpace(c.Name))
		require.False(t, names[c.Name], c.Name)
		names[c.Name] = true
	}
}
