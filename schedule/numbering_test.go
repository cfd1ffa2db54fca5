package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/version"
)

func TestR2MonthOfAVersion(t *testing.T) {
	slipped := Numbering{Epochs: []Epoch{{X: 7, Year: 2019}, {X: 8, Year: 2022, Month: time.April}}}
	for _, c := range []struct {
		n       Numbering
		version string
		want    string // "" for none
	}{
		{Numbering{}, "7.12.100", "2019-12"},
		{Numbering{}, "7.13.100", "2020-01"},
		{Numbering{}, "7.01.100", "2019-01"},
		{Numbering{}, "7.36.300", "2021-12"},
		{Numbering{}, "7.36.300-beta.2", "2021-12"},
		{Numbering{}, "6.01.100", "2016-01"},
		{Numbering{}, "8.01.150", "2022-01"},
		{Numbering{}, "9.01.100", "2025-01"},
		{Numbering{}, "1.01.100", "2001-01"},
		{Numbering{}, "7.37.100", ""},
		{slipped, "7.37.100", "2022-01"},
		{slipped, "7.39.100", "2022-03"},
		{slipped, "7.40.100", ""},
		{slipped, "8.01.100", "2022-04"},
		{slipped, "8.36.100", "2025-03"},
		{slipped, "8.37.100", ""},
		{slipped, "6.36.100", ""},
		{slipped, "9.01.100", ""},
	} {
		v := version.MustParse(c.version)
		year, month, err := c.n.Month(v)
		if c.want == "" {
			require.ErrorIs(t, err, ErrBeyondData, c.version)
			require.ErrorContains(t, err, "epoch", c.version)
			continue
		}
		require.NoError(t, err, c.version)
		require.Equal(t, c.want, time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Format("2006-01"), c.version)
		back, err := c.n.Version(year, month, 1)
		require.NoError(t, err)
		require.Equal(t, [2]int{v.X(), v.YY()}, [2]int{back.X(), back.YY()})
	}
	_, _, err := Numbering{}.Month(version.Version{})
	require.ErrorIs(t, err, ErrBeyondData)
}

func TestR2EveryMonthFrom2016To2027(t *testing.T) {
	x, yy := 6, 1
	for year := 2016; year <= 2027; year++ {
		for month := time.January; month <= time.December; month++ {
			v, err := Numbering{}.Version(year, month, 2)
			require.NoError(t, err)
			require.Equal(t, [3]int{x, yy, 200}, [3]int{v.X(), v.YY(), v.ZZZ()})
			y, m, err := Numbering{}.Month(v)
			require.NoError(t, err)
			require.Equal(t, year, y)
			require.Equal(t, month, m)
			if yy++; yy > 36 {
				x, yy = x+1, 1
			}
		}
	}
	require.Equal(t, 10, x)
}

// Whatever the epochs are: no two versions share a month, and none gets lost.
func TestR2NumberingIsABijection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n Numbering
		x, m := rapid.IntRange(1, 9).Draw(t, "x"), 2010*12+rapid.IntRange(0, 40).Draw(t, "m")
		for range rapid.IntRange(0, 4).Draw(t, "epochs") {
			n.Epochs = append(n.Epochs, Epoch{X: x, Year: m / 12, Month: time.Month(m%12 + 1)})
			x += rapid.IntRange(1, 2).Draw(t, "dx")
			m += rapid.IntRange(1, 50).Draw(t, "dm")
		}
		year, month := rapid.IntRange(2001, 2040).Draw(t, "year"), time.Month(rapid.IntRange(1, 12).Draw(t, "month"))
		nth := rapid.IntRange(1, 655).Draw(t, "nth")
		v, err := n.Version(year, month, nth)
		if err != nil {
			require.ErrorIs(t, err, ErrBeyondData)
			require.NotEmpty(t, n.Epochs)
			return
		}
		y, mm, err := n.Month(v)
		require.NoError(t, err)
		require.Equal(t, year, y)
		require.Equal(t, month, mm)
		require.Equal(t, nth*100, v.ZZZ())

		w, err := version.New(rapid.IntRange(1, 20).Draw(t, "X"), rapid.IntRange(1, 60).Draw(t, "YY"), 100)
		require.NoError(t, err)
		if y, mm, err := n.Month(w); err == nil {
			back, err := n.Version(y, mm, 1)
			require.NoError(t, err)
			require.Equal(t, w, back)
		}
	})
}

func TestR14CrossesYear(t *testing.T) {
	slipped := Numbering{Epochs: []Epoch{{X: 7, Year: 2019}, {X: 8, Year: 2022, Month: time.April}}}
	for _, c := range []struct {
		n        Numbering
		from, to string
		want     bool
	}{
		{Numbering{}, "7.12.200", "7.13.100", true},
		{Numbering{}, "7.12.200", "7.15.300", true}, // R8: the year's first was skipped
		{Numbering{}, "7.13.100", "7.14.100", false},
		{Numbering{}, "7.12.100", "7.12.300", false}, // a December version, even if it ships in January
		{Numbering{}, "7.36.200", "8.01.100", true},
		{Numbering{}, "7.01.100", "9.36.100", true},
		{Numbering{}, "8.01.100", "7.36.200", false}, // back
		{Numbering{}, "8.01.100", "8.01.100", false},
		{Numbering{}, "7.12.200", "7.13.100-beta", true},
		{slipped, "7.36.200", "7.37.100", true},
		{slipped, "7.37.100", "8.01.100", false}, // January to April 2022
	} {
		got, err := c.n.CrossesYear(version.MustParse(c.from), version.MustParse(c.to))
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%s to %s", c.from, c.to)
	}
	first, err := Numbering{}.CrossesYear(version.Version{}, version.MustParse("7.13.100"))
	require.NoError(t, err)
	require.False(t, first, "a first installation")
	for _, pair := range [][2]string{{"7.37.100", "8.01.100"}, {"7.36.100", "7.37.100"}} {
		_, err := Numbering{}.CrossesYear(version.MustParse(pair[0]), version.MustParse(pair[1]))
		require.ErrorIs(t, err, ErrBeyondData)
	}
}

func TestNumberingRefusesNonsense(t *testing.T) {
	v := version.MustParse("7.04.100")
	for _, epochs := range [][]Epoch{
		{{X: 0, Year: 2019}},
		{{X: 7}},
		{{X: 7, Year: 2019, Month: 13}},
		{{X: 8, Year: 2022}, {X: 7, Year: 2025}},
		{{X: 7, Year: 2019}, {X: 8, Year: 2019}},
	} {
		_, _, err := Numbering{epochs}.Month(v)
		require.Error(t, err)
		_, err = Numbering{epochs}.Version(2019, 4, 1)
		require.Error(t, err)
	}
	for _, c := range [][3]int{{2019, 0, 1}, {2019, 13, 1}, {2019, 4, 0}, {2019, 4, 656}, {0, 1, 1}, {1 << 40, 1, 1}, {1999, 12, 1}, {2000, 12, 1}} {
		_, err := Numbering{}.Version(c[0], time.Month(c[1]), c[2])
		require.Error(t, err)
	}
}
