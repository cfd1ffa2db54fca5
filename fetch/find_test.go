package fetch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/version"
)

var now = time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)

func finder() fetch.Finder { return fetch.Finder{Now: func() time.Time { return now }} }

func numbersOf(found fetch.Found) (out []string) {
	for _, r := range found.Releases {
		out = append(out, r.Version.String())
	}
	return out
}

func why(found fetch.Found, path string) fetch.Why {
	for _, s := range found.Skipped {
		if strings.HasSuffix(s.Path, path) {
			return s.Why
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
		s.Put("/asp/"+path, []byte("x"), released)
		rel, err := finder().Latest(t.Context(), client(s), "asp", version.Setup)
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
		"7.12.100/Setup.exe": released, "7.12.100/readme.txt": released, "7.12.100/Setup.txt": released,
		"Setup.exe": released, "FullSetup": released, "7.4.100/Setup.exe": released, "7.12.100.1/Setup.exe": released,
		"7.12.200/Setup_7.12.300.exe": released, "7.12.300/Setup/aux.exe": released, "Setup_7.12.400.exe.part": released,
		"7.12.500/Setup.exe": released, "7.12.500/Setup.msi": released, "7.12.600-beta.1/Setup.exe": released, "x/y": released,
	} {
		s.Put("/asp/"+path, []byte("x"), mod)
	}
	var ev events
	f := finder()
	f.Observe = ev.observe
	found, err := f.Find(t.Context(), client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.100"}, numbersOf(found))
	for path, want := range map[string]fetch.Why{
		"7.12.100/readme.txt": fetch.SkipName, "7.12.100/Setup.txt": fetch.SkipName, "/asp/Setup.exe": fetch.SkipName,
		"/asp/FullSetup": fetch.SkipName, "/asp/7.4.100": fetch.SkipName, "/asp/7.12.100.1": fetch.SkipName,
		"Setup_7.12.300.exe": fetch.SkipName, "7.12.300/Setup/aux.exe": fetch.SkipUnsafe, "400.exe.part": fetch.SkipSettling,
		"7.12.500/Setup.exe": fetch.SkipAmbiguous, "7.12.500/Setup.msi": fetch.SkipAmbiguous,
		"beta.1/Setup.exe": fetch.SkipBeta, "/asp/x": fetch.SkipName,
	} {
		require.Equal(t, want, why(found, path), path)
	}
	require.Len(t, ev.of(fetch.EventSkipped), len(found.Skipped))
}

func TestHostileNamesInListings(t *testing.T) {
	s := fetchtest.New(t)
	s.Put(setupPath, []byte("x"), released)
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
		found, err := finder().Find(t.Context(), client(s), "asp")
		require.NoError(t, err)
		require.Equal(t, []string{"7.12.100"}, numbersOf(found))
		for _, name := range hostile {
			if name != ".." {
				require.Equal(t, fetch.SkipUnsafe, why(found, name), "%q", name)
			}
		}
		if features != nil {
			require.Equal(t, fetch.SkipUnreadable, why(found, "lost.exe"), "a line that is not understood is told")
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
	s.Put("/asp/7.12.100/Setup.exe", []byte("x"), released)
	s.Put("/asp/7.12.100/Setup.exe.sha256", []byte("x"), released)
	s.Put("/asp/7.12.100/Setup.sha256", []byte("x"), released)
	s.Put("/asp/7.12.200/Setup.exe.sha256", []byte("x"), released)
	found, err := finder().Find(t.Context(), client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.100"}, numbersOf(found))
	require.Equal(t, "/asp/7.12.100/Setup.exe.sha256", found.Releases[0].Files[0].Sidecar)
	require.Len(t, found.Skipped, 2)
	require.Equal(t, fetch.SkipName, why(found, "7.12.100/Setup.sha256"))
	require.Equal(t, fetch.SkipName, why(found, "7.12.200/Setup.exe.sha256"))

	w := newWatcher(t)
	w.sees(t, client(s), "released: /asp/7.12.100, there at the first look")
	s.Remove("/asp/7.12.100/Setup.exe")
	w.sees(t, client(s), "vanished: /asp/7.12.100")
}

func TestLatestNeverGoesByDate(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/asp/7.12.200/Setup.exe", []byte("x"), released.AddDate(-1, 0, 0))
	s.Put("/asp/7.12.100/Setup.exe", []byte("x"), released)
	s.Put("/asp/7.9.900/Setup.exe", []byte("x"), released.AddDate(0, 1, 0))
	s.Put("/asp/7.09.900/Setup.exe", []byte("x"), released.AddDate(0, 1, 0))
	rel, err := finder().Latest(t.Context(), client(s), "asp", version.Setup)
	require.NoError(t, err)
	require.Equal(t, "7.12.200", rel.Version.String())
}

func TestR7BetasAndRegions(t *testing.T) {
	s := fetchtest.New(t)
	for _, v := range []string{"7.12.100", "7.12.200-beta.1", "7.12.200-beta.2"} {
		s.Put("/asp/"+v+"/Setup.exe", []byte("x"), released)
	}
	f := finder()
	found, err := f.Find(t.Context(), client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.100"}, numbersOf(found))

	f.Betas = true
	found, err = f.Find(t.Context(), client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.200-beta.2", "7.12.200-beta.1", "7.12.100"}, numbersOf(found))

	f.Accept = func(distribution string, v version.Version) bool {
		return distribution == "asp" && v.String() != "7.12.200-beta.2"
	}
	found, err = f.Find(t.Context(), client(s), "asp")
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
			s.Put("/asp/7.12.100/Setup.exe", []byte("x"), now.Add(-30*24*time.Hour))
			s.Put("/asp/7.12.200/Setup.exe", []byte("x"), now.Add(-30*24*time.Hour))
			s.Put("/asp/7.12.200/FullSetup.exe", []byte("x"), now.Add(-c.age))
			f := finder()
			f.Settle = c.settle
			found, err := f.Find(t.Context(), client(s), "asp")
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
	s.Put(setupPath, []byte("x"), now.Add(-time.Hour))
	s.OnList(func(dir string) []string {
		if dir != "/asp/7.12.100" {
			return nil
		}
		return []string{"03-01-20  02:00PM                    1 Setup.exe"} // IIS
	})
	rel, err := finder().Latest(t.Context(), client(s), "asp", version.Setup)
	require.NoError(t, err)
	require.True(t, rel.Files[0].Time.Equal(now.Add(-time.Hour)))
}

func TestR3FullSetupNeedsItsSetup(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/asp/7.12.100/Setup.exe", []byte("x"), released)
	s.Put("/asp/7.12.100/FullSetup.exe", []byte("x"), released)
	s.Put("/asp/7.12.200/FullSetup.exe", []byte("x"), released)
	s.Put("/asp/7.12.300/Setup.exe", []byte("x"), released)
	rel, err := finder().Latest(t.Context(), client(s), "asp", version.FullSetup)
	require.NoError(t, err)
	require.Equal(t, "7.12.100", rel.Version.String())
	rel, err = finder().Latest(t.Context(), client(s), "asp", version.Setup)
	require.NoError(t, err)
	require.Equal(t, "7.12.300", rel.Version.String())
}

func TestNothingThereAndUnknownDistribution(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/asp/readme.txt", []byte("x"), released)
	s.Put("/Опека/readme.txt", []byte("x"), released)
	_, err := finder().Latest(t.Context(), client(s), "asp", version.Setup)
	require.ErrorIs(t, err, fetch.ErrNothing)
	_, err = finder().Latest(t.Context(), client(s), "asl", version.Setup)
	require.ErrorIs(t, err, fetch.ErrUnknownDistribution)
	require.ErrorContains(t, err, "the server has asp, Опека")
	for _, bad := range []string{"", "..", "a/b", "a\r\nb"} {
		_, err = finder().Latest(t.Context(), client(s), bad, version.Setup)
		require.ErrorIs(t, err, fetch.ErrUnsafeName, "%q", bad)
	}
}

func TestLayoutErrors(t *testing.T) {
	for _, p := range []string{"", "{version}", "{variant}", "{version}/{form}", "../{version}/{variant}", "{version}//{variant}"} {
		f := finder()
		f.Layout.Patterns = []string{p}
		_, err := f.Find(t.Context(), nil, "asp")
		require.ErrorContains(t, err, "read layout", p)
	}
}

func TestLayoutOfOnesOwn(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/pub/releases/asp/updates/v7.12.100/asp-Setup-final.exe", []byte("x"), released)
	s.Put("/pub/releases/asp/7.12.200/Setup.exe", []byte("x"), released)
	f := finder()
	f.Layout = fetch.Layout{Root: "pub/releases", Patterns: []string{"updates/v{version}/{any}-{variant}-final"}}
	found, err := f.Find(t.Context(), client(s), "asp")
	require.NoError(t, err)
	require.Equal(t, []string{"7.12.100"}, numbersOf(found))
}

func bundle(names ...string) (out []fetch.Wanted) {
	for _, n := range names {
		out = append(out, fetch.Wanted{Distribution: n, Variant: version.Setup})
	}
	return out
}

func TestR4Joint(t *testing.T) {
	for name, c := range map[string]struct {
		files  []string
		choice fetch.Choice
		want   string // versions, or the error's text
		reason error
		told   bool // a newer number is told to be incomplete
	}{
		"same number":              {[]string{"a/7.12.100", "a/7.12.200", "b/7.12.100", "b/7.12.200"}, fetch.SameNumber, "7.12.200 7.12.200", nil, false},
		"newest that all have":     {[]string{"a/7.12.100", "a/7.12.200", "b/7.12.100"}, fetch.SameNumber, "7.12.100 7.12.100", nil, true},
		"each newest":              {[]string{"a/7.12.100", "a/7.12.200", "b/7.12.100"}, fetch.EachNewest, "7.12.200 7.12.100", nil, false},
		"incomplete":               {[]string{"a/7.12.200", "b/7.12.100"}, fetch.SameNumber, "b: no Setup of 7.12.200 (not on the server)", fetch.ErrIncomplete, false},
		"one has nothing":          {[]string{"a/7.12.200", "b/x"}, fetch.SameNumber, "b: no Setup of 7.12.200", fetch.ErrIncomplete, false},
		"one has nothing, by each": {[]string{"a/7.12.200", "b/x"}, fetch.EachNewest, "b: no Setup to offer", fetch.ErrIncomplete, false},
		"nothing at all":           {[]string{"a/x", "b/x"}, fetch.SameNumber, "no release to offer", fetch.ErrNothing, false},
		"one is unknown":           {[]string{"a/7.12.200"}, fetch.SameNumber, "unknown distribution", fetch.ErrUnknownDistribution, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			for _, f := range c.files {
				s.Put(f+"/Setup.exe", []byte("x"), released)
			}
			var ev events
			f := finder()
			f.Observe = ev.observe
			rels, err := f.Joint(t.Context(), client(s), bundle("a", "b"), c.choice)
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
			require.Equal(t, c.told, len(ev.of(fetch.EventIncomplete)) > 0)
		})
	}
}

// Whatever is on the server: a joint release is one number, all have it
// whole, and no newer number is whole everywhere.
func TestR4JointLaw(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(rt, "members")]
		src := tree{}
		has := map[string]map[int]bool{}
		for _, n := range names {
			has[n] = map[int]bool{}
			src["/"+n] = []fetch.Entry{}
			for _, k := range rapid.SliceOfNDistinct(rapid.IntRange(1, 6), 0, 6, rapid.ID).Draw(rt, n) {
				has[n][k] = true
				v := fmt.Sprintf("7.12.%d00", k)
				src["/"+n] = append(src["/"+n], fetch.Entry{Name: v, Kind: fetch.KindFolder})
				src["/"+n+"/"+v] = []fetch.Entry{{Name: "Setup.exe", Size: 1, Time: released}}
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
		rels, err := finder().Joint(context.Background(), src, bundle(names...), fetch.SameNumber)
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
