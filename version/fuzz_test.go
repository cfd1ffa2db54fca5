package version

import (
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tables' texts are the seeds; texts made to break a parser lie in
// testdata/fuzz.

func FuzzParse(f *testing.F) {
	for _, g := range goods {
		f.Add(g.text)
	}
	for _, b := range bads {
		f.Add(b.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkParse(t, s)
		var v Version
		if err := v.UnmarshalText([]byte(s)); s != "" {
			require.Equal(t, inGrammar(s), err == nil)
		}
	})
}

func FuzzParseLoose(f *testing.F) {
	for _, g := range goods {
		f.Add(" " + g.text)
	}
	for _, b := range bads {
		f.Add(b.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseLoose(s)
		if err != nil {
			require.Zero(t, v)
			isError(t, err, s)
			_, err = Parse(s)
			require.Error(t, err, "ParseLoose reads all that Parse reads")
			return
		}
		w, err := Parse(v.String())
		require.NoError(t, err)
		require.Equal(t, v, w)
	})
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{
		"/АСП/7.04.100", "/АСП/7.04.100/Setup", "/Опека и попечительство/7.12.100/FullSetup", "/asp/8.01.100-beta.2",
		"", "/", "//", "/АСП", "/../7.04.100", "/a\\b/7.04.100", "/a\x00/7.04.100", "/\xff/7.04.100", "/NUL/7.04.100",
		"/C:/7.04.100", "/a./7.04.100", "/a\u202e/7.04.100", "/АСП/7.04.100/", "/АСП/7.4.100/Setup",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			require.Zero(t, n)
			isError(t, err, s)
			return
		}
		require.Equal(t, s, n.String(), "byte for byte")
		d := n.Distribution
		require.True(t, fs.ValidPath(d) && path.Base(d) == d && d != ".", "%q names one directory, inside", d)
		require.False(t, strings.ContainsAny(d, "\\:\x00"), "%q", d)
	})
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{
		">=7.12.100 <8.00.000", "7.12.x", "7.x", "beta", "7.x beta", ">=7.12.100-beta.2", "=7.04.100", "> 7.04.100",
		"", " ", ">", "8.00.000", "7.12.х", ">=7.x", "<1.00.000", ">65535.65535.65535", ">8.01.100 <7.01.100", "7.12.x.x",
	} {
		f.Add(s, "7.12.100", "7.13.100-beta")
	}
	f.Fuzz(func(t *testing.T, s, a, b string) {
		r, err := ParseRange(s)
		if err != nil {
			require.Zero(t, r)
			isError(t, err, s)
			return
		}
		require.Equal(t, s, r.String(), "byte for byte")
		v, errV := Parse(a)
		w, errW := Parse(b)
		if errV != nil || errW != nil {
			return
		}
		for _, v := range []Version{v, w} {
			require.Equal(t, r.Why(v) == "" || r.Why(v) == unwantedBeta, r.withBetas().Contains(v))
		}
		// A version between two versions of a range is in it.
		if all := r.withBetas(); all.Contains(v) && all.Contains(w) {
			require.True(t, all.Contains(Version{v.packed/2 + w.packed/2 + v.packed&w.packed&1}))
		}
	})
}
