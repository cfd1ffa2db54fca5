package version

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// withBetas returns r with the word "beta" added.
func (r Range) withBetas() Range {
	if r.betas {
		return r
	}
	r.betas = true
	if r.text == "" {
		r.text = "beta"
	} else {
		r.text += " beta"
	}
	return r
}

func TestRange(t *testing.T) {
	for _, tt := range []struct {
		text string
		want map[string][]string
	}{
		{">=7.12.100 <8.00.000", map[string][]string{
			"":           {"7.12.100", "7.12.101", "7.13.100", "7.36.65535", "7.65535.65535"},
			below:        {"7.12.099", "7.11.900", "6.36.200", "7.12.100-beta.2"},
			above:        {"8.01.001", "8.01.100", "9.01.100", "8.01.001-beta"},
			unwantedBeta: {"7.12.101-beta", "7.13.100-beta.1"},
		}},
		{"7.12.x", map[string][]string{
			"":           {"7.12.001", "7.12.100", "7.12.65535"},
			below:        {"7.11.65535", "7.11.100-beta", "1.01.001"},
			above:        {"7.13.001", "7.13.001-beta", "8.01.100"},
			unwantedBeta: {"7.12.001-beta", "7.12.65535-beta.65534"},
		}},
		{"7.x", map[string][]string{
			"":    {"7.01.001", "7.65535.65535"},
			below: {"6.65535.65535"},
			above: {"8.01.001", "8.01.001-beta"},
		}},
		{"65535.65535.x", map[string][]string{
			"":    {"65535.65535.001", "65535.65535.65535"},
			below: {"65535.65534.65535"},
		}},
		{"7.12.x beta", map[string][]string{
			"":    {"7.12.001-beta", "7.12.100-beta.2", "7.12.100"},
			below: {"7.11.100-beta"},
			above: {"7.13.001-beta"},
		}},
		{"beta", map[string][]string{"": {"1.01.001-beta", "7.04.100", "65535.65535.65535"}}},
		{"7.04.100", map[string][]string{
			"":    {"7.04.100"},
			below: {"7.04.099", "7.04.100-beta.9"},
			above: {"7.04.101", "7.04.101-beta"},
		}},
		{"=7.04.100-beta.2", map[string][]string{
			"":    {"7.04.100-beta.2"},
			below: {"7.04.100-beta", "7.04.100-beta.1"},
			above: {"7.04.100-beta.3", "7.04.100"},
		}},
		{">7.12.100", map[string][]string{
			"":           {"7.12.101", "8.01.100"},
			below:        {"7.12.100", "7.12.100-beta"},
			unwantedBeta: {"7.12.101-beta"},
		}},
		{">7.12.65535", map[string][]string{"": {"7.13.001"}, below: {"7.12.65535"}}},
		{"<=7.12.100", map[string][]string{
			"":           {"7.12.100", "1.01.001"},
			above:        {"7.12.101", "7.12.101-beta"},
			unwantedBeta: {"7.12.100-beta"},
		}},
		{"<8.01.100 beta", map[string][]string{"": {"8.01.100-beta.7", "7.01.100"}, above: {"8.01.100"}}},
		{"<8.00.000 beta", map[string][]string{"": {"7.36.100-beta"}, above: {"8.01.001-beta"}}},
		{"<8.01.001-beta", map[string][]string{"": {"7.36.100"}, above: {"8.01.001-beta"}}},
		{">=7.12.100-beta", map[string][]string{"": {"7.12.100-beta", "7.12.100", "7.13.100-beta"}, below: {"7.12.099"}}},
		{"\t >= 7.12.100   <7.14.000 >7.12.200 <=7.13.100 ", map[string][]string{
			"":    {"7.12.201", "7.13.100"},
			below: {"7.12.200"},
			above: {"7.13.101"},
		}},
	} {
		r, err := ParseRange(tt.text)
		require.NoError(t, err, tt.text)
		require.Equal(t, tt.text, r.String(), "byte for byte")
		require.Equal(t, noVersion, r.Why(Version{}))
		for verdict, texts := range tt.want {
			for _, s := range texts {
				v := MustParse(s)
				require.Equal(t, verdict, r.Why(v), "%s in %q", s, tt.text)
				require.Equal(t, verdict == "", r.Contains(v), "%s in %q", s, tt.text)
				if verdict == unwantedBeta {
					require.True(t, r.withBetas().Contains(v), "%s in %q", s, tt.text)
				}
			}
		}
		b, err := r.MarshalText()
		require.NoError(t, err)
		var q Range
		require.NoError(t, q.UnmarshalText(b))
		require.Equal(t, r, q)

		// With betas: the same bounds, and a text that says so.
		again, err := ParseRange(r.withBetas().String())
		require.NoError(t, err)
		require.Equal(t, r.withBetas(), again)
		require.Equal(t, again, again.withBetas())
	}
}

