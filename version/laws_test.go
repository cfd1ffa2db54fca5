package version

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// grammar is doc.go's grammar said once more, in other words, to hold the
// scanner against. It cannot tell 65536 from 65535.
var grammar = regexp.MustCompile(`^([1-9][0-9]{0,4})\.(0[1-9]|[1-9][0-9]{1,4})\.(00[1-9]|0[1-9][0-9]|[1-9][0-9]{2,4})(-beta(?:\.([1-9][0-9]{0,4}))?)?$`)

// inGrammar reports whether s is a version, without the help of Parse.
func inGrammar(s string) bool {
	m := grammar.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	for i, limit := range map[int]int{1: most, 2: most, 3: most, 5: mostBeta} {
		if n, _ := strconv.Atoi(m[i]); n > limit {
			return false
		}
	}
	return true
}

// numbers are small, or at the edge of a width, often enough to meet again.
func numbers() *rapid.Generator[int] {
	return rapid.OneOf(
		rapid.IntRange(1, 3),
		rapid.SampledFrom([]int{9, 10, 99, 100, 101, 999, 1000, 65534, 65535}),
		rapid.IntRange(1, most),
	)
}

// versions never yields the zero Version.
func versions() *rapid.Generator[Version] {
	return rapid.Custom(func(t *rapid.T) Version {
		v, err := New(numbers().Draw(t, "X"), numbers().Draw(t, "YY"), numbers().Draw(t, "ZZZ"))
		require.NoError(t, err)
		if rapid.Bool().Draw(t, "beta") {
			n := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, mostBeta)).Draw(t, "N")
			v = MustParse(v.String() + []string{"-beta", fmt.Sprintf("-beta.%d", n)}[min(n, 1)])
		}
		return v
	})
}

// orZero yields the zero Version, too.
func orZero() *rapid.Generator[Version] {
	return rapid.OneOf(rapid.Just(Version{}), versions())
}

// byFields compares as the regulation words it, field by field.
func byFields(v, w Version) int {
	betaOf := func(v Version) int {
		if n, ok := v.beta(); ok {
			return n
		}
		return most
	}
	return cmp.Or(cmp.Compare(v.X(), w.X()), cmp.Compare(v.YY(), w.YY()), cmp.Compare(v.ZZZ(), w.ZZZ()),
		cmp.Compare(betaOf(v), betaOf(w)))
}

func TestLawTotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := orZero().Draw(t, "a"), orZero().Draw(t, "b"), orZero().Draw(t, "c")
		require.Equal(t, -b.Compare(a), a.Compare(b), "antisymmetric")
		require.Equal(t, a == b, a.Compare(b) == 0, "== agrees with Compare")
		require.Equal(t, a == b, a.String() == b.String(), "one text each")
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 {
			require.LessOrEqual(t, a.Compare(c), 0, "transitive")
		}
		if !a.IsZero() && !b.IsZero() {
			require.Equal(t, byFields(a, b), a.Compare(b))
		} else {
			require.Equal(t, cmp.Compare(btoi(a.IsZero()), btoi(b.IsZero())), -a.Compare(b), "zero sorts first")
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestLawPrintParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := versions().Draw(t, "v")
		require.True(t, inGrammar(v.String()))
		w, err := Parse(v.String())
		require.NoError(t, err)
		require.Equal(t, v, w)
		require.LessOrEqual(t, len(v.String()), longest)
	})
}

