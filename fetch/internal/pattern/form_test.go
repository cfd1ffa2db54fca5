package pattern

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzLayout(f *testing.F) {
	patterns, _, err := CompileAll([]string{"{version}/{variant}", "{variant}/{version}", "{variant}{sep}{version}", "{version}/{variant}{sep}{version}"})
	require.NoError(f, err)
	for _, s := range []string{"Setup_7.12.100.exe", "7.12.100", "fullsetup-7.12.100-beta.1.tar.gz", "7.12.100.1", "Setup.7.12.100"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, p := range patterns {
			for _, form := range p {
				m, ok := Match{}.Name(form, strings.ToLower(name))
				if ok && m.Version.IsZero() && m.Variant == 0 {
					t.Fatalf("%q matched without telling anything", name)
				}
				if ok && !m.Version.IsZero() && !strings.Contains(strings.ToLower(name), m.Version.String()) {
					t.Fatalf("%q gave %s", name, m.Version)
				}
			}
		}
	})
}
