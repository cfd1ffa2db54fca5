package version

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestR2R3ParseName(t *testing.T) {
	for text, want := range map[string]Name{
		"/АСП/7.04.100":                              {"АСП", MustParse("7.04.100"), 0},
		"/АСП/7.04.100/Setup":                        {"АСП", MustParse("7.04.100"), Setup},
		"/АСП/7.04.100/FullSetup":                    {"АСП", MustParse("7.04.100"), FullSetup},
		"/Опека и попечительство/7.12.1000":          {"Опека и попечительство", MustParse("7.12.1000"), 0},
		"/asp-71_(Тула)+.2/8.01.100-beta.3":          {"asp-71_(Тула)+.2", MustParse("8.01.100-beta.3"), 0},
		"/7.04.100/7.04.200":                         {"7.04.100", MustParse("7.04.200"), 0},
		"/Setup/7.04.100/Setup":                      {"Setup", MustParse("7.04.100"), Setup},
		"/" + strings.Repeat("d", 255) + "/7.04.100": {strings.Repeat("d", 255), MustParse("7.04.100"), 0},
	} {
		n, err := ParseName(text)
		require.NoError(t, err, text)
		require.Equal(t, want, n)
		require.Equal(t, text, n.String())
		require.NoError(t, CheckDistribution(n.Distribution))

		b, err := n.MarshalText()
		require.NoError(t, err)
		require.Equal(t, text, string(b))
		var m Name
		require.NoError(t, m.UnmarshalText(b))
		require.Equal(t, n, m)
	}
}

func TestParseNameBad(t *testing.T) {
	const asp = len("/АСП/")
	for text, want := range map[string]struct {
		offset int
		field  string
	}{
		"":                        {0, "name"},
		"АСП/7.04.100":            {0, "name"},
		`\АСП\7.04.100`:           {0, "name"},
		"/":                       {1, "distribution"},
		"//7.04.100":              {1, "distribution"},
		"/АСП":                    {len("/АСП"), "X"},
		"/АСП/":                   {asp, "X"},
		"/АСП/Setup":              {asp, "X"}, // R3's directory: no version
		"/АСП/7.4.100":            {asp + 2, "YY"},
		"/АСП/7.04.100/":          {asp + 9, "variant"},
		"/АСП/7.04.100/setup":     {asp + 9, "variant"},
		"/АСП/7.04.100/Setup/":    {asp + 9, "variant"},
		"/АСП/7.04.100/Setup.exe": {asp + 9, "variant"},
		"/АСП/7.04.100/../Setup":  {asp + 9, "variant"},
		"/АСП//7.04.100":          {asp, "X"},
		"/../7.04.100":            {1, "distribution"},
		"/./7.04.100":             {1, "distribution"},
		"/../../etc/7.04.100":     {1, "distribution"},
		"/a\\b/7.04.100":          {2, "distribution"},
		"/a\x00b/7.04.100":        {2, "distribution"},
		"/АСП/7.04.100\x00":       {asp + 8, "ZZZ"},
		"/АСП/7.04.100\r\nDELE x": {asp + 8, "ZZZ"},
		"/\xcf\xf1\xef/7.04.100":  {1, "distribution"}, // CP1251
		"/АСП /7.04.100":          {len("/АСП"), "distribution"},
	} {
		n, err := ParseName(text)
		require.Zero(t, n, "%q", text)
		pe := isError(t, err, text)
		require.Equal(t, want.field, pe.Field, "%q: %v", text, err)
		require.Equal(t, want.offset, pe.Offset, "%q: %v", text, err)
		if text != "" {
			m := Name{"old", MustParse("7.04.100"), 0}
			require.Error(t, m.UnmarshalText([]byte(text)))
			require.Equal(t, "old", m.Distribution, "a failed read must change nothing")
		}
	}
}

// Names come from the server and become directories.
func TestCheckDistributionHostile(t *testing.T) {
	for _, s := range []string{
		"", ".", "..", "/", "a/b", "/a", `\`, `a\b`, `..\..\windows`, "a\x00", "\x00",
		"a\nb", "a\rb", "a\tb", "\x1b[2J", "a\x7f", "a\u0085b", // control characters
		"\xff", "a\xc3", "\xed\xa0\x80", "АС\xd0", // no UTF-8
		"C:", "C:x", "a:stream", "*", "?", `"a"`, "<a>", "a|b", // special on Windows
		"a.", "a ", " a", "...", " ",
		"CON", "con", "nul", "NUL.txt", "Aux.a.b", "COM1", "com0", "LPT9.x", "COM²", "CONIN$", "prn .txt",
		"a\u202eb", "a\u200bb", "a\u2028b", "\ufeffa", "a\u00a0b", // invisible, or not what it seems
		strings.Repeat("d", 256), strings.Repeat("я", 128),
	} {
		err := CheckDistribution(s)
		require.Error(t, err, "%q", s)
		require.Equal(t, "distribution", isError(t, err, s).Field)
		_, err = Name{Distribution: s, Version: MustParse("7.04.100")}.MarshalText()
		require.Error(t, err, "what cannot be read must not be written: %q", s)
	}
	for _, s := range []string{
		"a", "АСП", "АСП 7", ".hidden", "a..b", "..a", "Интеграция с КЦР", "console", "COM", "COM10", "COMа", "LPT",
		"a%2fb", "~", "$HOME", "й", "и\u0306", "\ufffd", strings.Repeat("я", 127),
	} {
		require.NoError(t, CheckDistribution(s), "%q", s)
	}
}

func TestNameThatIsNone(t *testing.T) {
	b, err := Name{}.MarshalText()
	require.NoError(t, err)
	require.Empty(t, b)
	require.Equal(t, "no name", Name{}.String())
	n := Name{"АСП", MustParse("7.04.100"), Setup}
	require.NoError(t, n.UnmarshalText(nil))
	require.Zero(t, n)

	for _, n := range []Name{
		{Distribution: "АСП"},
		{Version: MustParse("7.04.100")},
		{Variant: Setup},
		{"АСП", MustParse("7.04.100"), 9},
		{"../АСП", MustParse("7.04.100"), Setup},
	} {
		b, err := n.AppendText([]byte("before"))
		require.Error(t, err, "%#v", n)
		require.Equal(t, "before", string(b))
		require.Equal(t, "invalid name", n.String())
	}
}

func TestR3Variant(t *testing.T) {
	for text, v := range map[string]Variant{"Setup": Setup, "FullSetup": FullSetup} {
		got, err := parseVariant(text)
		require.NoError(t, err)
		require.Equal(t, v, got)
		require.Equal(t, text, v.String())
	}
	for _, text := range []string{"", "setup", "FULLSETUP", "Setup ", "Setup.exe", "no variant"} {
		_, err := parseVariant(text)
		require.Equal(t, "variant", isError(t, err, text).Field)
	}
	v := FullSetup
	require.Error(t, v.UnmarshalText([]byte("full")))
	require.Equal(t, FullSetup, v)
	require.NoError(t, v.UnmarshalText(nil))
	require.Zero(t, v)
	require.Equal(t, "no variant", v.String())
	b, err := v.MarshalText()
	require.NoError(t, err)
	require.Empty(t, b)
	_, err = Variant(9).MarshalText()
	require.Error(t, err)
	require.Equal(t, "invalid variant 9", Variant(9).String())
}
