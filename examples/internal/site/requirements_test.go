package site

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/version"
)

func TestR14RequirementsAreOfTheYear(t *testing.T) {
	dir := t.TempDir()
	s := &Site{Config: &Config{State: dir, FirstOfYear: requirementsConfig{
		System: "debian 12", DotNet: "4.8", FreeGB: map[string]int64{dir: 1}, Confirm: []string{"read"},
	}}}
	list, err := s.requirements(version.MustParse("8.01.100"))
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.ErrorContains(t, list[3].Run(t.Context()), `"R14 2022: read"`)
	list, err = s.requirements(version.MustParse("7.36.900"))
	require.NoError(t, err)
	require.ErrorContains(t, list[3].Run(t.Context()), `"R14 2021: read"`)
	_, err = s.requirements(version.MustParse("8.99.100"))
	require.Error(t, err, "a version of no month")
	empty, err := (&Site{Config: &Config{}}).requirements(version.MustParse("8.01.100"))
	require.NoError(t, err)
	require.Empty(t, empty)
}
