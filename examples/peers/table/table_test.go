package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const output = `goos: linux
cpu: some processor
BenchmarkVersionParse/aspupdate         	 1000000	        20.00 ns/op	       0 B/op	       0 allocs/op
BenchmarkVersionParse/blang             	  500000	       200.0 ns/op	     104 B/op	       3 allocs/op
BenchmarkVersionParse/hashicorp-8       	  500000	       1e+03 ns/op	     104 B/op	       6 allocs/op
PASS
`

func TestParseRound(t *testing.T) {
	r, err := parseRound([]byte(output))
	require.NoError(t, err)
	require.Equal(t, map[string]result{
		"aspupdate": {20, 0}, "blang": {200, 3}, "hashicorp-8": {1000, 6},
	}, r["VersionParse"])

	for _, bad := range []string{
		"",
		"PASS\n",
		"BenchmarkAlone 	 100	 20.00 ns/op	 0 B/op	 0 allocs/op\n",
		"BenchmarkA/b 	 100	 x ns/op	 0 B/op\n",
		"BenchmarkA/b 	 100	 7 B/op	 0 allocs/op\n",
	} {
		_, err := parseRound([]byte(bad))
		require.Error(t, err, "%q", bad)
	}
}

func TestRowsOf(t *testing.T) {
	rounds := func(ours ...float64) (rs []round) {
		for i, ns := range ours {
			busy := float64(i + 1) // the machine gets slower, for all libraries
			rs = append(rs, round{"Work": {
				"aspupdate": {ns * busy, 0}, "blang": {100 * busy, 3}, "deb": {50 * busy, 1},
			}})
		}
		return rs
	}
	work := task{bench: "Work", title: "work", limits: map[string]float64{"blang": 0.5}}

	rows, broken := rowsOf([]task{work, {bench: "NotAskedFor"}}, rounds(40, 40, 90), false)
	require.Empty(t, broken)
	require.Len(t, rows, 2)
	require.Equal(t, "blang", rows[0].peer)
	require.True(t, rows[0].first)
	require.False(t, rows[1].first)
	require.InDelta(t, 0.4, rows[0].ratio, 1e-9, "the median of the ratios")
	require.InDelta(t, 0.8, rows[1].ratio, 1e-9)
	require.InDelta(t, 80, rows[0].ours.ns, 1e-9)
	require.Equal(t, 3.0, rows[0].theirs.allocs)

	_, broken = rowsOf([]task{work}, rounds(60, 60, 40), true)
	require.Equal(t, []string{"Work: 0.6 times blang, at most 0.5 is allowed"}, broken)

	allocating := rounds(40)
	allocating[0]["Work"]["aspupdate"] = result{40, 2}
	_, broken = rowsOf([]task{work}, allocating, true)
	require.Equal(t, []string{"Work: 2 allocations, none is allowed"}, broken)
	may := work
	may.allocates = true
	_, broken = rowsOf([]task{may}, allocating, true)
	require.Empty(t, broken)

	_, broken = rowsOf([]task{{bench: "Work", limits: map[string]float64{"cron": 1}}}, rounds(40), true)
	require.Equal(t, []string{"Work: cron has a limit and did not run"}, broken)
	_, broken = rowsOf([]task{work, {bench: "Other"}}, rounds(40), true)
	require.Equal(t, []string{"Other: did not run"}, broken)
	_, broken = rowsOf(nil, rounds(40), true)
	require.Equal(t, []string{"Work: not listed in table/tasks.go"}, broken)
}

func TestRender(t *testing.T) {
	text := render([]row{
		{title: "work", peer: "blang", ours: result{9.61, 0}, theirs: result{2.5e8, 3}, ratio: 0.0384, limit: 0.5, first: true},
		{title: "work", peer: "other", ours: result{9.61, 0}, theirs: result{15321, 1}, ratio: 12.4},
	}, map[string]string{"blang": "v4.0.0"})
	require.Equal(t, `| work | ours | peer | peer's | ours ÷ peer's | at most |
| --- | ---: | --- | ---: | ---: | ---: |
| work | 9.6 ns · 0 | blang/semver/v4 v4.0.0 | 250 ms · 3 | 0.038 | 0.5 |
|  |  | other | 15 µs · 1 | 12 |  |
`, text)
}

// TestTasksNameKnownPeers checks the names of the peers in the limits.
func TestTasksNameKnownPeers(t *testing.T) {
	for _, task := range tasks() {
		for peer, limit := range task.limits {
			require.Contains(t, modules(), peer, task.bench)
			require.Positive(t, limit, task.bench)
		}
	}
}
