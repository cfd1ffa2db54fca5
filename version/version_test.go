package version

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A good text stands in the order of versions, so that all pairs of the table
// say what Compare has to say.
type good struct {
	text       string
	x, yy, zzz int
	beta       int // -1: none
}

var goods = []good{
	{"1.01.001-beta", 1, 1, 1, 0},
	{"1.01.001-beta.1", 1, 1, 1, 1},
	{"1.01.001-beta.65534", 1, 1, 1, 65534},
	{"1.01.001", 1, 1, 1, -1},
	{"7.04.099", 7, 4, 99, -1},
	{"7.04.100-beta", 7, 4, 100, 0},
	{"7.04.100-beta.2", 7, 4, 100, 2},
	{"7.04.100-beta.10", 7, 4, 100, 10},
	{"7.04.100", 7, 4, 100, -1},
	{"7.04.150-beta.1", 7, 4, 150, 1},
	{"7.04.150", 7, 4, 150, -1},
	{"7.04.200", 7, 4, 200, -1},
	{"7.04.999", 7, 4, 999, -1},
	{"7.04.1000", 7, 4, 1000, -1},
	{"7.05.100", 7, 5, 100, -1},
	{"7.12.100", 7, 12, 100, -1},
	{"7.36.200", 7, 36, 200, -1},
	{"7.99.100", 7, 99, 100, -1},
	{"7.100.100", 7, 100, 100, -1},
	{"7.65535.65535", 7, 65535, 65535, -1},
	{"8.01.100-beta", 8, 1, 100, 0},
	{"8.01.100", 8, 1, 100, -1},
	{"10.01.001", 10, 1, 1, -1},
	{"65535.65535.65535-beta.65534", 65535, 65535, 65535, 65534},
	{"65535.65535.65535", 65535, 65535, 65535, -1},
}

// A bad text is an error of Parse at the offset and in the field given. What
// ParseLoose makes of it is in loose: empty if that is an error, too.
type bad struct {
	text   string
	offset int
	field  string
	loose  string
}

var bads = []bad{
	{"", 0, "X", ""},
	{"7", 1, "YY", ""},
	{"7.", 2, "YY", ""},
	{"7.04", 4, "ZZZ", ""}, // two fields
	{"7.04.", 5, "ZZZ", ""},
	{".04.100", 0, "X", ""},
	{"7..100", 2, "YY", ""},
	{"7.04..100", 5, "ZZZ", ""},
	{"..", 0, "X", ""},
	{"7.04.100.1", 8, "ZZZ", ""}, // four fields
	{"7.04.100.", 8, "ZZZ", ""},
	{"7.4.100", 2, "YY", "7.04.100"}, // too few digits
	{"7.04.1", 5, "ZZZ", "7.04.001"},
	{"07.04.100", 0, "X", "7.04.100"}, // superfluous zeros
	{"7.004.100", 2, "YY", "7.04.100"},
	{"7.04.0100", 5, "ZZZ", "7.04.100"},
	{"0.04.100", 0, "X", ""}, // zero
	{"7.00.100", 2, "YY", ""},
	{"7.04.000", 5, "ZZZ", ""},
	{"7.0.100", 2, "YY", ""},
	{"65536.04.100", 0, "X", ""}, // overflow
	{"7.65536.100", 2, "YY", ""},
	{"7.04.65536", 5, "ZZZ", ""},
	{"7.04.18446744073709551717", 5, "ZZZ", ""}, // 100 modulo 2^64
	{"+7.04.100", 0, "X", ""},                   // signs
	{"-7.04.100", 0, "X", ""},
	{"7.+4.100", 2, "YY", ""},
	{"7.04.-100", 5, "ZZZ", ""},
	{" 7.04.100", 0, "X", "7.04.100"}, // spaces
	{"7.04.100 ", 8, "ZZZ", "7.04.100"},
	{"\t7.4.100\r\n", 0, "X", "7.04.100"},
	{"\u00a07.04.100\u2003", 0, "X", "7.04.100"},
	{"7. 04.100", 2, "YY", ""},
	{"7.04 .100", 4, "YY", ""},
	{"7.04.100 beta", 8, "ZZZ", ""},
	{"7,04,100", 1, "X", ""},
	{"7.04,100", 4, "YY", ""},
	{"v7.04.100", 0, "X", ""},
	{"7.04.100a", 8, "ZZZ", ""},
	{"7.0x04.100", 3, "YY", ""},
	{"7.04.1_00", 6, "ZZZ", ""},
	{"7.04.1e2", 6, "ZZZ", ""},
	{"7.04.100\x00", 8, "ZZZ", ""}, // NUL
	{"7.04.\x00100", 5, "ZZZ", ""},
	{"٧.04.100", 0, "X", ""}, // other scripts' digits
	{"7.0٤.100", 3, "YY", ""},
	{"７.04.100", 0, "X", ""},
	{"7。04.100", 1, "X", ""},
	{"\xff7.04.100", 0, "X", ""},
	{"../../etc/passwd", 0, "X", ""},
	{"7.04.100-", 8, "beta", ""},
	{"7.04.100-bet", 8, "beta", ""},
	{"7.04.100-Beta", 8, "beta", "7.04.100-beta"},
	{"7.04.100-BETA.02", 8, "beta", "7.04.100-beta.2"},
	{"7.04.100-rc.1", 8, "beta", ""},
	{"7.04.100-beta1", 13, "beta", ""},
	{"7.04.100-beta.", 14, "beta", ""},
	{"7.04.100-beta.0", 14, "beta", ""},
	{"7.04.100-beta.01", 14, "beta", "7.04.100-beta.1"},
	{"7.04.100-beta.1a", 15, "beta", ""},
	{"7.04.100-beta.-1", 14, "beta", ""},
	{"7.04.100-beta.1.2", 15, "beta", ""},
	{"7.04.100-beta.65535", 14, "beta", ""},
	{"7.04.100-бета", 8, "beta", ""},
	{"invalid version", 0, "X", ""},
}

