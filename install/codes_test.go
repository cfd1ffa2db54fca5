package install

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCodes(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		code uint32
		want Status
	}{
		{"", 0, OK}, {"", 1, Failed},
		{Plain, 0, OK}, {Plain, 2, Failed}, {Plain, 3010, RebootNeeded}, {Plain, 1618, Busy}, {Plain, 0x80070020, Busy}, {Plain, 32, Failed}, {Plain, 1223, Canceled}, {Plain, 0xC0000005, Failed},
		{MSI, 0, OK}, {MSI, 3010, RebootNeeded}, {MSI, 1641, RebootNeeded}, {MSI, 1602, Canceled}, {MSI, 1603, Failed},
		{MSI, 1618, Busy}, {MSI, 1619, Failed}, {MSI, 1620, Failed}, {MSI, 1622, Failed}, {MSI, 1638, Failed},
		{MSI, 1639, Failed}, {MSI, 1, Failed}, {MSI, 194, Failed}, {MSI, 0x80070BC2, RebootNeeded}, {MSI, 1604, Busy}, {MSI, 3011, RebootNeeded},
		{Burn, 0, OK}, {Burn, 3010, RebootNeeded}, {Burn, 0x80070BC2, RebootNeeded}, {Burn, 0x80070642, Canceled},
		{Burn, 0x80070652, Busy}, {Burn, 1618, Busy}, {Burn, 0x80070000, Failed}, {Burn, 0x80004005, Failed},
		{NSIS, 0, OK}, {NSIS, 1, Canceled}, {NSIS, 2, Failed}, {NSIS, 42, Failed}, {NSIS, 3010, RebootNeeded}, {NSIS, 1618, Busy}, {NSIS, 0x8007015E, Busy},
		{Inno, 0, OK}, {Inno, 1, Failed}, {Inno, 2, Canceled}, {Inno, 3, Failed}, {Inno, 4, Failed}, {Inno, 5, Canceled},
		{Inno, 6, Failed}, {Inno, 7, Failed}, {Inno, 8, Busy}, {Inno, 1641, RebootNeeded}, {Inno, 1618, Busy}, {Inno, 3010, RebootNeeded},
		{Deb, 0, OK}, {Deb, 1, Failed}, {Deb, 2, Failed}, {Script, 0, OK}, {Script, 1, Failed}, {Script, 127, Failed},
	} {
		codes, err := c.kind.codes()
		require.NoError(t, err)
		v := codes.verdict(c.code)
		require.Equal(t, c.want, v.Status, "%s %d", c.kind, c.code)
		require.NotEmpty(t, v.Meaning)
		require.Equal(t, c.want == OK, v.Next == "", "%s %d: what to do is said after anything but a success", c.kind, c.code)
	}
	_, err := Kind("wise").codes()
	require.ErrorContains(t, err, `unknown kind of installer "wise"; use one of apt auto burn deb inno makeself msi nsis plain rpm script`)
}

func TestCodesAreCopied(t *testing.T) {
	a, err := MSI.codes()
	require.NoError(t, err)
	a[1603] = Verdict{Status: OK}
	b, err := MSI.codes()
	require.NoError(t, err)
	require.Equal(t, Failed, b.verdict(1603).Status)
}

// A way back may come twice to where the package is taken off.
func TestUninstallOfWhatIsNotInstalledSucceeds(t *testing.T) {
	codes, err := MSI.codes()
	require.NoError(t, err)
	require.Equal(t, Failed, Command{Codes: codes}.verdict(1605).Status)
	require.Equal(t, OK, Command{Codes: codes, Uninstall: true}.verdict(1605).Status)
	require.Equal(t, Failed, Command{Codes: codes, Uninstall: true}.verdict(1603).Status)
}
