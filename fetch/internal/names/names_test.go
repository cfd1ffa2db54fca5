package names

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnsafeNames(t *testing.T) {
	for _, name := range []string{
		"", ".", "..", "../x", "a/b", `a\b`, `..\x`, "a\x00b", "a\rb", "a\nb", "a\x1b[31m", "con", "CON", "aux.exe", "NUL.tar.gz",
		"com1", "COM9.txt", "lpt¹", "CONIN$", "prn .exe", "trailing.", "trailing ", " leading", "c:", "a:b", "what?", "a*", `"`, "<", "|",
		"\xce\xef\xe5", strings.Repeat("x", 4000), "a\u202eexe.scr", "a\u200bb",
	} {
		require.ErrorIs(t, Check(name), ErrUnsafe, "%q", name)
		require.Less(t, len(Check(name).Error()), 400)
		require.NotContains(t, Check(name).Error(), "\n")
	}
	for _, name := range []string{"Setup.exe", "FullSetup_7.12.100.exe", "Опека и попечительство", "com", "com10", "console.exe", "nul1", ".hidden", "a..b", "7.12.100-beta.1"} {
		require.NoError(t, Check(name), name)
	}
}

// isPlain is IsSafe's short cut, and accepts nothing that Check refuses.
func FuzzIsPlain(f *testing.F) {
	for _, seed := range []string{"Setup_7.01.100.exe", "CLOCK$", "com1.txt", "a..", "Fullsetup.", "aux", "lpt1.exe", "name \u00a0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if isPlain(name) && Check(name) != nil {
			t.Errorf("%q is said to be plain", name)
		}
	})
}
