package archive_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// A modelVersion is what the law below knows of a version that it archived.
type modelVersion struct {
	key    archive.Key
	ages   []time.Duration // of its items
	broken bool            // cannot be read, or has no Setup
	rotten bool            // some bytes changed, which only Verify sees
}

// A quarry makes archives quickly: what was imported once is copied.
type quarry struct {
	t       *testing.T
	archive *archive.Archive
	items   map[string]archive.Item
}

var archivedLine = regexp.MustCompile(`"archived": "[^"]*"`)

// item puts an item into the archive at dir and returns its directory.
func (q *quarry) item(dir string, k archive.Key, text string, age time.Duration) string {
	name := k.String() + text
	it, ok := q.items[name]
	if !ok {
		it = store(q.t, q.archive, k, text, lab.Now)
		q.items[name] = it
	}
	rel, err := filepath.Rel(q.archive.Dir, filepath.Dir(it.Path))
	require.NoError(q.t, err)
	to := filepath.Join(dir, rel)
	require.NoError(q.t, os.CopyFS(to, os.DirFS(filepath.Dir(it.Path))))
	manifest := filepath.Join(to, "manifest.json")
	b, err := os.ReadFile(manifest)
	require.NoError(q.t, err)
	require.Len(q.t, archivedLine.FindAll(b, -1), 1)
	b = archivedLine.ReplaceAll(b, []byte(`"archived": "`+lab.Now.Add(-age).Format(time.RFC3339)+`"`))
	require.NoError(q.t, os.WriteFile(manifest, b, 0o600))
	return to
}

// version puts a version that the law thought of into the archive at dir.
func (q *quarry) version(t *rapid.T, dir, dist, number string) modelVersion {
	m := modelVersion{key: key(dist, number, 0)}
	age := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.IntRange(-2, 60).Draw(t, "days")) * 24 * time.Hour
	})
	var setups, all []string
	for i := range rapid.IntRange(1, 2).Draw(t, "re-releases") {
		m.ages = append(m.ages, age.Draw(t, "age"))
		setups = append(setups, q.item(dir, key(dist, number, version.Setup), fmt.Sprint("setup ", i), m.ages[len(m.ages)-1]))
	}
	all = setups
	if rapid.Bool().Draw(t, "full") {
		m.ages = append(m.ages, age.Draw(t, "age"))
		all = append(all, q.item(dir, key(dist, number, version.FullSetup), "full", m.ages[len(m.ages)-1]))
	}
	directory := filepath.Join(dir, dist, number)
	if rapid.Bool().Draw(t, "partial") {
		require.NoError(t, os.MkdirAll(filepath.Join(directory, ".partial-FullSetup", "data"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(directory, ".partial-FullSetup", "data", "payload"), []byte("the start"), 0o600))
	}
	if rapid.Bool().Draw(t, "evidence") {
		require.NoError(t, os.CopyFS(filepath.Join(directory, ".damaged-"+filepath.Base(all[0])+"-20200101T000000.0"), os.DirFS(all[0])))
	}
	victim := rapid.SampledFrom(all).Draw(t, "victim")
	switch rapid.SampledFrom([]string{"", "", "", "", "torn", "lost", "rotten", "no setup"}).Draw(t, "damage") {
	case "torn":
		m.broken = true
		require.NoError(t, os.Truncate(filepath.Join(victim, "manifest.json"), 20))
	case "lost":
		m.broken = true
		found, err := filepath.Glob(filepath.Join(victim, "*.exe"))
		require.NoError(t, err)
		require.NoError(t, os.Remove(found[0]))
	case "rotten":
		m.rotten = true
		found, err := filepath.Glob(filepath.Join(victim, "*.exe"))
		require.NoError(t, err)
		require.NoError(t, os.Chmod(found[0], 0o600))
		b, err := os.ReadFile(found[0])
		require.NoError(t, err)
		b[0] ^= 1
		require.NoError(t, os.WriteFile(found[0], b, 0o600))
	case "no setup":
		if len(all) > len(setups) { // otherwise nothing would be left of it
			m.broken = true
			for _, s := range setups {
				require.NoError(t, os.RemoveAll(s))
			}
		}
	}
	return m
}

// doomed says by the rules' own words, distribution by distribution, which
// versions must go.
func doomed(all []modelVersion, keep archive.Retention, inUse []archive.Key) map[archive.Key]bool {
	out := map[archive.Key]bool{}
	if keep.Newest <= 0 && keep.Younger <= 0 {
		return out // nothing was chosen
	}
	for _, m := range all {
		better := 0 // readable versions of the same distribution with a higher number
		for _, other := range all {
			if other.key.Distribution == m.key.Distribution && !other.broken && other.key.Version.Compare(m.key.Version) > 0 {
				better++
			}
		}
		used := slices.ContainsFunc(inUse, func(k archive.Key) bool { return k.Distribution == m.key.Distribution && k.Version == m.key.Version })
		young := slices.Min(m.ages) < keep.Younger
		future := slices.Min(m.ages) < 0
		if !m.broken && better >= max(1, keep.Newest) && !used && !young && !future {
			out[m.key] = true
		}
	}
	return out
}

