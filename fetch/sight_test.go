package fetch_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// An account that cannot remember what it saw still finds releases: an archive asks
// for two sightings itself.
func TestSightingsThatCannotBeWritten(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, []byte("x"), time.Now().Add(-time.Hour))
	file := lab.WriteTemp(t, "file", nil)
	f := fetch.Finder{Sightings: filepath.Join(file, "sightings.json")}
	_, err := f.Latest(t.Context(), lab.Client(s), "asp", version.Setup)
	require.NoError(t, err)
	f.Sightings = filepath.Join(t.TempDir(), "sightings.json")
	_, err = f.Latest(t.Context(), lab.Client(s), "asp", version.Setup)
	require.ErrorIs(t, err, fetch.ErrNoRelease, "seen once")
}

// A directory of 100,000 names, by either listing: the newest release is found, and
// the server is not asked about each of the others.
func TestADirectoryOf100000Names(t *testing.T) {
	t.Parallel()
	names := map[string]string{"releases": "Setup_7.%02d.%d.exe", "other files": "readme_%d-%d.txt"}
	lines := map[string]string{"MLSD": "type=file;size=1;modify=20191204170000; ", "LIST": "-rw-r--r-- 1 ftp ftp 1 Dec 04  2019 "}
	for what, name := range names {
		for verb, line := range lines {
			t.Run(what+", "+verb, func(t *testing.T) {
				t.Parallel()
				s := fetchtest.New(t)
				if verb == "LIST" {
					s.Features = []string{"SIZE", "MDTM"}
				}
				all := []string{line + "Setup_7.99.999.exe"}
				for i := range 100_000 {
					all = append(all, line+fmt.Sprintf(name, 1+i/1000%98, 1000+i%1000))
				}
				s.OnList(func(string) []string { return all })
				lab.Replies(s, map[string]string{"CWD": "250 there", "SIZE": "213 1", "MDTM": "213 20191204170000"})
				f := fetch.Finder{Sightings: filepath.Join(t.TempDir(), "sightings.json"), Vouched: func(string, version.Version, version.Variant) bool { return true }}
				rel, err := f.Latest(t.Context(), lab.Client(s), "asp", version.Setup)
				require.NoError(t, err)
				require.Equal(t, "7.99.999", rel.Version.String())
				require.Less(t, len(s.Commands()), 500)
			})
		}
	}
}

// Each of the newest 200 versions is asked about, and any that a caller names: the
// listing here has neither sizes nor times.
func TestAVersionByNameIsAskedAbout(t *testing.T) {
	t.Parallel()
	for verb, line := range map[string]string{"MLSD": "type=file; ", "LIST": "+r,\t"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			s := fetchtest.New(t)
			if verb == "LIST" {
				s.Features = []string{"SIZE", "MDTM"}
			}
			var all []string
			for i := range 300 {
				all = append(all, line+fmt.Sprintf("Setup_7.12.%d.exe", 100+i))
			}
			s.OnList(func(string) []string { return all })
			lab.Replies(s, map[string]string{"CWD": "250 there", "SIZE": "213 1", "MDTM": "213 20191204170000"})
			f := fetch.Finder{Sightings: filepath.Join(t.TempDir(), "sightings.json"), Vouched: func(string, version.Version, version.Variant) bool { return true }}
			found, err := f.Find(t.Context(), lab.Client(s), "asp")
			require.NoError(t, err)
			require.Len(t, found.Releases, 200)
			oldest := version.MustParse("7.12.100")
			f.Accept = func(_ string, v version.Version) bool { return v == oldest }
			rel, err := f.Latest(t.Context(), lab.Client(s), "asp", version.Setup)
			require.NoError(t, err)
			require.Equal(t, oldest, rel.Version)
			require.EqualValues(t, 1, rel.Files[0].Size)
		})
	}
}
