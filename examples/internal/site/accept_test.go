package site

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGivenSetups is about which distribution a file is of.
func TestGivenSetups(t *testing.T) {
	one := &Site{Config: &Config{Distributions: []distributionConfig{{Name: "АСП"}}}}
	two := &Site{Config: &Config{Distributions: []distributionConfig{{Name: "АСП"}, {Name: "Опека"}}}}
	for _, tc := range []struct {
		of     *Site
		setups []string
		want   map[string]string
		err    string
	}{
		{of: one, want: map[string]string{}},
		{of: one, setups: []string{"/a=b/Setup.exe"}, want: map[string]string{"АСП": "/a=b/Setup.exe"}},
		{of: one, setups: []string{"АСП=Setup.exe"}, want: map[string]string{"АСП": "Setup.exe"}},
		{of: one, setups: []string{"a.exe", "b.exe"}, err: "two files of АСП are given"},
		{of: two, setups: []string{"Опека=b.exe", "АСП=a.exe"}, want: map[string]string{"АСП": "a.exe", "Опека": "b.exe"}},
		{of: two, setups: []string{"Опека=b.exe"}, want: map[string]string{"Опека": "b.exe"}},
		{of: two, setups: []string{"Setup.exe"}, err: "the distribution of the file Setup.exe is not known"},
		{of: two, setups: []string{"Другой=Setup.exe"}, err: "the distribution of the file Другой=Setup.exe is not known"},
	} {
		got, err := tc.of.given(tc.setups)
		if tc.err != "" {
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, tc.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tc.want, got)
	}
}