func TestR10PruneKeepsTheRules(t *testing.T) {
	t.Parallel()
	q := &quarry{t, &archive.Archive{Settle: -1, Dir: filepath.Join(lab.InMemory(t), "quarry")}, map[string]archive.Item{}}
	base := lab.InMemory(t)
	pool := []string{"7.09.100", "7.10.100", "7.12.100-beta", "7.12.100-beta.2", "7.12.100", "7.12.1000", "8.01.100"}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		require.NoError(t, err)
		defer func() { _ = os.RemoveAll(dir) }()
		var all []modelVersion
		for _, dist := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"asp", "ASP 2", "опека"}), 1, 3, rapid.ID).Draw(t, "distributions") {
			for _, number := range rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 1, 5, rapid.ID).Draw(t, "versions") {
				all = append(all, q.version(t, dir, dist, number))
			}
			switch rapid.SampledFrom([]string{"", "pruned", "broken off"}).Draw(t, "besides") {
			case "pruned":
				require.NoError(t, os.MkdirAll(filepath.Join(dir, dist, ".pruned-7.01.100", "Setup-x"), 0o700))
			case "broken off": // a download of a version that never came
				require.NoError(t, os.MkdirAll(filepath.Join(dir, dist, "7.01.200", ".partial-Setup", "data"), 0o700))
			}
		}
		keep := archive.Retention{
			Newest:  rapid.IntRange(-1, 4).Draw(t, "newest"),
			Younger: time.Duration(rapid.IntRange(-1, 50).Draw(t, "younger")) * 24 * time.Hour,
		}
		inUse := []archive.Key{}
		for _, m := range rapid.SliceOfN(rapid.SampledFrom(all), 0, 3).Draw(t, "in use") {
			m.key.Variant = rapid.SampledFrom([]version.Variant{0, version.Setup, version.FullSetup}).Draw(t, "variant")
			inUse = append(inUse, m.key)
		}

		a := (&archive.Archive{Settle: -1, Dir: dir}).WithClock(func() time.Time { return lab.Now })
		before := contents(t, dir)
		_, problems := a.List()
		plan, planErr := a.Prunable(keep, inUse)
		require.Equal(t, before, contents(t, dir), "a plan writes nothing")
		if rapid.IntRange(0, 9).Draw(t, "mistyped") == 0 {
			_, err := a.Prune(t.Context(), keep, append(inUse, key("asp", "7.77.100", 0)))
			require.ErrorIs(t, err, archive.ErrNotFound)
			require.Equal(t, before, contents(t, dir), "a refusal removes nothing")
		}
		gone, err := a.Prune(t.Context(), keep, inUse)
		require.Equal(t, plan, gone, "the plan was carried out")
		require.Equal(t, planErr == nil, err == nil)
		broken := slices.ContainsFunc(all, func(m modelVersion) bool { return m.broken })
		require.Equal(t, broken, err != nil, "what could not be read is reported: %v", err)

		want := doomed(all, keep, inUse)
		for k := range want { // and nothing else: with the directory goes all that is in it
			directory := k.Distribution + "/" + k.Version.String() + "/"
			maps.DeleteFunc(before, func(path, _ string) bool { return strings.HasPrefix(path, directory) })
			_, err := a.Get(archive.Key{Distribution: k.Distribution, Version: k.Version, Variant: version.Setup})
			require.ErrorIs(t, err, archive.ErrNotFound)
			require.ErrorContains(t, err, "ask the vendor's support for Setup")
		}
		maps.DeleteFunc(before, func(path, _ string) bool { return strings.Contains(path, ".pruned-") })
		require.Equal(t, before, contents(t, dir), "whatever stays is as it was")
		reported := map[archive.Key]bool{}
		for _, it := range gone {
			reported[archive.Key{Distribution: it.Distribution, Version: it.Version}] = true
		}
		require.Equal(t, want, reported)

		items, after := a.List()
		require.Equal(t, problems == nil, after == nil)
		if after != nil {
			require.Equal(t, problems.Error(), after.Error(), "no new error")
		}
		for _, m := range all {
			for _, it := range items {
				if it.Distribution == m.key.Distribution && it.Version == m.key.Version && !m.rotten {
					require.NoError(t, a.Verify(t.Context(), it))
				}
			}
		}
		again, _ := a.Prune(t.Context(), keep, inUse)
		require.Empty(t, again, "a second run has nothing to do")
		require.Equal(t, before, contents(t, dir))
	})
}
