package archive

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var fuzzSum = strings.Repeat("0123456789abcdef", 4)

func requireSum(t *testing.T, text string) {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	require.Len(t, b, 32)
	require.Equal(t, strings.ToLower(text), text)
}

func FuzzParseSums(f *testing.F) {
	for _, text := range []string{fuzzSum, fuzzSum + "  asp/7.12.100/Setup.exe\n", "\ufeff" + fuzzSum + ` *a\b` + "\r\n", "# x\n\n<html>", "\xff\xfe", fuzzSum + "\t\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, odd, err := parseSums(strings.NewReader(text))
		if err != nil {
			require.Empty(t, lines)
			return
		}
		require.LessOrEqual(t, len(lines)+len(odd), strings.Count(text, "\n")+1)
		again := ""
		for _, l := range lines {
			requireSum(t, l.sum)
			require.NotContains(t, l.name, `\`)
			again += l.sum + "  " + l.name + "\n"
		}
		same, odd, err := parseSums(strings.NewReader(again))
		require.NoError(t, err)
		require.Empty(t, odd)
		require.Len(t, same, len(lines))
	})
}