func TestR7ABetaNeverDropsOutInSilence(t *testing.T) {
	r := MustParseRange(">=7.12.100")
	beta := MustParse("7.13.100-beta.1")
	require.False(t, r.Contains(beta))
	require.Equal(t, unwantedBeta, r.Why(beta))
	require.Contains(t, r.Why(beta), `add the word "beta"`)
	require.True(t, MustParseRange(r.String()+" beta").Contains(beta), "the advice must help")
}

func TestZeroRange(t *testing.T) {
	var r Range
	require.Equal(t, "any release", r.String())
	for _, g := range goods {
		v := MustParse(g.text)
		if v.IsBeta() {
			require.Equal(t, unwantedBeta, r.Why(v))
		} else {
			require.Equal(t, "", r.Why(v))
		}
		require.True(t, r.withBetas().Contains(v))
	}
	require.False(t, r.withBetas().Contains(Version{}))
	require.Equal(t, MustParseRange("beta"), r.withBetas())
	b, err := r.MarshalText()
	require.NoError(t, err)
	require.Empty(t, b)
	r = MustParseRange("7.x")
	require.NoError(t, r.UnmarshalText(b))
	require.Zero(t, r)
}

func TestRangeBad(t *testing.T) {
	for text, want := range map[string]struct {
		offset int
		field  string
	}{
		"":                          {0, "bound"},
		"  ":                        {0, "bound"},
		">=":                        {2, "X"},
		">= ":                       {3, "X"},
		">=7.12":                    {6, "ZZZ"},
		">=7.4.100":                 {4, "YY"},
		"7.12.100,8.01.100":         {8, "ZZZ"},
		">=7.12.100, <8.00.000":     {10, "ZZZ"},
		">=7.12.100 || 9.x":         {11, "X"},
		"=>7.12.100":                {1, "X"},
		"==7.12.100":                {1, "X"},
		"!=7.12.100":                {0, "X"},
		"~7.12.100":                 {0, "X"},
		"8.00.000":                  {0, "bound"},
		"=8.01.000":                 {1, "bound"},
		">=0.00.000":                {2, "X"},
		">=7.x":                     {4, "bound"},
		"x":                         {0, "X"},
		".x":                        {0, "X"},
		"7a.x":                      {1, "X"},
		"7.12a.x":                   {4, "YY"},
		"*":                         {0, "X"},
		"7.x.x":                     {2, "YY"},
		"7.12.100.x":                {4, "YY"},
		"7.00.x":                    {2, "YY"},
		"7.4.x":                     {2, "YY"},
		"7.12.X":                    {5, "ZZZ"},
		"7.12.х":                    {5, "bound"}, // Cyrillic
		"7.12.x-beta":               {5, "ZZZ"},
		">beta":                     {1, "X"},
		"betas":                     {0, "X"},
		">65535.65535.65535":        {1, "bound"},
		">8.00.000 <7.00.000":       {11, "bound"},
		">7.12.100 <7.12.101-beta":  {11, "bound"},
		"7.12.x >=7.13.000":         {9, "bound"},
		"7.12.100 7.12.200":         {9, "bound"},
		"<7.00.000 beta >7.00.000":  {16, "bound"},
		">=7.12.100\n<8.00.000":     {10, "ZZZ"},
		">=7.12.100\u00a0<8.00.000": {10, "ZZZ"},
		"\x00":                      {0, "X"},
	} {
		r, err := ParseRange(text)
		require.Zero(t, r, "%q", text)
		pe := isError(t, err, text)
		require.Equal(t, want.field, pe.Field, "%q: %v", text, err)
		require.Equal(t, want.offset, pe.Offset, "%q: %v", text, err)
	}
	r := MustParseRange("7.x")
	require.Error(t, r.UnmarshalText([]byte("nonsense")))
	require.Equal(t, "7.x", r.String())
	require.Panics(t, func() { MustParseRange("nonsense") })
}

func TestReasonsDiffer(t *testing.T) {
	reasons := []string{noVersion, below, above, unwantedBeta, ""}
	slices.Sort(reasons)
	require.Len(t, slices.Compact(reasons), 5)
}
