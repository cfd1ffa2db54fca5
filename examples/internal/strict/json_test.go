package strict

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

func TestJSONEscapesWhatSteers(t *testing.T) {
	hostile := "АСП\x1b[2J\x07\x7f\u009b31m\u202egpj.exe\u2066\u200b\ufeff\u2028\U000e0041 <&> \"\\\n\t"
	for _, indent := range []string{"", "  "} {
		b, err := JSON(map[string]string{"name": hostile}, indent)
		require.NoError(t, err)
		require.False(t, strings.ContainsFunc(strings.ReplaceAll(string(b), "\n", ""), func(r rune) bool { return !unicode.IsGraphic(r) }), "%q", b)
		require.Equal(t, map[bool]int{true: 1, false: 3}[indent == ""], strings.Count(string(b), "\n"))
		var got map[string]string
		require.NoError(t, json.Unmarshal(b, &got))
		require.Equal(t, hostile, got["name"], "programs read the exact text")
		require.Contains(t, string(b), "АСП")
		require.Contains(t, string(b), "<&>")
	}
	_, err := JSON(func() {}, "")
	require.Error(t, err)
}
