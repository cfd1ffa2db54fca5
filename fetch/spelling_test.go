package fetch_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// A distribution is found however the server spells it.
func TestSpellingsOfADistribution(t *testing.T) {
	const name = "Районный учёт"
	encode := func(page *charmap.Charmap) string {
		s, err := page.NewEncoder().String(name)
		require.NoError(t, err)
		return s
	}
	for how, raw := range map[string]string{
		"UTF-8": name, "decomposed, as from a Mac": norm.NFD.String(name),
		"CP1251": encode(charmap.Windows1251), "KOI8-R": encode(charmap.KOI8R), "CP866": encode(charmap.CodePage866),
	} {
		for _, asked := range []string{name, norm.NFD.String(name)} {
			s := fetchtest.New(t)
			s.Put("/"+raw+"/7.12.100/Setup.exe", []byte("x"), lab.Released)
			s.Put("/other/7.12.100/Setup.exe", []byte("x"), lab.Released)
			rel, err := fetch.Finder{}.Latest(t.Context(), lab.Client(s), asked, version.Setup)
			require.NoError(t, err, how)
			require.Equal(t, "7.12.100", rel.Version.String())
			require.Equal(t, asked, rel.Distribution)
		}
	}
}
