package ftp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/internal/digest"
)

var fuzzSum = strings.Repeat("0123456789abcdef", 4)

func FuzzParseHash(f *testing.F) {
	for _, line := range []string{"SHA-256 0-49 " + fuzzSum + " Setup.exe", fuzzSum, `"` + strings.ToUpper(fuzzSum) + `"`, "SHA-256 0-49", fuzzSum + " " + fuzzSum, ""} {
		f.Add("HASH", line)
		f.Add("XSHA256", line)
	}
	f.Fuzz(func(t *testing.T, verb, line string) {
		sum, ok := parseHash(verb, line)
		if !ok {
			require.Empty(t, sum)
			return
		}
		require.True(t, digest.Valid(sum))
		require.Contains(t, strings.ToLower(line), sum)
	})
}