// isError checks what every error of this package about a text has.
func isError(t *testing.T, err error, input string) *Error {
	t.Helper()
	require.ErrorIs(t, err, ErrSyntax)
	pe, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Equal(t, input, pe.Subject)
	require.GreaterOrEqual(t, pe.Offset, 0)
	require.LessOrEqual(t, pe.Offset, len(input))
	require.NotEmpty(t, pe.Field)
	for _, r := range pe.Error() {
		require.True(t, r >= ' ' && r != 0x7f, "control character in %q", pe.Error())
	}
	return pe
}

func TestR2ParseGood(t *testing.T) {
	for _, g := range goods {
		v, err := Parse(g.text)
		require.NoError(t, err, g.text)
		require.Equal(t, []int{g.x, g.yy, g.zzz}, []int{v.X(), v.YY(), v.ZZZ()}, g.text)
		n, ok := v.beta()
		require.Equal(t, g.beta >= 0, ok, g.text)
		require.Equal(t, max(g.beta, 0), n, g.text)
		require.Equal(t, ok, v.IsBeta(), g.text)
		require.False(t, v.IsZero(), g.text)
		require.Equal(t, g.text, v.String())

		w, err := New(g.x, g.yy, g.zzz)
		require.NoError(t, err, g.text)
		require.Equal(t, g.beta < 0, v == w, g.text)

		w, err = ParseLoose(g.text)
		require.NoError(t, err, g.text)
		require.Equal(t, v, w)
	}
}

func TestR2ParseBad(t *testing.T) {
	for _, b := range bads {
		v, err := Parse(b.text)
		require.Zero(t, v, b.text)
		pe := isError(t, err, b.text)
		require.Equal(t, b.offset, pe.Offset, "%q: %v", b.text, err)
		require.Equal(t, b.field, pe.Field, "%q: %v", b.text, err)

		v, err = ParseLoose(b.text)
		if b.loose != "" {
			require.NoError(t, err, "%q", b.text)
			require.Equal(t, b.loose, v.String(), "%q", b.text)
			continue
		}
		require.Zero(t, v, b.text)
		isError(t, err, b.text)
	}
}

