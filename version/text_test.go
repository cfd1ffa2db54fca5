package version

import (
	"database/sql"
	"database/sql/driver"
	"encoding"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	_ encoding.TextAppender    = Version{}
	_ encoding.TextMarshaler   = Version{}
	_ encoding.TextUnmarshaler = (*Version)(nil)
	_ driver.Valuer            = Version{}
	_ sql.Scanner              = (*Version)(nil)
	_ flag.Value               = (*Version)(nil)

	_ encoding.TextAppender    = Name{}
	_ encoding.TextMarshaler   = Name{}
	_ encoding.TextUnmarshaler = (*Name)(nil)

	_ encoding.TextAppender    = Setup
	_ encoding.TextMarshaler   = Setup
	_ encoding.TextUnmarshaler = (*Variant)(nil)

	_ encoding.TextAppender    = Range{}
	_ encoding.TextMarshaler   = Range{}
	_ encoding.TextUnmarshaler = (*Range)(nil)
)

func TestTextRoundTrips(t *testing.T) {
	for _, g := range goods {
		v := MustParse(g.text)
		b, err := v.AppendText([]byte("before "))
		require.NoError(t, err)
		require.Equal(t, "before "+g.text, string(b))

		b, err = v.MarshalText()
		require.NoError(t, err)
		require.Equal(t, g.text, string(b))
		var w Version
		require.NoError(t, w.UnmarshalText(b))
		require.Equal(t, v, w)
	}
	before := MustParse("7.04.100")
	for _, b := range bads {
		v := before
		if b.text == "" {
			continue // no version, see TestZeroVersionText
		}
		isError(t, v.UnmarshalText([]byte(b.text)), b.text)
		require.Equal(t, before, v, "a failed read must change nothing")
	}
}

func TestZeroVersionText(t *testing.T) {
	b, err := Version{}.AppendText([]byte("x"))
	require.NoError(t, err)
	require.Equal(t, "x", string(b))
	b, err = Version{}.MarshalText()
	require.NoError(t, err)
	require.Empty(t, b)
	v := MustParse("7.04.100")
	require.NoError(t, v.UnmarshalText(b))
	require.Zero(t, v)
}

func TestEncodings(t *testing.T) {
	type doc struct {
		V    Version            `json:"v"`
		None Version            `json:"none"`
		Omit Version            `json:"omit,omitzero" xml:"-"`
		Map  map[Version]string `json:"map" xml:"-"`
		Name Name               `json:"name"`
		Part Variant            `json:"part"`
		R    Range              `json:"r"`
	}
	in := doc{
		V:    MustParse("7.04.100-beta.2"),
		Map:  map[Version]string{MustParse("7.04.100"): "a", MustParse("7.05.100"): "b"},
		Name: Name{"АСП", MustParse("7.04.100"), FullSetup},
		Part: Setup,
		R:    MustParseRange(">=7.12.100 <8.00.000"),
	}
	b, err := json.Marshal(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"v":"7.04.100-beta.2","none":"","map":{"7.04.100":"a","7.05.100":"b"},
		"name":"/АСП/7.04.100/FullSetup","part":"Setup","r":">=7.12.100 <8.00.000"}`, string(b))
	var out doc
	require.NoError(t, json.Unmarshal(b, &out))
	require.Equal(t, in, out)

	in.Map = nil
	b, err = xml.Marshal(in)
	require.NoError(t, err)
	out = doc{}
	require.NoError(t, xml.Unmarshal(b, &out))
	require.Equal(t, in, out)
}

func TestJSONBad(t *testing.T) {
	for _, in := range []string{`"7.4.100"`, `" 7.04.100"`, `7.04`, `{}`, `["7.04.100"]`} {
		v := MustParse("7.05.100")
		require.Error(t, json.Unmarshal([]byte(in), &v), in)
		require.Equal(t, "7.05.100", v.String(), in)
	}
}

func TestSQL(t *testing.T) {
	for _, g := range goods {
		v := MustParse(g.text)
		value, err := v.Value()
		require.NoError(t, err)
		require.Equal(t, driver.Value(g.text), value)
		require.True(t, driver.IsValue(value))
		for _, src := range []any{value, []byte(g.text)} {
			var w Version
			require.NoError(t, w.Scan(src))
			require.Equal(t, v, w)
		}
	}
	value, err := Version{}.Value()
	require.NoError(t, err)
	require.Nil(t, value, "no version is NULL")
	for _, src := range []any{nil, "", []byte{}} {
		v := MustParse("7.04.100")
		require.NoError(t, v.Scan(src))
		require.Zero(t, v)
	}
	for _, src := range []any{7.041, int64(704100), true, "7.4.100", []byte("7.04.100 ")} {
		v := MustParse("7.05.100")
		require.Error(t, v.Scan(src), "%v", src)
		require.Equal(t, "7.05.100", v.String(), "a failed read must change nothing")
	}
}

func TestFlag(t *testing.T) {
	var typed, strict Version
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Var(&typed, "typed", "read as a person types it")
	flags.TextVar(&strict, "strict", Version{}, "read strictly")
	require.NoError(t, flags.Parse([]string{"-typed", "7.4.100", "-strict=7.04.200"}))
	require.Equal(t, "7.04.100 7.04.200", fmt.Sprint(typed, strict))

	require.Error(t, flags.Parse([]string{"-typed", "7.4"}))
	require.Error(t, flags.Parse([]string{"-strict", "7.4.300"}))
	require.Error(t, typed.Set(""))
	require.Equal(t, "7.04.100 7.04.200", fmt.Sprint(typed, strict), "a failed read must change nothing")
}
