package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestFirstLine(t *testing.T) {
	long := strings.Repeat("7", lineLimit)
	for _, c := range []struct{ in, want, err string }{
		{"7.12.100", "7.12.100", ""},
		{" 7.12.100 \r\nrest", "7.12.100", ""},
		{"версия 7\n\x00", "версия 7", ""},
		{long, long, ""},
		{long + "7", "", "too long"},
		{long + "7\n", "", "too long"},
		{"", "", "empty"},
		{"\r\n\n7.12.100\r\n", "7.12.100", ""},
		{"\r\n\n", "", "empty"},
		{"\xef\xbb\xbf7.12.100\r\n", "7.12.100", ""},
		{"\xff\xfe7\x00.\x001\x002\x00\r\x00\n\x00", "7.12", ""},
		{"\xff\xfe\r\x00\n\x00\x1f\x04\n\x00", "П", ""},
		{"\xff\xfe", "", "empty"},
		{"\x1b[31m7.12.100", "", "not plain text"},
		{"7.12\xff", "", "not plain text"},
	} {
		got, err := firstLine([]byte(c.in))
		require.Equal(t, c.want, got, "%q", c.in)
		if c.err == "" {
			require.NoError(t, err, "%q", c.in)
		} else {
			require.ErrorContains(t, err, c.err, "%q", c.in)
		}
	}
}

func FuzzFirstLine(f *testing.F) {
	for _, s := range []string{"7.12.100\n", "", "\n", " \r\n", "версия\n", "\xff", strings.Repeat("x", 300)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := firstLine(b)
		if (got == "") != (err != nil) {
			t.Fatalf("%q, %v: neither a version nor an error, or both", got, err)
		}
		if len(got) > lineLimit || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q is no version to show", got)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"ok\n", "\xd0", "\x9f\xd0\x9f", "\x1b]0;title\x07", "\x80\x80\x80\x80\x80"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := printable(b, len(b)%2 == 0)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\r\x00\x07") {
			t.Fatalf("%q can steer a terminal", got)
		}
	})
}

func TestReadTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.Empty(t, readTail(path, 0, ""), "no file is no tail")
	require.NoError(t, os.WriteFile(path, []byte("before|after"), 0o600))
	require.Equal(t, "before|after", readTail(path, 0, ""))
	require.Equal(t, "after", readTail(path, 7, ""))
	require.Empty(t, readTail(path, 12, ""))
	require.Empty(t, readTail(path, 99, ""), "a log that was cut meanwhile")
	// An odd offset cuts a two-byte letter in half.
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("ж", tailLimit)+"!"), 0o600))
	got := readTail(path, 0, "")
	require.NotContains(t, got, "\uFFFD")
	require.True(t, strings.HasSuffix(got, "ж!"))
}
