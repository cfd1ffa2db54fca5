package safetext

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		"Готово\n\tdone\n":           "Готово\n\tdone\n",
		"a\u00a0b – «ё» 漢 é":         "a\u00a0b – «ё» 漢 é",
		"\x1b[31mred\x1b[0m\x07\x00": "[31mred[0m",
		"10%\r20%\r\n":               "10%20%\n",
		"\u009b31m":                  "31m",
		"setup\u202Egpj.exe":         "setupgpj.exe",
		"\ufeffmark":                 "mark",
		"lines\u2028and\u2029so on":  "linesandso on",
		"bro\xffken\xd0":             "bro\uFFFDken\uFFFD",
	} {
		require.Equal(t, want, Clean(in))
	}
}

func TestLine(t *testing.T) {
	require.Equal(t, "a b c d e f", Line("a\nb\r\nc\td\u2028e\vf\x1b"))
	require.Equal(t, "plain", Line("plain"))
}

func TestIndented(t *testing.T) {
	require.Equal(t, "cause\n  next: rm -rf /\n  ", Indented("cause\nnext: rm -rf /\n\x1b", "  "))
}

func TestFromRune(t *testing.T) {
	require.Empty(t, FromRune(nil))
	require.Equal(t, "ab", string(FromRune([]byte("ab"))))
	require.Equal(t, "яx", string(FromRune([]byte("Яяx")[1:])))
	require.Equal(t, "x", string(FromRune([]byte("😀x")[1:])))
	require.Equal(t, "\x80x", string(FromRune([]byte("\x80\x80\x80\x80\x80x"))), "no more than a character has")
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"ok\n", "\xd0", "\x9f\xd0\x9f", "\x1b]0;title\x07", "\x80\x80\x80\x80\x80", "\u202e", "\u009b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		bad := func(r rune) bool { return unicode.In(r, unicode.C) && r != '\n' && r != '\t' }
		if !utf8.ValidString(got) || strings.ContainsFunc(got, bad) {
			t.Fatalf("%q can steer a terminal", got)
		}
		if strings.ContainsAny(Line(s), "\n\t") || strings.Contains(Indented(s, "  "), "\n") != strings.Contains(got, "\n") {
			t.Fatalf("%q: more than a line", s)
		}
		if Clean(got) != got {
			t.Fatalf("%q is not clean yet", got)
		}
	})
}
