package fetch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

func numbersOf(found fetch.Found) (out []string) {
	for _, r := range found.Releases {
		out = append(out, r.Version.String())
	}
	return out
}

func why(found fetch.Found, path string) fetch.SkipReason {
	for _, s := range found.Skipped {
		if strings.HasSuffix(s.Path, path) {
			return s.Reason
		}
	}
	return ""
}

func TestLayoutFindsTheUsualForms(t *testing.T) {
	for _, path := range []string{
		"7.12.100/Setup.exe", "7.12.100/Setup", "7.12.100/SETUP.MSI", "Setup/7.12.100.exe", "setup/7.12.100", "Setup_7.12.100.exe",
		"Setup-7.12.100.zip", "Setup.7.12.100.exe", "Setup 7.12.100.7z", "setup_7.12.100.tar.gz", "7.12.100/Setup_7.12.100.exe",
	} {
		s := fetchtest.New(t)
		s.Put("/asp/"+path, []byte("x"), lab.Released)
		rel, err := lab.Finder().Latest(t.Context(), lab.Client(s), "asp", version.Setup)
		require.NoError(t, err, path)
		require.Equal(t, "7.12.100", rel.Version.String())
		f, ok := rel.File(version.Setup)
		require.True(t, ok)
		require.Equal(t, "/asp/"+path, f.Path)
		require.Equal(t, int64(1), f.Size)
	}
}