func TestParseLooseErrorPointsIntoTheWholeInput(t *testing.T) {
	for in, offset := range map[string]int{
		"  7.x.100 ": 4, "\u00a07.04": 6, " \t ": 3, "\n7.04.100 \x00": 9, "7.04.100 .": 8,
	} {
		_, err := ParseLoose(in)
		require.Equal(t, offset, isError(t, err, in).Offset, "%q: %v", in, err)
	}
}

func TestNewOutOfRange(t *testing.T) {
	for _, tt := range []struct {
		x, yy, zzz int
		input      string
		offset     int
		field      string
	}{
		{0, 4, 100, "0.04.100", 0, "X"},
		{-1, 4, 100, "-1.04.100", 0, "X"},
		{65536, 4, 100, "65536.04.100", 0, "X"},
		{7, 0, 100, "7.00.100", 2, "YY"},
		{7, 65536, 100, "7.65536.100", 2, "YY"},
		{10, 4, 0, "10.04.000", 6, "ZZZ"},
		{7, 4, 65536, "7.04.65536", 5, "ZZZ"},
	} {
		v, err := New(tt.x, tt.yy, tt.zzz)
		require.Zero(t, v)
		pe := isError(t, err, tt.input)
		require.Equal(t, tt.offset, pe.Offset, tt.input)
		require.Equal(t, tt.field, pe.Field, tt.input)
	}
}

func TestErrorMessage(t *testing.T) {
	_, err := Parse("7.4.100")
	require.EqualError(t, err, `parse version "7.4.100": invalid syntax: YY at byte 2 has too few digits; `+
		`write at least two for YY and three for ZZZ, as in 7.04.100`)

	_, err = Parse("7.04.100\x1b[2J")
	require.NotContains(t, err.Error(), "\x1b", "an escape sequence must not reach a terminal")

	_, err = Parse(strings.Repeat("я", 1<<20))
	require.Less(t, len(err.Error()), 1000, "a hostile name must not fill a log")
}

func TestMustParse(t *testing.T) {
	require.Equal(t, "7.04.100", MustParse("7.04.100").String())
	require.Panics(t, func() { MustParse("7.4.100") })
}

func TestCompare(t *testing.T) {
	all := []Version{{}} // the zero Version sorts first
	for _, g := range goods {
		all = append(all, MustParse(g.text))
	}
	for i, v := range all {
		for j, w := range all {
			require.Equal(t, cmp.Compare(i, j), v.Compare(w), "%v, %v", v, w)
			require.Equal(t, i == j, v == w, "%v, %v", v, w)
		}
	}
	shuffled := slices.Clone(all)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, Version.Compare)
	require.Equal(t, all, shuffled)
}

func TestZeroVersion(t *testing.T) {
	var v Version
	require.True(t, v.IsZero())
	require.False(t, v.IsBeta())
	require.Equal(t, []int{0, 0, 0}, []int{v.X(), v.YY(), v.ZZZ()})
	_, ok := v.beta()
	require.False(t, ok)
	require.Equal(t, "invalid version", v.String())
}

func TestNoAllocations(t *testing.T) {
	v, w := MustParse("7.04.100"), MustParse("7.04.100-beta.2")
	buf := make([]byte, 0, longest)
	text := []byte("65535.65535.65535-beta.65534")
	r := MustParseRange(">=7.12.100 <8.00.000 beta")
	many := make([]Version, 1000)
	for i := range many {
		many[i], _ = New(7, 1+i*7%36, 1+i*31%999)
	}
	for name, f := range map[string]func(){
		"Parse":         func() { v, _ = Parse("7.04.100-beta.2") },
		"ParseLoose":    func() { v, _ = ParseLoose(" 7.4.100 ") },
		"UnmarshalText": func() { _ = v.UnmarshalText(text) },
		"Compare":       func() { v.Compare(w) },
		"AppendText":    func() { buf, _ = w.AppendText(buf[:0]) },
		"Contains":      func() { r.Contains(w) },
		"sort":          func() { slices.SortFunc(many, Version.Compare) },
	} {
		require.Zero(t, testing.AllocsPerRun(10, f), name)
	}
}

// beta returns the number after a beta mark and whether v is a beta. The number
// of a plain "-beta" is 0.
func (v Version) beta() (n int, ok bool) {
	if !v.IsBeta() {
		return 0, false
	}
	return int(v.packed & most), true
}