// almost yields texts that are versions often, and nearly versions otherwise.
func almost() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,4}(-beta(\.[0-9]{1,2})?)?`),
		rapid.StringMatching(`[1-9]\.[0-9]{2,3}\.[0-9]{3,6}(-beta\.[0-9]{1,6})?`),
		rapid.StringMatching(`[ +-]?[0-9]{0,2}\.?[0-9٠a]{0,3}\.?[0-9]{0,4}[-.]?[bet]{0,4}`),
		rapid.String(),
	)
}

func TestLawParsePrintIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkParse(t, almost().Draw(t, "s")) })
}

// checkParse holds for any text; the fuzzer uses it, too.
func checkParse(t require.TestingT, s string) {
	v, err := Parse(s)
	require.Equal(t, inGrammar(s), err == nil, "%q: %v", s, err)
	if err != nil {
		require.Zero(t, v)
		require.ErrorIs(t, err, ErrSyntax)
		return
	}
	require.Equal(t, s, v.String(), "byte for byte")
	w, err := ParseLoose(s)
	require.NoError(t, err)
	require.Equal(t, v, w, "ParseLoose agrees where both read it")
}

func TestLawParseLoose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := versions().Draw(t, "v")
		blanks := rapid.StringOfN(rapid.SampledFrom([]rune(" \t\r\n\u00a0")), 0, 3, -1)
		zeros := rapid.StringOfN(rapid.Just('0'), 0, 9, -1)
		typed := fmt.Sprintf("%s%s%d.%s%d.%s%d", blanks.Draw(t, "before"),
			zeros.Draw(t, "X"), v.X(), zeros.Draw(t, "YY"), v.YY(), zeros.Draw(t, "ZZZ"), v.ZZZ())
		if n, ok := v.beta(); ok {
			typed += rapid.SampledFrom([]string{"-beta", "-BETA", "-Beta"}).Draw(t, "beta")
			if n > 0 {
				typed += fmt.Sprintf(".%s%d", zeros.Draw(t, "N"), n)
			}
		}
		typed += blanks.Draw(t, "after")
		w, err := ParseLoose(typed)
		require.NoError(t, err, "%q", typed)
		require.Equal(t, v, w, "%q", typed)
	})
}

// So a listing sorted by a file manager, or ORDER BY in a database, is right as
// long as no field outgrows its width.
func TestLawTextsOfEqualWidthSortAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Version {
			v, err := New(rapid.IntRange(1, 9).Draw(t, name+" X"), rapid.IntRange(1, 99).Draw(t, name+" YY"),
				rapid.IntRange(1, 999).Draw(t, name+" ZZZ"))
			require.NoError(t, err)
			return v
		}
		v, w := draw("v"), draw("w")
		require.Equal(t, strings.Compare(v.String(), w.String()), v.Compare(w))
	})
	rapid.Check(t, func(t *rapid.T) { // wider fields, as wide in both
		v := versions().Filter(func(v Version) bool { return !v.IsBeta() }).Draw(t, "v")
		w := versions().Filter(func(v Version) bool { return !v.IsBeta() }).Draw(t, "w")
		for _, f := range []func(Version) int{Version.X, Version.YY, Version.ZZZ} {
			if len(strconv.Itoa(f(v))) != len(strconv.Itoa(f(w))) {
				return
			}
		}
		require.Equal(t, strings.Compare(v.String(), w.String()), v.Compare(w))
	})
}

func TestLawSortedIsSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := rapid.SliceOf(orZero()).Draw(t, "vs")
		slices.SortFunc(vs, Version.Compare)
		for i := 1; i < len(vs); i++ {
			require.LessOrEqual(t, vs[i-1].Compare(vs[i]), 0)
		}
	})
}

func TestLawRangeAgreesWithCompare(t *testing.T) {
	holds := map[string]func(c int) bool{
		"": func(c int) bool { return c == 0 }, "=": func(c int) bool { return c == 0 },
		">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
	}
	rapid.Check(t, func(t *rapid.T) {
		clauses := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"", "=", ">", ">=", "<", "<="}).Draw(t, "op") + versions().Draw(t, "bound").String()
		}), 1, 3).Draw(t, "clauses")
		v := versions().Draw(t, "v")
		if rapid.Bool().Draw(t, "at a bound") {
			v = MustParse(strings.TrimLeft(clauses[0], "<>="))
		}
		want := true
		for _, c := range clauses {
			text := strings.TrimLeft(c, "<>=")
			want = want && holds[strings.TrimSuffix(c, text)](v.Compare(MustParse(text)))
		}
		text := strings.Join(clauses, " ")
		r, err := ParseRange(text)
		if err != nil {
			require.False(t, want, "%q holds %v: %v", text, v, err)
			return
		}
		require.Equal(t, want, r.withBetas().Contains(v), "%v in %q", v, text)
		require.Equal(t, want && (!v.IsBeta() || strings.Contains(text, "beta")), r.Contains(v), "%v in %q", v, text)
		require.Equal(t, want && !r.Contains(v), r.Why(v) == unwantedBeta, "%v in %q", v, text)
	})
}

func TestLawNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := Name{
			Distribution: rapid.OneOf(rapid.StringMatching(`[А-Яа-я][А-Яа-я .]{0,20}[а-я]`), rapid.String()).Draw(t, "distribution"),
			Version:      orZero().Draw(t, "version"),
			Variant:      rapid.SampledFrom([]Variant{0, Setup, FullSetup}).Draw(t, "variant"),
		}
		b, err := n.MarshalText()
		if err != nil {
			require.True(t, n.Version.IsZero() || CheckDistribution(n.Distribution) != nil)
			return
		}
		var m Name
		require.NoError(t, m.UnmarshalText(b), "what is written can be read")
		require.Equal(t, n, m)
	})
}