func TestWhatDoesNotParseIsReportedAndNeverFatal(t *testing.T) {
	s := fetchtest.New(t)
	for path, mod := range map[string]time.Time{
		"7.12.100/Setup.exe": lab.Released, "7.12.100/readme.txt": lab.Released, "7.12.100/Setup.txt": lab.Released,
		"Setup.exe": lab.Released, "FullSetup": lab.Released, "7.4.100/Setup.exe": lab.Released, "7.12.100.1/Setup.exe": lab.Released,
		"7.12.200/Setup_7.12.300.exe": lab.Released, "7.12.300/Setup/aux.exe": lab.Released, "Setup_7.12.400.exe.part": lab.Released,
		"7.12.500/Setup.exe": lab.Released, "7.12.500/Setup.msi": lab.Released, "7.12.600-beta.1/Setup.exe": lab.Released, "x/y": lab.Released,
	} {
		s.Put("/asp/"+path, []byte("x"), mod)
	}
	var events lab.Events[fetch.Event]
	f := lab.Finder()
	f.Observe = events.Observe
	found, err := f.Find(t.Context(), lab.Client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.100"}, numbersOf(found))
	for path, want := range map[string]fetch.SkipReason{
		"7.12.100/readme.txt": fetch.SkipName, "7.12.100/Setup.txt": fetch.SkipName, "/asp/Setup.exe": fetch.SkipName,
		"/asp/FullSetup": fetch.SkipName, "/asp/7.4.100": fetch.SkipName, "/asp/7.12.100.1": fetch.SkipName,
		"Setup_7.12.300.exe": fetch.SkipName, "7.12.300/Setup/aux.exe": fetch.SkipUnsafe, "400.exe.part": fetch.SkipSettling,
		"7.12.500/Setup.exe": fetch.SkipAmbiguous, "7.12.500/Setup.msi": fetch.SkipAmbiguous,
		"beta.1/Setup.exe": fetch.SkipBeta, "/asp/x": fetch.SkipName,
	} {
		require.Equal(t, want, why(found, path), path)
	}
	require.Len(t, events.All(func(e fetch.Event) bool { return e.Kind == "skipped" }), len(found.Skipped))
}

func TestHostileNamesInListings(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(lab.SetupPath, []byte("x"), lab.Released)
	long := strings.Repeat("x", 4000)
	hostile := []string{"../../etc/passwd", "..", "a/b", "/etc/passwd", "CON", "aux.exe", "dots...", "nul\x00byte", "esc\x1b[2J", `..\..\x`, long}
	for _, features := range [][]string{nil, {"SIZE", "MDTM"}} {
		s.Features = features
		s.OnList(func(dir string) []string {
			if dir != "/asp" {
				return nil
			}
			lines := []string{"type=dir; 7.12.100"}
			if features != nil {
				lines = []string{"total 5", "drwxr-xr-x    2 ftp      ftp          4096 Dec 04  2019 7.12.100", "?????????? ? ? ? ?            ? lost.exe"}
			}
			for _, name := range hostile {
				if features == nil {
					lines = append(lines, "type=file;size=5; "+name)
				} else {
					lines = append(lines, "-rw-r--r--    1 ftp      ftp             5 Dec 04  2019 "+name)
				}
			}
			return lines
		})
		found, err := lab.Finder().Find(t.Context(), lab.Client(s), "asp")
		require.NoError(t, err)
		require.Equal(t, []string{"7.12.100"}, numbersOf(found))
		for _, name := range hostile {
			if name != ".." {
				require.Equal(t, fetch.SkipUnsafe, why(found, name), "%q", name)
			}
		}
		if features != nil {
			require.Equal(t, fetch.SkipUnreadable, why(found, "lost.exe"), "a line that is not understood is reported")
		}
		for _, sk := range found.Skipped {
			require.Less(t, len(sk.String()), 700)
			require.NotContains(t, sk.String(), "\x1b")
		}
	}
}

// Nothing on the server is passed over in silence, and a hash that was left
// behind does not hide that its version is gone.
func TestASidecarOfNothingIsReported(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/asp/7.12.100/Setup.exe", []byte("x"), lab.Released)
	s.Put("/asp/7.12.100/Setup.exe.sha256", []byte("x"), lab.Released)
	s.Put("/asp/7.12.100/Setup.sha256", []byte("x"), lab.Released)
	s.Put("/asp/7.12.200/Setup.exe.sha256", []byte("x"), lab.Released)
	found, err := lab.Finder().Find(t.Context(), lab.Client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.100"}, numbersOf(found))
	require.Equal(t, "/asp/7.12.100/Setup.exe.sha256", found.Releases[0].Files[0].Sidecar)
	require.Len(t, found.Skipped, 2)
	require.Equal(t, fetch.SkipName, why(found, "7.12.100/Setup.sha256"))
	require.Equal(t, fetch.SkipName, why(found, "7.12.200/Setup.exe.sha256"))
}

func TestLatestNeverGoesByDate(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/asp/7.12.200/Setup.exe", []byte("x"), lab.Released.AddDate(-1, 0, 0))
	s.Put("/asp/7.12.100/Setup.exe", []byte("x"), lab.Released)
	s.Put("/asp/7.9.900/Setup.exe", []byte("x"), lab.Released.AddDate(0, 1, 0))
	s.Put("/asp/7.09.900/Setup.exe", []byte("x"), lab.Released.AddDate(0, 1, 0))
	rel, err := lab.Finder().Latest(t.Context(), lab.Client(s), "asp", version.Setup)
	require.NoError(t, err)
	require.Equal(t, "7.12.200", rel.Version.String())
}

func TestR7BetasAndRegions(t *testing.T) {
	s := fetchtest.New(t)
	for _, v := range []string{"7.12.100", "7.12.200-beta.1", "7.12.200-beta.2"} {
		s.Put("/asp/"+v+"/Setup.exe", []byte("x"), lab.Released)
	}
	f := lab.Finder()
	found, err := f.Find(t.Context(), lab.Client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.100"}, numbersOf(found))

	f.Betas = true
	found, err = f.Find(t.Context(), lab.Client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.200-beta.2", "7.12.200-beta.1", "7.12.100"}, numbersOf(found))

	f.Accept = func(distribution string, v version.Version) bool {
		return distribution == "asp" && v.String() != "7.12.200-beta.2"
	}
	found, err = f.Find(t.Context(), lab.Client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.200-beta.1", "7.12.100"}, numbersOf(found))
	require.Equal(t, fetch.SkipRefused, why(found, "beta.2/Setup.exe"))
}

func TestAReleaseThatIsStillSettlingIsNotOffered(t *testing.T) {
	for name, c := range map[string]struct {
		age    time.Duration
		settle time.Duration
		want   bool
	}{
		"nine minutes":            {9 * time.Minute, 0, false},
		"ten minutes":             {10 * time.Minute, 0, true},
		"days":                    {72 * time.Hour, 0, true},
		"from the future":         {-3 * time.Hour, 0, false},
		"no settling wanted":      {0, -1, true},
		"longer settling wanted":  {20 * time.Minute, time.Hour, false},
		"much longer, and enough": {49 * time.Hour, 48 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Put("/asp/7.12.100/Setup.exe", []byte("x"), lab.Now.Add(-30*24*time.Hour))
			s.Put("/asp/7.12.200/Setup.exe", []byte("x"), lab.Now.Add(-30*24*time.Hour))
			s.Put("/asp/7.12.200/FullSetup.exe", []byte("x"), lab.Now.Add(-c.age))
			f := lab.Finder()
			f.Settle = c.settle
			found, err := f.Find(t.Context(), lab.Client(s), "asp")
			require.NoError(t, err)
			if c.want {
				require.Equal(t, []string{"7.12.200", "7.12.100"}, numbersOf(found))
				return
			}
			require.Equal(t, []string{"7.12.100"}, numbersOf(found), "all of a release or nothing")
			require.Equal(t, fetch.SkipSettling, why(found, "FullSetup.exe"))
		})
	}
}

// A LIST shows local time: on a server in Moscow what was uploaded an hour
// ago seems to come from the future. MDTM knows better.
func TestSettlingGoesByMDTMWhereAListingIsLocal(t *testing.T) {
	s := fetchtest.New(t)
	s.Features = []string{"SIZE", "MDTM"}
	s.Put(lab.SetupPath, []byte("x"), lab.Now.Add(-time.Hour))
	s.OnList(func(dir string) []string {
		if dir != "/asp/7.12.100" {
			return nil
		}
		return []string{"03-01-20  02:00PM                    1 Setup.exe"} // IIS
	})
	rel, err := lab.Finder().Latest(t.Context(), lab.Client(s), "asp", version.Setup)
	require.NoError(t, err)
	require.True(t, rel.Files[0].Time.Equal(lab.Now.Add(-time.Hour)))
}

func TestR3FullSetupNeedsItsSetup(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/asp/7.12.100/Setup.exe", []byte("x"), lab.Released)
	s.Put("/asp/7.12.100/FullSetup.exe", []byte("x"), lab.Released)
	s.Put("/asp/7.12.200/FullSetup.exe", []byte("x"), lab.Released)
	s.Put("/asp/7.12.300/Setup.exe", []byte("x"), lab.Released)
	rel, err := lab.Finder().Latest(t.Context(), lab.Client(s), "asp", version.FullSetup)
	require.NoError(t, err)
	require.Equal(t, "7.12.100", rel.Version.String())
	rel, err = lab.Finder().Latest(t.Context(), lab.Client(s), "asp", version.Setup)
	require.NoError(t, err)
	require.Equal(t, "7.12.300", rel.Version.String())
}

func TestNothingThereAndUnknownDistribution(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/asp/readme.txt", []byte("x"), lab.Released)
	s.Put("/Опека/readme.txt", []byte("x"), lab.Released)
	_, err := lab.Finder().Latest(t.Context(), lab.Client(s), "asp", version.Setup)
	require.ErrorIs(t, err, fetch.ErrNoRelease)
	_, err = lab.Finder().Latest(t.Context(), lab.Client(s), "asl", version.Setup)
	require.ErrorIs(t, err, fetch.ErrUnknownDistribution)
	require.ErrorContains(t, err, "the server has asp, Опека")
	for _, bad := range []string{"", "..", "a/b", "a\r\nb"} {
		_, err = lab.Finder().Latest(t.Context(), lab.Client(s), bad, version.Setup)
		require.ErrorIs(t, err, fetch.ErrUnsafeName, "%q", bad)
	}
}

func TestLayoutErrors(t *testing.T) {
	for _, p := range []string{"", "{version}", "{variant}", "{version}/{form}", "../{version}/{variant}", "{version}//{variant}"} {
		f := lab.Finder()
		f.Layout.Patterns = []string{p}
		_, err := f.Find(t.Context(), nil, "asp")
		require.ErrorContains(t, err, "read layout", p)
	}
}

func TestLayoutOfOnesOwn(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/pub/releases/asp/updates/v7.12.100/asp-Setup-final.exe", []byte("x"), lab.Released)
	s.Put("/pub/releases/asp/7.12.200/Setup.exe", []byte("x"), lab.Released)
	f := lab.Finder()
	f.Layout = fetch.Layout{Root: "pub/releases", Patterns: []string{"updates/v{version}/{any}-{variant}-final"}}
	found, err := f.Find(t.Context(), lab.Client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.100"}, numbersOf(found))
}

func TestR4Joint(t *testing.T) {
	for name, c := range map[string]struct {
		files  []string
		each   bool
		want   string // versions, or the error's text
		reason error
		newer  bool // a newer number is reported as incomplete
	}{
		"same number":              {[]string{"a/7.12.100", "a/7.12.200", "b/7.12.100", "b/7.12.200"}, false, "7.12.200 7.12.200", nil, false},
		"newest that all have":     {[]string{"a/7.12.100", "a/7.12.200", "b/7.12.100"}, false, "7.12.100 7.12.100", nil, true},
		"each newest":              {[]string{"a/7.12.100", "a/7.12.200", "b/7.12.100"}, true, "7.12.200 7.12.100", nil, false},
		"incomplete":               {[]string{"a/7.12.200", "b/7.12.100"}, false, "b: no Setup of 7.12.200 (not on the server)", fetch.ErrIncomplete, false},
		"one has nothing":          {[]string{"a/7.12.200", "b/x"}, false, "b: no Setup of 7.12.200", fetch.ErrIncomplete, false},
		"one has nothing, by each": {[]string{"a/7.12.200", "b/x"}, true, "b: no Setup to offer", fetch.ErrIncomplete, false},
		"nothing at all":           {[]string{"a/x", "b/x"}, false, "no release to offer", fetch.ErrNoRelease, false},
		"one is unknown":           {[]string{"a/7.12.200"}, false, "unknown distribution", fetch.ErrUnknownDistribution, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			for _, f := range c.files {
				s.Put(f+"/Setup.exe", []byte("x"), lab.Released)
			}
			var events lab.Events[fetch.Event]
			f := lab.Finder()
			f.Observe, f.EachNewest = events.Observe, c.each
			rels, err := f.Joint(t.Context(), lab.Client(s), []string{"a", "b"}, version.Setup)
			if c.reason != nil {
				require.ErrorIs(t, err, c.reason)
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			var got []string
			for _, r := range rels {
				got = append(got, r.Version.String())
			}
			require.Equal(t, c.want, strings.Join(got, " "))
			require.Equal(t, c.newer, len(events.All(func(e fetch.Event) bool { return e.Kind == fetch.EventIncomplete })) > 0)
		})
	}
}

// Whatever is on the server: a joint release is one number, all have it
// whole, and no newer number is whole everywhere.
func TestR4JointLaw(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(rt, "members")]
		src := lab.Listings{}
		has := map[string]map[int]bool{}
		for _, n := range names {
			has[n] = map[int]bool{}
			src["/"+n] = []fetch.Entry{}
			for _, k := range rapid.SliceOfNDistinct(rapid.IntRange(1, 6), 0, 6, rapid.ID).Draw(rt, n) {
				has[n][k] = true
				v := fmt.Sprintf("7.12.%d00", k)
				src["/"+n] = append(src["/"+n], fetch.Entry{Name: v, Kind: fetch.KindDir})
				src["/"+n+"/"+v] = []fetch.Entry{{Name: "Setup.exe", Size: 1, Time: lab.Released}}
			}
		}
		best := 0
		for k := 1; k <= 6; k++ {
			all := true
			for _, n := range names {
				all = all && has[n][k]
			}
			if all {
				best = k
			}
		}
		rels, err := lab.Finder().Joint(context.Background(), src, names, version.Setup)
		if (err == nil) != (best > 0) {
			rt.Fatalf("best %d, error %v", best, err)
		}
		for _, r := range rels {
			if r.Version.ZZZ() != best*100 {
				rt.Fatalf("got %s, best is %d00", r.Version, best)
			}
		}
	})
}

func TestAHostileNameCostsLittleTime(t *testing.T) {
	src := lab.Listings{"/asp": {{Name: strings.Repeat("_", 200), Kind: fetch.KindDir}, {Name: strings.Repeat("setup_", 33), Kind: fetch.KindDir}}}
	f := lab.Finder()
	f.Layout.Patterns = []string{"{any}_{any}_{any}_{any}_{any}_{version}/{variant}", "{any}{variant}{sep}{any}{sep}{any}{sep}{any}{variant}{any}{version}"}
	began := time.Now()
	_, err := f.Find(t.Context(), src, "asp")
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*time.Second)
}

// flood is a server whose every directory is as full as a listing can be.
type flood struct{ lab.Listings }

func (flood) List(_ context.Context, dir string) ([]fetch.Entry, error) {
	if dir == "/asp" {
		var all []fetch.Entry
		for i := range 1500 {
			all = append(all, fetch.Entry{Name: fmt.Sprintf("7.12.%d", 100+i), Kind: fetch.KindDir})
		}
		return all, nil
	}
	junk := fetch.Entry{Name: strings.Repeat("x", 150), Kind: fetch.KindFile}
	return slices.Repeat([]fetch.Entry{junk}, 10_000), nil
}

func TestAServerCannotFillTheMemory(t *testing.T) {
	_, err := lab.Finder().Find(t.Context(), flood{}, "asp")
	require.ErrorContains(t, err, "Layout.Patterns")
}
